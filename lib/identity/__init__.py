"""The caller of a request, known before the database is asked for anything."""
