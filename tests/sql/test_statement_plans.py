"""Each statement finds its rows by the indexes that its header names, whatever its parameters.

Asked of `EXPLAIN (GENERIC_PLAN)`, over 20,000 rows: a small table is read whole, in any case.
"""

import json
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from dev.postgres import RunningPostgres
from lib.conversations.history import READ_HISTORY
from lib.database.statements import Call
from lib.files.limits import told_limits
from lib.turns.begin import LIST_TURN_MESSAGES
from tests.support.statement_files import (
    FUNCTION_CALLS,
    NAMES,
    PLANNED_ONCE,
    WITHOUT_CALLER,
    WITHOUT_PLAN,
    read_statement,
    read_work,
)

LARGE_TABLES = {
    "users",
    "conversations",
    "chat_messages",
    "tasks",
    "quotas",
    "tool_runs",
    "stream_batches",
    "finished_streams",
    "account_attempts",
    "known_networks",
    "deleted_users",
    "user_settings",
    "chat_files",
    "message_files",
}
SMALL_TABLES = {"schema_migrations", "metric_counters"}
# 2,000 users; 75 of them have 200 conversations each, and a quarter of all have no owner. 2,000
# conversations hold 20 messages each, 100 are being answered, and all have had an answer.
ROWS = """
    INSERT INTO users (id, email)
    SELECT 'user-' || n, n || '@example.com' FROM generate_series(0, 1999) AS n;

    INSERT INTO conversations (id, user_id, title, titled_at, status, updated_at)
    SELECT
        md5(n::text)::uuid,
        CASE WHEN n % 4 > 0 THEN 'user-' || n % 100 END,
        'Title ' || n,
        now() - make_interval(mins => n + 1),
        CASE n / 100 % 5 WHEN 0 THEN 'archived' ELSE 'active' END,
        now() - make_interval(mins => n)
    FROM generate_series(0, 19999) AS n;

    INSERT INTO chat_messages (
        conversation_id, user_id, message_id, role, content, reply_to, superseded_at, created_at
    )
    SELECT
        md5((n / 20)::text)::uuid,
        CASE WHEN n / 20 % 4 > 0 THEN 'user-' || n / 20 % 100 END,
        'message-' || n,
        CASE n % 2 WHEN 0 THEN 'user' ELSE 'assistant' END,
        repeat('word ', 20),
        CASE n % 2 WHEN 1 THEN n - 1 END,
        CASE WHEN n % 10 IN (2, 3) THEN now() END,
        now() - make_interval(mins => 40000 - n)
    FROM generate_series(0, 39999) AS n;

    INSERT INTO tasks (user_id, title)
    SELECT 'user-' || n % 100, 'Task ' || n FROM generate_series(0, 19999) AS n;

    INSERT INTO tool_runs (
        conversation_id, question_id, run_key, user_id, turn_id, tool_call_id, tool_name, arguments
    )
    SELECT
        md5((n / 20)::text)::uuid,
        n / 20,
        'run-' || n,
        'user-' || n / 20 % 100,
        md5(n::text)::uuid,
        'call-' || n,
        'add_task',
        '{}'
    FROM generate_series(0, 19999) AS n;

    UPDATE conversations
    SET turn_id = id, turn_message_id = 'message-1', turn_expires_at = updated_at + interval '1 day'
    WHERE id IN (SELECT md5(n::text)::uuid FROM generate_series(0, 99) AS n);

    INSERT INTO stream_batches (
        conversation_id, turn_id, user_id, first_part, part_count, parts, created_at
    )
    SELECT
        md5((n / 200)::text)::uuid,
        md5((n / 200)::text)::uuid,
        CASE WHEN n / 200 % 4 > 0 THEN 'user-' || n / 200 % 100 END,
        n % 200 * 10,
        10,
        repeat('data: {}', 100),
        now() - make_interval(secs => 20000 - n)
    FROM generate_series(0, 19999) AS n;

    INSERT INTO finished_streams (
        conversation_id, turn_id, user_id, answer_message_id, parts, ended_at
    )
    SELECT
        md5(n::text)::uuid,
        md5(n::text)::uuid,
        CASE WHEN n % 4 > 0 THEN 'user-' || n % 100 END,
        'message-' || n * 20 + 1,
        repeat('data: {}', 100),
        now() - make_interval(secs => n)
    FROM generate_series(0, 19999) AS n;

    INSERT INTO quotas (
        subject, minute_count, minute_ends_at, day_count, day_ends_at
    )
    SELECT
        'subject-' || n,
        1,
        now(),
        1,
        now() + make_interval(mins => n - 1000)
    FROM generate_series(0, 19999) AS n;

    INSERT INTO account_attempts (subject, attempt_count, attempted_at, ends_at)
    SELECT 'subject-' || n, 1, now(), now() + make_interval(mins => n - 1000)
    FROM generate_series(0, 19999) AS n;

    INSERT INTO deleted_users (id_hash, deleted_at, ends_at)
    SELECT sha256(n::text::bytea), now(), now() + make_interval(mins => n - 1000)
    FROM generate_series(0, 19999) AS n;

    INSERT INTO known_networks (subject, user_id, used_at)
    SELECT 'subject-' || n, 'user-' || n % 2000, now() - make_interval(mins => 10 * n)
    FROM generate_series(0, 19999) AS n;

    INSERT INTO user_settings (user_id, instructions, updated_at)
    SELECT 'user-' || n, 'Be brief.', now() FROM generate_series(0, 1999) AS n;

    INSERT INTO chat_files (id, user_id, conversation_id, media_type, size, bytes, created_at)
    SELECT
        md5('file-' || n)::uuid,
        CASE WHEN n / 20 % 4 > 0 THEN 'user-' || n / 20 % 100 END,
        CASE WHEN n / 20 % 4 = 0 THEN md5((n / 20)::text)::uuid END,
        'image/png',
        4,
        '\x01020304',
        now() - make_interval(mins => n)
    FROM generate_series(0, 19999) AS n;

    INSERT INTO message_files (conversation_id, chat_message_id, file_id, user_id)
    SELECT
        md5((n / 20)::text)::uuid,
        n + 1,
        md5('file-' || n)::uuid,
        CASE WHEN n / 20 % 4 > 0 THEN 'user-' || n / 20 % 100 END
    FROM generate_series(0, 19989) AS n;
"""
# Until the next ANALYZE the planner takes it for one like the others.
LONG_CONVERSATION = """
    INSERT INTO conversations (id, user_id) VALUES (%(conversation_id)s, 'user-7');
    INSERT INTO chat_messages (conversation_id, user_id, message_id, role, content)
    SELECT
        %(conversation_id)s, 'user-7', 'long-' || n,
        CASE n %% 2 WHEN 0 THEN 'user' ELSE 'assistant' END, repeat('word ', 300)
    FROM generate_series(1, 1000) AS n;
"""
# Enough to look at each message of such a conversation a few times, and for little more.
FEW_PAGES = 5000
# Where a conversation has few messages, any index that begins with it serves: it is a toss-up. So
# does any of a user's tasks, which are read in an order that no index has.
TOSS_UP = {
    "chat_messages_pkey",
    "idx_chat_messages_conversation_created",
    "idx_tasks_title",
    "idx_tasks_user_id",
    "uq_chat_messages_message_id",
}
AS_CALLER = "SELECT act_as_caller('user-7', NULL, FALSE, NULL, NULL, NULL, 8000, 'read')"
# A guess at a conversation that is not there.
AS_GUEST = f"""
    SELECT act_as_caller(NULL, '{UUID(int=0)}', FALSE, NULL, NULL, 'subject-1', 8000, 'read')
"""
SEARCHED = {
    "user_id": "'user-7'",
    "words": "'word'",
    "status": "'all'",
    "retention_days": "0",
    "page_size": "20",
    "by_index": "TRUE",
    "now": "NULL",
}
SEARCH = read_statement("search_conversations").body.rstrip().rstrip(";")
# A message with a new file, so that the owner's bytes are counted.
OF_FILES = """
    UPDATE conversations SET turn_id = {conversation}, turn_message_id = {message}
    WHERE id = {conversation};
    UPDATE chat_messages SET files = jsonb_build_array(jsonb_build_object('id', {conversation}))
    WHERE conversation_id = {conversation} AND message_id = {message};
    SELECT store_message_files(
        {conversation}, {user}, {message}, {conversation}, ARRAY[{conversation}],
        ARRAY['image/png'], ARRAY[NULL], ARRAY['\\x01'::bytea], 999999, 9, now()
    )
"""
# The wall, as an entrance takes it; and that it stands already.
WALL = "'user-7', NULL, FALSE, NULL, NULL, NULL, 8000, 'follow'"
NO_WALL = "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL"
# A conversation of user-7 that is free, and one whose turn is taken.
FREE = "md5('107')::uuid"
TAKEN = "md5('7')::uuid"
# Without quotas; one model, and no style.
UNLIMITED = (
    "'{}', '{}', '{}', '{}', '{}', NULL, '{model}', '{model}', '{0}', NULL, NULL, NULL, 0, NULL"
)
BEGIN_NEW = f"""
    SELECT begin_turn(
        {WALL}, NULL, NULL, {FREE}, 'user-7', 'new', 'word', NULL, 0, NULL, NULL, NULL, FALSE, NULL,
        'Title', md5('turn')::uuid, 60, TRUE, 1000, {UNLIMITED}
    )
"""
BEGIN_AGAIN = f"""
    UPDATE conversations SET turn_message_id = 'message-140' WHERE id = {TAKEN};
    SELECT begin_turn(
        {WALL}, NULL, NULL, {TAKEN}, 'user-7', 'message-140', 'word', NULL, 0, NULL, NULL, NULL,
        FALSE, NULL, 'Title', {TAKEN}, 60, TRUE, 1000, {UNLIMITED}
    )
"""
# With the tokens, texts and marks of an answer that has hardly any.
FINISH = f"""
    SELECT finish_turn(
        {NO_WALL}, {FREE}, 'user-7', md5('turn')::uuid, 'answer', (
            SELECT max(id) FROM chat_messages WHERE conversation_id = {FREE} AND message_id = 'new'
        ), 'word', 'stop', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, FALSE, 0, 0, '{{}}', NULL, NULL, 0, '', '', '',
        NULL
    )
"""


