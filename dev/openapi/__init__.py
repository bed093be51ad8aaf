"""The description of the HTTP interface, OpenAPI 3.1: `make openapi` writes `public/openapi.json`.

What requests may hold is taken from the query strings and models of `lib/`; which addresses and
methods there are, from the functions of `api/`. What answers hold is said here, in `answers.py` and
its like, and held to by all tests: their HTTP client checks each answer that it gets
(`tests/openapi/conformance.py`). No function imports any of this.
"""
