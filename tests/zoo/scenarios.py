"""The scenarios that each provider of the zoo is led through, each in a conversation of its own."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import psycopg

from tests.support.documents import PDF, sent_file
from tests.support.left_behind import leave_behind
from tests.support.product import Parley, headers_of, parts_of
from tests.support.reading import Reading, path_of, resuming, sending, until_stored
from tests.zoo.asked import said, stored
from tests.zoo.server import Server
from tests.zoo.streams import PAGE

USER = "ann"
# What each model of the zoo thinks before it answers.
THOUGHT = re.compile(r"Hmm, .+, let me see\.", re.DOTALL)
NOT_MEANT = "-"
# Any answer will do.
ANYTHING = "anything"
PIXEL = {
    "type": "file",
    "mediaType": "image/gif",
    "url": "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==",
}
NOTES = sent_file("notes.md", b"# Plums")
REPORT = sent_file("report.pdf", PDF, "application/pdf")
LONG_TURNS = 8
LONG_CHARS = 400


@dataclass(slots=True)
class Visit:
    """One scenario with one provider.

    Attributes:
        server: the provider.
        parley: the product.
        database: the product's database.
        chat_id: the scenario's conversation.
        user: None: nobody in particular.
        number: of the last message.
    """

    server: Server
    parley: Parley
    database: psycopg.Connection
    chat_id: str
    user: str | None = USER
    number: int = 0

    async def send(
        self, text: str, *files: dict[str, str], message_id: str | None = None, **body: Any
    ) -> httpx2.Response:
        """Send a new message as `useChat` does, or an earlier one again by its id."""
        if message_id is None:
            self.number += 1
        parts = [{"type": "text", "text": text}, *files]
        message = {"id": message_id or self.message_id, "role": "user", "parts": parts}
        content = {"id": self.chat_id, "messages": [message], "trigger": "submit-message"} | body
        return await self.parley.client.post(
            "/api/chat", json=content, headers=headers_of(self.user)
        )

    @property
    def message_id(self) -> str:
        """Id of the last message."""
        return f"message-{self.number}"

    async def say(self, text: str, expected: str | None = None, **body: Any) -> None:
        """Send a message, which must be answered, and the answer stored as it was streamed.

        Args:
            text: of the message.
            expected: text of the answer; None: what the model says to a plain question.
            body: see `send`.
        """
        response = await self.send(text, **body)
        if response.status_code != 200:
            raise AssertionError(f"{text[:20]!r}: {response.status_code} {response.text}")
        streamed = shown_in_stream(response)
        if expected != ANYTHING:
            expect("the answer", words_of(streamed), expected or said(text))
        answer = (await self.history())[-1]
        expect("history", shown_in_history(answer), streamed)
        thoughts = [thought for kind, thought in streamed if kind == "reasoning"]
        expect("a thought is shown", bool(thoughts), self.server.provider.thinks)
        expect("no thought", [each for each in thoughts if not THOUGHT.fullmatch(each)], [])
        sources = [PAGE] if self.server.provider.cites else []
        expect("sources", [url for kind, url in streamed if kind == "source-url"], sources)
        expect("the finish reason", answer["metadata"]["finish_reason"], "stop")

    async def add_task(self, title: str, **body: Any) -> None:
        """Have the model add a task, and look whether it is there once."""
        question, has_tools = f"Add {title} 😀", self.server.provider.has_tools
        # Without tools, the result of a forced one can only be told in words.
        expected = stored(question) if has_tools else ANYTHING if body else None
        await self.say(question, expected, **body)
        expect("tasks", self.tasks(f"{title} 😀"), int(has_tools or "tool_choice" in body))

    async def refused(self, text: str, code: str, *files: dict[str, str]) -> None:
        """Send a message, which must be refused with a problem of this code."""
        response = await self.send(text, *files)
        if response.status_code == 200:
            raise AssertionError(f"{text!r} was answered, not refused with {code}")
        expect(f"the problem of {text!r}", response.json()["code"], code)

    def tasks(self, title: str) -> int:
        """Return how many tasks have a title."""
        statement = "SELECT count(*) FROM tasks WHERE title = %s"
        row = self.database.execute(statement, [title]).fetchone()
        return row[0] if row else 0

    async def history(self) -> list[dict[str, Any]]:
        """Return the conversation's messages."""
        return (await self.parley.history(self.chat_id, user=self.user))["messages"]

    async def begin_to_count(self, word: str) -> Reading:
        """Ask for a slow answer, and wait until it has said a word, behind which it waits."""
        self.number += 1
        reading = sending(
            self.parley.client,
            f"Count {word}",
            chat_id=self.chat_id,
            message_id=self.message_id,
            user=self.user,
        )
        await reading.has(word)
        return reading


