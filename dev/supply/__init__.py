"""Where Parley's packages come from: the lock, and the bill of materials."""
