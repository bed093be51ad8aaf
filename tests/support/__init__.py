"""Helpers of the tests: servers, clients, readers, databases."""
