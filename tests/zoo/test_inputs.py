"""Small inputs that ended a conversation, or an answer, with providers as they really are."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psycopg
import pytest

from lib.model import _provider
from lib.model._connection import ModelTransport
from tests.support.product import (
    CHAT_ID,
    Parley,
    headers_of,
    id_of,
    parts_of,
    problem_of,
    sdk_body,
    text_of,
)
from tests.support.serving import Switchboard
from tests.zoo.asked import Answer, Asked, said, stored
from tests.zoo.conftest import Provide
from tests.zoo.providers import ALTERNATE, AZURE_FILTER
from tests.zoo.refusals import (
    Judge,
    Refusal,
    context_of,
    filters,
    no_forced_tool,
    no_images,
    no_large_bound,
    no_parameter,
    no_schema_keyword,
    strict_order,
    user_after_tool,
    wants_field,
    wants_signatures,
)
from tests.zoo.scenarios import PIXEL
from tests.zoo.server import Provider
from tests.zoo.streams import (
    DONE,
    Event,
    Pause,
    Shape,
    chunk,
    ends_with,
    ends_without_done,
    ends_without_reason,
    keeps_alive,
    repeats_calls,
    signs_calls,
    thinks,
    thinks_in_lists,
    thinks_in_tags,
)

BROKEN = Refusal(message="The server had an error", status=500, type="server_error")
QUOTA = Refusal(
    message="You exceeded your current quota, please check your plan and billing details.",
    status=429,
    type="insufficient_quota",
    code="insufficient_quota",
)
CONTEXT = Refusal(
    message="This model's maximum context length is 1024 tokens. However, your messages resulted "
    "in 1043 tokens. Please reduce the length of the messages.",
    param="messages",
    code="context_length_exceeded",
)
# Longer than MODEL_SILENCE_SECONDS in the tests that set it, and shorter than an answer may take.
SILENCE_SECONDS = 2.0


def provider(*refusals: Judge, streams: tuple[Shape, ...] = (), **fields: Any) -> Provider:
    """Return a provider with these quirks and no others."""
    return Provider(name="Any", refusals=refusals, streams=streams, **fields)


async def ask(parley: Parley, number: int, text: str, **options: Any) -> str:
    """Send the message of a number; return the text of its answer, which must be one."""
    response = await parley.send(text, message_id=f"message-{number}", **options)
    parts = parts_of(response)
    assert parts[-1]["type"] == "finish", parts[-1]
    return text_of(response)


async def last_stored(parley: Parley, user: str | None = None) -> tuple[str, str]:
    """Return the text and finish reason of the last stored message."""
    message = (await parley.history(user=user))["messages"][-1]
    return message["content"], message["finish_reason"]


def titles(database: psycopg.Connection) -> list[str]:
    """Return the titles of all tasks."""
    return [row[0] for row in database.execute("SELECT title FROM tasks ORDER BY id").fetchall()]


# 1


async def test_13_questions_are_answered_where_roles_must_alternate_from_a_users_on(
    parley: Parley, provide: Provide
) -> None:
    server = provide(provider(strict_order(ALTERNATE)))

    for number in range(13):
        assert await ask(parley, number, f"Question {number}") == said(f"Question {number}")

    assert server.faults == []


# 2


async def test_a_question_after_an_http_500_is_answered_where_roles_must_alternate(
    parley: Parley, provide: Provide
) -> None:
    server = provide(provider(strict_order(ALTERNATE)))
    server.fails = [BROKEN]
    first = await parley.send("First", message_id="message-1")
    problem_of(first, 502, "model_failed")

    assert await ask(parley, 2, "Another") == said("Another")

    assert server.faults == [BROKEN.message]


# 3


def says_nothing_after_tools(events: list[Event], asked: Asked, _answer: Answer) -> list[Event]:
    """End the answer that follows a tool without a word."""
    return [chunk({}, "stop"), DONE] if asked.follows_tools else events


def is_silent_after_tools(events: list[Event], asked: Asked, _answer: Answer) -> list[Event]:
    """Say nothing after a tool until the test lets the model go on."""
    return [Pause.UNTIL_GO, *events] if asked.follows_tools else events


async def test_a_question_is_answered_after_a_tool_whose_answer_was_empty(
    parley: Parley, provide: Provide
) -> None:
    server = provide(provider(user_after_tool, streams=(says_nothing_after_tools,)))
    await parley.send("Add milk", user="ann")
    server.provider = provider(user_after_tool)

    assert await ask(parley, 2, "And now?", user="ann") == said("And now?")
    assert server.faults == []


async def test_a_question_is_answered_after_a_tool_whose_answer_was_stopped(
    parley: Parley, provide: Provide
) -> None:
    server = provide(provider(user_after_tool, streams=(is_silent_after_tools,)))
    sending = asyncio.create_task(parley.send("Add milk", user="ann"))
    async with asyncio.timeout(60):
        while len(server.answered) < 2:  # noqa: ASYNC110 (the server offers no event)
            await asyncio.sleep(0.01)
    path = f"/api/chat/{CHAT_ID}/stream"
    assert (await parley.client.delete(path, headers=headers_of("ann"))).status_code == 204
    await sending

    assert await ask(parley, 2, "And now?", user="ann") == said("And now?")
    assert server.faults == []


@pytest.mark.environment(MAX_TOOL_STEPS="1")
async def test_a_question_is_answered_after_a_tool_whose_answer_was_out_of_steps(
    parley: Parley, provide: Provide
) -> None:
    server = provide(provider(user_after_tool))
    server.provider = provider(user_after_tool, streams=(calls_though_it_may_not,))
    await parley.send("Add milk", user="ann")
    server.provider = provider(user_after_tool)

    assert await ask(parley, 2, "And now?", user="ann") == said("And now?")
    assert server.faults == []


def calls_though_it_may_not(_events: list[Event], _asked: Asked, _answer: Answer) -> list[Event]:
    """Call a tool in the last step, too."""
    function = {"name": "add_task", "arguments": '{"title": "milk"}'}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    return [chunk({"tool_calls": [call]}), chunk({}, "tool_calls"), DONE]


# 4


async def test_a_question_is_answered_where_a_system_message_may_only_stand_at_the_beginning(
    parley: Parley, provide: Provide, database: psycopg.Connection
) -> None:
    server = provide(provider(strict_order("System message must be at the beginning.")))
    await ask(parley, 1, "Hello")
    database.execute("""
        INSERT INTO chat_messages (conversation_id, user_id, role, content)
        SELECT id, user_id, 'system', 'Answer in one word.' FROM conversations
    """)

    assert await ask(parley, 2, "And now?") == said("And now?")

    first, *_, question = server.requests[-1].items
    assert (first["role"], question["role"]) == ("system", "user")
    assert "Answer in one word." in question["content"]
    assert server.faults == []


# 5


async def test_a_picture_is_refused_where_the_model_reads_text_only_and_the_next_question_answered(
    parley: Parley, provide: Provide
) -> None:
    provide(provider(no_images("This model does not support image input.")))
    parts = [{"type": "text", "text": "Look"}, PIXEL]
    body = sdk_body("")
    body["messages"][0]["parts"] = parts

    response = await parley.client.post("/api/chat", json=body, headers=headers_of("ann"))

    assert response.json()["code"] == "file_refused"
    assert await ask(parley, 2, "Hello", user="ann") == said("Hello")


# 6


async def test_a_withheld_question_is_told_so_and_the_next_question_is_answered(
    parley: Parley, provide: Provide
) -> None:
    server = provide(provider(filters(AZURE_FILTER)))

    response = await parley.send("Something forbidden")

    assert response.json()["code"] == "answer_withheld"
    assert await ask(parley, 2, "Sorry. Hello?") == said("Sorry. Hello?")
    assert server.faults == [AZURE_FILTER.message]


# 7


async def test_12_turns_of_600_characters_are_answered_by_a_model_with_3000_characters_of_context(
    parley: Parley, provide: Provide
) -> None:
    server = provide(provider(context_of(3000, CONTEXT)))

    for number in range(12):
        question = f"{number}".ljust(590, ".")
        assert await ask(parley, number, question) == said(question)

    assert CONTEXT.message in server.faults


# 8


@pytest.mark.parametrize(
    "judge",
    [
        no_large_bound("tools.2.custom.input_schema: int too big to convert"),
        no_schema_keyword(
            "exclusiveMaximum",
            'Invalid JSON payload received. Unknown name "exclusiveMaximum": Cannot find field.',
        ),
    ],
    ids=["a bound of 2^63", "exclusiveMaximum"],
)
async def test_a_signed_in_question_is_answered_where_a_tools_schema_is_restricted(
    parley: Parley, provide: Provide, judge: Judge
) -> None:
    provide(provider(judge))

    assert await ask(parley, 1, "Hi", user="ann") == said("Hi")
    assert await ask(parley, 2, "Add milk", user="ann") == stored("Add milk")


# 9

NO_TOOLS = no_parameter("tools", "this model does not support tools")
NO_FORMAT = no_parameter("response_format", "This response_format type is unavailable now")
NO_OPTIONS = no_parameter(
    "stream_options", "Unrecognized request argument supplied: stream_options"
)
NO_CHOICE = no_forced_tool("Thinking mode does not support this tool_choice")
REFUSES_TOOLS = {
    "tools": (NO_TOOLS,),
    "tools and response_format": (NO_TOOLS, NO_FORMAT),
    "stream_options": (NO_OPTIONS,),
    "a forced tool_choice": (NO_CHOICE,),
}


@pytest.mark.parametrize("refused", REFUSES_TOOLS)
async def test_a_forced_tool_runs_where_the_provider_refuses_a_part_of_the_request(
    parley: Parley, provide: Provide, database: psycopg.Connection, refused: str
) -> None:
    server = provide(provider(*REFUSES_TOOLS[refused]))

    assert await ask(parley, 1, "Add milk 😀", user="ann", tool_choice="add_task")

    assert titles(database) == ["milk 😀"]
    known = len(server.faults)
    assert await ask(parley, 2, "Hi", user="ann") == said("Hi")
    # The title, which is asked for at the same time, may be refused for the same reason.
    assert len(server.faults) == known <= 2


async def test_a_refusal_that_was_cured_does_not_come_again(
    parley: Parley, provide: Provide
) -> None:
    server = provide(provider(NO_TOOLS))

    for number in range(3):
        assert await ask(parley, number, f"Hi {number}", user="ann") == said(f"Hi {number}")

    assert len(server.faults) == 1
    assert len(server.answered) == 4


# 10


@pytest.mark.parametrize(
    ("judge", "shape"),
    [
        (wants_signatures, signs_calls),
        (
            wants_field(
                "reasoning_content",
                "Missing `reasoning_content` field in the assistant message at message index {}.",
                of_calls_only=False,
            ),
            thinks("reasoning_content"),
        ),
    ],
    ids=["thought_signature", "reasoning_content"],
)
async def test_the_state_of_a_call_comes_back_in_its_own_turn_and_in_the_next(
    parley: Parley, provide: Provide, judge: Judge, shape: Shape
) -> None:
    server = provide(provider(judge, streams=(shape,)))

    assert await ask(parley, 1, "Add milk", user="ann") == stored("Add milk")
    assert await ask(parley, 2, "And now?", user="ann") == said("And now?")

    assert server.faults == []


# 11


async def test_a_call_that_is_repeated_in_the_last_chunk_adds_one_task(
    parley: Parley, provide: Provide, database: psycopg.Connection
) -> None:
    provide(provider(streams=(repeats_calls,)))

    assert await ask(parley, 1, "Add milk", user="ann") == stored("Add milk")

    assert titles(database) == ["milk"]


# 12


def is_silent_midway(events: list[Event], _asked: Asked, _answer: Answer) -> list[Event]:
    """Say nothing behind the first words until the test lets the model go on."""
    return [*events[:3], Pause.UNTIL_GO, *events[3:]]


async def test_a_model_is_waited_for_before_its_headers_and_midway(
    parley: Parley, provide: Provide
) -> None:
    server = provide(provider(streams=(is_silent_midway,), load_seconds=SILENCE_SECONDS))
    asyncio.get_running_loop().call_later(2 * SILENCE_SECONDS, server.go.set)

    assert await ask(parley, 1, "Hello") == said("Hello")


@pytest.mark.environment(MAX_DURATION_SECONDS="120")
async def test_a_silent_model_is_waited_for_as_long_as_the_answer_may_take(
    parley: Parley, provide: Provide, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide(provider())
    limits: list[float | None] = []
    handle = ModelTransport.handle_async_request

    async def handle_noted(transport: ModelTransport, request: httpx2.Request) -> httpx2.Response:
        limits.append(request.extensions.get("timeout", {}).get("read"))
        return await handle(transport, request)

    monkeypatch.setattr(ModelTransport, "handle_async_request", handle_noted)

    await ask(parley, 1, "Hello")

    # Of the 120 s, Parley keeps a few to store the answer.
    assert limits
    assert all(limit is None or limit > 100 for limit in limits)


@pytest.mark.environment(MODEL_SILENCE_SECONDS="1")
async def test_a_model_that_is_silent_for_longer_than_the_operator_allows_is_a_504(
    parley: Parley, provide: Provide
) -> None:
    provide(provider(load_seconds=3600))
    started = time.monotonic()

    response = await parley.send("Hello")

    problem_of(response, 504, "model_timeout")
    # A second, and much for a busy machine; without the setting it is a minute.
    assert time.monotonic() - started < 15


@pytest.mark.environment(MODEL_SILENCE_SECONDS="1")
async def test_an_answer_whose_model_falls_silent_for_too_long_keeps_its_words(
    parley: Parley, provide: Provide
) -> None:
    provide(provider(streams=(is_silent_midway,)))
    started = time.monotonic()

    parts = parts_of(await parley.send("Hello"))

    assert time.monotonic() - started < 15
    assert parts[-1]["type"] == "error"
    assert await last_stored(parley) == ("You said: ", "error")


# 13


@pytest.mark.environment(MAX_DURATION_SECONDS="60")
@pytest.mark.parametrize("user", [None, "ann"], ids=["a text", "a tool call"])
async def test_a_finish_reason_ends_an_answer_though_heartbeats_follow_and_no_done(
    parley: Parley, provide: Provide, database: psycopg.Connection, user: str | None
) -> None:
    provide(provider(streams=(ends_without_done,)))
    question = "Hello" if user is None else "Add milk"
    started = time.monotonic()

    answer = await ask(parley, 1, question, user=user)

    # Parley waits a second or two for usage, after each of the two requests.
    assert time.monotonic() - started < 15
    assert answer == (said("Hello") if user is None else stored("Add milk"))
    assert await last_stored(parley, user) == (answer, "stop")
    assert titles(database) == ([] if user is None else ["milk"])


# 14


async def test_done_without_a_finish_reason_ends_a_whole_answer(
    parley: Parley, provide: Provide
) -> None:
    provide(provider(streams=(ends_without_reason,)))

    assert await ask(parley, 1, "Hello") == said("Hello")
    assert await last_stored(parley) == (said("Hello"), "stop")


# 15


@pytest.mark.parametrize(
    "reason", ["error", "network_error", "insufficient_system_resource", "abort"]
)
async def test_an_answer_that_the_provider_ends_for_an_error_is_kept_and_marked(
    parley: Parley, provide: Provide, reason: str
) -> None:
    provide(provider(streams=(ends_with(reason),)))

    parts = parts_of(await parley.send("Hello"))

    assert parts[-1]["type"] == "error"
    assert await last_stored(parley) == (said("Hello"), "error")


# 16


@pytest.mark.parametrize("shape", [thinks_in_lists, keeps_alive], ids=["lists", "empty data"])
async def test_content_in_lists_empty_events_and_halves_of_an_emoji_are_read(
    parley: Parley, provide: Provide, shape: Shape
) -> None:
    provide(provider(streams=(shape,)))

    response = await parley.send("Hello")

    assert text_of(response) == "You said: Hello 😀"
    assert "�" not in response.text
    assert await last_stored(parley) == ("You said: Hello 😀", "stop")


async def test_halves_of_an_emoji_in_the_arguments_of_a_call_are_joined(
    parley: Parley, provide: Provide, database: psycopg.Connection
) -> None:
    provide(provider())

    response = await parley.send("Add milk 😀", user="ann")

    deltas = [part["inputTextDelta"] for part in parts_of(response) if "inputTextDelta" in part]
    # In ASCII, because pytest could not report half a character.
    assert ascii("".join(deltas)) == ascii('{"title": "milk 😀"}')
    assert titles(database) == ["milk 😀"]


# 17


async def test_a_used_up_quota_is_the_operators_problem_and_not_one_that_passes(
    parley: Parley, provide: Provide
) -> None:
    server = provide(provider())
    server.fails = [QUOTA]

    response = await parley.send("Hello")

    problem_of(response, 502, "model_refused")
    assert "retry-after" not in response.headers
    assert QUOTA.message not in response.text
    assert await ask(parley, 2, "Hello") == said("Hello")


# 18


@pytest.fixture
def two_addresses(
    model_switchboard: Switchboard, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Give the provider's host two addresses, the first of which is silent."""
    port = urlsplit(model_switchboard.base_url).port
    assert port is not None
    environment["OPENAI_BASE_URL"] = f"http://two-addresses.test:{port}/v1"
    # Any other name than localhost could be another host.
    environment["ALLOW_INSECURE_NETWORK"] = "true"
    found = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        addresses = ["127.0.0.2", "127.0.0.1"] if host == "two-addresses.test" else [host]
        return [info for address in addresses for info in found(address, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.2", port))
        listener.listen(0)
        # They fill the queue, so that further connections are neither accepted nor refused.
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        yield


async def test_a_provider_whose_first_address_is_silent_answers_soon_by_its_second(
    two_addresses: None, parley: Parley, provide: Provide
) -> None:
    del two_addresses
    provide(provider())
    # The first message imports the client.
    await parley.send("Hello", chat_id=id_of("another"))
    await _provider._close()
    started = time.monotonic()

    assert await ask(parley, 1, "Hello") == said("Hello")

    # The limit for a connection is 10 s.
    assert time.monotonic() - started < 2


# 19


async def test_a_thought_in_tags_is_not_part_of_the_text(parley: Parley, provide: Provide) -> None:
    provide(provider(streams=(thinks_in_tags,)))

    answer = await ask(parley, 1, "Hello")

    assert answer.strip() == said("Hello")
    assert (await last_stored(parley))[0].strip() == said("Hello")
