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
MEMBER = """
    DO $$
    BEGIN
        IF to_regrole('parley_app') IS NULL THEN
            CREATE ROLE parley_app;
        END IF;
        GRANT parley_app TO way_out;
    END
    $$
"""
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
    before = _schema(site)

    complaint = site.migrate_in_vain()

    assert 'the existing table "users" cannot serve' in complaint
    assert "CREATE SCHEMA parley; ALTER ROLE" in complaint
    assert _schema(site) == before


def test_the_way_out_that_the_message_names_works(site: Site) -> None:
    name = site.url.rsplit("/", 1)[1]
    site.run(f"CREATE ROLE way_out LOGIN; ALTER DATABASE {name} OWNER TO way_out")
    try:
        owned = Site(site.url.replace("//postgres@", "//way_out@"), site.programs)
        owned.run(USERS_THAT_CANNOT_SERVE["numbers as ids"] + "; INSERT INTO users VALUES (1)")
        before = _content(site, "users")
        advice = re.search(r"CREATE SCHEMA parley;.*;", owned.migrate_in_vain())
        assert advice

        said = advice[0].replace("<the role in DATABASE_URL>", "way_out")
        owned.run(said.replace("<database>", name))
        site.run(MEMBER)
        owned.migrate()

        assert owned.rows("SELECT count(*) FROM users") == [(0,)]
        assert owned.rows("SELECT id FROM public.users") == [(1,)]
        assert _content(site, "users") == before
        owned.roll_back_all()
        assert _content(site, "users") == before
    finally:
        site.run(f"ALTER DATABASE {name} OWNER TO postgres; DROP OWNED BY way_out CASCADE")
        site.run("DROP ROLE way_out")


def test_tasks_of_the_customer_are_left_as_they_are_up_and_down(site: Site) -> None:
    site.run(TASKS)
    before = _content(site, "tasks")

    site.migrate()
    assert _content(site, "tasks") == before

    site.roll_back_all()
    assert _content(site, "tasks") == before


def test_tasks_that_lack_columns_stop_the_migration_which_names_them(site: Site) -> None:
    site.run("CREATE TABLE tasks (id serial PRIMARY KEY, title varchar(200), completed boolean)")
    before = site.schema("--table=tasks")

    complaint = site.migrate_in_vain()

    lacking = re.search(r"it lacks (.*)", complaint)
    assert lacking
    assert {*lacking[1].split(", ")} == {"user_id", "description", "created_at", "updated_at"}
    assert site.schema("--table=tasks") == before


@pytest.mark.parametrize(
    "conversations", FOREIGN_CONVERSATIONS.values(), ids=list(FOREIGN_CONVERSATIONS)
)
def test_conversations_that_parley_did_not_make_stop_the_migration(
    site: Site, conversations: str
) -> None:
    site.run(conversations)
    before = site.schema("--table=conversations")

    complaint = site.migrate_in_vain()

    assert 'a table "conversations" exists already that Parley did not make' in complaint
    assert "give Parley a schema of its own" in complaint
    assert site.schema("--table=conversations") == before


def test_chat_messages_that_parley_did_not_make_stop_the_migration(site: Site) -> None:
    site.run(FOREIGN_CHAT_MESSAGES)
    before = site.schema("--table=chat_messages")

    complaint = site.migrate_in_vain()

    assert 'a table "chat_messages" exists already that Parley did not make' in complaint
    assert "give Parley a schema of its own" in complaint
    assert site.schema("--table=chat_messages") == before


def test_a_list_of_migrations_of_another_tool_stops_the_migration(site: Site) -> None:
    # golang-migrate's; dbmate and Rails keep one of the same name.
    site.run("CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL)")
    before = site.schema()

    complaint = site.migrate_in_vain()

    assert "schema_migrations" in complaint
    assert site.schema() == before


def _schema(site: Site) -> str:
    """Return the schema without the list of migrations, which is made before the first of them."""
    return site.schema("--exclude-table=schema_migrations")


def _content(site: Site, table: str) -> tuple[str, list[tuple[object, ...]]]:
    """Return how a table is made, and what is in it."""
    return site.schema(f"--table=public.{table}"), site.rows(f"SELECT * FROM public.{table}")
