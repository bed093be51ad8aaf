"""Resuming an answer: one that runs, from its first part, or one that has just ended."""

import asyncio

import httpx2
import psycopg
import pytest

import lib.answers.follow
from lib.answers.answer import running_answers
from tests.support.model_server import Called, Reply, ScriptedModel, calling
from tests.support.product import CHAT_ID, Parley, headers_of, parts_of, problem_of, text_of
from tests.support.reading import events_of, path_of, resuming, sending, until, until_stored

PIECES = tuple(f"word{number} " for number in range(6))
WHOLE = "".join(PIECES)
MILK = Called("add_task", {"title": "Buy milk"}, "call_milk")


@pytest.fixture
def go(model: ScriptedModel) -> asyncio.Event:
    """Return an event; the model is silent after three words until it is set."""
    event = asyncio.Event()
    model.default = Reply(pieces=PIECES, until=event, pauses_after=3)
    return event


@pytest.mark.usefixtures("anywhere")
async def test_a_running_answer_is_sent_byte_for_byte_from_its_first_part(
    parley: Parley, model: ScriptedModel, go: asyncio.Event
) -> None:
    model.title_reply = Reply(pieces=("A title",))
    model.replies = [calling(MILK, text="Let me see. ")]
    first = sending(parley.client, user="ann")
    await first.has("word2")

    second = resuming(parley.client, user="ann")
    await second.has("word2")
    go.set()

    whole = await first.end()
    assert (await second.end()).text == whole.text
    types = [part["type"] for part in parts_of(whole)]
    assert {"tool-output-available", "data-conversation", "finish"} <= {*types}
    assert text_of(whole) == "Let me see. " + WHOLE


@pytest.mark.usefixtures("anywhere")
async def test_all_readers_of_a_running_answer_get_the_same_stream(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection, go: asyncio.Event
) -> None:
    first = sending(parley.client)
    await first.has("word2")
    early = [resuming(parley.client) for _ in range(5)]
    await until_stored(database, "word2")
    late = [resuming(parley.client) for _ in range(5)]
    for reader in (*early, *late):
        await reader.has("word2")

    go.set()

    whole = (await first.end()).text
    assert [(await reader.end()).text for reader in (*early, *late)] == [whole] * 10
    assert len(model.requests) == 1


@pytest.mark.usefixtures("anywhere")
async def test_a_reader_that_leaves_and_comes_back_gets_the_whole_answer(
    parley: Parley, model: ScriptedModel, go: asyncio.Event
) -> None:
    first = sending(parley.client)
    await first.has("word2")
    await first.leave()
    second = resuming(parley.client)
    await second.has("word2")
    await second.leave()

    third = resuming(parley.client)
    await third.has("word2")
    go.set()

    assert text_of(await third.end()) == WHOLE
    assert model.left == 0


async def test_an_answer_requested_as_json_can_be_read_as_a_stream(
    parley: Parley, go: asyncio.Event
) -> None:
    first = asyncio.create_task(parley.say("Hello!", conversation_id=CHAT_ID))
    await until(lambda: bool(running_answers))
    second = resuming(parley.client)
    await second.has("word2")

    go.set()

    assert text_of(await second.end()) == (await first).json()["message"]["content"]


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("start", [0, 4, 6])
async def test_a_running_answer_is_read_from_the_start_index(
    parley: Parley, go: asyncio.Event, start: int
) -> None:
    first = sending(parley.client)
    await first.has("word2")

    second = resuming(parley.client, f"?startIndex={start}")
    await second.begins()
    go.set()

    whole = events_of((await first.end()).text)
    assert events_of((await second.end()).text) == whole[start:]


@pytest.mark.usefixtures("anywhere")
async def test_a_negative_start_index_gets_the_number_of_the_last_part(
    parley: Parley, database: psycopg.Connection, go: asyncio.Event
) -> None:
    first = sending(parley.client)
    await first.has("word2")
    await until_stored(database, "word2")

    second = resuming(parley.client, "?startIndex=-2")
    await second.has("word2")
    go.set()

    response = await second.end()
    assert events_of(response.text) == events_of((await first.end()).text)[4:]
    assert response.headers["x-workflow-stream-tail-index"] == "5"


