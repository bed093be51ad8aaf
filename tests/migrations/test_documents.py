"""Each table, column, rule and index that the five documents name has its place.

Where they disagree on a name, DESIGN.md decides: `messages` are `chat_messages`, `sessions` are
`conversations`, `session_id` is `conversation_id`.
"""

from typing import Any

import psycopg
import pytest

from tests.support.servers import Site

# By document: what it calls a table, ours, and for each column of the document ours.
USERS = "id email name hashed_password is_active created_at updated_at"
TASKS = "id user_id title description completed created_at updated_at"
AI_METADATA = "persona tone behavior context_type confidence signal_strength context_clarity"
MISTAKES = "needs_knowledge model_name prompt_tokens completion_tokens is_mistake mistake_note"
COLUMNS = [
    (1, "chat_messages", "chat_messages", "id role content user_id created_at updated_at"),
    (1, "chat_messages.session_id", "chat_messages", "conversation_id"),
    (2, "conversations", "conversations", "id user_id status created_at updated_at"),
    (2, "messages", "chat_messages", "id conversation_id user_id role content metadata created_at"),
    (3, "tasks", "tasks", TASKS),
    (3, "users", "users", "id"),
    (3, "conversations", "conversations", "id user_id title created_at updated_at"),
    (3, "messages", "chat_messages", "id conversation_id role content created_at"),
    (4, "users", "users", USERS),
    (4, "sessions", "conversations", "id title user_id created_at updated_at"),
    (4, "messages", "chat_messages", f"id role content {AI_METADATA} {MISTAKES} created_at"),
    (4, "messages.session_id", "chat_messages", "conversation_id"),
    (5, "conversations", "conversations", "id user_id created_at updated_at"),
    (5, "messages", "chat_messages", "id conversation_id user_id role content tool_calls"),
    (5, "tasks", "tasks", TASKS),
]
# By document: what it indexes, and the columns that our index begins with. A document's index that
# has no name is given as table(columns).
INDEXES = [
    (1, "idx_chat_messages_user_id", "chat_messages", "user_id"),
    (1, "idx_chat_messages_session_id", "chat_messages", "conversation_id"),
    (1, "idx_chat_messages_created_at", "chat_messages", "created_at DESC"),
    (2, "idx_conversations_user_id", "conversations", "user_id"),
    (2, "idx_conversations_updated_at", "conversations", "updated_at DESC"),
    (2, "idx_conversations_user_status", "conversations", "user_id, status"),
    (2, "idx_messages_conversation_id", "chat_messages", "conversation_id"),
    (2, "idx_messages_conversation_created", "chat_messages", "conversation_id, created_at DESC"),
    (3, "tasks(user_id)", "tasks", "user_id"),
    # A title is looked for among a user's tasks alone.
    (3, "tasks(title)", "tasks", "user_id, title"),
    (3, "conversations(created_at)", "conversations", "created_at"),
    (3, "messages(created_at)", "chat_messages", "created_at DESC"),
    (4, "ix_users_email", "users", "email"),
    (4, "ix_sessions_user_id", "conversations", "user_id"),
    (4, "ix_messages_session_id", "chat_messages", "conversation_id"),
    (5, "idx_conversations_created_at", "conversations", "created_at"),
    (5, "idx_messages_user_id", "chat_messages", "user_id"),
    (5, "idx_messages_created_at", "chat_messages", "created_at DESC"),
]
# By document: what must not be stored, and the rule that refuses it.
CONVERSATION = "11111111-1111-4111-8111-111111111111"
REFUSED: list[tuple[int, str, str, dict[str, Any]]] = [
    (1, "chk_message_role", "chat_messages", {"role": "tool"}),
    (2, "chk_conversation_status", "conversations", {"status": "deleted"}),
    (2, "chk_user_message_length", "chat_messages", {"content": "x" * 100_001}),
    (4, "chk_confidence", "chat_messages", {"confidence": 1.01}),
    (4, "chk_signal_strength", "chat_messages", {"signal_strength": -0.01}),
]
ALLOWED: list[dict[str, Any]] = [
    {"role": "system"},
    {"role": "assistant", "content": "x" * 100_001},
    {"content": "x" * 100_000},
    {"confidence": 0, "signal_strength": 1},
    {"user_id": None},
]
CASCADES = [
    (1, "chat_messages", "user_id", "users"),
    (2, "conversations", "user_id", "users"),
    (2, "chat_messages", "conversation_id", "conversations"),
]


