"""Columns that allow a closed set of strings: the database's rule and the type agree."""

import re
from typing import get_args

import psycopg
import pytest

from lib.conversations.conversation import ConversationStatus
from lib.conversations.message import FinishReason, Role

CONSTRAINT = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s"
MESSAGE_RULES = "SELECT prosrc FROM pg_proc WHERE proname = 'check_chat_message'"


def test_a_conversation_has_a_status_of_the_type(database: psycopg.Connection) -> None:
    row = database.execute(CONSTRAINT, ["chk_conversation_status"]).fetchone()

    assert row is not None
    assert _names(row[0]) == sorted(get_args(ConversationStatus))


@pytest.mark.parametrize(
    ("rule", "type_"), [("chk_message_role", Role), ("chk_finish_reason", FinishReason)]
)
def test_a_message_has_the_values_of_the_type(
    database: psycopg.Connection, rule: str, type_: object
) -> None:
    row = database.execute(MESSAGE_RULES).fetchone()

    assert row is not None
    [values] = re.findall(rf"NOT IN \(([^)]*)\)\s+THEN '{rule}'", row[0])
    assert _names(values) == sorted(get_args(type_))


def _names(text: str) -> list[str]:
    return sorted(re.findall(r"'(\w+)'", text))