def expect(name: str, found: object, expected: object) -> None:
    """Compare two values.

    Raises:
        AssertionError: they are not equal; it names both, for the table.
    """
    if found != expected:
        raise AssertionError(f"{name}: {found!r}, not {expected!r}")


def shown_in_stream(response: httpx2.Response) -> list[tuple[str, Any]]:
    """Return the texts, thoughts, tool outputs and sources of a stream, in their order."""
    shown: dict[str, tuple[str, Any]] = {}
    names: dict[str, str] = {}
    step = 0
    for number, part in enumerate(parts_of(response)):
        match part["type"]:
            case "start-step":
                step = number
            case "text-delta" | "reasoning-delta":
                key = f"{step}-{part['id']}"
                kind = part["type"].removesuffix("-delta")
                shown[key] = (kind, shown.get(key, ("", ""))[1] + part["delta"])
            case "tool-input-available":
                names[part["toolCallId"]] = part["toolName"]
            case "tool-output-available":
                call = f"call-{part['toolCallId']}"
                shown[call] = (f"tool-{names[part['toolCallId']]}", part["output"])
            case "source-url":
                shown[part["sourceId"]] = ("source-url", part["url"])
            case "error":
                raise AssertionError(part["errorText"])
            case _:
                pass
    return [*shown.values()]


