"""The wall: row-level security hides other callers' rows from a statement without conditions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
import pytest

from lib.database.acting import act_as
from lib.identity.callers import Caller
from tests.support.access.catalog import snapshot_query
from tests.support.statement_files import NAMES, WITHOUT_CALLER, read_work

OWNED = re.compile(
    r"\b(?:FROM|JOIN|UPDATE) (?:conversations|chat_messages|tasks|tool_runs"
    r"|stream_batches|finished_streams|known_networks|chat_files|message_files|user_settings)\b"
)
# Reads no rows but the one that it adds.
ADDS = {"add_task"}
# Outside the wall it would store a row, and return none of the victims'.
RETURNS_NO_ROWS = {"begin_tool_run", "finish_upload"}
STATEMENTS = [
    name
    for name in NAMES
    if name not in {*WITHOUT_CALLER, *ADDS} and OWNED.search(read_work(name).body)
]
# The conditions of a statement on the owner and on the conversation.
CONDITION = re.compile(r"""
    \w+\.user_id\ (?:=|IS\ NOT\ DISTINCT\ FROM)\ %\(user_id\)s::text
    | \w+\.user_id\ IS\ NULL
    | \w+\.(?:conversation_)?id\ =\ %\(conversation_id\)s::uuid
""", re.VERBOSE)  # fmt: skip
# The numbers of the victims' messages. All other rows of theirs have one of the ids, or the word.
FIRST_ROW_ID = 7_654_321_000
LIMITS = ("messages_per_minute", "messages_per_day", "bytes_per_day", "tokens_per_day")
# The remaining lease of the victims' turns, in seconds: some statements return only that.
LEASE = 54_321.0
VICTIMS = """
    INSERT INTO users (id, email, name) VALUES ('victim', 'victim@example.com', 'victim');
    INSERT INTO users (id) VALUES ('bob');
    INSERT INTO tasks (id, user_id, title) OVERRIDING SYSTEM VALUE
    VALUES (%(row)s, 'victim', 'victim');
    INSERT INTO quotas VALUES ('user victim', 1, now() + '1 h', 1, now() + '1 h');
    INSERT INTO known_networks VALUES ('log-in victim', 'victim', now());
    INSERT INTO user_settings VALUES ('victim', 'victim', now());
    INSERT INTO conversations (id, user_id, title, turn_id, turn_message_id, turn_expires_at)
    VALUES
        (%(victims)s, 'victim', 'victim', %(turn)s, 'victim-1', now() + '54321 s'),
        (%(strangers)s, NULL, 'victim', %(turn)s, 'victim-1', now() + '54321 s'),
        (%(reached)s, NULL, 'mine', NULL, NULL, NULL);
    INSERT INTO conversations (id, title, key_hash) VALUES (%(locked)s, 'victim', sha256('victim'));
    INSERT INTO chat_messages (conversation_id, message_id, role, content)
    VALUES (%(locked)s, 'victim-1', 'user', 'victim asks');
    INSERT INTO chat_messages (
        id, conversation_id, user_id, message_id, role, content, reply_to, is_mistake, model_name
    )
    OVERRIDING SYSTEM VALUE
    VALUES
        (%(row)s, %(victims)s, 'victim', 'victim-1', 'user', 'victim asks', NULL, FALSE, NULL),
        (
            %(row)s + 1, %(victims)s, 'victim', 'victim-2', 'assistant', 'victim told', %(row)s,
            TRUE, 'victim'
        ),
        (
            %(row)s + 2, %(strangers)s, NULL, 'victim-1', 'user', 'victim asks', NULL,
            FALSE, NULL
        ),
        (
            %(row)s + 3, %(strangers)s, NULL, 'victim-2', 'assistant', 'victim told', %(row)s + 2,
            TRUE, 'victim'
        ),
        (999, %(reached)s, NULL, 'mine-1', 'user', 'mine', NULL, FALSE, NULL);
    INSERT INTO tool_runs (
        conversation_id, question_id, run_key, user_id, turn_id, tool_call_id, tool_name, arguments
    )
    VALUES (%(victims)s, %(row)s, 'victim-run', 'victim', %(turn)s, 'victim', 'add_task', '{}');
    INSERT INTO stream_batches (conversation_id, turn_id, user_id, first_part, part_count, parts)
    VALUES
        (%(victims)s, %(turn)s, 'victim', 0, 1, 'victim hears'),
        (%(strangers)s, %(turn)s, NULL, 0, 1, 'victim hears');
    INSERT INTO chat_files (
        id, user_id, conversation_id, media_type, filename, size, bytes, is_upload
    )
    VALUES
        (%(victims)s, 'victim', NULL, 'text/plain', 'victim', 6, 'victim', FALSE),
        (%(strangers)s, NULL, %(strangers)s, 'text/plain', 'victim', 6, 'victim', FALSE),
        (%(turn)s, 'victim', NULL, 'text/plain', 'victim', %(row)s, 'victim', TRUE);
    INSERT INTO message_files (conversation_id, chat_message_id, file_id, user_id)
    VALUES
        (%(victims)s, %(row)s, %(victims)s, 'victim'),
        (%(strangers)s, %(row)s + 2, %(strangers)s, NULL);
    INSERT INTO finished_streams (
        conversation_id, turn_id, user_id, answer_message_id, parts, ended_at
    )
    VALUES
        (%(victims)s, %(victims)s, 'victim', 'victim-2', 'victim heard', now()),
        (%(strangers)s, %(strangers)s, NULL, 'victim-2', 'victim heard', now());
