"""For operators: clean-up, health, counters, metrics."""
