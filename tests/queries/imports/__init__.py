"""Statements of sql/queries/imports, one file a statement."""