@pytest.mark.usefixtures("anywhere")
# The number of `[DONE]`, which ends the stream, and one beyond it.
@pytest.mark.parametrize("start", [12, 1000])
async def test_a_reader_past_the_last_part_gets_the_finish_part(
    parley: Parley, go: asyncio.Event, start: int
) -> None:
    first = sending(parley.client)
    await first.has("word2")

    second = resuming(parley.client, f"?startIndex={start}")
    await second.begins()
    go.set()

    assert [part["type"] for part in parts_of(await second.end())] == ["finish"]


async def test_an_answer_that_has_just_ended_is_sent_whole(
    parley: Parley, database: psycopg.Connection
) -> None:
    whole = await parley.send("Hello!")

    response = await parley.get(path_of())

    assert response.text == whole.text
    assert response.headers["x-workflow-run-id"] == whole.headers["x-conversation-id"]
    database.execute("UPDATE finished_streams SET ended_at = ended_at - interval '50 seconds'")
    assert (await parley.get(path_of())).text == whole.text
    database.execute("UPDATE finished_streams SET ended_at = ended_at - interval '11 seconds'")
    assert (await parley.get(path_of())).status_code == 204


@pytest.mark.parametrize(("start", "expected"), [(0, 0), (3, 3), (-1, 9), (-3, 7), (-100, 0)])
async def test_an_answer_that_has_ended_is_read_from_the_start_index(
    parley: Parley, start: int, expected: int
) -> None:
    whole = events_of((await parley.send("Hello!")).text)
    assert len(whole) == 11

    response = await parley.get(path_of(), startIndex=start)

    assert events_of(response.text) == whole[expected:]
    if start < 0:
        assert response.headers["x-workflow-stream-tail-index"] == "9"


@pytest.mark.parametrize("start", [10, 11, 1000])
async def test_a_start_index_past_the_end_of_an_ended_answer_is_a_204(
    parley: Parley, start: int
) -> None:
    await parley.send("Hello!")

    response = await parley.get(path_of(), startIndex=start)

    assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize("start", ["one", "1.5", "", str(2**31)])
async def test_a_start_index_that_is_no_integer_is_refused(parley: Parley, start: str) -> None:
    await parley.send("Hello!")

    problem = problem_of(await parley.get(path_of(), startIndex=start), 422, "invalid_request")

    assert [each["field"] for each in problem["errors"]] == ["startIndex"]


async def test_resuming_an_answer_that_failed_midway_sends_its_error(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(cuts_after=2)]
    whole = await parley.send("Hello!")

    response = await parley.get(path_of())

    assert response.text == whole.text
    assert parts_of(response)[-1]["type"] == "error"


async def test_a_replaced_answer_cannot_be_resumed(parley: Parley, model: ScriptedModel) -> None:
    await parley.send("Hello!")
    model.replies = [Reply(status=500)]
    # An edit, which replaces the question and its answer.
    await parley.send("Good evening!")

    assert (await parley.get(path_of())).status_code == 204


async def test_resuming_without_an_answer_is_a_204(parley: Parley, model: ScriptedModel) -> None:
    response = await parley.get(path_of())
    assert (response.status_code, response.content) == (204, b"")
    assert (await parley.get(path_of("short"))).status_code == 204
    assert (await parley.get(path_of("never heard of"), user="ann")).status_code == 204
    assert (await parley.get("/api/chat/%00aaaaaaaaaaaaaaaa/stream")).status_code == 204
    assert (await parley.get(path_of("x" * 300))).status_code == 204

    model.replies = [Reply(status=500)]
    await parley.send("Hello!")
    assert (await parley.get(path_of())).status_code == 204


@pytest.mark.usefixtures("anywhere")
async def test_resuming_the_answer_of_another_user_is_a_204(
    parley: Parley, go: asyncio.Event
) -> None:
    first = sending(parley.client, user="ann")
    await first.has("word2")
    history = await parley.history(user="ann")
    path = path_of(history["conversation"]["id"])

    async def statuses() -> list[int]:
        return [(await parley.get(path, user=user)).status_code for user in ("bob", None)]

    assert await statuses() == [204, 204]
    go.set()
    await first.end()
    assert await statuses() == [204, 204]
    assert (await parley.get(path, user="ann")).status_code == 200


