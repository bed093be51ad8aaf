"""Which fields of POST /api/chat are refused because they would be ignored, and which pass."""

from typing import Any

import pytest

from lib.chat._ignored import refuse_ignored
from lib.chat.forms import PlainForm, SdkForm
from lib.problems import InvalidRequest
from tests.support.product import sdk_body

PLAIN: dict[str, Any] = {"message": "Hello!", "conversation_id": "0123456789abcdef"}
# What an application adds by useChat's `body`, and fields that ask for nothing.
PASSING: list[dict[str, Any]] = [
    {},
    {"userId": "ann", "user": {"name": "Ann"}, "locale": "de", "visitId": "v-1", "foo": [1]},
    {"timezone": "Europe/Berlin", "page": "/pricing", "prompt": "intro", "context": {}, "X": 1},
    {"temperature": None, "tools": {}, "system": "", "stop": [], "n": 1, "top_logprobs": 0},
]


@pytest.mark.parametrize("more", PASSING, ids=range(len(PASSING)))
@pytest.mark.parametrize("body", [PLAIN, sdk_body("Hello!")], ids=["plain", "useChat"])
def test_an_applications_own_fields_pass(body: dict[str, Any], more: dict[str, Any]) -> None:
    is_plain = body is PLAIN

    refuse_ignored(body | more, PlainForm if is_plain else SdkForm, is_plain=is_plain)


@pytest.mark.parametrize(
    ("trigger", "message_id"),
    [
        ("submit-message", None),
        ("submit-message", "message-1"),
        ("regenerate-message", None),
        ("regenerate-message", "answer-1"),
    ],
)
def test_all_fields_of_the_sdk_pass(trigger: str, message_id: str | None) -> None:
    # As DefaultChatTransport of 5, 6 and 7 writes it; tests/node has the packages themselves.
    body = sdk_body("Hello!") | {"trigger": trigger, "messageId": message_id, "metadata": {"a": 1}}

    refuse_ignored(body, SdkForm, is_plain=False)


def test_the_id_may_stand_there_by_another_name_too() -> None:
    body = sdk_body("Hello!")

    refuse_ignored(body | {"conversation_id": body["id"]}, SdkForm, is_plain=False)
    refuse_ignored(PLAIN | {"session_id": body["id"]}, PlainForm, is_plain=True)


@pytest.mark.parametrize(
    ("form", "name", "detail"),
    [
        (PlainForm, "messageId", "must be written message_id"),
        (PlainForm, "toolChoice", "must be written tool_choice"),
        (SdkForm, "message_id", "must be written messageId"),
        (SdkForm, "TOP_P", "must not be set: the operator chooses it, in OPENAI_EXTRA_BODY"),
    ],
)
def test_a_refusal_says_what_to_do_instead(
    form: type[PlainForm | SdkForm], name: str, detail: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        refuse_ignored({name: "x"}, form, is_plain=form is PlainForm)

    assert raised.value.errors == [{"field": name, "detail": detail}]
