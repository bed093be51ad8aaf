"""Steps of the database as the product runs them, for tests of single statements."""