@pytest.mark.usefixtures("anywhere")
async def test_a_reader_gets_an_error_when_the_conversation_is_deleted(
    parley: Parley, model: ScriptedModel, go: asyncio.Event
) -> None:
    first = sending(parley.client, user="ann")
    await first.has("word2")
    second = resuming(parley.client, user="ann")
    await second.has("word2")
    id_ = (await parley.history(user="ann"))["conversation"]["id"]

    deleted = await parley.client.delete(
        "/api/conversations", params={"id": id_}, headers=headers_of("ann")
    )

    assert deleted.status_code == 204
    for reader in (first, second):
        end = parts_of(await reader.end())[-1]
        assert (end["type"], "deleted" in end["errorText"]) == ("error", True)
    assert not go.is_set()
    await until(lambda: model.left == 1)
    assert (await parley.get(path_of(), user="ann")).status_code == 204


async def test_the_path_names_the_conversation_even_if_the_query_has_an_id(parley: Parley) -> None:
    await parley.send("Hello!")

    assert text_of(await parley.get(path_of(), id="x" * 16)) == "Hello, how are you?"
    assert (await parley.get(path_of("x" * 16), id=CHAT_ID)).status_code == 204


@pytest.mark.parametrize(
    "chat_id", ["a/b c?d=e&f#g %41 +", "日本語のチャット番号 / ß ü", "../../../api/chat/1"]
)
async def test_a_chat_id_may_have_any_characters(parley: Parley, chat_id: str) -> None:
    await parley.send("Hello!", chat_id=chat_id, user="ann")

    response = await parley.get(path_of(chat_id), user="ann")

    assert text_of(response) == "Hello, how are you?"


async def test_an_answer_in_an_archived_conversation_can_be_resumed(
    parley: Parley, go: asyncio.Event
) -> None:
    first = sending(parley.client, user="ann")
    await first.has("word2")
    id_ = (await parley.history(user="ann"))["conversation"]["id"]
    archived: httpx2.Response = await parley.client.patch(
        "/api/conversations",
        params={"id": id_},
        json={"status": "archived"},
        headers=headers_of("ann"),
    )
    assert archived.status_code == 200
    second = resuming(parley.client, user="ann")
    await second.has("word2")

    go.set()

    assert (await second.end()).text == (await first.end()).text
    assert text_of(await parley.get(path_of(), user="ann")) == WHOLE


@pytest.mark.usefixtures("elsewhere")
async def test_a_follower_finds_the_end_of_its_answer_after_the_next_answer(
    parley: Parley, monkeypatch: pytest.MonkeyPatch, go: asyncio.Event
) -> None:
    for pause in ("SHORTEST_PAUSE_SECONDS", "LONGEST_PAUSE_SECONDS"):
        monkeypatch.setattr(lib.answers.follow, pause, 1.5)
    first = sending(parley.client)
    await first.has("word2")
    second = resuming(parley.client)
    await second.has("word2")

    go.set()
    whole = await first.end()
    await parley.send("And now?", message_id="message-2")

    assert (await second.end()).text == whole.text


async def test_only_the_last_answer_can_be_resumed(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    await parley.send("Hello!")
    second = await parley.send("And now?", message_id="message-2")
    assert (await parley.get(path_of())).text == second.text

    model.replies = [Reply(hangs_after=1)]
    third = sending(parley.client, "Go on", message_id="message-3")
    await third.has("Hello")
    await parley.client.delete(path_of())

    assert (await parley.get(path_of())).status_code == 204
    assert database.execute("SELECT count(*) FROM finished_streams").fetchone() == (3,)
    database.execute("UPDATE finished_streams SET ended_at = ended_at - interval '61 seconds'")
    await parley.send("And then?", message_id="message-4")
    assert database.execute("SELECT count(*) FROM finished_streams").fetchone() == (1,)
