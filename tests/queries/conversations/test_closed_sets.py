"""Columns that allow a closed set of strings: the database's constraint and the type agree."""

import re
from typing import get_args

import psycopg
import pytest

from lib.conversations.conversation import ConversationStatus
from lib.conversations.message import FinishReason, Role


@pytest.mark.parametrize(
    ("constraint", "type_"),
    [
        ("chk_message_role", Role),
        ("chk_finish_reason", FinishReason),
        ("chk_conversation_status", ConversationStatus),
    ],
)
def test_a_constraint_of_the_database_allows_the_values_of_the_type(
    database: psycopg.Connection, constraint: str, type_: object
) -> None:
    row = database.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", [constraint]
    ).fetchone()

    assert row is not None
    assert sorted(re.findall(r"'(\w+)'", row[0])) == sorted(get_args(type_))