def _listed(conversation: str, message_id: str) -> str:
    return f"""
        SELECT list_turn_messages(
            {conversation}, 'user-7', md5('turn')::uuid, '{message_id}', 20, '{{image/png}}', 5, 5,
            5, 5, 5, 0, NULL
        )
    """


def _page(status: str) -> str:
    return f"SELECT list_conversations('user-7', '{status}', 0, NULL, NULL, 20, NULL)"


CALLS = {
    "begin_turn": f"{BEGIN_NEW}; RESET ROLE; {BEGIN_AGAIN}",
    "list_turn_messages": f"{BEGIN_NEW}; {_listed(FREE, 'new')}; {_listed(TAKEN, 'message-140')}",
    "finish_turn": f"{BEGIN_NEW}; {FINISH}; {FINISH}",
    "list_conversations": f"{AS_CALLER}; {_page('active')}; {_page('all')}",
    "count_bytes": "SELECT count_bytes('{subject-1}', '{0}', 1, now())",
    "store_message_files": OF_FILES.format(
        conversation="md5('0')::uuid", user="NULL", message="'message-0'"
    )
    + ";"
    + OF_FILES.format(conversation="md5('1')::uuid", user="'user-1'", message="'message-20'"),
    # A conversation that grows, and a new one.
    "store_import": f"""
        {AS_CALLER};
        SELECT store_import(
            'user-7',
            json_build_array(
                json_build_object('position', 1, 'id', {FREE}),
                json_build_object(
                    'position', 2, 'id', md5('imported')::uuid, 'titled_at', now(),
                    'status', 'active', 'created_at', now(), 'updated_at', now()
                )
            ),
            (
                SELECT json_agg(
                    json_build_object(
                        'position', n, 'place', (n + 1) / 2, 'answers_stored', n = 2,
                        'reply_position', CASE n WHEN 4 THEN 3 END,
                        'message_id', 'imported-' || n,
                        'role', CASE n % 2 WHEN 1 THEN 'user' ELSE 'assistant' END,
                        'content', 'word', 'created_at', now(), 'updated_at', now()
                    )
                )
                FROM generate_series(1, 4) AS n
            ),
            1000, '{{}}', '{{}}', NULL
        )
    """,
    "store_stream_batches": """
        SELECT store_stream_batches(
            ARRAY[md5('1')::uuid, md5('4')::uuid], ARRAY['user-1', NULL],
            ARRAY[md5('1')::uuid, md5('4')::uuid], ARRAY[999999, 999999], ARRAY[2000, 1990],
            ARRAY[10, 10], ARRAY['data: {}', 'data: {}'], NULL
        )
    """,
    "remember_user": """
        SELECT remember_user(user_id, user_id || '@example.org', 'Name', NULL)
        FROM unnest('{user-7, new}'::text[]) AS user_id
    """,
    "delete_old_chat_messages": """
        SELECT delete_old_chat_messages('25 days', 500, '-infinity', NULL)
    """,
    "delete_old_conversations": "SELECT delete_old_conversations('10 days', 500, '-infinity')",
    "replace_old_titles": "SELECT replace_old_titles('10 days', 500, '-infinity')",
    "act_as_caller": f"{AS_CALLER}; RESET ROLE; {AS_GUEST}",
    "count_account_attempt": """
        SELECT count_account_attempt(
            ARRAY['subject-1', 'subject-2'], ARRAY[5, 5], ARRAY[1, 1], ARRAY[9, 9], 9, now()
        )
    """,
    "finish_log_in": """
        UPDATE users SET hashed_password = 'hash' WHERE id = 'user-7';
        SELECT finish_log_in('user-7', 'hash', NULL, ARRAY['subject-1', 'subject-2'], now(), 20)
    """,
    "change_password": """
        UPDATE users SET hashed_password = 'hash' WHERE id = 'user-7';
        SELECT change_password('user-7', 'hash', 'another', 'subject-1')
    """,
    "sign_out_everywhere": f"{AS_CALLER}; SELECT sign_out_everywhere()",
    "find_account": "SELECT find_account('7@example.com')",
    "register_account": "SELECT register_account('new', '7@example.com', NULL, 'hash')",
    "erase_conversation": f"{AS_CALLER}; SELECT erase_conversation('{UUID(int=0)}')",
    "delete_own_account": f"{AS_CALLER}; SELECT delete_own_account()",
    "list_faults": "SELECT list_faults()",
    "list_slow_statements": "SELECT list_slow_statements(20)",
    "search_conversations": f"""
        {AS_CALLER}; {SEARCH % SEARCHED}
    """,
}

