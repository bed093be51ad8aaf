"""For who runs it: clean-up, health, counters, metrics."""
