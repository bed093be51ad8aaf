"""The role parley_app: its rights, and that no session has it for longer than a transaction."""

import time
from hashlib import sha256
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from lib.conversations.listing import LIST_CONVERSATIONS, ConversationSummary
from lib.database import acting
from lib.database.client import Database
from lib.database.statements import Call
from lib.identity.callers import Caller
from lib.problems import AccountInactive
from lib.settings import read_settings
from tests.support.access.catalog import tables_of_users
from tests.support.product import forget_process

OWNED = (
    "conversations",
    "chat_messages",
    "stream_batches",
    "finished_streams",
    "tasks",
    "tool_runs",
    "known_networks",
    "user_settings",
    "chat_files",
    "message_files",
)

STORED = """
    INSERT INTO users (id, is_active) VALUES ('ann', TRUE), ('ina', FALSE);
    INSERT INTO tasks (user_id, title) VALUES ('ann', 'Ann''s');
    INSERT INTO quotas VALUES ('user ann', 1, now(), 1, now() + '1 h');
    INSERT INTO known_networks VALUES ('log-in ann', 'ann', now());
    INSERT INTO user_settings VALUES ('ann', 'Ann''s', now());
    INSERT INTO conversations (id, user_id) VALUES (%(anns)s, 'ann'), (%(nobodys)s, NULL);
    INSERT INTO chat_messages (conversation_id, user_id, role, content)
    VALUES (%(anns)s, 'ann', 'user', 'Ann''s'), (%(nobodys)s, NULL, 'user', 'Nobody''s');
    INSERT INTO stream_batches (conversation_id, turn_id, user_id, first_part, part_count, parts)
    VALUES (%(anns)s, %(anns)s, 'ann', 0, 1, 'Ann''s'), (%(nobodys)s, %(anns)s, NULL, 0, 1, '');
    INSERT INTO finished_streams
    VALUES (%(anns)s, %(anns)s, 'ann', '', '', now()), (%(nobodys)s, %(anns)s, NULL, '', '', now());
    INSERT INTO chat_files (id, user_id, conversation_id, media_type, size, bytes)
    VALUES (%(anns)s, 'ann', NULL, '', 1, 'a'), (%(nobodys)s, NULL, %(nobodys)s, '', 1, 'a');
    INSERT INTO message_files
    VALUES (%(anns)s, 1, %(anns)s, 'ann'), (%(nobodys)s, 2, %(nobodys)s, NULL);
    INSERT INTO tool_runs VALUES (%(anns)s, 1, 'run', 'ann', %(anns)s, 'call', 'add_task', '{}');
"""
ANNS, NOBODYS = uuid4(), uuid4()
# Numbers of rows that a caller sees, by table.
NOTHING = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
ONE_EACH = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
OF_THE_CONVERSATION = [1, 1, 1, 1, 0, 0, 0, 0, 1, 1]
LOG_IN = {
    "find_account": "SELECT find_account('ann@example.com')",
    "register_account": "SELECT register_account('eve', 'eve@example.com', 'Eve', 'hash')",
    "count_account_attempt": "SELECT count_account_attempt('{a}', '{1}', '{1}', '{1}', 1, now())",
    "finish_log_in": "SELECT finish_log_in('ann', 'hash', NULL, '{a}', now(), 1)",
    "change_password": "SELECT change_password('ann', 'hash', 'another', 'a')",
    "user_state": "SELECT user_state('ann', now())",
}
OF_ANN = f"VALUES ('{ANNS}', 'ann', 'user', 'Not hers')"
OF_NOBODY = f"VALUES ('{NOBODYS}', 'user', 'Not theirs')"
# The role of a session, and the caller in its settings.
SESSION = """
    SELECT current_user::text, current_setting('parley.user_id', TRUE),
        current_setting('parley.conversation_id', TRUE), pg_backend_pid()
"""


