"""Who may what on Parley's objects: a state that each migration makes, whatever was before."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.postgres import RunningPostgres
from tests.migrations.conftest import Check, make_site
from tests.migrations.test_existing_tables import TASKS
from tests.support.servers import SQL, Site

# Default privileges under which a database may be migrated. `anon` is the role that a data API over
# HTTP gives to the public (Supabase, PostgREST).
DEFAULTS = {
    "all to a public role": """
        ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon WITH GRANT OPTION;
        ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO anon;
        ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO anon;
        ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO anon
    """,
    "all to everybody": """
        ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
        ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO PUBLIC;
        ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC;
        ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO parley_app
    """,
    "none to everybody": """
        ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
        ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC;
        REVOKE ALL ON SCHEMA public FROM PUBLIC
    """,
    "none to the owner": """
        ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM CURRENT_USER;
        ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM CURRENT_USER;
        ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM CURRENT_USER
    """,
}
# The privileges on every object of the schema: of what kind, which, whose, on which column.
PRIVILEGES = """
    WITH home AS (SELECT 'public'::regnamespace::oid AS oid),
    objects AS (
        SELECT 'table' AS kind, pg_class.oid, relowner AS owner, acldefault('r', relowner) AS own,
            coalesce(relacl, acldefault('r', relowner)) AS acl
        FROM pg_class, home WHERE relnamespace = home.oid AND relkind NOT IN ('S', 'i', 'c')
        UNION ALL
        SELECT 'sequence', pg_class.oid, relowner, acldefault('s', relowner),
            coalesce(relacl, acldefault('s', relowner))
        FROM pg_class, home WHERE relnamespace = home.oid AND relkind = 'S'
        UNION ALL
        SELECT 'function', pg_proc.oid, proowner, acldefault('f', proowner),
            coalesce(proacl, acldefault('f', proowner))
        FROM pg_proc, home WHERE pronamespace = home.oid
        UNION ALL
        -- An array has the privileges of its elements.
        SELECT 'type', pg_type.oid, typowner, acldefault('T', typowner),
            coalesce(typacl, acldefault('T', typowner))
        FROM pg_type, home WHERE typnamespace = home.oid AND typcategory <> 'A'
    )
"""
FOUND = f"""
    {PRIVILEGES}
    SELECT kind, objects.oid, grantee, privilege_type, is_grantable, NULL
    FROM objects, aclexplode(acl) WHERE grantee <> owner
    UNION ALL
    SELECT 'table', attrelid, grantee, privilege_type, is_grantable, attname
    FROM pg_attribute, home, aclexplode(attacl)
    WHERE (SELECT relnamespace FROM pg_class WHERE oid = attrelid) = home.oid
"""
NEEDED = """
    SELECT object_kind, object, 'parley_app'::regrole::oid, privilege, FALSE, column_name
    FROM needed_privileges() WHERE object_kind <> 'schema'
"""
# What an owner lacks of its own.
LACKED = f"""
    {PRIVILEGES}
    SELECT kind, objects.oid, privilege_type FROM objects, aclexplode(own) WHERE grantee = owner
    EXCEPT
    SELECT kind, objects.oid, privilege_type FROM objects, aclexplode(acl) WHERE grantee = owner
"""
FAULTS = "SELECT kind, description FROM list_faults()"
BY_HAND = """
    GRANT SELECT ON users TO anon WITH GRANT OPTION;
    SET ROLE anon; GRANT SELECT ON users TO other; RESET ROLE;
    GRANT SELECT (subject) ON quotas TO PUBLIC;
    GRANT UPDATE, TRUNCATE ON chat_messages TO parley_app;
    GRANT SELECT ON tasks TO parley_app WITH GRANT OPTION;
    GRANT EXECUTE ON FUNCTION find_account(text) TO parley_app;
    REVOKE INSERT ON conversations FROM parley_app;
    REVOKE EXECUTE ON FUNCTION own_user() FROM parley_app
"""
FAULTS_BY_HAND = [
    ("missing_privilege", "parley_app lacks EXECUTE on function public.own_user()"),
    ("missing_privilege", "parley_app lacks INSERT on table public.conversations"),
    ("open_privilege", "PUBLIC has SELECT (subject) on table public.quotas"),
    ("open_privilege", "anon has SELECT on table public.users"),
    ("open_privilege", "other has SELECT on table public.users"),
    ("open_privilege", "parley_app has EXECUTE on function public.find_account(text)"),
    ("open_privilege", "parley_app has GRANT OPTION FOR SELECT on table public.tasks"),
    ("open_privilege", "parley_app has TRUNCATE, UPDATE on table public.chat_messages"),
]
ROLES = """
    DO $$
    BEGIN
        IF to_regrole('anon') IS NULL THEN
            CREATE ROLE anon;
            CREATE ROLE other;
        END IF;
        IF to_regrole('parley_app') IS NULL THEN
            CREATE ROLE parley_app;
        END IF;
    END
    $$
