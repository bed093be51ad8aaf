"""Who is calling. Known before the database is asked for anything."""
