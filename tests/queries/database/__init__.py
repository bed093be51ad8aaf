"""Statements of sql/queries/database, one file a statement."""