"""

# Parameters that mean something else in one statement, or need another value there.
SPECIAL: dict[str, dict[str, object]] = {
    "begin_turn": {"turn_id": uuid4()},
    # Deletes the upload.
    "finish_upload": {"file_id": None},
    "change_conversation": {"status": "archived"},
    "finish_turn": {"finish_reason": "stop"},
    "begin_tool_run": {"run_key": "mine", "tool_name": "add_task", "arguments": "{}"},
    "describe_answer": {"needs_knowledge": False},
    "mark_mistake": {"message_id": "victim-2"},
    "sum_usage": {"first_day": "2000-01-01", "last_day": "2100-01-01"},
}


# The conditions of search_conversations are in this function, which runs outside the wall.
SEARCH = "search_conversations(text, text, timestamptz, integer, boolean)"
UNGUARDED_SEARCH = {
    r"search_vector\(\w+\.user_id, (\w+\.\w+)\) @@ owned_words": r"search_words(\1) @@ asked.words",
    r"\w+\.user_id (=|IS NOT DISTINCT FROM) caller_id": "TRUE",
    r"caller_id IS NULL OR": "",
    r"owned_words := [^;]+;": "",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """The ids of the stored rows.

    Attributes:
        victims: a user's conversation, with a running turn.
        strangers: an anonymous conversation with a running turn, whose id no asker knows.
        reached: an anonymous conversation whose id an anonymous asker may know.
        locked: an anonymous conversation with a key; an asker may know its id.
        turn: token of the running turns.
        row: number of the victims' first message.
    """

    victims: UUID
    strangers: UUID
    reached: UUID
    locked: UUID
    turn: UUID
    row: int = FIRST_ROW_ID

    def is_in(self, rows: object) -> bool:
        """Return whether any data of the victims show in rows."""
        ids = (self.victims, self.strangers, self.locked, self.turn)
        words = ("victim", *map(str, ids), str(self.row)[:-1], str(LEASE))
        return any(word in str(rows) for word in words)


@dataclass(frozen=True, slots=True)
class Asker:
    """The sender of a statement: a user, or an anonymous caller that may know an id.

    Attributes:
        user_id: the user; None: an anonymous caller.
        knows_an_id: of a conversation without a key.
        lacks_the_key: of a conversation whose id the caller knows.
    """

    user_id: str | None
    knows_an_id: bool = False
    lacks_the_key: bool = False

    def parameters(self, stored: Stored) -> dict[str, object]:
        """Return a statement's parameters, aimed at the victims."""
        return {
            "user_id": self.user_id,
            # With the conditions removed, only new rows have this id.
            "conversation_id": stored.reached if self.knows_an_id else uuid4(),
            "turn_id": stored.turn,
            "message_id": "victim-1",
            "content": "victim asks" if self.user_id else "mine",
            "answer_message_id": "victim-2",
            "question_id": stored.row,
            "task_id": stored.row,
            "run_key": "victim-run",
            "file_id": stored.victims,
            "upload_id": stored.turn,
            "first_byte": 0,
            "byte_count": 6,
            "size": 6,
            "media_type": "text/plain",
            "max_user_bytes": 0,
            "is_upload": False,
            "is_of_answer": False,
            "min_piece_bytes": 0,
            "tool_call_id": "mine",
            "is_mistake": False,
            "title": "mine",
            "status": "all",
            "words": "victim",
            "quota_subjects": [],
            "retention_days": 0,
            "lease_seconds": 60.0,
            "history_messages": 20,
            "first_part": 0,
            "stored_parts": 0,
            "parts": "",
            "title_parts": "",
            "last_parts": "",
            "max_messages": 1000,
            **{name: [] for name in LIMITS},
            "batch_size": 200,
            "max_bytes": 10_000_000,
            "page_size": 200,
            "takes_turn": True,
            "regenerates": False,
            "include_superseded": True,
            "include_system": True,
            "by_index": True,
        }


