"""Tests of the files of sql: headers, plans, the schema."""