@pytest.fixture(autouse=True)
def _stored(database: psycopg.Connection) -> None:
    psycopg.ClientCursor(database).execute(STORED, {"anns": ANNS, "nobodys": NOBODYS})


def visible_rows(database: psycopg.Connection) -> list[int]:
    """Return the numbers of rows that the session sees, by table."""
    count = SQL("SELECT count(*) FROM {}")
    return [database.execute(count.format(Identifier(table))).fetchall()[0][0] for table in OWNED]


def act_as(database: psycopg.Connection, user_id: str | None, reachable: UUID | None) -> None:
    """Act as a caller for the rest of the transaction."""
    call = acting.act_as(Caller(user_id), reachable)
    database.execute(call.statement.sql, call.parameters)


def refusal_of(database: psycopg.Connection, user_id: str, statement: str) -> str:
    """Run a statement as a user, which must be refused; return the refusal."""
    with database.transaction(force_rollback=True):
        act_as(database, user_id, None)
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
            database.execute(statement.encode())
    return str(refused.value)


def test_each_table_that_holds_a_users_data_has_row_level_security(
    database: psycopg.Connection,
) -> None:
    tables = tables_of_users(database)

    # `quotas` refers to no user: no caller may read it at all.
    assert {*OWNED, "users"} == {*tables}
    unprotected = database.execute("""
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relrowsecurity
    """).fetchall()
    assert {name for (name,) in unprotected} == {"schema_migrations"}


def test_every_policy_admits_the_caller_only(database: psycopg.Connection) -> None:
    policies = database.execute("""
        SELECT tablename, roles::text, qual ~ 'parley.user_id', with_check
        FROM pg_policies WHERE schemaname = 'public' ORDER BY tablename
    """).fetchall()

    # Without a WITH CHECK, a written row must pass the condition for reading.
    expected = [(table, "{parley_app}", True, None) for table in sorted(OWNED)]
    assert policies == expected


def test_the_tables_owner_sees_all_rows(database: psycopg.Connection) -> None:
    assert visible_rows(database) == [2, 2, 2, 2, 1, 1, 1, 1, 2, 2]


def test_the_role_parley_app_without_a_caller_sees_no_rows(database: psycopg.Connection) -> None:
    database.execute("SET ROLE parley_app")

    assert visible_rows(database) == NOTHING


@pytest.mark.parametrize(
    ("user_id", "reachable", "expected"),
    [
        ("ann", None, ONE_EACH),
        ("ann", ANNS, ONE_EACH),
        ("bob", None, NOTHING),
        ("bob", ANNS, NOTHING),
        ("bob", NOBODYS, OF_THE_CONVERSATION),
        (None, None, NOTHING),
        (None, NOBODYS, OF_THE_CONVERSATION),
        (None, ANNS, NOTHING),
        ("", None, NOTHING),
    ],
)
def test_a_caller_sees_their_own_rows_and_the_named_anonymous_conversation(
    database: psycopg.Connection, user_id: str | None, reachable: UUID | None, expected: list[int]
) -> None:
    with database.transaction():
        act_as(database, user_id, reachable)

        assert visible_rows(database) == expected


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT id FROM users",
        "SELECT hashed_password FROM users",
        "UPDATE users SET is_active = TRUE",
        "UPDATE users SET tokens_valid_from = NULL",
        "SELECT subject FROM account_attempts",
        "UPDATE known_networks SET used_at = now()",
        "INSERT INTO known_networks VALUES ('eve', 'ann', now())",
        "DELETE FROM known_networks",
        "DELETE FROM user_settings",
        "DELETE FROM users",
        "INSERT INTO users (id) VALUES ('eve')",
        "UPDATE chat_messages SET content = 'changed'",
        "UPDATE chat_messages SET role = 'system'",
        "UPDATE chat_messages SET created_at = now()",
        "DELETE FROM chat_messages",
        "UPDATE quotas SET minute_count = 0",
        "INSERT INTO quotas VALUES ('eve', 1, now(), 1, now())",
        "SELECT subject FROM quotas",
        "DELETE FROM quotas",
        "UPDATE stream_batches SET parts = 'changed'",
        f"INSERT INTO stream_batches VALUES ('{ANNS}', '{ANNS}', 'ann', 9, 1, 'made up')",
        "UPDATE finished_streams SET parts = 'changed'",
        "DELETE FROM schema_migrations",
        "CREATE TABLE chat_messages_of_all (id text)",
        "ALTER TABLE conversations DISABLE ROW LEVEL SECURITY",
        "DROP POLICY own_conversations ON conversations",
        "TRUNCATE conversations CASCADE",
    ],
)
def test_a_caller_may_not_run_other_statements(
    database: psycopg.Connection, statement: str
) -> None:
    assert refusal_of(database, "ann", statement).startswith(("permission denied", "must be owner"))


