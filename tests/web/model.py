"""The scripted model of the browser tests: the words of a question say how it is answered."""

import asyncio
from collections import Counter, defaultdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.support.images import data_url, png
from tests.support.model_server import Called, Reply, ScriptedModel, calling, chunk

HALVES = ("This is the first half,", " and this is the second half.")
LINES = tuple(f"Line {number} of a long answer.\n" for number in range(1, 81))
THOUGHTFUL = [
    chunk({"reasoning_content": "First, let me "}),
    chunk({"reasoning_content": "think about it."}),
    chunk({"content": "It is so."}),
    chunk({}, "stop"),
]
NESTED = ("> " * 4000, "the end")
TASK = "Remember to "
TEXT = "Write "
PAUSE = "⏸"
PIECE_LENGTH = 7
PICTURE = {"type": "image_url", "image_url": {"url": data_url("image/png", png(40, 30))}}
DRAWING = Reply(
    chunks=[
        chunk({"role": "assistant", "content": "", "images": [PICTURE]}),
        chunk({"content": "Here it is."}),
        chunk({}, "stop"),
    ]
)


class AskedModel:
    """An ASGI app that plays the provider, and lets a test steer it.

    What a question holds decides:

        in two halves      the second half comes when the question is released
        in silence         nothing is said until the question is released
        at length          80 lines; after the 40th when the question is released
        with thought       two pieces of a thought; the answer when the question is released
        while it is down   fails with 503 until the question is released
        while Thorough is  fails with 503 where the model is "thorough"
        in nested quotes   4,000 of them, and "the end"
        breaks off         the connection is cut in the middle, the first time
        Remember to …      a call of add_task, where tools are offered
        draw …             a picture, and a text after it
        Write …            the question after its first paragraph; at a ⏸ the model waits until
                           the question is released
        all else           "You said: …", and when asked again "You said again: …"

    `POST /release` with the question as its body releases it.
    """

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self._provider = ScriptedModel()
        self._provider.choose = self._choose
        self._asked: Counter[str] = Counter()
        self._released: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"] == "/release":
            question = (await Request(scope, receive).body()).decode()
            self._released[question].set()
            await Response(status_code=204)(scope, receive, send)
            return
        await self._provider(scope, receive, send)

    def _choose(self, body: dict[str, Any]) -> Reply:
        question = _last_question(body["messages"])
        self._asked[question] += 1
        is_first = self._asked[question] == 1
        if "while Thorough is" in question and body["model"] == "thorough":
            return Reply(status=503)
        if scripted := self._scripted(question, is_first=is_first):
            return scripted
        if question.startswith(TEXT):
            return _writing(question.partition("\n\n")[2], self._released[question])
        if question.startswith(TASK) and body.get("tools"):
            return _note(question.removeprefix(TASK), body["messages"][-1]["role"])
        said = "You said" if is_first else "You said again"
        return Reply(pieces=(f"{said}:", *(f" {word}" for word in question.split())))

    def _scripted(self, question: str, *, is_first: bool) -> Reply | None:
        until = self._released[question]
        scripts = {
            "in two halves": Reply(pieces=HALVES, until=until, pauses_after=1),
            "in silence": Reply(pieces=("You said nothing.",), until=until),
            "at length": Reply(pieces=LINES, until=until, pauses_after=40),
            "with thought": Reply(chunks=THOUGHTFUL, until=until, pauses_after=2),
            "draw": DRAWING,
            "in nested quotes": Reply(pieces=NESTED),
            "while it is down": None if until.is_set() else Reply(status=503),
            "breaks off": Reply(pieces=HALVES, cuts_after=1) if is_first else None,
        }
        return next((reply for words, reply in scripts.items() if words in question), None)


def _writing(text: str, until: asyncio.Event) -> Reply:
    before, pause, after = text.partition(PAUSE)
    pieces = _pieces(before)
    if not pause:
        return Reply(pieces=pieces)
    return Reply(pieces=(*pieces, *_pieces(after)), until=until, pauses_after=len(pieces))


def _pieces(text: str) -> tuple[str, ...]:
    """Return a text in pieces that begin and end in the middle of its Markdown."""
    return tuple(text[at : at + PIECE_LENGTH] for at in range(0, len(text), PIECE_LENGTH))


def _note(title: str, last_role: str) -> Reply:
    if last_role == "tool":
        return Reply(pieces=("I have", " noted it."))
    return calling(Called("add_task", {"title": title}))


def _last_question(messages: list[dict[str, Any]]) -> str:
    content = next(each["content"] for each in reversed(messages) if each["role"] == "user")
    if isinstance(content, str):
        return content
    # A picture and a PDF are told by their kinds.
    return " ".join(part.get("text", part["type"]) for part in content)
