"""The attacks of a hostile hour. Each tries more than it may have, and writes its lines."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from math import ceil, log2
from typing import Any

from tests.hostile.people import PATIENCE_SECONDS, Person
from tests.hostile.provider import LARGE_ANSWER_TOKENS
from tests.hostile.world import (
    ANONYMOUS_PER_DAY,
    BYTES_PER_DAY,
    FREE_ATTEMPTS,
    FREE_LOG_INS,
    GUESSES_PER_MINUTE,
    MAX_TASKS,
    MESSAGES_PER_DAY,
    REGISTRATIONS_PER_DAY,
    SHARED,
    TOKENS_PER_DAY,
    Line,
    World,
)
from tests.support.accounts import PASSWORD
from tests.support.images import file_part, png, png_chunk
from tests.support.product import id_of
from tests.support.reading import path_of, until

TRIES = 3 * MESSAGES_PER_DAY
FAILED_TRIES = 2 + MESSAGES_PER_DAY * (1 + FREE_ATTEMPTS)
LARGE_TRIES = 30
# The ways to have a question attempted once more.
KINDS = ("again", "edit", "edit by messageId", "regenerate", "new")
# The tokens of a large answer, its prompt and its title.
MOST_TOKENS = LARGE_ANSWER_TOKENS + 500
VICTIM = "victim@example.com"
type Attack = Callable[[World], Awaitable[None]]


def _count_answers(
    world: World, attack: str, *people: Person, ceiling: int = MESSAGES_PER_DAY
) -> None:
    """Write the lines of an attack on answers; a title is asked for once an answer at most."""
    tried = sum(person.sent for person in people)
    world.lines += [
        Line(
            attack=attack,
            counted="answers",
            tried=tried,
            ceiling=ceiling,
            allowed=lambda: world.bill(*people).answers,
        ),
        Line(
            attack=attack,
            counted="titles",
            tried=tried,
            ceiling=ceiling,
            allowed=lambda: world.bill(*people).titles,
            is_reached=False,
        ),
    ]


async def stops(world: World) -> None:
    """Stop each answer before its first token, then send again, edit, or ask for another."""

    async def attack(person: Person, kinds: tuple[str, ...]) -> None:
        chat = await person.chat()
        for number in range(TRIES):
            kind = kinds[number % len(kinds)]
            if kind == "new":
                chat = await person.chat(number)
            sending = await _until_asked(world, person, _attempt(person, kind, chat, number))
            await person.stop(chat)
            await sending

    people = [world.user("stop-again"), world.user("stop-edit"), world.guest("guest-stop")]
    await asyncio.gather(
        attack(people[0], KINDS[:1]), *(attack(each, KINDS) for each in people[1:])
    )
    for person in people:
        _count_answers(world, f"stop, as {person.name}", person)


def _attempt(
    person: Person, kind: str, chat: str, number: int, order: str = "hang"
) -> Coroutine[Any, Any, object]:
    """Return a request for one more attempt, of a kind."""
    match kind:
        case "again" | "new":
            return person.send(person.question(order), chat, "message")
        case "edit":
            return person.send(person.question(order, number), chat, "message")
        case "edit by messageId":
            text = person.question(order, number)
            return person.send(text, chat, f"message-{number}", messageId="message")
        case _:
            return person.regenerate(chat)


async def _until_asked(
    world: World, person: Person, attempt: Coroutine[Any, Any, object]
) -> asyncio.Task[object]:
    """Begin an attempt, and wait until the provider is asked, or the attempt ends without that."""
    before = world.bill(person).answers
    sending = asyncio.create_task(attempt)
    await until(lambda: sending.done() or world.bill(person).answers > before, PATIENCE_SECONDS)
    return sending


async def closed_connections(world: World) -> None:
    """Close each connection when the provider is asked; then again, edited, or another answer."""

    async def attack(person: Person) -> None:
        chat = await person.chat()
        for number in range(TRIES):
            kind = KINDS[number % len(KINDS)]
            attempt = _attempt(person, kind, chat, number, "slow")
            sending = await _until_asked(world, person, attempt)
            sending.cancel()
            await asyncio.wait({sending})
            # The answer goes on without its reader; the next attempt would join it.
            await person.come_back(chat)

    people = [world.user("leave"), world.guest("guest-leave")]
    await asyncio.gather(*map(attack, people))
    for person in people:
        _count_answers(world, f"leave, as {person.name}", person)


async def failures(world: World) -> None:
    """Use a provider that fails: the same question again, edited, and answered anew."""

    async def attack(person: Person, kinds: tuple[str, ...]) -> None:
        chat = await person.chat()
        for number in range(FAILED_TRIES):
            await _attempt(person, kinds[number % len(kinds)], chat, number, "fail")

    async def use_up(person: Person) -> None:
        """Send each question until its free attempts are used up, then the next one."""
        for number in range(MESSAGES_PER_DAY + 1):
            for _ in range(1 + FREE_ATTEMPTS):
                chat = await person.chat(number)
                await person.send(person.question("fail", number), chat, "message")

    people = [world.user("fail-again"), world.user("fail-edit"), world.guest("guest-fail")]
    thorough = world.user("fail-each")
    await asyncio.gather(
        attack(people[0], KINDS[:1]),
        *(attack(each, KINDS) for each in people[1:]),
        use_up(thorough),
    )
    ceiling = MESSAGES_PER_DAY * (1 + FREE_ATTEMPTS)
    for person in (*people, thorough):
        _count_answers(world, f"failing, as {person.name}", person, ceiling=ceiling)
        # A question has its free attempts once, however it is sent again.
        world.lines[-2].is_reached = person is thorough


async def deletions(world: World) -> None:
    """Use the quota up, delete the user, and go on with the same token."""
    person = world.user("delete")
    for number in range(TRIES):
        if (await person.send(person.question(), await person.chat(number), "message")).code:
            await person.http.delete("/api/auth", headers=person.headers())
    _count_answers(world, "delete the user", person)


async def accounts(world: World) -> None:
    """Register one local account after the other from one client, and use each quota up."""
    client = world.address()
    registered = 0
    for number in range(REGISTRATIONS_PER_DAY + 3):
        email = f"mallory-{number}@example.com"
        registered += await _register(world, email, client) == 202
    people: list[Person] = []
    for number in (0, 1, 0):
        email = f"mallory-{number}@example.com"
        token = await _token(world, email, client)
        person = world.account(f"account-{len(people)}", client, token)
        people.append(person)
        for each in range(MESSAGES_PER_DAY + 1):
            await person.send(person.question("say", each), await person.chat(each), "message")
        if number == 0:
            await world.http.request(
                "DELETE", "/api/auth", json={"password": PASSWORD}, headers=person.headers()
            )
            other = world.address()
            if len(people) == 1 and await _register(world, email, other) != 202:
                world.errors.append("an account that was deleted could not be registered again")
    world.lines.append(
        Line(
            attack="register from one client",
            counted="accounts",
            tried=REGISTRATIONS_PER_DAY + 3,
            ceiling=REGISTRATIONS_PER_DAY,
            allowed=lambda: registered,
        )
    )
    _count_answers(world, "new accounts of one client", *people)


async def account_networks(world: World) -> None:
    """Register each local account from another /64 of one /48, and use each quota up."""

    async def use_up(number: int) -> Person:
        client, email = f"2001:db8:2:{number:x}::1", f"network-{number}@example.com"
        await _register(world, email, client)
        person = world.account(
            f"account-network-{number}", client, await _token(world, email, client)
        )
        for each in range(MESSAGES_PER_DAY):
            await person.send(person.question("say", each), await person.chat(each), "message")
        return person

    people: list[Person] = []
    for first in range(0, SHARED + 2, 4):
        people += await asyncio.gather(*map(use_up, range(first, first + 4)))
    _count_answers(world, "new accounts of one site", *people, ceiling=SHARED * MESSAGES_PER_DAY)


async def _register(world: World, email: str, client: str) -> int:
    body = {"action": "register", "email": email, "password": PASSWORD}
    headers = {"x-forwarded-for": client}
    return (await world.http.post("/api/auth", json=body, headers=headers)).status_code


async def _token(world: World, email: str, client: str) -> str:
    body = {"action": "login", "email": email, "password": PASSWORD}
    headers = {"x-forwarded-for": client}
    response = await world.http.post("/api/auth", json=body, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()["token"]


def _noise(world: World, chars: int) -> str:
    """Return a text that does not shrink when it is compressed, of 4 bytes a character."""
    return "".join(chr(0x20000 + world.random.randrange(0xA000)) for _ in range(chars))


async def large_texts(world: World) -> None:
    """Fill the disk with texts, by new messages and by edits."""
    people = [world.user("texts"), world.user("texts-edit"), world.guest("guest-texts")]
    for person in people:
        chat = await person.chat()
        for number in range(LARGE_TRIES):
            message_id = "message" if person.name == "texts-edit" else f"message-{number}"
            text = person.question("say", number, _noise(world, 5_000))
            await person.send(text, chat, message_id)
        _count_bytes(world, f"long texts, as {person.name}", person, 20_000)


async def metadata(world: World) -> None:
    """Fill the disk with metadata of messages."""
    people = [world.user("metadata"), world.guest("guest-metadata")]
    for person in people:
        for number in range(LARGE_TRIES):
            chat = await person.chat(number)
            content = {"noise": _noise(world, 3_900)}
            await person.send(person.question("say", number), chat, "message", metadata=content)
        _count_bytes(world, f"metadata, as {person.name}", person, 15_600)


async def images(world: World) -> None:
    """Fill the disk with images."""
    people = [world.user("images"), world.guest("guest-images")]
    for person in people:
        for number in range(LARGE_TRIES):
            noise = png_chunk(b"tEXt", world.random.randbytes(15_000))
            pixels = png_chunk(b"IDAT", bytes.fromhex("789c6360000000020001"))
            part = file_part("image/png", png(1, 1, noise, pixels))
            chat = await person.chat(number)
            await person.send(person.question("say", number), chat, "message", parts=(part,))
        _count_bytes(world, f"images, as {person.name}", person, 20_000)
    # Guests store no images at all.
    world.lines[-1].ceiling, world.lines[-1].is_reached = 0, False


def _count_bytes(world: World, attack: str, person: Person, each: int) -> None:
    line = Line(
        attack=attack,
        counted="bytes",
        tried=LARGE_TRIES * each,
        ceiling=BYTES_PER_DAY,
        allowed=lambda: world.stored_bytes.get(person.name, 0),
        is_reached=False,
    )
    world.lines.append(line)


async def task_lists(world: World) -> None:
    """Fill the disk with tasks."""
    person = world.user("tasks")
    added = 0
    for number in range(LARGE_TRIES):
        body = {"title": f"Task {number}", "description": _noise(world, 1_000)}
        response = await world.http.post("/api/tasks", json=body, headers=person.headers())
        added += response.status_code == 201
    world.lines.append(
        Line(
            attack="tasks",
            counted="tasks",
            tried=LARGE_TRIES,
            ceiling=MAX_TASKS,
            allowed=lambda: added,
        )
    )


async def networks(world: World) -> None:
    """Send each message from another /64 of one /48."""
    person = world.guest("guest-network")

    async def send(number: int) -> None:
        address = f"2001:db8:{1}:{number:x}::1"
        text = person.question("say", number)
        await person.send(text, id_of(f"network {number}"), "message", address=address)

    tried = SHARED * MESSAGES_PER_DAY + MESSAGES_PER_DAY
    for first in range(0, tried, 6):
        await asyncio.gather(*map(send, range(first, min(first + 6, tried))))
    _count_answers(world, "a /64 for each message", person, ceiling=SHARED * MESSAGES_PER_DAY)


async def flood(world: World) -> None:
    """Send each message from another address, until all guests together have reached the limit."""
    person = world.guest("guest-flood")

    async def send(number: int) -> None:
        text = person.question("say", number)
        await person.send(text, id_of(f"flood {number}"), "message", address=world.address())

    while person.sent < ANONYMOUS_PER_DAY and person.codes.get("quota_exceeded", 0) < TRIES:
        await asyncio.gather(*map(send, range(person.sent, person.sent + 6)))


async def guesses(world: World) -> None:
    """Read, follow, delete and continue conversations under ids of others and guessed ones."""
    person = world.guest("guest-guess")
    started, statuses, opened = time.monotonic(), Counter[int](), 0

    def ceiling() -> int:
        return GUESSES_PER_MINUTE * (1 + int((time.monotonic() - started) / 60))

    async def guess(number: int) -> None:
        nonlocal opened
        people = [each for each in world.people.values() if each is not person]
        # With a key; a message to one that is made, but not begun, would begin it.
        others = [chat for each in people for chat in each.keys if chat in each.begun]
        chat = world.random.choice(others) if others and number % 2 else id_of(f"guess {number}")
        methods = [
            ("GET", f"/api/history?conversation_id={chat}"),
            ("GET", f"/api/conversations?id={chat}"),
            ("GET", path_of(chat)),
            ("DELETE", f"/api/conversations?id={chat}"),
            ("POST", "/api/chat"),
        ]
        # A message under an id that nobody has begins a conversation, and guesses nothing.
        method, path = world.random.choice(methods if chat in others else methods[:-1])
        if method == "POST":
            status = (await person.send(person.question(), chat, "message")).status
        else:
            response = await world.http.request(method, path, headers=person.headers())
            status = response.status_code
        statuses[status] += 1
        # 204 is the stream that is not there, and the deletion of nothing.
        opened += status == 200

    while statuses.total() < ceiling() + TRIES:
        await asyncio.gather(*map(guess, range(statuses.total(), statuses.total() + 6)))
    world.lines += [
        Line(
            attack="guess ids",
            counted="guesses",
            tried=statuses.total(),
            ceiling=ceiling(),
            # An answer of 5xx comes with nothing, and is not counted.
            allowed=lambda: sum(count for status, count in statuses.items() if status < 429),
            is_reached=False,
        ),
        Line(
            attack="guess ids",
            counted="openings",
            tried=statuses.total(),
            ceiling=0,
            allowed=lambda: opened + world.bill(person).answers,
        ),
    ]


async def log_ins(world: World) -> None:
    """Try passwords for an honest user's address, while that user logs in."""
    home = world.address()
    status = await _register(world, VICTIM, home)
    await _token(world, VICTIM, home)
    if status != 202:
        world.errors.append(f"the honest user could not register: {status}")
    started = time.monotonic()
    answers: list[list[int]] = []

    async def attack() -> None:
        client, statuses = world.address(), list[int]()
        answers.append(statuses)
        for number in range(3 * FREE_LOG_INS):
            body = {"action": "login", "email": VICTIM, "password": f"wrong {number} password"}
            headers = {"x-forwarded-for": client}
            response = await world.http.post("/api/auth", json=body, headers=headers)
            statuses.append(response.status_code)

    async def log_in() -> None:
        for _ in range(4):
            body = {"action": "login", "email": VICTIM, "password": PASSWORD}
            headers = {"x-forwarded-for": home}
            response = await world.http.post("/api/auth", json=body, headers=headers)
            if response.status_code != 200:
                world.errors.append(f"the honest log-in was refused: {response.text}")
            await asyncio.sleep(0.5)

    await asyncio.gather(attack(), attack(), log_in())
    seconds = time.monotonic() - started
    # From the last free failure on, each failure doubles the wait of a second.
    ceiling = len(answers) * (FREE_LOG_INS + ceil(log2(seconds + 1)))
    checked = sum(statuses.count(401) for statuses in answers)
    opened = sum(statuses.count(200) for statuses in answers)
    tried = sum(map(len, answers))
    world.lines += [
        Line(
            attack="wrong log-ins",
            counted="passwords",
            tried=tried,
            ceiling=ceiling,
            allowed=lambda: checked,
            is_reached=False,
        ),
        Line(
            attack="wrong log-ins",
            counted="openings",
            tried=tried,
            ceiling=0,
            allowed=lambda: opened,
        ),
    ]


