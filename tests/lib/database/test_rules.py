"""Rules that are not Parley's are told apart from Parley's own by names that the database has."""

import psycopg

from lib.database import _rules

OWN = """
    SELECT array_agg(pg_class.relname), 'table' FROM pg_class
    WHERE pg_class.relkind = 'r' AND obj_description(pg_class.oid, 'pg_class') LIKE 'Parley:%'
    UNION ALL
    SELECT array_agg(pg_constraint.conname), 'constraint' FROM pg_constraint
    WHERE
        pg_constraint.contype NOT IN ('p', 'n')
        AND pg_constraint.connamespace = 'public'::regnamespace
    UNION ALL
    SELECT array_agg(pg_class.relname), 'index' FROM pg_index
    INNER JOIN pg_class ON pg_index.indexrelid = pg_class.oid
    WHERE
        pg_index.indisunique AND NOT pg_index.indisprimary
        AND pg_class.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT array_agg(pg_proc.proname), 'function' FROM pg_proc
    INNER JOIN pg_language ON pg_proc.prolang = pg_language.oid
    WHERE
        pg_proc.pronamespace = 'public'::regnamespace
        AND pg_proc.pronargs = 0
        AND pg_language.lanname = 'plpgsql'
"""


def test_parleys_own_tables_constraints_and_functions_are_those_of_a_migrated_database(
    database: psycopg.Connection,
) -> None:
    found = {kind: {*names} for names, kind in database.execute(OWN).fetchall()}

    assert found["table"] == _rules.TABLES
    assert found["constraint"] | found["index"] == _rules.CONSTRAINTS
    assert found["function"] == _rules.FUNCTIONS