# What other statements call within, which their plans do not show; and what an operator calls.
CALLS_WITHIN = {
    "own_quota": ("SELECT own_quota('subject-1', now())", {"quotas_pkey"}),
    "count_tokens": ("SELECT count_tokens('{subject-1}', 7, now())", {"quotas_pkey"}),
    "count_use": (
        "SELECT count_use('{subject-1}', '{1}', '{1}', '{0}', '{0}', 0, now())",
        {"quotas_pkey"},
    ),
    # For an answer that is made again.
    "decide_turn": (
        f"""
        {AS_CALLER};
        SELECT decide_turn(
            {FREE}, 'user-7', NULL, NULL, NULL, 0, NULL, NULL, NULL, TRUE, 'message-2141', 'Title',
            md5('turn')::uuid, 60, TRUE, 1000, '{{}}', '{{}}', '{{}}', '{{}}', '{{}}',
            NULL, NULL, NULL, NULL, 0, NULL
        )
        """,
        {"conversations_pkey", "uq_chat_messages_message_id"},
    ),
    "own_user": (f"{AS_CALLER}; SELECT own_user()", {"users_pkey"}),
    "search_conversations, without the search indexes": (
        f"{AS_CALLER}; {SEARCH % (SEARCHED | {'by_index': 'FALSE'})}",
        {"idx_chat_messages_user_id", "conversations_pkey"},
    ),
    "delete_old_chat_messages()": (
        "SELECT delete_old_chat_messages('25 days')",
        {"idx_chat_messages_created_at", "idx_conversations_updated_at"},
    ),
    "list_late_sequences": (
        "SELECT list_late_sequences(FALSE)",
        {"idx_chat_messages_created_at", "tasks_pkey"},
    ),
    "told_files": (
        """
        SELECT told_files(
            md5('1')::uuid, 'user-1', md5('1')::uuid, 21,
            '[{"id": "c4ca4238-a0b9-2382-0dcc-509a6f75849b", "mediaType": "image/png"}]',
            '{image/png}', 5, 5, 5, 5, 5
        )
        """,
        {"conversations_pkey", "chat_files_pkey"},
    ),
}
# Read no table.
WITHOUT_TABLES = {
    "is_kept",
    "rule_refusal",
    "check_chat_message",
    *("search_class", "search_excerpt", "search_fold", "search_list"),
    *("search_parts", "search_query", "search_vector", "search_words"),
    # They read the catalog.
    "list_privilege_faults",
    "needed_privileges",
}
# A call of is_kept, and the condition that Postgres puts in its place.
IS_KEPT = re.compile(r"\bis_kept\(([\w.]+), (\$\d+::integer), (\$\d+::timestamptz)\)")
CONDITION = r"(\2 = 0 OR \1 >= coalesce(\3, now()) - make_interval(days => \2))"
RETAINED = sorted(name for name in NAMES if "is_kept(" in read_work(name).body)


