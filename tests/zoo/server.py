"""The server of a provider of the zoo: an ASGI app that refuses and streams as its row says."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from tests.support.model_server import encoded
from tests.support.serving import answer_while_present
from tests.zoo.asked import ADD, Answer, Asked, answer_to
from tests.zoo.refusals import Form, Judge, Refusal, openai_form
from tests.zoo.responses import response_events
from tests.zoo.streams import Event, Pause, Shape, chat_events

HEARTBEAT_SECONDS = 0.2
EVENT_STREAM = [(b"content-type", b"text/event-stream")]
NO_SUCH_PATH = Refusal(message="Not Found", status=404, type=None)

# Returns the state that a request should have brought back, and has not; None: it brings all.
type Miss = Callable[[Asked], str | None]


def call_id_of(title: str) -> str:
    """Return the id of a call as OpenAI makes them."""
    return f"call_{hashlib.sha256(title.encode()).hexdigest()[:24]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider.

    Attributes:
        name: in the table.
        refusals: why it refuses requests, in the order in which it looks.
        streams: how its stream differs from OpenAI's.
        misses: the state that it should get back, though it refuses nothing without it.
        form: the form of its errors.
        call_id: makes the id of a call by the task's title.
        has_tools: the model may call tools.
        reads_images: the model reads images.
        cites: each text cites a page.
        reads_documents: it reads PDF documents.
        draws: it draws pictures.
        thinks: it shows what it thinks before each answer.
        filters: a question with a forbidden word is withheld.
        is_serial: it answers one request at a time.
        load_seconds: silence before the first byte of its first answer.
        is_chat: it speaks Chat Completions; otherwise Responses.
        query: the query string of its base URL.
        variables: the operator's, beside the usual ones.
    """

    name: str
    refusals: tuple[Judge, ...] = ()
    streams: tuple[Shape, ...] = ()
    misses: tuple[Miss, ...] = ()
    form: Form = openai_form
    call_id: Callable[[str], str] = call_id_of
    has_tools: bool = True
    reads_images: bool = True
    cites: bool = False
    reads_documents: bool = True
    draws: bool = False
    thinks: bool = False
    filters: bool = False
    is_serial: bool = False
    load_seconds: float = 0.0
    is_chat: bool = True
    query: str = ""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def path(self) -> str:
        """The path of its base URL."""
        slug = "".join(each if each.isalnum() else "-" for each in self.name.lower())
        return f"/{slug}/v1{self.query}"


class Server:
    """Plays a provider.

    Attributes:
        provider: changes how the next requests are answered.
        requests: all requests, oldest first.
        faults: the words of each refusal.
        missed: all that requests should have brought back.
        go: lets slow answers go on.
        fails: the refusals of the next requests for an answer, right or wrong.
    """

    def __init__(self, provider: Provider) -> None:
        """Open the doors."""
        self.provider = provider
        self.requests: list[Asked] = []
        self.faults: list[str] = []
        self.missed: list[str] = []
        self.go = asyncio.Event()
        self.fails: list[Refusal] = []
        self._issued: dict[str, Answer] = {}
        self._turn = asyncio.Lock()
        self._is_loaded = False

    @property
    def answered(self) -> list[Asked]:
        """The requests that ask for an answer, not for a title."""
        return [asked for asked in self.requests if not asked.is_title]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as long as its client is there."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        is_chat = request.url.path.endswith("/chat/completions")
        asked = Asked(await request.json(), request.url.query, is_chat, self._issued)
        self.requests.append(asked)
        await answer_while_present(self._take_turn(asked, scope, receive, send), receive)

    async def _take_turn(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.provider.is_serial:
            await self._answer(asked, scope, receive, send)
            return
        async with self._turn:
            await self._answer(asked, scope, receive, send)

    async def _answer(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        provider, go = self.provider, self.go
        if refusal := self._refusal_of(asked):
            self.faults.append(f"{refusal.message} {refusal.why}".strip())
            response = JSONResponse(provider.form(refusal), refusal.status)
            await response(scope, receive, send)
            return
        self.missed += [missed for miss in provider.misses if (missed := miss(asked))]
        if not self._is_loaded:
            self._is_loaded = True
            await asyncio.sleep(provider.load_seconds)
        answer = answer_to(asked, provider.call_id(asked.question.removeprefix(ADD)))
        if not asked.is_title:
            self._issued[answer.key] = answer
        await send_events(events_of(provider, asked, answer), go, send)

    def _refusal_of(self, asked: Asked) -> Refusal | None:
        if self.fails and not asked.is_title:
            return self.fails.pop(0)
        if asked.is_chat != self.provider.is_chat:
            return NO_SUCH_PATH
        return next(filter(None, (judge(asked) for judge in self.provider.refusals)), None)


def events_of(provider: Provider, asked: Asked, answer: Answer) -> list[Event]:
    """Return the events of an answer as a provider streams them."""
    if not asked.is_chat:
        return response_events(asked, answer)
    events = chat_events(asked, answer)
    for shape in provider.streams:
        events = shape(events, asked, answer)
    return events


async def send_events(
    events: list[Event], go: asyncio.Event, send: Send, seconds_between: float = 0.0
) -> None:
    """Send a response of events, with a silence before each of them."""
    await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
    async for content in _sent(events, go):
        await asyncio.sleep(seconds_between)
        await send({"type": "http.response.body", "body": content, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _sent(events: list[Event], go: asyncio.Event) -> AsyncIterator[bytes]:
    for event in events:
        match event:
            case Pause.UNTIL_GO:
                await go.wait()
            case Pause.HEARTBEATS:
                while True:
                    yield b": heartbeat\n\n"
                    await asyncio.sleep(HEARTBEAT_SECONDS)
            case bytes():
                yield event
            case dict():
                yield encoded(event)
