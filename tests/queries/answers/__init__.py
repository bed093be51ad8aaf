"""Statements of sql/queries/answers, one file a statement."""