@pytest.fixture(scope="module")
def large(postgres: RunningPostgres, template: str) -> Iterator[psycopg.Connection]:
    """Return a connection to a database with many rows."""
    names = {"name": Identifier("large"), "template": Identifier(template)}
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**names))
        with psycopg.connect(postgres.url_of("large", "postgres"), autocommit=True) as connection:
            # VACUUM marks pages as visible to all, as autovacuum does: only then is an index enough
            # to read. It cannot where the commit is not flushed yet.
            connection.execute("SET synchronous_commit = on")
            connection.execute(ROWS)
            connection.execute("VACUUM ANALYZE")
            yield connection
        admin.execute(SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))


@pytest.mark.parametrize("name", sorted({*NAMES} - FUNCTION_CALLS - WITHOUT_PLAN))
def test_a_statement_uses_the_indexes_that_its_header_names_and_reads_no_large_table_whole(
    name: str, large: psycopg.Connection
) -> None:
    nodes = _plan(large, name)

    used = {node["Index Name"] for node in nodes if "Index Name" in node}
    used |= {index for node in nodes for index in node.get("Conflict Arbiter Indexes", ())}
    # Those of the catalog are the database's own.
    used = {index for index in used if not index.startswith("pg_")}
    named = read_statement(name).indexes
    assert named <= used <= named | TOSS_UP
    read_whole = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
    assert not read_whole & LARGE_TABLES


