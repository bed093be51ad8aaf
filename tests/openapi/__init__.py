"""The description of the HTTP interface: fresh, valid, and true of all answers."""
