"""Random faults, and an audit of the database after them: `python -m tests.faults --turns 300`."""
