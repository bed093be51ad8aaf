"""Statements of sql/queries/turns, one file a statement."""
