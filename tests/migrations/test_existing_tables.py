"""Tables that the customer's application made before: used or refused, never altered."""

import re

import pytest

from tests.support.servers import Site

# A `users` of somebody else's, with one user in it.
USERS_THAT_SERVE = {
    "an id and nothing else": """
        CREATE TABLE users (id varchar(36) PRIMARY KEY);
        INSERT INTO users VALUES ('ada');
    """,
    "a unique text as id": """
        CREATE TABLE users (name text, id text NOT NULL UNIQUE);
        INSERT INTO users VALUES ('Ada', 'ada');
    """,
    "a profile and more": """
        CREATE TABLE users (
            id varchar(255) PRIMARY KEY,
            email varchar(255) NOT NULL UNIQUE,
            name varchar(255) NOT NULL,
            plan text NOT NULL,
            is_active boolean DEFAULT true,
            updated_at timestamptz DEFAULT '2025-01-01Z'
        );
        COMMENT ON TABLE users IS 'Who pays';
        INSERT INTO users VALUES ('ada', 'ada@example.com', 'Ada', 'gold');
    """,
    "an address without a name": """
        CREATE TABLE users (id varchar(255) PRIMARY KEY, email varchar(255) NOT NULL);
        INSERT INTO users VALUES ('ada', 'ada@example.com');
    """,
}
USERS_THAT_CANNOT_SERVE = {
    "numbers as ids": "CREATE TABLE users (id serial PRIMARY KEY)",
    "UUIDs as ids": "CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid())",
    "ids that may repeat": "CREATE TABLE users (id varchar(255) NOT NULL)",
    "no id": "CREATE TABLE users (email varchar(255) PRIMARY KEY)",
}
TASKS = """
    CREATE TABLE tasks (
        id serial PRIMARY KEY,
        user_id varchar(255) NOT NULL,
        title varchar(200) NOT NULL,
        description varchar(1000),
        completed boolean NOT NULL DEFAULT false,
        created_at timestamp NOT NULL DEFAULT now(),
        updated_at timestamp NOT NULL DEFAULT now(),
        priority integer
    );
    COMMENT ON TABLE tasks IS 'What is to be done';
    INSERT INTO tasks (user_id, title, priority) VALUES ('ada', 'Buy groceries', 1);
"""
# Of documents 5, 3 and 2; the last has an id of the very type that Parley's own has.
FOREIGN_CONVERSATIONS = {
    "numbers as ids": "CREATE TABLE conversations (id serial PRIMARY KEY, user_id varchar(255))",
    "texts as ids": "CREATE TABLE conversations (id varchar PRIMARY KEY, title varchar(200))",
    "UUIDs as ids": """
        CREATE TABLE conversations (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id varchar(255) NOT NULL,
            title varchar(255),
            status varchar(20) NOT NULL DEFAULT 'active',
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        )
    """,
}
# Of document 1.
FOREIGN_CHAT_MESSAGES = """
    CREATE TABLE chat_messages (
        id serial PRIMARY KEY,
        role varchar(20) NOT NULL,
        content text NOT NULL,
        user_id integer,
        session_id uuid,
        created_at timestamp DEFAULT now(),
        updated_at timestamp DEFAULT now()
    )
"""


@pytest.mark.parametrize("users", USERS_THAT_SERVE.values(), ids=list(USERS_THAT_SERVE))
def test_users_of_the_customer_are_left_as_they_are_up_and_down(site: Site, users: str) -> None:
    site.run(users)
    before = _content(site, "users")

    site.migrate()
    assert _content(site, "users") == before

    site.roll_back_all()
    assert _content(site, "users") == before


@pytest.mark.parametrize(
    "users", USERS_THAT_CANNOT_SERVE.values(), ids=list(USERS_THAT_CANNOT_SERVE)
)
def test_users_that_cannot_serve_stop_the_migration_which_says_what_to_do(
    site: Site, users: str
) -> None:
    site.run(users)
    before = site.schema()

    complaint = site.migrate_in_vain()

    assert 'the existing table "users" cannot serve' in complaint
    assert "Give Parley a schema of its own: export PARLEY_SCHEMA=parley" in complaint
    assert site.schema() == before


def test_tasks_of_the_customer_are_left_as_they_are_up_and_down(site: Site) -> None:
    site.run(TASKS)
    before = _content(site, "tasks")

    site.migrate()
    assert _content(site, "tasks") == before

    site.roll_back_all()
    assert _content(site, "tasks") == before


def test_tasks_that_lack_columns_stop_the_migration_which_names_them(site: Site) -> None:
    site.run("CREATE TABLE tasks (id serial PRIMARY KEY, title varchar(200), completed boolean)")
    before = site.schema()

    complaint = site.migrate_in_vain()

    lacking = re.search(r"it lacks (.*)", complaint)
    assert lacking
    assert {*lacking[1].split(", ")} == {"user_id", "description", "created_at", "updated_at"}
    assert site.schema() == before


@pytest.mark.parametrize(
    "conversations", FOREIGN_CONVERSATIONS.values(), ids=list(FOREIGN_CONVERSATIONS)
)
def test_conversations_that_parley_did_not_make_stop_the_migration(
    site: Site, conversations: str
) -> None:
    site.run(conversations)
    before = site.schema()

    complaint = site.migrate_in_vain()

    assert "tables exist already that Parley did not make: conversations" in complaint
    assert "Give Parley a schema of its own: export PARLEY_SCHEMA=parley" in complaint
    assert site.schema() == before


