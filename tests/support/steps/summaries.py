"""The statements of summaries for `tests/queries`, with the time as a parameter."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from lib.conversations.conversation import LOCK_CONVERSATION
from lib.turns.summaries import (
    CLAIM_SUMMARY,
    LIST_UNSUMMARIZED,
    RELEASE_SUMMARY,
    STORE_SUMMARY,
    Claim,
    PastMessage,
)
from tests.support.steps.rows import Rows
from tests.support.steps.turns import Turns, act_as

LEASE_SECONDS = 30.0


@dataclass(slots=True)
class Summaries:
    """The summaries of the test's conversation.

    Attributes:
        turns: the turns of that conversation.
        rows: its rows.
        user_id: the caller.
        token: of the attempt that makes a summary, unless the test names another one.
    """

    turns: Turns
    rows: Rows
    user_id: str | None = None
    token: UUID = field(default_factory=uuid4)

    def id_of(self, content: str) -> int:
        """Return the number of a message by its text."""
        [(number,)] = self.rows.run("SELECT id FROM chat_messages WHERE content = %s", content)
        assert isinstance(number, int)
        return number

    async def claim(
        self,
        through: str,
        *,
        known_id: int = 0,
        takes_over: bool = False,
        retention_days: int = 0,
        token: UUID | None = None,
    ) -> Claim | None:
        """Claim a summary through a message; None: there is no such conversation."""
        call = CLAIM_SUMMARY(
            **self._conversation,
            claim_id=token or self.token,
            known_id=known_id,
            through_id=self.id_of(through),
            lease_seconds=LEASE_SECONDS,
            takes_over=takes_over,
            retention_days=retention_days,
            now=self.turns.now,
        )
        [claims] = await self._run(call)
        return claims[0] if claims else None

    async def store(
        self,
        through: str,
        content: str = "A summary",
        *,
        known_id: int = 0,
        token: UUID | None = None,
    ) -> bool:
        """Store the summary of a claim; return whether it was stored."""
        call = STORE_SUMMARY(
            **self._conversation,
            claim_id=token or self.token,
            known_id=known_id,
            through_id=self.id_of(through),
            content=content,
            oldest_at=self.turns.now,
            model="small-model",
            now=self.turns.now,
        )
        [stored] = await self._run(call)
        return bool(stored)

    async def release(self, *, token: UUID | None = None) -> bool:
        """Give up a claim; return whether there was one."""
        [released] = await self._run(
            RELEASE_SUMMARY(**self._conversation, claim_id=token or self.token)
        )
        return bool(released)

    async def make(self, through: str, content: str = "A summary") -> None:
        """Claim a summary through a message, and store it."""
        known = self.rows.run(
            """SELECT coalesce(max(through_id), 0) FROM conversation_summaries
               WHERE through_id < %s AND conversation_id = %s""",
            self.id_of(through),
            self.turns.conversation_id,
        )
        [(known_id,)] = known
        assert isinstance(known_id, int)
        claim = await self.claim(through, known_id=known_id)
        assert claim is not None
        assert claim.is_claimed
        assert await self.store(through, content, known_id=known_id)

    async def unsummarized(self, through: str, **parameters: object) -> list[PastMessage]:
        """Return the messages of a summary through a message."""
        limits = {"max_messages": 100, "max_chars": 1000, "retention_days": 0}
        call = LIST_UNSUMMARIZED(
            **self._conversation,
            **({"known_id": 0, "now": self.turns.now} | limits | parameters),
            through_id=self.id_of(through),
        )
        [messages] = await self._run(call)
        return messages

    @property
    def stored(self) -> list[str | None]:
        """The texts of all summaries, oldest first; None: it is being made."""
        rows = self.rows.run("SELECT content FROM conversation_summaries ORDER BY through_id")
        return [content for (content,) in rows if content is None or isinstance(content, str)]

    @property
    def _conversation(self) -> dict[str, Any]:
        return {"conversation_id": self.turns.conversation_id, "user_id": self.user_id}

    async def _run(self, call: Any) -> list[list[Any]]:
        _, _, *rows = await self.turns.database.run(
            act_as(self.user_id, self.turns.conversation_id),
            LOCK_CONVERSATION(**self._conversation),
            call,
        )
        return rows
