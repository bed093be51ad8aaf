"""The migrations, applied by psql as an operator would, on the oldest and the newest Postgres."""
