"""Guests: anonymous callers that keep the key of their conversation, as a page does."""

from dataclasses import dataclass

import httpx2

from tests.support.product import Parley, headers_of

PATH = "/api/conversations"


@dataclass(slots=True)
class Guest:
    """A guest with one conversation.

    Attributes:
        parley: the product.
        id: id of the conversation.
        key: its key; None: the guest sends none.
        client: network address of the guest.
    """

    parley: Parley
    id: str
    key: str | None
    client: str = "203.0.113.7"

    def headers(self) -> dict[str, str]:
        """Return the headers of each request."""
        key = {} if self.key is None else {"x-conversation-key": self.key}
        return key | {"x-forwarded-for": self.client}

    async def say(self, text: str, **body: object) -> httpx2.Response:
        """Send a message in the plain form."""
        content = {"message": text, "conversation_id": self.id} | body
        return await self._request("POST", "/api/chat", json=content)

    async def regenerate(self) -> httpx2.Response:
        """Ask for another answer to the last question, as useChat does."""
        answer: dict[str, object] = {"id": "answer", "role": "assistant", "parts": []}
        body: dict[str, object] = {
            "id": self.id,
            "messages": [answer],
            "trigger": "regenerate-message",
        }
        return await self._request("POST", "/api/chat", json=body)

    async def history(self) -> httpx2.Response:
        """Read the messages."""
        return await self._request("GET", "/api/history", params={"conversation_id": self.id})

    async def stream(self) -> httpx2.Response:
        """Ask for the running answer."""
        return await self._request("GET", f"/api/chat/{self.id}/stream")

    async def stop(self) -> httpx2.Response:
        """Stop the running answer."""
        return await self._request("DELETE", f"/api/chat/{self.id}/stream")

    async def read(self) -> httpx2.Response:
        """Read the conversation's row."""
        return await self._request("GET", PATH, params={"id": self.id})

    async def rename(self, title: str) -> httpx2.Response:
        """Rename the conversation."""
        return await self._request("PATCH", PATH, params={"id": self.id}, json={"title": title})

    async def claim(self, user: str) -> httpx2.Response:
        """Make the conversation a user's, with its key."""
        return await self.parley.client.patch(
            PATH,
            params={"id": self.id},
            json={"claim": True},
            headers=self.headers() | headers_of(user),
        )

    async def mark(self) -> httpx2.Response:
        """Mark an answer, which need not be there."""
        query = {"id": "answer", "conversation_id": self.id}
        body: dict[str, object] = {"is_mistake": True}
        return await self._request("PATCH", "/api/messages", params=query, json=body)

    async def delete(self) -> httpx2.Response:
        """Delete the conversation."""
        return await self._request("DELETE", PATH, params={"id": self.id})

    async def _request(
        self, method: str, path: str, *, params: dict[str, str] | None = None, json: object = None
    ) -> httpx2.Response:
        return await self.parley.client.request(
            method, path, params=params, json=json, headers=self.headers()
        )


async def new_guest(parley: Parley, client: str = "203.0.113.7") -> Guest:
    """Return a guest with an id and a key that the product has made, and nothing said."""
    response = await parley.client.post(PATH, headers={"x-forwarded-for": client})
    assert response.status_code == 201, response.text
    made = response.json()
    return Guest(parley, made["id"], made["key"], client)
