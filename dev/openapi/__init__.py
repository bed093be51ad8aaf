"""The description of the HTTP interface, OpenAPI 3.1: `make openapi` writes `public/openapi.json`.

Addresses and methods come from the functions of `api/`; parameters, bodies and many answers from
the query strings, models and dataclasses of `lib/`, with their docstrings as texts. The other
answers are described here. The HTTP client of the tests checks each answer against the description
(`tests/openapi/conformance.py`). No function imports this package.
"""
