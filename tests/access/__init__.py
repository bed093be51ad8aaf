"""Who reaches what: every endpoint, every kind of caller, everybody's data."""
