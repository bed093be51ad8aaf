"""The description of the HTTP interface: up to date, valid, and true of all answers."""
