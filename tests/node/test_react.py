"""A real React page, written as README says, before the running product.

Some of it with functions that are processes of their own, as they are on Vercel.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import psycopg
import pytest

from lib.problems import AnswerInterrupted
from tests.node.sdk import Conditions, PageResult, PageStep, Transport, run_page, texts_of
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, headers_of, token_of
from tests.support.reading import reached, until_stored
from tests.support.runtime import RunningFunction, start_function

SLOW = Reply(pieces=tuple(f"word{number} " for number in range(20)), seconds_between=0.05)
WHOLE = "".join(SLOW.pieces)
OPEN: PageStep = {"do": "open"}
LEAVE: PageStep = {"do": "leave"}
STOP: PageStep = {"do": "stop"}
IN_THE_MIDDLE: PageStep = {"do": "wait", "length": 20}
TO_ITS_END: PageStep = {"do": "wait"}


each_transport = pytest.mark.parametrize("transport", ["default", "workflow"])


def send(text: str) -> PageStep:
    """Say something."""
    return {"do": "send", "text": text}


def resumes_of(page: PageResult) -> list[int | None]:
    """Return how the requests to resume were answered; None: they were given up."""
    requests = [each for each in page["requests"] if each["method"] == "GET"]
    return [each["status"] for each in requests if "/stream" in each["url"]]


async def play(
    parley: Parley,
    *steps: PageStep,
    transport: Transport = "default",
    conditions: Conditions | None = None,
) -> PageResult:
    """Play steps on a page, before the product in this process if nothing else is said."""
    return await asyncio.to_thread(
        run_page,
        parley.base_url,
        steps,
        chat_id=CHAT_ID,
        token=token_of("ann"),
        transport=transport,
        conditions=conditions,
    )


@dataclass(frozen=True, slots=True)
class Deployment:
    """The function that answers, the one that resumes and stops, and all others."""

    chat: RunningFunction
    stream: RunningFunction
    parley: Parley

    async def play(self, *steps: PageStep, transport: Transport = "default") -> PageResult:
        """Play steps on a page whose requests go where Vercel would lead them.

        Args:
            steps: what happens.
            transport: which of README's.
        """
        routes = [("/stream", self.stream.base_url), ("/api/chat", self.chat.base_url)]
        conditions: Conditions = {"routes": routes, "duration": 60}
        return await play(self.parley, *steps, transport=transport, conditions=conditions)


@pytest.fixture
async def deployment(environment: dict[str, str], parley: Parley) -> AsyncGenerator[Deployment]:
    """Return both functions in the real runtime, and the product around them."""
    starting = [
        asyncio.to_thread(start_function, entrypoint, environment)
        for entrypoint in ("api/chat.py", "api/chat/[id]/stream.py")
    ]
    chat, stream = await asyncio.gather(*starting)
    yield Deployment(chat, stream, parley)
    for function in (chat, stream):
        await asyncio.to_thread(function.stop)


async def test_a_page_reloaded_in_the_middle_of_an_answer_shows_all_of_it_once(
    deployment: Deployment, model: ScriptedModel
) -> None:
    model.replies = [Reply(pieces=SLOW.pieces, seconds_between=0.15)]

    page = await deployment.play(
        OPEN, TO_ITS_END, send("Hello!"), IN_THE_MIDDLE, LEAVE, OPEN, IN_THE_MIDDLE, TO_ITS_END
    )

    # Before the first message there is no conversation.
    assert page["steps"][1] == {"messages": [], "status": "ready", "error": None}
    assert resumes_of(page)[-1] == 200
    in_the_middle = page["steps"][6]["messages"][-1]
    assert len(texts_of([in_the_middle])[0]) < len(WHOLE)
    assert (page["status"], page["error"]) == ("ready", None)
    assert texts_of(page["messages"]) == ["Hello!", WHOLE]
    assert texts_of(page["messages"]) == await deployment.parley.said(user="ann")
    assert len(model.requests) == 1


async def test_a_page_whose_function_is_killed_says_so_and_keeps_what_was_said(
    deployment: Deployment, model: ScriptedModel, database: psycopg.Connection
) -> None:
    model.replies = [Reply(pieces=SLOW.pieces, hangs_after=6)]
    playing = asyncio.create_task(
        deployment.play(OPEN, TO_ITS_END, send("Hello!"), TO_ITS_END, transport="workflow")
    )
    # What has come since would be lost.
    await until_stored(database, SLOW.pieces[5])
    deployment.chat.kill()
    database.execute("UPDATE conversations SET turn_expires_at = now()")

    page = await playing

    assert page["status"] == "error"
    assert page["error"] is not None
    assert page["error"]["message"] == AnswerInterrupted().detail
    assert texts_of(page["messages"]) == ["Hello!", "".join(SLOW.pieces[:6])]
    assert texts_of(page["messages"]) == await deployment.parley.said(user="ann")
    assert len(resumes_of(page)) <= 4


@each_transport
async def test_a_stop_lets_the_next_message_be_answered_and_is_not_undone_by_a_reload(
    parley: Parley, model: ScriptedModel, transport: Transport
) -> None:
    model.replies = [SLOW, Reply(pieces=("Another", ".")), SLOW]

    page = await play(
        parley,
        *(OPEN, TO_ITS_END),
        *(send("Hello!"), IN_THE_MIDDLE, STOP, TO_ITS_END),
        *(send("Something else"), TO_ITS_END),
        *(send("Once more"), IN_THE_MIDDLE, STOP, LEAVE, OPEN, TO_ITS_END),
        transport=transport,
    )

    assert [step["error"] for step in page["steps"]] == [None] * len(page["steps"])
    posts = [each["status"] for each in page["requests"] if each["method"] == "POST"]
    assert posts == [200, 200, 200]
    assert model.left == 2
    assert resumes_of(page)[-1] == 204
    assert page["status"] == "ready"
    assert texts_of(page["messages"]) == await parley.said(user="ann")


@each_transport
async def test_a_page_reloaded_in_the_middle_shows_all_of_the_answer_with_either_transport(
    parley: Parley, model: ScriptedModel, transport: Transport
) -> None:
    model.replies = [SLOW]

    page = await play(
        parley,
        *(OPEN, TO_ITS_END, send("Hello!"), IN_THE_MIDDLE, LEAVE, OPEN, TO_ITS_END),
        transport=transport,
    )

    assert (page["status"], page["error"]) == ("ready", None)
    assert texts_of(page["messages"]) == ["Hello!", WHOLE]


@pytest.mark.parametrize("resume_delay", [0, 1200], ids=["running", "ended"])
async def test_a_page_that_comes_back_by_itself_shows_all_of_the_answer_once(
    parley: Parley, model: ScriptedModel, resume_delay: float
) -> None:
    model.replies = [SLOW]

    page = await play(
        parley,
        *(OPEN, TO_ITS_END, send("Hello!"), TO_ITS_END, send("And now?"), TO_ITS_END),
        transport="workflow",
        conditions={"cuts": [8] if resume_delay else [8, 3], "resumeDelay": resume_delay},
    )

    assert (page["status"], page["error"]) == ("ready", None)
    assert texts_of(page["messages"]) == ["Hello!", WHOLE, "And now?", "Hello, how are you?"]
    asked = [each["url"].rpartition("startIndex=")[2] for each in page["requests"]]
    assert [each for each in asked if each.isdigit()][-1] == ("8" if resume_delay else "11")
    assert len(model.requests) == 2


async def test_a_page_that_comes_back_too_late_for_the_rest_shows_that_it_is_not_there(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [SLOW]
    asked = asyncio.Event()
    model.on_request = asked.set
    conditions: Conditions = {"cuts": [8], "resumeDelay": 1500}
    playing = asyncio.create_task(
        play(
            parley,
            *(OPEN, TO_ITS_END, send("Hello!"), TO_ITS_END),
            transport="workflow",
            conditions=conditions,
        )
    )
    await reached(asked, playing)
    await asyncio.sleep(0.5)
    await parley.client.delete(f"/api/chat/{CHAT_ID}/stream", headers=headers_of("ann"))

    page = await playing

    assert page["status"] == "error"
    assert resumes_of(page)[-1] == 204
    shown, stored = texts_of(page["messages"]), await parley.said(user="ann")
    assert stored[1].startswith(shown[1])
