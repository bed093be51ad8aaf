"""Statements of sql/queries/users, one file a statement."""