def shown_in_history(message: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the texts, thoughts, tool outputs and sources of a message, in their order."""
    return [
        (part["type"], part.get("text", part.get("output", part.get("url"))))
        for part in message["parts"]
        if part["type"] in {"text", "reasoning", "source-url"} or part["type"].startswith("tool-")
    ]


def words_of(shown: list[tuple[str, Any]]) -> str:
    """Return the texts alone."""
    return "".join(content for kind, content in shown if kind == "text").strip()


async def plain(visit: Visit) -> None:
    """Answer somebody without a token, and name the conversation only after the answer began."""
    visit.user = None
    await visit.say("Hello")
    if visit.server.provider.is_serial:
        expect(
            "the first request is for a title", visit.server.requests[0].is_title, expected=False
        )


async def tool(visit: Visit) -> None:
    """Add one task."""
    await visit.add_task("milk")


async def later_turns(visit: Visit) -> None:
    """Go on for two turns after a call, and bring back all that must come back."""
    await visit.add_task("bread")
    await visit.say("Thank you")
    await visit.say("And now?")
    expect("missed", visit.server.missed[:2], [])


async def forced_tool(visit: Visit) -> None:
    """Run a tool that the page has chosen."""
    await visit.add_task("eggs", tool_choice="add_task")
    await visit.say("Thank you")


async def edit(visit: Visit) -> None:
    """Answer an edited question instead of the one that stood there."""
    await visit.add_task("rice")
    await visit.say("two")
    await visit.say("TWO", message_id=visit.message_id, messageId=visit.message_id)
    texts = [message["content"].strip() for message in await visit.history()]
    expect("history", texts[2:], ["TWO", said("TWO")])


async def regenerate(visit: Visit) -> None:
    """Answer the same question again, by another message."""
    await visit.add_task("salt")
    await visit.say("two")
    before = [message["id"] for message in await visit.history()]
    await visit.say("two", message_id=visit.message_id, trigger="regenerate-message")
    after = [message["id"] for message in await visit.history()]
    expect("messages before the answer", after[:-1], before[:-1])
    expect("the answer is another one", after[-1] != before[-1], expected=True)


async def stop(visit: Visit) -> None:
    """Keep an answer as far as it came when it was stopped, and go on."""
    await visit.add_task("tea")
    reading = await visit.begin_to_count("plums")
    path = path_of(visit.chat_id)
    stopped = await visit.parley.client.delete(path, headers=headers_of(visit.user))
    expect("the status of the stop", stopped.status_code, 204)
    expect("the last part", parts_of(await reading.end())[-1]["type"], "abort")
    answer = (await visit.history())[-1]
    expect("the answer", words_of(shown_in_history(answer)), "One, plums,")
    expect("the finish reason", answer["metadata"]["finish_reason"], "aborted")
    await visit.say("And now?")
    await visit.add_task("coffee")


async def kill(visit: Visit) -> None:
    """Keep an answer as far as it came when its function was killed, and go on."""
    await visit.add_task("figs")
    reading = await visit.begin_to_count("pears")
    await until_stored(visit.database, "pears")
    leave_behind(visit.database)
    await visit.say("And now?")
    await reading.leave()
    answer = (await visit.history())[3]
    expect("the answer", words_of(shown_in_history(answer)), "One, pears,")
    expect("the finish reason", answer["metadata"]["finish_reason"], "interrupted")
    await visit.add_task("dates")


async def resume(visit: Visit) -> None:
    """Send a page that comes back the same stream as the page that stayed."""
    await visit.add_task("nuts")
    first = await visit.begin_to_count("limes")
    second = resuming(visit.parley.client, chat_id=visit.chat_id, user=visit.user)
    await second.has("limes")
    visit.server.go.set()
    whole = await first.end()
    expect("the second stream", (await second.end()).text, whole.text)
    streamed = shown_in_stream(whole)
    expect("the answer", words_of(streamed), "One, limes, three 😀")
    expect("history", shown_in_history((await visit.history())[-1]), streamed)


async def picture(visit: Visit) -> None:
    """Answer a question with a picture, or say why not; then go on."""
    if visit.server.provider.reads_images:
        response = await visit.send("Look", PIXEL)
        expect("the answer", words_of(shown_in_stream(response)), said("Look"))
    else:
        await visit.refused("Look", "file_refused", PIXEL)
    await visit.say("Hello")


async def documents(visit: Visit) -> None:
    """Tell a text to any model, answer a question with a PDF, or say why not; then go on."""
    response = await visit.send("Look", NOTES)
    expect("the text", "# Plums" in words_of(shown_in_stream(response)), expected=True)
    if visit.server.provider.reads_documents:
        response = await visit.send("Read this", REPORT)
        expect("the answer", words_of(shown_in_stream(response)), said("Read this"))
    else:
        await visit.refused("Read this", "file_refused", REPORT)
    await visit.say("Hello")


async def drawing(visit: Visit) -> str:
    """Show a picture that the model draws, and go on."""
    if not visit.server.provider.draws:
        return NOT_MEANT
    response = await visit.send("Draw a cat")
    files = [part for part in parts_of(response) if part["type"] == "file"]
    expect("pictures", [part["mediaType"] for part in files], ["image/png"])
    answer = (await visit.history())[-1]
    expect("history", [part for part in answer["parts"] if part["type"] == "file"], files)
    await visit.say("Thank you")
    await visit.add_task("paint")
    return ""


async def withheld(visit: Visit) -> str:
    """Say that a question was withheld, and go on."""
    if not visit.server.provider.filters:
        return NOT_MEANT
    await visit.refused("Something forbidden", "answer_withheld")
    await visit.say("Sorry. Hello?")
    return ""


async def long(visit: Visit) -> None:
    """Go on beyond the window, and beyond the context of a small model."""
    await visit.add_task("honey")
    for number in range(LONG_TURNS):
        question = f"{number}".ljust(LONG_CHARS, ".")
        response = await visit.send(question)
        expect(f"the status of question {number}", response.status_code, 200)
        expect(f"answer {number}", words_of(shown_in_stream(response)), said(question))


async def other_before(visit: Visit) -> None:
    """Go on with a conversation that another model began at another base URL."""
    await visit.say("And now?")
    await visit.add_task("flour")
    await visit.say("Thank you")


async def other_after(visit: Visit) -> None:
    """Leave a conversation to another model, without the state of this one."""
    await visit.say("What now?")
    await visit.add_task("sugar")


async def nothing_refused_again(visit: Visit) -> None:
    """Ask nothing again that the provider has refused in this process, and miss nothing."""
    known = len(visit.server.faults)
    await visit.add_task("corn")
    await visit.add_task("beans", tool_choice="add_task")
    await visit.say("Thank you")
    expect("refused again", visit.server.faults[known:][:2], [])
    expect("missed", visit.server.missed[:2], [])


type Scenario = Callable[[Visit], Awaitable[str | None]]

# `visits.py` runs those that need another model before or after.
SCENARIOS: dict[str, Scenario] = {
    "plain turn": plain,
    "tool turn": tool,
    "two turns after it": later_turns,
    "forced tool": forced_tool,
    "edit": edit,
    "regenerate": regenerate,
    "stop": stop,
    "kill and recovery": kill,
    "resume": resume,
    "picture, then Hello": picture,
    "text and PDF, then Hello": documents,
    "picture of the model's": drawing,
    "withheld question": withheld,
    "8 long questions": long,
    "after another model": other_before,
    "refused once only": nothing_refused_again,
    "before another model": other_after,
}
BEFORE_ANOTHER, AFTER_ANOTHER = "before another model", "after another model"


async def try_scenario(scenario: Scenario, visit: Visit, limit_seconds: float) -> str:
    """Return "ok", or why a scenario fails, with the provider's last refusal if there was one."""
    server = visit.server
    server.go = asyncio.Event()
    known = len(server.faults)
    try:
        async with asyncio.timeout(limit_seconds):
            return await scenario(visit) or "ok"
    except TimeoutError:
        why = f"took more than {limit_seconds} s"
    except AssertionError as error:
        why = str(error).partition("\n")[0]
    except Exception as error:  # noqa: BLE001 (each failure is a cell of the table)
        why = repr(error)
    finally:
        server.go.set()
    why = f"{why} ({server.faults[-1]})" if len(server.faults) > known else why
    # Half a character, if the product lets it through, could not be printed.
    return why.encode(errors="backslashreplace").decode()
