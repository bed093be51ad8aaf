"""Statements of sql/queries/operations, one file a statement."""
