"""Clients that send messages through all faults, and keep a ledger of the answers they get."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx2

from tests.faults.ledger import SentMessage, Thread
from tests.support.product import headers_of, sdk_body

# Enough for all faults one after the other, with the waits in between.
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
    """One user, with one message after the other in one conversation.

    Attributes:
        thread: the messages so far.
        random: decides about faults.
        base_url: returns the address of one of the product's processes.
        injected: how often each fault was injected.
        next_fault: injects a fault of the database or of a process now and then.
    """

    thread: Thread
    random: random.Random
    base_url: Callable[[], str]
    injected: Counter[str]
    next_fault: Callable[[], Awaitable[None]]

    async def say(self, text: str, message_id: str) -> None:
        """Send a message, and send it again until it is answered.

        Raises:
            TimeoutError: when it is not answered in MOST_TRIES tries.
        """
        message = SentMessage(message_id, text)
        self.thread.messages.append(message)
        fault = self.random.choice((*CLIENT_FAULTS, *[""] * len(CLIENT_FAULTS)))
        if fault:
            self.injected[fault] += 1
        for attempt in range(MOST_TRIES):
            await self.next_fault()
            behaviour = fault if attempt == 0 else ""
            if behaviour == SENDS_TWICE:
                results = await asyncio.gather(self._try(message), self._try(message))
                is_answered = all(results)
            else:
                is_answered = await self._try(message, behaviour)
            if is_answered:
                break
            await asyncio.sleep(self.random.uniform(0.05, 0.4))
        else:
            detail = f"{text!r} was never answered"
            raise TimeoutError(detail)
        if fault == SENDS_AGAIN:
            await self._try(message)

    async def _try(self, message: SentMessage, behaviour: str = "") -> bool:
        """Send a message once; return whether its answer was reported as finished."""
        try:
            async with httpx2.AsyncClient(timeout=20) as client, asyncio.timeout(30):
                return await self._send(client, message, behaviour)
        except (httpx2.HTTPError, TimeoutError):
            return False

    async def _send(self, client: httpx2.AsyncClient, message: SentMessage, behaviour: str) -> bool:
        request = client.build_request(
            "POST",
            f"{self.base_url()}/api/chat",
            json=sdk_body(message.text, chat_id=self.thread.chat_id, message_id=message.message_id),
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
            message.is_acknowledged = True
            return await self._read(response, message, behaviour)
        finally:
            await response.aclose()

    async def _read(self, response: httpx2.Response, message: SentMessage, behaviour: str) -> bool:
        message_id, text, ending = "", "", ""
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            part = json.loads(line.removeprefix("data: "))
            message_id = part.get("messageId", message_id)
            text += part["delta"] if part["type"] == "text-delta" else ""
            ending = part["type"]
            if behaviour == LEAVES_AFTER_THE_FIRST_BYTE and text:
                return False
        if ending == "finish":
            message.answers.add((message_id, text))
        return ending == "finish"
