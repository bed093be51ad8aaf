"""A zoo of providers: each refuses and streams as a real one does (`python -m tests.zoo`)."""
