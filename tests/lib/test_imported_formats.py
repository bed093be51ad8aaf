"""The formats of imports: what is taken of a file, and what is left out."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from lib.imports import chatgpt, open_webui
from lib.imports.checking import Checking
from lib.imports.drafts import Draft, DraftConversation
from lib.imports.parley import add_lines
from lib.imports.values import unix_time
from tests.support.imports import BEGIN, SECOND, chatgpt_message, chatgpt_of
from tests.support.imports import chatgpt as chatgpt_chain
from tests.support.imports import open_webui as open_webui_chat

ID = "6fa60e3f-b4f9-463f-8b61-15564cc6ed00"


def read(add: Callable[[Draft, object], None], entry: object) -> tuple[Draft, DraftConversation]:
    """Return the draft of one entry, and its only conversation."""
    draft = Draft("ann")
    add(draft, entry)
    [conversation] = draft.conversations.values()
    return draft, conversation


def texts(conversation: DraftConversation) -> list[tuple[str, str]]:
    """Return the roles and the texts of a conversation."""
    return [(message.role, message.content) for message in conversation.messages]


def left_out(draft: Draft) -> dict[str, int]:
    """Return how many messages are left out for each reason."""
    return {reason: count for (_, reason), count in draft.left_out.items()}


QUESTION = chatgpt_message("user", "Q")
ANSWER = chatgpt_message("assistant", "A")


type Texts = list[tuple[str, str]]
# What stands between the question and the answer; the messages that are taken; what is left out.
SHOWN: list[tuple[list[Any], Texts | None, dict[str, int]]] = [
    ([], [("user", "Q"), ("assistant", "A")], {}),
    # What ChatGPT does not show.
    (
        [
            chatgpt_message("system", ""),
            chatgpt_message("tool", "42"),
            chatgpt_message("assistant", "print(42)", recipient="python"),
            chatgpt_message("user", "About me", metadata={"is_user_system_message": True}),
            chatgpt_message(
                "assistant", "-", metadata={"is_visually_hidden_from_conversation": True}
            ),
            chatgpt_message("assistant", "-", weight=0.0),
            chatgpt_message(
                "assistant",
                content={"content_type": "thoughts", "thoughts": [{"content": "-"}]},
            ),
            chatgpt_message("assistant", content={"content_type": "code", "text": "x = 1"}),
        ],
        [("user", "Q"), ("assistant", "A")],
        {"hidden": 8},
    ),
    # The pieces of one answer, between which a tool ran.
    (
        [chatgpt_message("assistant", "Let me see."), chatgpt_message("tool", "42")],
        [("user", "Q"), ("assistant", "Let me see.\n\nA")],
        {"hidden": 1},
    ),
    # Two questions, of which the first was not answered.
    (
        [chatgpt_message("user", "Q2")],
        [("user", "Q"), ("user", "Q2"), ("assistant", "A")],
        {},
    ),
    # Pictures, recordings, and what nobody knows.
    (
        [
            chatgpt_message(
                "user",
                content={
                    "content_type": "multimodal_text",
                    "parts": [
                        {"content_type": "image_asset_pointer"},
                        "Which fruit?",
                        {"content_type": "audio_transcription", "text": "This one"},
                        {"content_type": "hologram", "depth": 3},
                        None,
                    ],
                },
            )
        ],
        [("user", "Q"), ("user", "[image]\nWhich fruit?\nThis one"), ("assistant", "A")],
        {},
    ),
    # The marks of sources, which stand between characters of private use.
    (
        [chatgpt_message("assistant", "Ripe\ue200cite\ue202turn0search0\ue201.")],
        [("user", "Q"), ("assistant", "Ripe.\n\nA")],
        {},
    ),
    # Nothing of the form that it should have.
    ([{"author": 3, "content": []}, {"author": {"role": ["user"]}}, 7], None, {"hidden": 2}),
]


@pytest.mark.parametrize(("between", "expected", "reasons"), SHOWN)
def test_of_chatgpt_the_messages_are_taken_that_people_see(
    between: list[Any], expected: Texts | None, reasons: dict[str, int]
) -> None:
    draft, conversation = read(chatgpt.add_conversation, chatgpt_chain(QUESTION, *between, ANSWER))

    assert texts(conversation) == (expected or [("user", "Q"), ("assistant", "A")])
    assert left_out(draft) == reasons


def test_of_chatgpt_the_branch_is_taken_that_is_shown() -> None:
    entry = chatgpt_of(["Q", "A", "Q2", "A2"])
    entry["mapping"]["n5"] = {"parent": "n1", "message": chatgpt_message("assistant", "Other")}
    draft, conversation = read(chatgpt.add_conversation, entry | {"current_node": "n5"})
    assert texts(conversation) == [("user", "Q"), ("assistant", "Other")]
    assert left_out(draft) == {"other_version": 3}

    # Without the end, the last that has none after it.
    for current in (None, "n9", ["n1"]):
        _, conversation = read(chatgpt.add_conversation, entry | {"current_node": current})
        assert texts(conversation) == [("user", "Q"), ("assistant", "Other")]
    # A circle ends.
    entry["mapping"]["n1"]["parent"] = "n4"
    _, conversation = read(chatgpt.add_conversation, entry | {"current_node": "n4"})
    assert [text for _, text in texts(conversation)] == ["Q", "A", "Q2", "A2"]


def test_of_chatgpt_times_models_titles_and_the_archive_are_kept() -> None:
    entry = chatgpt_of(["Q", "A"], id="other", is_archived=True)
    answer = entry["mapping"]["n2"]["message"]
    answer["metadata"] = {"model_slug": "gpt-4o", "finish_details": {"type": "max_tokens"}}
    # Without a time of its own it has that of the message before.
    answer["create_time"] = None

    _, conversation = read(chatgpt.add_conversation, entry)

    assert (conversation.title, conversation.status) == ("Fruit", "archived")
    assert conversation.created_at == BEGIN
    question, kept = conversation.messages
    assert [question.created_at, kept.created_at] == [BEGIN, BEGIN]
    assert (kept.model_name, kept.finish_reason) == ("gpt-4o", "length")
    assert kept.question is question
    # Of both ids, one is the conversation's: it does not depend on the other.
    _, same = read(chatgpt.add_conversation, chatgpt_of(["Q", "A"]))
    assert same.id == conversation.id
    assert same.messages[1].message_id == kept.message_id


@pytest.mark.parametrize(
    "value", [0, -5, 1e300, float("inf"), 10**400, True, "1796000000", None, [1]]
)
def test_a_unix_time_is_a_number_of_seconds_or_milliseconds(value: object) -> None:
    assert unix_time(BEGIN.timestamp()) == unix_time(int(BEGIN.timestamp() * 1000)) == BEGIN
    assert unix_time(value) is None


def test_of_open_webui_the_versions_are_taken_that_are_shown_without_thoughts_and_tools() -> None:
    details = '<details type="{}" done="true">\n<summary>Thought</summary>\n> Hm.\n</details>\n'
    entry = open_webui_chat(
        ("system", "Be kind."),
        ("user", "Q"),
        ("assistant", details.format("reasoning") + "A" + details.format("tool_calls")),
        ("user", '<details type="reasoning">mine</details>'),
        ("assistant", "<details><summary>S</summary>kept</details> and <details type='x'>"),
        archived=True,
    )
    messages = entry["chat"]["history"]["messages"]
    messages["m9"] = messages["m2"] | {"id": "m9", "content": "Other"}
    messages["m1"]["files"] = [{"type": "image", "url": "data:"}, {"type": "file", "name": "a.txt"}]
    messages["m2"]["model"] = "llama3"

    draft, conversation = read(open_webui.add_conversation, entry)

    assert texts(conversation) == [
        ("user", "Q\n[image]\n[file: a.txt]"),
        ("assistant", "A"),
        ("user", '<details type="reasoning">mine</details>'),
        ("assistant", "<details><summary>S</summary>kept</details> and <details type='x'>"),
    ]
    assert left_out(draft) == {"hidden": 1, "other_version": 1}
    assert conversation.status == "archived"
    assert conversation.messages[1].model_name == "llama3"
    assert conversation.messages[0].created_at == BEGIN + SECOND


@pytest.mark.parametrize(
    "chat",
    [
        # An early version; one without the end; one whose parts are a list.
        {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]},
        {
            "history": {
                "messages": {
                    "1": {"role": "user", "content": [{"type": "text", "text": "Q"}]},
                    "2": {"role": "assistant", "content": "A", "parentId": "1"},
                }
            }
        },
    ],
)
def test_of_open_webui_other_versions_of_the_format_are_read(chat: dict[str, Any]) -> None:
    # In milliseconds.
    chat |= {"id": "c", "title": "Fruit", "timestamp": int(BEGIN.timestamp() * 1000)}
    for entry in ({"id": "chat-1", "chat": chat}, {"chat": chat}, chat):
        _, conversation = read(open_webui.add_conversation, entry)

        assert texts(conversation) == [("user", "Q"), ("assistant", "A")]
        assert conversation.messages[0].created_at == BEGIN
        assert conversation.title == "Fruit"


@pytest.mark.parametrize(
    "entry", [None, 7, "text", [], {}, {"id": ""}, {"id": 3, "mapping": {}}, {"id": "x" * 256}]
)
def test_what_is_no_conversation_is_left_out(entry: object) -> None:
    for add in (chatgpt.add_conversation, open_webui.add_conversation):
        draft = Draft("ann")
        add(draft, entry)
        assert left_out(draft) == {"unreadable": 1}
        assert not draft.is_recognized
    draft = Draft("ann")
    add_lines(draft, [entry])
    assert left_out(draft) == {"unreadable": 1}


@pytest.mark.parametrize(
    ("add", "split", "entry"),
    [
        (
            chatgpt.add_conversation,
            chatgpt.split_conversation,
            chatgpt_of(f"text {n}" for n in range(40)),
        ),
        (
            open_webui.add_conversation,
            open_webui.split_conversation,
            open_webui_chat(*((("user", "assistant")[n % 2], f"text {n}") for n in range(40))),
        ),
    ],
)
def test_a_large_conversation_in_pieces_is_the_same_conversation(
    add: Callable[[Draft, object], None],
    split: Callable[[dict[str, Any], int], Iterable[dict[str, Any]]],
    entry: dict[str, Any],
) -> None:
    _, whole = read(add, entry)

    pieces = [*split(entry, 2000)]

    assert len(pieces) > 2
    found = [read(add, piece)[1] for piece in pieces]
    assert {(each.id, each.title, each.created_at) for each in found} == {
        (whole.id, whole.title, whole.created_at)
    }
    assert all(each.messages[0].role == "user" for each in found)
    messages = [message for each in found for message in each.messages]
    assert [(m.message_id, m.content, m.created_at) for m in messages] == [
        (m.message_id, m.content, m.created_at) for m in whole.messages
    ]


CALL: dict[str, Any] = {
    "id": "c1",
    "name": "add_task",
    "arguments": {"title": "Milk"},
    "output": {"id": 1},
    "step": 0,
    "text_end": 11,
}
MESSAGE = {
    "type": "message",
    "id": 7,
    "conversation_id": ID,
    "message_id": "m1",
    "role": "assistant",
    "content": "Let me see.",
    "created_at": BEGIN.isoformat(),
}


PARLEYS: list[dict[str, Any]] = [
    {"tool_calls": [CALL]},
    {"steps": [[{"type": "reasoning", "text": "Hm."}, {"type": "text", "chars": 11}]]},
]
NOT_PARLEYS: list[dict[str, Any]] = [
    {"tool_calls": [CALL | {"name": "a b"}]},
    {"tool_calls": [CALL | {"id": None}]},
    {"tool_calls": [CALL | {"text_end": 99}]},
    {"tool_calls": [CALL | {"text_end": 3}]},
    {"tool_calls": [CALL | {"arguments": "{}"}]},
    {"tool_calls": [CALL | {"output": "\ud800"}]},
    {"tool_calls": [CALL | {"output": 1e999}]},
    {"tool_calls": [CALL, CALL | {"step": -1}]},
    {"tool_calls": "call"},
    {"tool_calls": [CALL], "steps": [[{"type": "text", "chars": 11}]]},
    {"steps": [[{"type": "call"}]]},
    {"steps": [[{"type": "text", "chars": 5}]]},
    {"steps": [[{"type": "text", "chars": -5}]]},
    {"steps": [[{"type": "html", "text": "<script>"}]]},
    {"steps": [[{"type": "source", "id": "1", "url": "javascript:alert(1)"}]]},
    {"steps": [[{"type": "data", "name": "x y", "data": 1}]]},
    {"steps": {"type": "text"}},
]


@pytest.mark.usefixtures("default_settings")
@pytest.mark.parametrize("columns", PARLEYS + NOT_PARLEYS)
def test_of_an_answer_only_steps_that_parley_stores_are_taken_and_its_text_always(
    columns: dict[str, Any],
) -> None:
    draft = Draft("ann")
    add_lines(draft, [MESSAGE | columns])

    [conversation] = draft.conversations.values()
    [message] = conversation.messages
    assert message.content == "Let me see."
    taken = {name: message.columns[name] for name in ("tool_calls", "steps")}
    expected: dict[str, Any] = {"tool_calls": None, "steps": None}
    assert taken == (expected | columns if columns in PARLEYS else expected)


@pytest.mark.usefixtures("default_settings")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"role": "system"}, "hidden"),
        ({"role": "tool"}, "unreadable"),
        ({"content": None}, "unreadable"),
        ({"message_id": ""}, "unreadable"),
        ({"message_id": "\0"}, "unreadable"),
        ({"conversation_id": "mine"}, "unreadable"),
        ({"created_at": "yesterday"}, "no_time"),
        ({"created_at": "infinity"}, "no_time"),
        ({"created_at": "2026-01-01T00:00:00"}, "no_time"),
        ({"created_at": "0001-01-01T00:00:00+14:00"}, "no_time"),
    ],
)
def test_a_line_that_is_no_message_is_left_out(changes: dict[str, Any], reason: str) -> None:
    draft = Draft("ann")
    add_lines(draft, [MESSAGE | changes])

    assert left_out(draft) == {reason: 1}
    assert not [
        each for conversation in draft.conversations.values() for each in conversation.messages
    ]


def test_a_question_of_files_alone_keeps_their_names() -> None:
    files = [{"id": ID, "mediaType": "image/png", "filename": "plum.png"}, {"url": "https://x"}]
    draft = Draft("ann")
    add_lines(draft, [MESSAGE | {"role": "user", "content": "", "files": files}])

    [conversation] = draft.conversations.values()
    assert texts(conversation) == [("user", "[file: plum.png]\n[file]")]
    assert draft.left_out == {("file", "not_imported"): 2}


DATA = {"type": "data", "name": "page", "data": {"open": [1]}}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # A file between two texts is left out, and the texts stay one.
        ([[{"type": "text", "chars": 3}, {"type": "file"}, {"type": "text", "chars": 4}]], None),
        (
            [[{"type": "text", "chars": 3}, DATA, {"type": "file"}, {"type": "text", "chars": 4}]],
            [[{"type": "text", "chars": 3}, DATA, {"type": "text", "chars": 4}]],
        ),
        ([[{"type": "text", "chars": 3}, DATA]], None),
        ([[{"type": "text", "chars": 8}, DATA | {"name": "a b"}]], None),
        ([[{"type": "text", "chars": 8}, *[DATA] * 11]], None),
        ([[{"type": "text", "chars": 8}, DATA | {"data": "x" * 17_000}]], None),
        ([[{"type": "text", "chars": 99}]], None),
        ([[{"type": "html"}]], None),
    ],
)
def test_of_a_question_the_data_of_the_page_are_taken_and_its_text_always(
    steps: list[list[dict[str, Any]]], expected: list[list[dict[str, Any]]] | None
) -> None:
    draft = Draft("ann")
    add_lines(draft, [MESSAGE | {"role": "user", "content": "See\nthis", "steps": steps}])

    [conversation] = draft.conversations.values()
    assert texts(conversation) == [("user", "See\nthis")]
    assert conversation.messages[0].columns["steps"] == expected


def test_of_parley_a_line_of_a_conversation_tells_its_title_its_times_and_the_archive() -> None:
    line = {"type": "conversation", "title": "Fruit", "status": "archived"}
    draft = Draft("ann")
    add_lines(draft, [line | {"id": ID.upper(), "updated_at": BEGIN.isoformat()}, line])

    [conversation] = draft.conversations.values()
    assert (conversation.title, conversation.status) == ("Fruit", "archived")
    assert (str(conversation.source_id), conversation.updated_at) == (ID, BEGIN)
    assert left_out(draft) == {"unreadable": 1}


def test_a_message_of_which_no_time_is_known_is_left_out() -> None:
    entry = chatgpt_chain(QUESTION | {"create_time": None}, ANSWER, create_time=None)

    draft, conversation = read(chatgpt.add_conversation, entry)

    assert texts(conversation) == [("assistant", "A")]
    assert left_out(draft) == {"no_time": 1}


@pytest.mark.usefixtures("default_settings")
def test_a_question_with_half_a_character_is_left_out_with_its_answer() -> None:
    lines = [
        MESSAGE | {"id": 1, "message_id": "q", "role": "user", "content": "Q"},
        MESSAGE | {"id": 2, "message_id": "a2", "reply_to": 1},
        MESSAGE | {"id": 4, "message_id": "q4", "role": "user", "content": "\ud800"},
        MESSAGE | {"id": 5, "message_id": "a5", "reply_to": 4},
    ]
    draft = Draft("ann")
    add_lines(draft, lines)

    rows = Checking(draft, None).rows()

    assert [row["reply_position"] for row in rows.messages] == [None, 1]
    assert left_out(draft) == {"not_storable": 1, "question_left_out": 1}