"""


@pytest.fixture
def site(site: Site) -> Site:
    """Return an empty database, on a server that has roles of others."""
    site.run(ROLES)
    return site


@pytest.fixture
def copy(server: tuple[RunningPostgres, Path]) -> Iterator[Site]:
    """Return another empty database on the same server."""
    yield from make_site(*server)


def check_every_object(site: Site) -> None:
    """Compare the privileges on everything that is there with those that are needed."""
    assert sorted(map(str, site.rows(FOUND))) == sorted(map(str, site.rows(NEEDED)))
    assert site.rows(LACKED) == []
    assert site.rows(FAULTS) == []


def copy_without_privileges(origin: Site, target: Site) -> None:
    """Dump a database, without owners and privileges, and restore it."""
    dump = [origin.programs / "pg_dump", "--no-owner", "--no-acl", origin.url]
    psql = [target.programs / "psql", target.url, "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1"]
    dumped = subprocess.run(dump, check=True, capture_output=True, text=True)
    subprocess.run(psql, check=True, input=dumped.stdout, capture_output=True, text=True)


@pytest.mark.parametrize("defaults", DEFAULTS.values(), ids=list(DEFAULTS))
async def test_whatever_the_defaults_each_object_has_the_privileges_that_requests_need_and_no_more(
    site: Site, defaults: str, check_requests: Check
) -> None:
    site.run(defaults)

    site.migrate()

    check_every_object(site)
    await check_requests(site)


@pytest.mark.parametrize("file", ["migrate.sql", "privileges.sql"])
async def test_a_dump_without_privileges_gets_them_back(
    migrated: Site, copy: Site, file: str, check_requests: Check
) -> None:
    copy_without_privileges(migrated, copy)
    assert {kind for kind, _ in copy.rows(FAULTS)} == {"missing_privilege", "open_privilege"}

    assert copy.apply(SQL / file) == []

    check_every_object(copy)
    await check_requests(copy)


def test_what_was_granted_or_revoked_by_hand_is_named_and_set_again(site: Site) -> None:
    site.migrate()
    site.run(BY_HAND)
    assert sorted(site.rows(FAULTS)) == FAULTS_BY_HAND

    site.apply(SQL / "privileges.sql")

    check_every_object(site)


def test_a_second_time_nothing_in_the_catalog_changes(migrated: Site) -> None:
    written = (
        "SELECT sum(xmin::text::bigint) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    )
    before = migrated.rows(written)

    migrated.apply(SQL / "privileges.sql")

    assert migrated.rows(written) == before


def test_the_applications_own_tables_and_functions_keep_their_privileges(site: Site) -> None:
    site.run(TASKS)
    site.run("""
        CREATE TABLE orders (id serial PRIMARY KEY);
        CREATE FUNCTION greet() RETURNS text LANGUAGE sql AS $$ SELECT 'Hello' $$;
        GRANT ALL ON orders, tasks TO anon;
        GRANT USAGE ON SEQUENCE orders_id_seq TO anon
    """)
    owned = """
        SELECT has_table_privilege('anon', 'orders', 'DELETE'),
            has_table_privilege('anon', 'tasks', 'DELETE'),
            has_sequence_privilege('anon', 'orders_id_seq', 'USAGE'),
            has_function_privilege('anon', 'greet()', 'EXECUTE')
    """
    needed = """
        SELECT has_table_privilege('parley_app', 'tasks', 'INSERT'),
            has_sequence_privilege('parley_app', 'tasks_id_seq', 'USAGE'),
            has_table_privilege('parley_app', 'orders', 'SELECT')
    """

    site.migrate()

    assert site.rows(owned) == [(True, True, True, True)]
    assert site.rows(needed) == [(True, True, False)]
    site.run("REVOKE ALL ON SEQUENCE tasks_id_seq FROM parley_app")
    assert site.rows(FAULTS) == [
        ("missing_privilege", "parley_app lacks USAGE on sequence public.tasks_id_seq")
    ]


@pytest.mark.parametrize("file", ["privileges.sql", "sequences.sql"])
def test_where_nothing_is_migrated_both_files_say_what_to_run_first(site: Site, file: str) -> None:
    complaint = site.apply_in_vain(SQL / file)

    assert "has no functions of Parley's" in complaint
    assert "Run sql/migrate.sql" in complaint


def test_where_the_role_may_not_grant_the_file_says_what_the_owner_is_to_run(site: Site) -> None:
    site.run("CREATE ROLE owner_of_parley LOGIN; GRANT parley_app TO owner_of_parley")
    try:
        site.run("GRANT CREATE, USAGE ON SCHEMA public TO owner_of_parley")
        parleys = Site(site.url.replace("postgres@", "owner_of_parley@"), site.programs)
        parleys.migrate()
        site.run("ALTER TABLE tasks OWNER TO postgres; REVOKE ALL ON tasks FROM parley_app")

        complaint = parleys.apply_in_vain(SQL / "privileges.sql")

        assert 'the role "owner_of_parley" may not set all privileges' in complaint
        hint = complaint.partition("or an administrator run: ")[2].partition("\n")[0]
        assert "GRANT SELECT ON TABLE public.tasks TO parley_app" in hint
        site.run(hint)
        assert parleys.apply(SQL / "privileges.sql") == []
    finally:
        site.run("DROP OWNED BY owner_of_parley CASCADE; DROP ROLE owner_of_parley")
