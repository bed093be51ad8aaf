"""People of a hostile hour, honest or not: each sends from an address, as a user or as a guest."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.support.product import id_of, sdk_body
from tests.support.reading import path_of

# A request that takes longer hangs, also on a machine that is busy with other things.
PATIENCE_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Response:
    """The response to one message.

    Attributes:
        status: of HTTP.
        code: of the problem, in the response or at the end of its stream; '': there is none.
        text: the text of the answer.
        is_whole: the stream came to its finish.
    """

    status: int
    code: str
    text: str
    is_whole: bool


@dataclass(slots=True)
class Person:
    """One person, by whose name the provider counts.

    Attributes:
        name: stands in each question.
        http: a client of the product.
        address: network address that the platform forwards.
        token: of the user; None: a guest.
        keys: the keys of a guest's conversations, by id.
        begun: the conversations that have an answer, or a part of one.
        sent: messages that were sent.
        sent_bytes: the size of their bodies.
        codes: number of responses to them by code of the problem.
    """

    name: str
    http: httpx2.AsyncClient
    address: str
    token: str | None = None
    keys: dict[str, str] = field(default_factory=dict[str, str])
    begun: set[str] = field(default_factory=set[str])
    sent: int = 0
    sent_bytes: int = 0
    codes: dict[str, int] = field(default_factory=dict[str, int])

    def headers(self, chat_id: str = "", address: str | None = None) -> dict[str, str]:
        """Return the headers of a request, from the usual address or from another one."""
        headers = {"x-forwarded-for": address or self.address}
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token}"
        elif key := self.keys.get(chat_id):
            headers["x-conversation-key"] = key
        return headers

    def question(self, order: str = "say", number: int = 0, more: str = "") -> str:
        """Return the text of a question that gives the provider an order."""
        return f"{more}[{self.name}] {order} {number}"

    async def chat(self, name: object = "chat") -> str:
        """Return the id of a conversation; for a guest, a new one with its key."""
        if self.token is not None:
            return id_of(f"{self.name} {name}")
        response = await self.http.post("/api/conversations", headers=self.headers())
        made = response.json()
        self.keys[made["id"]] = made["key"]
        return made["id"]

    async def send(
        self,
        text: str,
        chat_id: str,
        message_id: str,
        *,
        address: str | None = None,
        parts: tuple[dict[str, Any], ...] = (),
        **fields: object,
    ) -> Response:
        """Send a message as `useChat` does, and read the stream to its end.

        Args:
            text: of the message.
            chat_id: id of the conversation.
            message_id: id of the message.
            address: instead of the usual one.
            parts: of the message, beside its text.
            fields: further fields of the body.
        """
        self.sent += 1
        body = sdk_body(text, chat_id=chat_id, message_id=message_id)
        body["messages"][0]["parts"] += parts
        body |= fields
        content = json.dumps(body, ensure_ascii=False).encode()
        self.sent_bytes += len(content)
        headers = self.headers(chat_id, address) | {"content-type": "application/json"}
        response = await self.http.post("/api/chat", content=content, headers=headers)
        if response.status_code == 200:
            self.begun.add(chat_id)
        read = _read(response)
        self.codes[read.code] = self.codes.get(read.code, 0) + 1
        return read

    async def regenerate(self, chat_id: str) -> Response:
        """Ask for another answer to the last question."""
        answer = {"id": "answer", "role": "assistant", "parts": list[object]()}
        return await self.send("", chat_id, "", messages=[answer], trigger="regenerate-message")

    async def stop(self, chat_id: str) -> None:
        """Stop the running answer."""
        await self.http.delete(path_of(chat_id), headers=self.headers(chat_id))

    async def come_back(self, chat_id: str) -> None:
        """Read the running answer to its end, if there is one."""
        await self.http.get(path_of(chat_id), headers=self.headers(chat_id))


def _read(response: httpx2.Response) -> Response:
    if response.status_code != 200:
        try:
            code = response.json()["code"]
        except (ValueError, KeyError):
            code = str(response.status_code)
        return Response(response.status_code, code, "", is_whole=False)
    lines = response.text.splitlines()
    parts = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    text = "".join(part["delta"] for part in parts if part["type"] == "text-delta")
    is_whole = bool(parts) and parts[-1]["type"] == "finish"
    code = "" if is_whole else (parts[-1]["type"] if parts else "empty")
    return Response(200, code, text, is_whole=is_whole)