def test_a_caller_gets_the_counter_of_a_subject_only_by_its_whole_name(
    database: psycopg.Connection,
) -> None:
    with database.transaction(force_rollback=True):
        act_as(database, "ann", None)
        counters = [
            database.execute("SELECT own_quota(%s, now()) ->> 'minute_count'", [subject]).fetchall()
            for subject in ("user ann", "user an", "user %", "", None)
        ]

    assert counters == [[("1",)], *[[(None,)]] * 4]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO conversations (user_id) VALUES ('ann')",
        "INSERT INTO conversations (user_id) VALUES (NULL)",
        f"INSERT INTO chat_messages (conversation_id, user_id, role, content) {OF_ANN}",
        f"INSERT INTO chat_messages (conversation_id, role, content) {OF_NOBODY}",
        f"INSERT INTO finished_streams VALUES ('{uuid4()}', '{ANNS}', 'ann', '', '', now())",
        f"INSERT INTO finished_streams VALUES ('{NOBODYS}', '{ANNS}', NULL, '', '', now())",
        "INSERT INTO tasks (user_id, title) VALUES ('ann', 'Not hers')",
    ],
)
def test_a_caller_stores_no_row_for_another_user(
    database: psycopg.Connection, statement: str
) -> None:
    assert "row-level security" in refusal_of(database, "bob", statement)


@pytest.mark.parametrize("name", LOG_IN)
def test_a_caller_may_not_call_the_functions_of_the_log_in(
    database: psycopg.Connection, name: str
) -> None:
    # Refused for the function itself, not only for the table that it reads.
    refusal = refusal_of(database, "ann", LOG_IN[name])

    assert refusal.startswith(f"permission denied for function {name}")


def test_a_caller_may_not_give_a_row_to_another_user(database: psycopg.Connection) -> None:
    for receiver in ("'ina'", "NULL"):
        statement = f"UPDATE conversations SET user_id = {receiver}"
        assert "row-level security" in refusal_of(database, "ann", statement)


@pytest.mark.parametrize("way", ["direct", "pooled"])
async def test_the_caller_of_a_step_is_forgotten_after_the_round_trip(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    pgbouncer_port: int | None,
    way: str,
) -> None:
    if way == "pooled" and pgbouncer_port is None:
        pytest.skip("PgBouncer is not installed")
    name = "database_url" if way == "direct" else "pooled_database_url"
    url: str = request.getfixturevalue(name)
    monkeypatch.setenv("DATABASE_URL", url)
    forget_process()
    pool = Database(read_settings({"DATABASE_URL": url, "DB_POOL_MAX": "1"}))
    try:
        [seen] = await pool.run_as(Caller("ann"), None, list_call())
        assert seen.id == ANNS
        sessions = [await session_of(pool)]
        assert await pool.run_as(Caller("bob"), None, list_call()) == []
        sessions.append(await session_of(pool))
        with pytest.raises(AccountInactive):
            await pool.run_as(Caller("ina"), None, list_call())
        sessions.append(await session_of(pool))
        # An error within the wall.
        with pytest.raises(psycopg.errors.InvalidRowCountInLimitClause):
            await pool.run_as(Caller("ann"), None, list_call(page_size=-1))
        sessions.append(await session_of(pool))
    finally:
        await pool.close()
        forget_process()

    # The same session each time, without a caller.
    assert len({pid for *_, pid in sessions}) == 1
    assert {(user, ann or None, id_ or None) for user, ann, id_, _ in sessions} == {
        ("postgres", None, None)
    }