async def bursts(world: World) -> None:
    """Send many messages at the same moment, in one conversation each and with the same id."""
    person = world.user("burst")

    async def send(number: int) -> None:
        await person.send(person.question("say", number), await person.chat(number), "message")

    await asyncio.gather(*map(send, range(2 * TRIES)))
    _count_answers(world, "burst", person)


async def tokens(world: World) -> None:
    """Ask for large answers, one after the other and all at once."""
    steady, burst = world.user("tokens"), world.user("tokens-burst")

    async def send(person: Person, number: int) -> None:
        await person.send(person.question("large", number), await person.chat(number), "message")

    for number in range(TRIES):
        await send(steady, number)
    await asyncio.gather(*(send(burst, number) for number in range(TRIES)))
    # Tokens are known after an answer, so each of the answers that run at once may go beyond.
    for person, at_once in ((steady, 1), (burst, MESSAGES_PER_DAY)):
        world.lines.append(
            Line(
                attack=f"large answers, {at_once} at once",
                counted="tokens",
                tried=TRIES * LARGE_ANSWER_TOKENS,
                ceiling=TOKENS_PER_DAY + at_once * MOST_TOKENS,
                allowed=lambda person=person: world.bill(person).tokens,
                is_reached=False,
            )
        )


# All at once; `flood` comes after them.
ATTACKS: tuple[Attack, ...] = (
    stops,
    closed_connections,
    failures,
    deletions,
    accounts,
    account_networks,
    large_texts,
    metadata,
    images,
    task_lists,
    networks,
    guesses,
    log_ins,
    bursts,
    tokens,
)
