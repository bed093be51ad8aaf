"""Access: every endpoint, every kind of caller, the data of every owner."""
