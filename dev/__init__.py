"""`python -m dev`: the whole product on one machine, with no account and no key."""
