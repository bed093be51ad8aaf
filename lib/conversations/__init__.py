"""Conversations and their messages: stored, read back, searched, changed, marked and exported."""
