"""The surroundings of every request: deadline, trace, log, counters, timers, late imports."""
