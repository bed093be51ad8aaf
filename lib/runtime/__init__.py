"""What every request has: a deadline, a trace, a log, counters, timers, late imports."""
