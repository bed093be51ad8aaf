"""`WorkflowChatTransport` of @ai-sdk/workflow, which comes back by itself for the missing parts."""

import asyncio
from urllib.parse import parse_qs, urlsplit

from tests.node.sdk import RecordedRequest, WorkflowCall, WorkflowResult, run_workflow
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, sdk_body
from tests.support.reading import reached

SLOW = Reply(pieces=tuple(f"word{number} " for number in range(20)), seconds_between=0.05)
WHOLE = "".join(SLOW.pieces)
# start, start-step, text-start, 20 deltas, text-end, finish-step, finish
PARTS = 26
SEND: WorkflowCall = {"do": "send", "text": "Hello!"}


async def call(parley: Parley, *calls: WorkflowCall, cuts: tuple[int, ...] = ()) -> WorkflowResult:
    """Call the transport."""
    return await asyncio.to_thread(run_workflow, parley.base_url, calls, chat_id=CHAT_ID, cuts=cuts)


def reconnect(start_index: int) -> WorkflowCall:
    """Come back for the parts from a certain one on."""
    return {"do": "reconnect", "startIndex": start_index}


def start_indexes(result: WorkflowResult) -> list[int]:
    """Return from which parts on it was asked for more."""
    return [int(parse_qs(urlsplit(each["url"]).query)["startIndex"][0]) for each in _gets(result)]


def statuses(result: WorkflowResult) -> list[int | None]:
    """Return how that was answered."""
    return [each["status"] for each in _gets(result)]


def _gets(result: WorkflowResult) -> list[RecordedRequest]:
    return [each for each in result["requests"] if each["method"] == "GET"]


async def test_a_broken_stream_is_completed_from_the_part_on_that_is_missing(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [SLOW]

    result = await call(parley, SEND, cuts=(8, 0, 5))

    [read] = result["calls"]
    assert (read["text"], read["error"]) == (WHOLE, None)
    assert len(read["types"]) == PARTS
    assert start_indexes(result) == [8, 8, 13]
    history = await parley.history()
    run_id = (result["requests"][0]["responseHeaders"] or {})["x-workflow-run-id"]
    assert run_id == history["conversation"]["id"]
    assert all(f"/api/chat/{run_id}/stream" in each["url"] for each in _gets(result))


async def test_an_answer_that_ended_is_completed_too(parley: Parley, model: ScriptedModel) -> None:
    model.replies = [SLOW]
    await parley.send("Hello!")

    result = await call(parley, reconnect(8), reconnect(PARTS - 1), reconnect(PARTS))

    rest, last, nothing = result["calls"]
    assert WHOLE.endswith(rest["text"])
    # It begins the text again, whose beginning it has not seen this time.
    assert (rest["types"][0], len(rest["types"])) == ("text-start", 1 + PARTS - 8)
    assert rest["error"] is None
    assert (last["types"], last["error"]) == (["finish"], None)
    assert nothing["types"] == []
    assert nothing["error"] is not None
    assert statuses(result) == [200, 200, 204]


async def test_parts_counted_from_the_end_go_on_after_a_cut_where_they_were(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(pieces=SLOW.pieces, seconds_between=0.1)]
    came, calling = "", None
    async with parley.client.stream("POST", "/api/chat", json=sdk_body("Hello!")) as answering:
        async for text in answering.aiter_text():
            came += text
            if calling is None and came.count("\n\n") >= 6:
                calls = call(parley, reconnect(-2), reconnect(-PARTS), cuts=(1,))
                calling = asyncio.create_task(calls)
    assert calling is not None
    result = await calling

    # Without the beginning of its text, the transport drops that.
    tail, whole = result["calls"]
    assert (tail["text"], tail["error"]) == ("", None)
    assert tail["types"][-1] == "finish"
    assert (whole["text"], whole["error"]) == (WHOLE, None)
    first, second, _ = _gets(result)
    tail_index = int((first["responseHeaders"] or {})["x-workflow-stream-tail-index"])
    assert 5 <= tail_index < PARTS
    assert start_indexes(result) == [-2, tail_index + 1 - 2 + 1, -PARTS]
    assert "x-workflow-stream-tail-index" not in (second["responseHeaders"] or {})


async def test_it_does_not_ask_for_ever_for_an_answer_that_was_stopped(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [SLOW]
    asked = asyncio.Event()
    model.on_request = asked.set
    reading = asyncio.create_task(call(parley, SEND))
    await reached(asked, reading)
    await asyncio.sleep(0.3)

    await parley.client.delete(f"/api/chat/{CHAT_ID}/stream")

    result = await reading
    assert result["calls"][0]["types"][-1] == "abort"
    assert statuses(result) == [204]


async def test_it_does_not_ask_for_ever_for_an_answer_that_failed(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [Reply(pieces=("Half an", "answer"), cuts_after=1)]

    result = await call(parley, SEND)

    assert result["calls"][0]["types"][-1] == "error"
    assert statuses(result) == [204]


async def test_it_does_not_ask_for_ever_for_parts_past_the_end(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [SLOW]
    answering = asyncio.create_task(parley.send("Hello!"))
    await asyncio.sleep(0.2)

    result = await call(parley, reconnect(1000), reconnect(2_000_000_000))

    # While it runs, there may be such a part yet; then it is told that the answer has ended. On a
    # slow machine it has ended before.
    early, late = result["calls"]
    assert (early["types"], late["types"]) in ((["finish"], []), ([], []))
    assert (early["error"] is None) == bool(early["types"])
    assert late["error"] is not None
    assert statuses(result) == [200 if early["types"] else 204, 204]
    await answering
