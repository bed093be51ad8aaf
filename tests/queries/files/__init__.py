"""Statements of sql/queries/files, one file a statement."""