ASKERS = {
    "another user": Asker("bob"),
    "an anonymous caller": Asker(None),
    "an anonymous caller with another conversation's id": Asker(None, knows_an_id=True),
    "an anonymous caller with the id and without the key": Asker(None, lacks_the_key=True),
    "a user with the id and without the key": Asker("bob", lacks_the_key=True),
}


@pytest.fixture
def stored(database: psycopg.Connection) -> Iterator[Stored]:
    """Store rows of victims, in a transaction that is rolled back."""
    stored = Stored(uuid4(), uuid4(), uuid4(), uuid4(), uuid4())
    names = {name: getattr(stored, name) for name in Stored.__dataclass_fields__}
    with database.transaction(force_rollback=True):
        psycopg.ClientCursor(database).execute(VICTIMS.encode(), names)
        forget_conditions_of_search(database)
        yield stored


def forget_conditions_of_search(database: psycopg.Connection) -> None:
    """Remove the conditions on the caller from the function that searches."""
    rows = database.execute("SELECT pg_get_functiondef(%s::regprocedure)", [SEARCH]).fetchall()
    definition: str = rows[0][0]
    for guard, replacement in UNGUARDED_SEARCH.items():
        assert re.search(guard, definition)
        definition = re.sub(guard, replacement, definition)
    database.execute(definition.encode())


def ask(
    database: psycopg.Connection,
    name: str,
    asker: Asker,
    stored: Stored,
    *,
    is_within: bool,
    **special: object,
) -> list[tuple[object, ...]]:
    """Run a statement within the wall or outside it; a refusal returns no rows."""
    statement = read_work(name)
    unguarded = CONDITION.sub("TRUE", statement.body)
    assert unguarded != statement.body
    parameters = dict.fromkeys(statement.declared) | asker.parameters(stored)
    parameters |= SPECIAL.get(name, {}) | special
    try:
        with database.transaction():
            if is_within:
                reachable = stored.reached if asker.knows_an_id else None
                reachable = stored.locked if asker.lacks_the_key else reachable
                act = act_as(Caller(asker.user_id), reachable)
                database.execute(act.statement.sql, act.parameters)
            ran = database.execute(unguarded.encode(), parameters)
            return ran.fetchall() if ran.description else []
    except psycopg.errors.NotNullViolation as error:
        # begin_tool_run finds no such turn.
        if error.diag.table_name != "tool_runs":
            raise
        return []
    except psycopg.errors.InsufficientPrivilege as error:
        if "row-level security" not in str(error):
            raise
        return []
    finally:
        database.execute("RESET ROLE")


@pytest.mark.parametrize("asker", ASKERS.values(), ids=list(ASKERS))
@pytest.mark.parametrize("name", STATEMENTS)
def test_within_the_wall_a_statement_without_conditions_reaches_no_other_callers_rows(
    database: psycopg.Connection, stored: Stored, name: str, asker: Asker
) -> None:
    look = snapshot_query(database)
    before = {row for (row,) in database.execute(look).fetchall() if stored.is_in(row)}
    assert len(before) == 23

    rows = ask(database, name, asker, stored, is_within=True)

    assert not stored.is_in(rows)
    assert before <= {row for (row,) in database.execute(look).fetchall()}


@pytest.mark.parametrize("name", sorted({*STATEMENTS} - RETURNS_NO_ROWS))
def test_outside_the_wall_a_statement_without_conditions_reaches_other_callers_rows(
    database: psycopg.Connection, stored: Stored, name: str
) -> None:
    # With several victims some statements would return the rows of none.
    database.execute("DELETE FROM conversations WHERE user_id IS NULL")

    rows = ask(database, name, Asker("bob"), stored, is_within=False)

    assert stored.is_in(rows)


def test_the_wall_holds_as_well_where_a_search_reads_texts_instead_of_an_index(
    database: psycopg.Connection, stored: Stored
) -> None:
    name, bob = "search_conversations", Asker("bob")

    outside = ask(database, name, bob, stored, is_within=False, by_index=False)
    within = ask(database, name, bob, stored, is_within=True, by_index=False)

    assert (stored.is_in(outside), stored.is_in(within)) == (True, False)
