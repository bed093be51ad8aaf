"""Clients that talk to the product through thick and thin, and keep a ledger."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx2

from tests.faults.ledger import Said, Thread
from tests.support.product import headers_of, sdk_body

# Enough for every fault there is, one after the other, with the waits in between.
MOST_TRIES = 60
LEAVES_BEFORE_THE_FIRST_BYTE = "client leaves before the first byte"
LEAVES_AFTER_THE_FIRST_BYTE = "client leaves after the first byte"
SENDS_TWICE = "client sends twice at once"
SENDS_AGAIN = "client sends again after the answer"
CLIENT_FAULTS = (
    LEAVES_BEFORE_THE_FIRST_BYTE,
    LEAVES_AFTER_THE_FIRST_BYTE,
    SENDS_TWICE,
    SENDS_AGAIN,
)


@dataclass(slots=True)
class Client:
    """One user, who says one thing after the other in one conversation.

    Attributes:
        thread: what was said so far.
        random: decides.
        base_url: where the product is now: of one of its processes.
        injected: counts.
        next_fault: injects a fault elsewhere (database, process) now, or not.
    """

    thread: Thread
    random: random.Random
    base_url: Callable[[], str]
    injected: Counter[str]
    next_fault: Callable[[], Awaitable[None]]

    async def say(self, text: str, message_id: str) -> None:
        """Say one thing, and again until it is answered.

        Raises:
            TimeoutError: it never was.
        """
        said = Said(message_id, text)
        self.thread.said.append(said)
        fault = self.random.choice((*CLIENT_FAULTS, *[""] * len(CLIENT_FAULTS)))
        if fault:
            self.injected[fault] += 1
        for attempt in range(MOST_TRIES):
            await self.next_fault()
            behaviour = fault if attempt == 0 else ""
            if behaviour == SENDS_TWICE:
                results = await asyncio.gather(self._try(said), self._try(said))
                is_answered = all(results)
            else:
                is_answered = await self._try(said, behaviour)
            if is_answered:
                break
            await asyncio.sleep(self.random.uniform(0.05, 0.4))
        else:
            message = f"{text!r} was never answered"
            raise TimeoutError(message)
        if fault == SENDS_AGAIN:
            await self._try(said)

    async def _try(self, said: Said, behaviour: str = "") -> bool:
        """Send it once; tell whether an answer was reported finished."""
        try:
            async with httpx2.AsyncClient(timeout=20) as client, asyncio.timeout(30):
                return await self._send(client, said, behaviour)
        except (httpx2.HTTPError, TimeoutError):
            return False

    async def _send(self, client: httpx2.AsyncClient, said: Said, behaviour: str) -> bool:
        request = client.build_request(
            "POST",
            f"{self.base_url()}/api/chat",
            json=sdk_body(said.text, chat_id=self.thread.chat_id, message_id=said.message_id),
            headers=headers_of(self.thread.owner),
        )
        if behaviour == LEAVES_BEFORE_THE_FIRST_BYTE:
            request.extensions["timeout"]["read"] = 0.02
        response = await client.send(request, stream=True)
        try:
            if "x-conversation-id" in response.headers:
                self.thread.conversation_id = response.headers["x-conversation-id"]
            if response.status_code != 200:
                return False
            said.is_acknowledged = True
            return await self._read(response, said, behaviour)
        finally:
            await response.aclose()

    async def _read(self, response: httpx2.Response, said: Said, behaviour: str) -> bool:
        message_id, text, ending = "", "", ""
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            part = json.loads(line.removeprefix("data: "))
            message_id = part.get("messageId", message_id)
            text += part.get("delta", "")
            ending = part["type"]
            if behaviour == LEAVES_AFTER_THE_FIRST_BYTE and text:
                return False
        if ending == "finish":
            said.answers.add((message_id, text))
        return ending == "finish"