@pytest.mark.parametrize("name", RETAINED)
def test_is_kept_costs_a_plan_nothing_because_its_condition_takes_the_place_of_the_call(
    name: str, large: psycopg.Connection
) -> None:
    work = read_work(name).numbered
    written_out = IS_KEPT.sub(CONDITION, work)
    assert "is_kept" not in written_out

    plan = _explain(large, name, work)

    assert "make_interval" in plan
    assert plan == _explain(large, name, written_out)


def test_no_statement_writes_out_the_retention_condition_that_is_kept_has() -> None:
    assert "find_conversation" in RETAINED
    assert [name for name in NAMES if "retention_days)s::integer = 0" in read_work(name).body] == [
        # Looks for the oldest time in an index, within its function.
        "search_conversations"
    ]


@pytest.mark.parametrize("name", ["read_history", "list_lapsed_turns"])
def test_a_page_comes_from_its_index_in_order_so_nothing_is_sorted(
    name: str, large: psycopg.Connection
) -> None:
    assert not [node for node in _plan(large, name) if "Sort" in node["Node Type"]]


@pytest.mark.parametrize("is_analyzed", [False, True])
def test_a_long_conversation_is_not_read_again_for_each_of_its_messages(
    large: psycopg.Connection, *, is_analyzed: bool
) -> None:
    with _long_conversation(large, is_analyzed=is_analyzed) as whose:
        named = {"turn_id": uuid4(), "message_id": "long-1000", "history_messages": 20}
        named |= {"retention_days": 30, "now": None}
        plan = _run(large, LIST_TURN_MESSAGES(**whose, **named, **told_limits(10)))

    assert plan["Actual Rows"] == 20
    assert plan["Shared Hit Blocks"] < FEW_PAGES


