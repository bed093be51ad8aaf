"""describe_access."""

import psycopg

from tests.support.statement_files import read_statement


def test_a_role_is_told_whether_it_acts_as_parley_app_and_whose_the_tables_are(
    database: psycopg.Connection,
) -> None:
    described = read_statement("describe_access").body.encode()
    assert database.execute(described).fetchall() == [("postgres", True, "postgres", True)]

    with database.transaction(force_rollback=True):
        database.execute("CREATE ROLE guest; GRANT CREATE ON SCHEMA public TO guest")
        database.execute("SET LOCAL ROLE guest")
        assert database.execute(described).fetchall() == [("guest", False, "postgres", False)]
        database.execute("RESET ROLE; GRANT parley_app TO guest; SET LOCAL ROLE guest")
        assert database.execute(described).fetchall() == [("guest", True, "postgres", False)]
        database.execute("SET LOCAL search_path = pg_catalog")
        assert database.execute(described).fetchall() == [("guest", True, None, False)]