def _id(case: tuple[Any, ...]) -> str:
    return f"{case[0]} {case[1]} {case[2]}"


@pytest.fixture(scope="module")
def documented(module_site: Site) -> Site:
    """Return a migrated database for all tests of this module, which leave it as it was."""
    module_site.migrate()
    return module_site


@pytest.mark.parametrize("case", COLUMNS, ids=_id)
def test_each_column_of_the_documents_has_its_place(
    documented: Site, case: tuple[int, str, str, str]
) -> None:
    _, _, table, columns = case

    found = documented.rows(
        "SELECT attname FROM pg_attribute WHERE attrelid = %(table)s::regclass AND attnum > 0",
        {"table": table},
    )

    assert {*columns.split()} <= {name for (name,) in found}


@pytest.mark.parametrize("case", INDEXES, ids=_id)
def test_each_index_of_the_documents_has_one_that_begins_like_it(
    documented: Site, case: tuple[int, str, str, str]
) -> None:
    _, _, table, columns = case

    found = documented.rows(
        "SELECT indexdef FROM pg_indexes WHERE tablename = %(table)s AND indexdef !~ ' WHERE '",
        {"table": table},
    )

    beginnings = [str(definition).partition(" USING btree (")[2] for (definition,) in found]
    assert any(each.startswith((f"{columns},", f"{columns})")) for each in beginnings), beginnings


def test_an_address_belongs_to_one_account(documented: Site) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation, match="ix_users_email"):
        documented.run("INSERT INTO users (email) VALUES ('ada@example.com'), ('ada@example.com')")


@pytest.mark.parametrize("case", REFUSED, ids=_id)
def test_each_rule_of_the_documents_is_kept_by_the_database(
    documented: Site, case: tuple[int, str, str, dict[str, Any]]
) -> None:
    _, rule, table, values = case

    with pytest.raises(psycopg.errors.CheckViolation, match=rule):
        _store(documented, table, values)


@pytest.mark.parametrize("values", ALLOWED, ids=" ".join)
def test_what_the_documents_allow_is_stored(documented: Site, values: dict[str, Any]) -> None:
    _store(documented, "chat_messages", values)


@pytest.mark.parametrize("case", CASCADES, ids=_id)
def test_what_belongs_to_something_goes_with_it(
    documented: Site, case: tuple[int, str, str, str]
) -> None:
    _, table, column, owner = case

    found = documented.rows(
        """
        SELECT pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid = %(table)s::regclass AND contype = 'f'
        """,
        {"table": table},
    )

    assert (f"FOREIGN KEY ({column}) REFERENCES {owner}(id) ON DELETE CASCADE",) in found


def _store(site: Site, table: str, values: dict[str, Any]) -> None:
    """Store a row, and take it back."""
    defaults: dict[str, Any] = {"conversations": {}, "chat_messages": {
        "conversation_id": CONVERSATION, "role": "user", "content": "Hello!",
    }}[table]  # fmt: skip
    row = defaults | values
    columns = ", ".join(row)
    placeholders = ", ".join(f"%({name})s" for name in row)
    with psycopg.connect(site.url) as connection, connection.transaction(force_rollback=True):
        connection.execute("INSERT INTO conversations (id) VALUES (%s)", [CONVERSATION])
        insert = f"INSERT INTO {table} ({columns}) VALUES ({placeholders})"
        connection.execute(insert.encode(), row)