@pytest.mark.parametrize("messages_after", [0, 500, 970])
@pytest.mark.parametrize("is_analyzed", [False, True])
def test_a_page_of_history_reads_no_other_messages_wherever_in_a_long_conversation_it_lies(
    large: psycopg.Connection, messages_after: int, *, is_analyzed: bool
) -> None:
    with _long_conversation(large, is_analyzed=is_analyzed) as whose:
        [(newest,)] = large.execute("SELECT max(id) FROM chat_messages").fetchall()
        named = {"include_superseded": False, "include_system": False, "retention_days": 30}
        named |= {"cursor_id": newest + 1 - messages_after, "page_size": 20, "now": None}
        large.execute(AS_CALLER)
        page = READ_HISTORY(**whose, **named)
        # The first time, making the plan reads the catalog.
        _, plan = _run(large, page), _run(large, page)

    assert plan["Actual Rows"] == 20
    # Five messages lie on a page of the table; the whole conversation on 200.
    assert plan["Shared Hit Blocks"] < 100


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", sorted(FUNCTION_CALLS))
def test_a_function_uses_the_indexes_that_the_header_names_and_reads_no_large_table_whole(
    name: str, mode: str, large: psycopg.Connection
) -> None:
    whole, used = _scans(large, CALLS[name], mode)

    assert whole & LARGE_TABLES == set()
    # One takes the place of the search indexes where there are none.
    instead = {"idx_chat_messages_user_id"} if name == "search_conversations" else set[str]()
    assert read_statement(name).indexes <= used | instead


@pytest.mark.parametrize(
    "statistics",
    [
        # As the rows are.
        "",
        # Of very many users with few texts each: a plan for any user takes the index of users.
        "ALTER TABLE {} ALTER COLUMN user_id SET (n_distinct = -0.5)",
        # And so does one for a user that is not known to have more.
        """
        ALTER TABLE {} ALTER COLUMN user_id SET (n_distinct = -0.5),
        ALTER COLUMN user_id SET STATISTICS 0
        """,
    ],
    ids=["few users", "many users", "many users, of which none is known"],
)
def test_each_search_of_a_connection_uses_the_search_index_and_no_other_to_find_messages(
    large: psycopg.Connection, statistics: str
) -> None:
    search = f"{AS_CALLER}; {SEARCH % SEARCHED}; RESET ROLE"
    count = """
        SELECT
            pg_stat_get_xact_numscans('idx_chat_messages_search'::regclass),
            pg_stat_get_xact_numscans('idx_chat_messages_user_id'::regclass)
    """
    scans: list[tuple[int, int]] = []
    # A new one, which has no plans yet.
    with psycopg.connect(large.info.dsn) as connection:
        for table in ("chat_messages", "conversations"):
            connection.execute(f"{statistics.format(table)}; ANALYZE {table}".encode())
        for _ in range(8):
            connection.execute(search.encode())
            scans += connection.execute(count).fetchall()
        connection.rollback()

    assert scans == [(number, 0) for number in range(1, 9)]


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", sorted(CALLS_WITHIN))
def test_what_is_called_within_uses_indexes_and_reads_no_large_table_whole(
    name: str, mode: str, large: psycopg.Connection
) -> None:
    call, indexes = CALLS_WITHIN[name]
    whole, used = _scans(large, call, mode)

    assert whole & LARGE_TABLES == set()
    assert indexes <= used