def list_call(page_size: int = 20) -> Call[ConversationSummary]:
    """Return the call for Ann's list, for any caller."""
    return LIST_CONVERSATIONS(
        user_id="ann",
        shown_status="all",
        retention_days=0,
        cursor_updated_at=None,
        cursor_id=None,
        page_size=page_size,
        now=None,
    )


async def session_of(pool: Database) -> tuple[str, str | None, str | None, int]:
    """Return the role and the caller of the pool's idle connection."""
    connection = await pool._connections.take(time.monotonic() + 5)
    [session] = await (await connection.execute(SESSION)).fetchall()
    await pool._connections.give_back(connection)
    return session


def test_only_the_role_parley_app_may_call_security_definer_functions(
    database: psycopg.Connection,
) -> None:
    open_to_all = database.execute("""
        SELECT oid::regprocedure::text FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND prosecdef
            AND has_function_privilege('public', oid, 'EXECUTE')
    """).fetchall()

    assert open_to_all == []


KEY_HASH = sha256(b"a key").digest()
REACHED = """
    SELECT current_setting('parley.conversation_id'), (SELECT count(*) FROM conversations)
"""


@pytest.mark.parametrize(
    ("sent", "expected"),
    [(KEY_HASH, 1), (None, 0), (sha256(b"another").digest(), 0)],
    ids=["its key", "no key", "another key"],
)
def test_the_policy_compares_the_key_for_a_conversation_that_is_made_after_the_look(
    database: psycopg.Connection, sent: bytes | None, expected: int
) -> None:
    new = uuid4()
    with database.transaction(), database.cursor() as cursor:
        # Nothing is there yet, so the step may create it.
        reach(database, new, sent, approach="create")
        # Another session does, with its own key.
        cursor.execute("RESET ROLE")
        cursor.execute("INSERT INTO conversations (id, key_hash) VALUES (%s, %s)", [new, KEY_HASH])
        cursor.execute("SET LOCAL ROLE parley_app")

        assert cursor.execute(REACHED).fetchall() == [(str(new), expected)]


def test_a_step_that_reads_names_no_conversation_that_is_missing(
    database: psycopg.Connection,
) -> None:
    with database.transaction():
        reach(database, uuid4(), None, approach="read")

        assert database.execute(REACHED).fetchall() == [("", 0)]


@pytest.mark.parametrize("approach", ["create", "continue"])
def test_a_message_is_refused_where_the_conversation_is_not_reached(
    database: psycopg.Connection, approach: str
) -> None:
    for conversation_id, sent in ((ANNS, None), (NOBODYS, KEY_HASH)):
        with pytest.raises(psycopg.Error) as refused, database.transaction():
            reach(database, conversation_id, sent, approach=approach)
        assert refused.value.sqlstate == "PA006"


def test_a_message_that_may_not_create_its_conversation_is_refused_where_it_is_missing(
    database: psycopg.Connection,
) -> None:
    with pytest.raises(psycopg.Error) as refused, database.transaction():
        reach(database, uuid4(), None, approach="continue")
    assert refused.value.sqlstate == "PA006"
    with database.transaction():
        reach(database, NOBODYS, None, approach="continue")


def reach(
    database: psycopg.Connection, conversation_id: UUID, key_hash: bytes | None, *, approach: str
) -> None:
    """Act as an anonymous caller with the hash of a key for the rest of the transaction."""
    database.execute(
        "SELECT act_as_caller(NULL, %s, FALSE, NULL, %s::bytea, NULL, 8000, %s)",
        [conversation_id, key_hash, approach],
    )
