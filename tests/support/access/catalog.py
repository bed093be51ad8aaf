"""The tables of users' data, read from the catalog, so that a table added later is among them."""

from dataclasses import dataclass

import psycopg

TABLES_OF_USERS = """
    WITH RECURSIVE held (oid, depth) AS (
        SELECT 'users'::regclass::oid, 0
        UNION
        SELECT pg_constraint.conrelid, held.depth + 1
        FROM pg_constraint
        INNER JOIN held ON pg_constraint.confrelid = held.oid
        WHERE pg_constraint.contype = 'f' AND held.depth < 10
    )
    SELECT oid::regclass::text FROM held GROUP BY oid ORDER BY max(depth), 1
"""
COLUMNS = """
    SELECT
        pg_attribute.attname,
        format_type(pg_attribute.atttypid, NULL),
        pg_constraint.confrelid::regclass::text
    FROM pg_attribute
    LEFT JOIN pg_constraint
        ON
            pg_attribute.attrelid = pg_constraint.conrelid
            AND pg_constraint.contype = 'f'
            AND pg_constraint.conkey = ARRAY[pg_attribute.attnum]
    WHERE
        pg_attribute.attrelid = %s::regclass
        AND pg_attribute.attnum > 0
        AND NOT pg_attribute.attisdropped
        AND pg_attribute.attidentity = ''
        AND pg_attribute.attgenerated = ''
    ORDER BY pg_attribute.attnum
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that can be written.

    Attributes:
        name: its name.
        type: its type, without a length.
        refers_to: the table that it is a foreign key to.
    """

    name: str
    type: str
    refers_to: str | None


def tables_of_users(database: psycopg.Connection) -> list[str]:
    """Return `users` and all tables that refer to it, also indirectly; referenced tables first."""
    return [name for (name,) in database.execute(TABLES_OF_USERS).fetchall()]


def columns_of(database: psycopg.Connection, table: str) -> list[Column]:
    """Return the columns of a table, except identity and generated columns."""
    return [Column(*row) for row in database.execute(COLUMNS, [table]).fetchall()]


def tables(database: psycopg.Connection) -> list[str]:
    """Return all tables."""
    tables = database.execute("""
        SELECT oid::regclass::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        ORDER BY 1
    """)
    return [name for (name,) in tables.fetchall()]


def snapshot_query(database: psycopg.Connection) -> bytes:
    """Return a query for all rows of all tables, each as a text."""
    selects = [f"SELECT '{name} ' || {name}::text FROM {name}" for name in tables(database)]
    return " UNION ALL ".join(selects).encode()
