"""Whether reading grows slower with what is stored: 10 thousand, 1 million, 5 million messages.

    python -m bench.scale                    as docs/operations.md has it; takes six minutes
    python -m bench.scale --messages 1000000

Both as the functions read them (lib/conversations/history.py, lib/conversations/listing.py), one
page of 20, of a user and a conversation chosen at random, from the small and the large databases
in turn. They are of 20 users in each, all that the small one has, so that the rows lie in the
server's memory in all;
"first" is each of these conversations and users read for the first time, when it does not. "long"
is the newest page of a conversation of 1,000 messages. Then what a message takes on the disk, in a
database that has grown message by message.
"""

import argparse
import asyncio
import os
import random
import statistics
import sys
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from hashlib import md5
from uuid import UUID

import psycopg

from bench.large import (
    CONVERSATIONS_EACH,
    MESSAGES_EACH,
    fill,
    large_server,
    machine,
    make_database,
)
from lib.conversations.history import HistoryQuery, read_history
from lib.conversations.listing import ListQuery, list_conversations
from lib.database.client import Database
from lib.identity.callers import Caller
from lib.settings import read_settings

SMALL, GROWN = 10_000, 200_000
LARGE = [1_000_000, 5_000_000]
USERS = SMALL // MESSAGES_EACH // CONVERSATIONS_EACH
DAYS = 20
LONG = UUID(int=1000)
LONG_CONVERSATION = """
    INSERT INTO conversations (id, user_id) VALUES (%(id)s, 'user-0');
    INSERT INTO chat_messages (conversation_id, user_id, role, content)
    SELECT
        %(id)s, 'user-0', CASE n %% 2 WHEN 0 THEN 'user' ELSE 'assistant' END, repeat('word ', 20)
    FROM generate_series(1, 1000) AS n;
"""
SIZES = """
    SELECT relname, pg_relation_size(oid) + CASE WHEN reltoastrelid > 0
        THEN pg_total_relation_size(reltoastrelid) ELSE 0 END AS bytes
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')
    ORDER BY bytes DESC
"""
# Smaller than this is not worth a line: bytes a message.
LEAST_BYTES = 1.0


@dataclass(slots=True)
class Candidate:
    """A database to be read from, and how long that took, in milliseconds."""

    messages: int
    database: Database
    users: list[int] = field(default_factory=list[int])
    milliseconds: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def __post_init__(self) -> None:
        """Choose who is looked at."""
        self.users = random.sample(range(self.users_in_all), USERS)

    @property
    def users_in_all(self) -> int:
        """How many there are."""
        return self.messages // MESSAGES_EACH // CONVERSATIONS_EACH

    async def read_first(self) -> None:
        """Read each conversation and each list once."""
        for user in self.users:
            await self._read_list(user, "list, first")
            for number in range(CONVERSATIONS_EACH):
                await self._read_history(user, number, "history, first")

    async def read(self) -> None:
        """Read one of them again."""
        user = random.choice(self.users)  # noqa: S311 (not a secret)
        number = random.randrange(CONVERSATIONS_EACH)  # noqa: S311 (not a secret)
        await self._read_history(user, number, "history")
        await self._read_list(user, "list")
        query = HistoryQuery(conversation_id=str(LONG), limit=20)
        await self._timed("history, long", read_history(self.database, _caller(0), query))

    async def _read_history(self, user: int, number: int, name: str) -> None:
        conversation = user + number * self.users_in_all
        chat_id = str(UUID(md5(str(conversation).encode()).hexdigest()))  # noqa: S324
        query = HistoryQuery(conversation_id=chat_id, limit=20)
        await self._timed(name, read_history(self.database, _caller(user), query))

    async def _read_list(self, user: int, name: str) -> None:
        query = ListQuery(limit=20)
        await self._timed(name, list_conversations(self.database, _caller(user), query))

    async def _timed(self, name: str, reading: Awaitable[object]) -> None:
        started = time.perf_counter()
        await reading
        milliseconds = (time.perf_counter() - started) * 1000
        self.milliseconds.setdefault(name, []).append(milliseconds)


def _caller(user: int) -> Caller:
    return Caller(user_id=f"user-{user}")


async def measure(urls: dict[int, str], reads: int) -> list[Candidate]:
    """Read from each database in turn."""
    settings = {url: read_settings({"DATABASE_URL": url}) for url in urls.values()}
    candidates = [Candidate(count, Database(settings[url])) for count, url in urls.items()]
    for candidate in candidates:
        await candidate.read_first()
    for _ in range(reads):
        for candidate in candidates:
            await candidate.read()
    for candidate in candidates:
        await candidate.database.close()
    return candidates


def sizes(url: str, messages: int) -> list[str]:
    """Return what a message takes on the disk, a line a table and index."""
    with psycopg.connect(url) as database:
        found = database.execute(SIZES).fetchall()
        [(characters,)] = database.execute("SELECT avg(length(content)) FROM chat_messages")
    total = sum(size for _, size in found) / messages
    lines = [f"bytes a message ({characters:.0f} characters on average): {total:.0f}"]
    return lines + [
        f"  {name:40} {size / messages:6.0f}"
        for name, size in found
        if size / messages >= LEAST_BYTES
    ]


def table(candidates: list[Candidate]) -> list[str]:
    """Return the medians, and how they relate."""
    small, *larger = candidates
    lines = ["median ms of    " + "".join(f"  {each.messages:>10,}" for each in candidates)]
    medians = [
        {name: statistics.median(times) for name, times in each.milliseconds.items()}
        for each in candidates
    ]
    lines += [
        f"{name:16}" + "".join(f"  {each[name]:10.2f}" for each in medians)
        for name in sorted(small.milliseconds)
    ]
    for candidate, found in zip(larger, medians[1:], strict=True):
        compared = f"{candidate.messages:,} / {small.messages:,}"
        for name in ("history", "list"):
            ratio = found[name] / medians[0][name]
            lines.append(f"{name}, {compared}  {ratio:.2f} (at most 1.3)")
    ratio = medians[0]["history, long"] / medians[0]["history"]
    lines.append(f"history of 1,000 messages / of 20  {ratio:.2f} (at most 1.3)")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--messages", type=int, nargs="+", default=LARGE, help="in the larger (1000000 5000000)"
    )
    parser.add_argument("--reads", type=int, default=500, help="of each kind from each (500)")
    arguments = parser.parse_args()
    with large_server() as server:
        urls = {
            count: make_database(server, f"of_{count}") for count in (SMALL, *arguments.messages)
        }
        for count, url in urls.items():
            fill(url, count, days=DAYS, words=40)
            with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as database:
                database.execute(LONG_CONVERSATION, {"id": LONG})
        # `read_history` reads its limits from the process's settings.
        os.environ["DATABASE_URL"] = urls[SMALL]
        measured = table(asyncio.run(measure(urls, arguments.reads)))
        grown = make_database(server, "grown")
        fill(grown, GROWN, days=DAYS, words=85, at_once=False)
        stored = sizes(grown, GROWN)
    title = f"$ python -m bench.scale  # {machine()}"
    sys.stdout.write("\n".join([title, *measured, *stored]) + "\n")


if __name__ == "__main__":
    main()
