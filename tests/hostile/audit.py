"""The audit after a hostile hour: the provider's bills beside the database and the metrics."""

from typing import Any

import psycopg

from lib.identity.clients import hashed
from lib.turns.quota import ALL_GUESTS
from tests.hostile.people import Person
from tests.hostile.provider import QUESTION
from tests.hostile.world import ANONYMOUS_PER_DAY, BYTES_PER_DAY, SHARED, Line, World
from tests.support.product import METRICS_TOKEN

# As begin_turn counts them.
STORED_BYTES = """
SELECT
    content,
    octet_length(content) + coalesce(pg_column_size(files), 0)
    + coalesce(pg_column_size(metadata), 0)
FROM chat_messages WHERE role = 'user'
"""
# Of the tokens that the provider tells; Parley estimates those of requests that it cuts.
MOST_OVERCOUNT = 1.25
# The bytes of a message on the disk: those in the table, and a third more for unused space.
DISK_BYTES_PER_BYTE = 4 / 3
# A turn takes this beside its texts, on the disk: rows, indexes, its stream, and dead rows.
DISK_BYTES_PER_TURN = 4_096
# The first row of each table and index takes whole pages.
FIRST_DISK_BYTES = 1_200_000


async def audit(world: World, database: psycopg.Connection, size_before: int) -> None:
    """Compare the bills with the ceilings, the counters and the metrics; add to the errors.

    Args:
        world: when all its attacks are over.
        database: a connection to its database.
        size_before: the size of the database before, in bytes.
    """
    _read_stored_bytes(world, database)
    _add_lines_of_all(world, database, size_before)
    for line in world.lines:
        allowed, name = line.allowed(), f"{line.attack}: {line.counted}"
        if allowed > line.ceiling:
            world.errors.append(f"{name}: {allowed} are above the ceiling of {line.ceiling}")
        if line.is_reached and allowed < line.ceiling:
            world.errors.append(f"{name}: {allowed} of {line.ceiling}, so the attack has failed")
        if line.tried <= line.ceiling:
            world.errors.append(f"{name}: {line.tried} tries cannot reach {line.ceiling}")
    _audit_counters(world, database)
    await _audit_usage(world, database)
    await _audit_metrics(world, database)


def size_of(database: psycopg.Connection) -> int:
    """Return the size of the database on the disk, in bytes."""
    return _number(database, "SELECT pg_database_size(current_database())")


def _number(database: psycopg.Connection, query: str, *parameters: object) -> int:
    """Return the number that a query finds; 0: it finds no row."""
    row = database.execute(query.encode(), parameters).fetchone()
    return int(row[0]) if row else 0


def _read_stored_bytes(world: World, database: psycopg.Connection) -> None:
    for content, size in database.execute(STORED_BYTES).fetchall():
        person = QUESTION.findall(content)[-1][0]
        world.stored_bytes[person] = world.stored_bytes.get(person, 0) + size


def _add_lines_of_all(world: World, database: psycopg.Connection, size_before: int) -> None:
    """Add the lines of all guests together, and of the disk."""
    guests = [person for person in world.people.values() if person.token is None]
    failing = world.people["guest-fail"]
    # A failing provider gives free attempts, so its guest counts as the quota counts.
    others = [guest for guest in guests if guest is not failing]
    failing_count = _day_count(database, failing)
    by_guest = [world.stored_bytes.get(guest.name, 0) for guest in guests]
    world.lines += [
        Line(
            attack="all guests",
            counted="answers",
            tried=sum(guest.sent for guest in guests),
            ceiling=ANONYMOUS_PER_DAY,
            allowed=lambda: world.bill(*others).answers + failing_count,
        ),
        Line(
            attack="all guests",
            counted="bytes",
            tried=sum(guest.sent_bytes for guest in guests),
            ceiling=SHARED * BYTES_PER_DAY,
            allowed=lambda: sum(by_guest),
            is_reached=False,
        ),
    ]
    most_bytes = sum(min(person.sent_bytes, BYTES_PER_DAY) for person in world.people.values())
    turns_bytes = DISK_BYTES_PER_TURN * world.model.total.answers
    growth = size_of(database) - size_before
    world.lines.append(
        Line(
            attack="all together",
            counted="bytes on the disk",
            tried=sum(person.sent_bytes for person in world.people.values()),
            ceiling=int(DISK_BYTES_PER_BYTE * most_bytes) + turns_bytes + FIRST_DISK_BYTES,
            allowed=lambda: growth,
            is_reached=False,
        )
    )


def _day_count(database: psycopg.Connection, person: Person) -> int:
    return _number(database, "SELECT day_count FROM quotas WHERE subject = %s", _subject(person))


def _subject(person: Person) -> str:
    if person.token is None:
        return hashed("client", person.address)
    return hashed("user", person.name)


def _audit_counters(world: World, database: psycopg.Connection) -> None:
    """Check that each request for an answer was counted, where the provider did not fail."""
    for person in world.people.values():
        # Local accounts have other ids, and two attacks change their addresses.
        if not person.name.startswith(("account", "fail", "guest-f", "guest-network")):
            counted, asked = _day_count(database, person), world.bill(person).answers
            if counted != asked:
                line = f"{person.name} has asked {asked} times, and {counted} are counted"
                world.errors.append(line)


async def _audit_usage(world: World, database: psycopg.Connection) -> None:
    """Check that each user's usage and quota have the same tokens, and those of the provider."""
    for person in world.people.values():
        # Usage goes with an account.
        if person.token is None or person.name.startswith(("account", "delete")):
            continue
        response = await world.http.get("/api/messages?usage=true", headers=person.headers())
        usage = response.json().get("usage", [])
        shown = sum(row["prompt_tokens"] + row["completion_tokens"] for row in usage)
        tokens = "SELECT token_count FROM quotas WHERE subject = %s"
        counted = _number(database, tokens, _subject(person))
        told = world.bill(person).tokens
        if not told <= shown == counted:
            world.errors.append(
                f"{person.name} has cost {told} tokens at least, "
                f"usage shows {shown} and the quota {counted}"
            )


async def _audit_metrics(world: World, database: psycopg.Connection) -> None:
    """Check that the metrics have each request and each token, as provider and quotas have."""
    headers = {"authorization": f"Bearer {METRICS_TOKEN}"}
    response = await world.http.get("/api/metrics?format=json", headers=headers)
    turns: dict[str, Any] = response.json()["ever"]["turns"]
    total = world.model.total
    for purpose, asked in (("answer", total.answers), ("title", total.titles)):
        outcomes = turns["model_requests"].get(purpose, {})
        counted = sum(outcomes.values())
        # A request that is cut before it leaves is counted, and the provider does not get it.
        if not asked <= counted <= asked + outcomes.get("cut", 0):
            world.errors.append(
                f"the provider has got {asked} requests for {purpose}s, the metrics have {counted}"
            )
    shown = sum(turns["tokens"].values())
    counted = _number(
        database,
        "SELECT sum(token_count) FROM quotas WHERE subject LIKE 'user %%' OR subject = %s",
        ALL_GUESTS,
    )
    if not total.tokens <= shown <= MOST_OVERCOUNT * total.tokens or shown != counted:
        world.errors.append(
            f"the provider has counted {total.tokens} tokens at least, "
            f"the metrics {shown} and the quotas {counted}"
        )