def test_chat_messages_that_parley_did_not_make_stop_the_migration(site: Site) -> None:
    site.run(FOREIGN_CHAT_MESSAGES)
    before = site.schema()

    complaint = site.migrate_in_vain()

    assert "tables exist already that Parley did not make: chat_messages" in complaint
    assert "Give Parley a schema of its own: export PARLEY_SCHEMA=parley" in complaint
    assert site.schema() == before


def test_a_database_of_the_migrations_that_were_folded_is_refused_as_it_is(site: Site) -> None:
    site.run("""
        CREATE TABLE schema_migrations (name text PRIMARY KEY, applied_at timestamptz);
        COMMENT ON TABLE schema_migrations IS 'Parley: the migrations that are applied';
        INSERT INTO schema_migrations VALUES ('001_users', now()), ('002_conversations', now());
        CREATE TABLE users (id varchar(255) PRIMARY KEY);
        COMMENT ON TABLE users IS 'Parley: users';
        CREATE TABLE conversations (id uuid PRIMARY KEY, user_id varchar(255) REFERENCES users);
        COMMENT ON TABLE conversations IS 'Parley: a thread of messages';
    """)
    before = site.schema()

    complaint = site.migrate_in_vain()

    assert "made by the twenty migrations that came before version 0.1.0" in complaint
    assert "Use an empty database or schema instead" in complaint
    assert site.schema() == before
    assert site.rows("SELECT count(*) FROM schema_migrations") == [(2,)]


def test_every_table_of_parleys_is_refused_where_another_application_made_it(
    migrated: Site,
) -> None:
    tables = migrated.rows("""
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
            AND relname NOT IN ('users', 'tasks')
        ORDER BY relname
    """)
    migrated.roll_back_all()
    migrated.run("DROP TABLE schema_migrations")
    for (table,) in tables:
        migrated.run(f"CREATE TABLE {table} (id integer)")

    complaint = migrated.migrate_in_vain()

    assert f"did not make: {', '.join(str(name) for (name,) in tables)}\n" in complaint


def test_a_list_of_migrations_of_another_tool_stops_the_migration(site: Site) -> None:
    # golang-migrate's; dbmate and Rails keep one of the same name.
    site.run("CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL)")
    before = site.schema()

    complaint = site.migrate_in_vain()

    assert "schema_migrations" in complaint
    assert site.schema() == before


REFUSED = {
    "a tasks.user_id of another type": (
        TASKS.replace("user_id varchar(255)", "user_id uuid").partition("INSERT")[0],
        "tasks.user_id is of type uuid, and must be varchar or text",
    ),
    "a title that is short": (
        TASKS.replace("title varchar(200)", "title varchar(80)"),
        "tasks.title is of type character varying(80)",
    ),
    "a column of tasks that an INSERT needs": (
        TASKS.replace("priority integer", "priority integer NOT NULL"),
        "tasks.priority is NOT NULL and has no default",
    ),
    "a flag that is a number": (
        TASKS.replace("completed boolean NOT NULL DEFAULT false", "completed integer"),
        "tasks.completed is of type integer, and must be boolean",
    ),
    "a profile of another type": (
        "CREATE TABLE users (id text PRIMARY KEY, email jsonb, name text, updated_at date)",
        "users.email is of type jsonb",
    ),
    "row-level security that holds for the owner": (
        USERS_THAT_SERVE["an id and nothing else"]
        + "ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;",
        "users has FORCE ROW LEVEL SECURITY",
    ),
    "row-level security of tasks without a policy": (
        TASKS + "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY;",
        "tasks has ROW LEVEL SECURITY",
    ),
    "a foreign key that holds tasks": (
        TASKS + "CREATE TABLE comments (task_id integer REFERENCES tasks (id));",
        "would keep accounts from being deleted: comments (comments_task_id_fkey)",
    ),
}


@pytest.mark.parametrize(("tables", "words"), REFUSED.values(), ids=list(REFUSED))
def test_tables_with_which_an_account_could_not_be_used_or_deleted_stop_the_migration(
    site: Site, tables: str, words: str
) -> None:
    site.run(tables)
    before = site.schema()

    complaint = site.migrate_in_vain()

    assert words in complaint
    assert "HINT:  No table was changed." in complaint
    assert site.schema() == before


def test_a_foreign_key_that_would_hold_an_account_is_named_before_anything_is_changed(
    migrated: Site,
) -> None:
    migrated.run("CREATE TABLE orders (user_id varchar(255) REFERENCES users (id))")

    assert "being deleted: orders (orders_user_id_fkey)" in migrated.migrate_in_vain()

    migrated.run("""
        ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey;
        ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL
    """)
    assert migrated.migrate() == []


def test_tables_of_another_role_stop_the_migration_which_names_it(site: Site) -> None:
    database = site.url.rpartition("/")[2]
    site.run(f"""
        CREATE ROLE mere_maker LOGIN CREATEROLE; GRANT CREATE ON DATABASE {database} TO mere_maker;
        GRANT CREATE, USAGE ON SCHEMA public TO mere_maker; CREATE TABLE users (id text PRIMARY KEY)
    """)
    try:
        maker = Site(site.url.replace("//postgres@", "//mere_maker@"), site.programs)
        complaint = maker.migrate_in_vain()
        assert 'belong to another role than "mere_maker": users of postgres' in complaint
    finally:
        site.run("DROP OWNED BY mere_maker; DROP ROLE mere_maker")


def _content(site: Site, table: str) -> tuple[str, list[tuple[object, ...]]]:
    """Return how a table is made, and what is in it."""
    return site.schema(f"--table=public.{table}"), site.rows(f"SELECT * FROM public.{table}")
