"""Statements of sql/queries/conversations, one file a statement."""