def test_every_table_that_grows_and_every_function_is_looked_at(large: psycopg.Connection) -> None:
    tables = large.execute("""
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    """).fetchall()
    assert {name for (name,) in tables} == LARGE_TABLES | SMALL_TABLES

    functions = large.execute("""
        SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    """).fetchall()
    calls = " ".join([*CALLS.values(), *(call for call, _ in CALLS_WITHIN.values())])
    # Within act_as_caller, and no more than that.
    looked_at = WITHOUT_TABLES | PLANNED_ONCE | {"user_state", "reach_conversation", "count_guess"}
    # The trigger of each deletion of messages.
    looked_at |= {"delete_files_of_messages", "forget_message_counts", "remember_deleted_users"}
    # Within store_import; it reads a sequence alone.
    looked_at |= {"reserve_message_ids"}
    assert [
        name for (name,) in functions if f"{name}(" not in calls and name not in looked_at
    ] == []


def _scans(large: psycopg.Connection, call: str, mode: str) -> tuple[set[str], set[str]]:
    """Make a call; return the tables that were read whole meanwhile, and the indexes used.

    Counted by the server: no plan shows what a function runs.
    """
    counting = """
        SELECT relname, relkind::text, pg_stat_get_xact_numscans(oid) FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')
    """
    # In a session of its own, in which nothing was counted before and no plan was kept.
    info = large.info
    with psycopg.connect(info.dsn, dbname=info.dbname) as connection:
        connection.execute(f"SET LOCAL plan_cache_mode = {mode}".encode())
        connection.execute(call.encode())
        counted = connection.execute(counting).fetchall()
        connection.rollback()
    scanned = {(kind, name) for name, kind, count in counted if count}
    return (
        {name for kind, name in scanned if kind == "r"},
        {name for kind, name in scanned if kind == "i"},
    )


@contextmanager
def _long_conversation(
    large: psycopg.Connection, *, is_analyzed: bool
) -> Generator[dict[str, object]]:
    """Have, for a while, a conversation of 1,000 messages; yield which and whose."""
    whose: dict[str, object] = {"conversation_id": uuid4(), "user_id": "user-7"}
    with large.transaction(force_rollback=True):
        psycopg.ClientCursor(large).execute(LONG_CONVERSATION.encode(), whose)
        if is_analyzed:
            large.execute("ANALYZE chat_messages")
        yield whose


def _run(large: psycopg.Connection, call: Call[Any]) -> dict[str, Any]:
    """Run a call and return its plan, with what it did."""
    explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {call.statement.sql}"
    [([explanation],)] = large.execute(explained.encode(), call.parameters).fetchall()
    return explanation["Plan"]


def _plan(large: psycopg.Connection, name: str) -> list[dict[str, Any]]:
    """Return the nodes of a statement's generic plan."""
    explained = _explain(large, name, read_work(name).numbered)
    return list(_nodes(json.loads(explained)[0]["Plan"]))


def _explain(large: psycopg.Connection, name: str, sql: str) -> str:
    """Return the generic plan of a statement's SQL, run as the statement is, as JSON."""
    explained = f"EXPLAIN (GENERIC_PLAN, VERBOSE, FORMAT JSON) {sql}"
    with large.transaction(force_rollback=True):
        if name not in WITHOUT_CALLER:
            # Within the wall, as the functions run it.
            large.execute(AS_CALLER)
        # As bytes without parameters: the server itself gets to see $1 and $2.
        result = large.pgconn.exec_(explained.encode())
        assert not result.error_message, result.error_message.decode()
    return (result.get_value(0, 0) or b"").decode()


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
