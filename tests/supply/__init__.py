"""Where Parley's packages come from: locked, hashed, listed."""
