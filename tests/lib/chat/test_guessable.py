"""Ids of conversations: which can be guessed, and that random ones pass."""

import random
import time
from base64 import b64encode
from collections.abc import Callable
from uuid import NAMESPACE_DNS, UUID, uuid1, uuid5

import pytest

from lib.chat.guessable import LEAST_BITS, PATTERN_BITS, is_guessable, unknown_bits

DIGITS, SMALL = "0123456789", "abcdefghijklmnopqrstuvwxyz"
ANY = DIGITS + SMALL.upper() + SMALL
# The bits of a UUID that tell its version and variant.
SHAPE = 0xF << 76 | 3 << 62
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# The bound itself is arithmetic (Kraft). Tried once with 50,000 of each kind: none was refused.
TRIES = 500


def _text(source: random.Random, characters: str, count: int) -> str:
    return "".join(source.choice(characters) for _ in range(count))


def _by_time(source: random.Random) -> int:
    moment = 1_796_000_000_000 + source.randrange(10**11)
    return (moment << 80) | source.getrandbits(80)


def _ulid(source: random.Random) -> str:
    number = _by_time(source)
    return "".join(CROCKFORD[number >> 5 * place & 31] for place in range(25, -1, -1))


GENERATORS: dict[str, Callable[[random.Random], str]] = {
    "AI SDK": lambda source: _text(source, ANY, 16),
    "nanoid": lambda source: _text(source, ANY + "-_", 21),
    "crypto.randomUUID": lambda source: str(UUID(int=source.getrandbits(128), version=4)),
    "UUIDv7": lambda source: str(UUID(int=_by_time(source) & ~SHAPE | 7 << 76 | 2 << 62)),
    "cuid2": lambda source: _text(source, SMALL, 1) + _text(source, DIGITS + SMALL, 23),
    "ULID": _ulid,
    "16 bytes in base64": lambda source: b64encode(source.randbytes(16)).decode(),
    "12 bytes in base64": lambda source: b64encode(source.randbytes(12)).decode(),
    "32 hexadecimal digits": lambda source: f"{source.getrandbits(128):032x}",
    "a nanoid in brackets": lambda source: f"<{_text(source, ANY + '-_', 21)}>",
    "a room and an id of AI SDK": lambda source: f"room#{_text(source, ANY, 16)}",
    "a user and an id of AI SDK": lambda source: f"ann@{_text(source, ANY, 16)}",
    "a prefix and a nanoid": lambda source: "conversation-" + _text(source, ANY + "-_", 21),
}


@pytest.mark.parametrize("kind", GENERATORS)
def test_ids_of_a_random_generator_pass(kind: str) -> None:
    source = random.Random(kind)
    made = [GENERATORS[kind](source) for _ in range(TRIES)]

    assert [each for each in made if is_guessable(each)] == []


def test_less_than_one_in_a_million_random_ids_is_refused_by_mistake() -> None:
    assert 2**-PATTERN_BITS < 1e-6
    assert 16 * 5.95 - PATTERN_BITS > LEAST_BITS


@pytest.mark.parametrize(
    "chat_id",
    [
        # Too short, too uniform, counted.
        "x", "pT3vQ9kZ", "a1b2c3d4e5f6", "a" * 16, "A" * 200, "x" * 15 + "1", "0" * 32, "f" * 64,
        "ab" * 10, "abc" * 8, "a1" * 8, "deadbeef" * 3, "aaaabbbbccccdddd", "xyzzyxyzzyxyzzyxyzzy",
        "1700000000000000", "1733075000123456789", "31415926535897932384626",
        "12-34-56-78-90-12-34",
        "a1b2c3d4e5f6g7h8",
        "conversation-0001", "chat_00000000000000000042", "order#10000000000001",
        # Dates and times.
        "2026-12-01-chat-one", "2026-12-01T17:44:13.123Z", "20261201174413123456",
        "conversation-1733075000123", "conversation-20261201-174413", "user-42-chat-1733075000123",
        # Rows of the alphabet and the keyboard.
        "abcdefghijklmnop", "ponmlkjihgfedcba", "0123456789abcdef", "fedcba9876543210",
        "qwertyuiopasdfgh", "QWERTYUIOPASDFGH", "zxcvbnmasdfghjkl", "1q2w3e4r5t6y7u8i",
        "asdfghjklasdfghjkl", "poiuytrewqlkjhgfdsa",
        # Words, in any case and form.
        "my-first-conversation", "MY-FIRST-CONVERSATION", "My First Conversation",
        "MyFirstConversation", "my_first_conversation", "myfirstconversation", "new-chat-new-chat",
        "test-conversation-id", "c0nv3rs4t10n-n0mb3r-0n3", "correct-horse-battery-staple",
        "CorrectHorseBatteryStaple", "the quick brown fox jumps over the lazy dog",
        "conversation-with-my-doctor-about-fever", "helloworldhello1", "passwordpassword",
        "password12345678", "iloveyouiloveyou", "johnsmithjanedoe", "alice@example.com-2026",
        "a conversation of nobody", "https://example.com/chat/with/support",
        "привет как дела мой друг",
        "日本語の会話についての長い名前です", "😀" * 20, "İ" * 20, "ß" * 20,
        # Addresses; texts in base64 (with =, without, behind a prefix) and hexadecimal digits.
        "max.mustermann1987@gmail.com", "a.z.quartermaine+parley@example.org",
        "Q29udmVyc2F0aW9uOjEyMzQ1", "Y29udmVyc2F0aW9uLTEyMzQ1", "dXNlcjo0MjpjaGF0OjE=",
        "aGVsbG8gd29ybGQgMTIz", "chat_Y29udmVyc2F0aW9uLTEyMzQ1", "bXktY29udmVyc2F0aW9uLTE",
        "636f6e766572736174696f6e2d3132333435", "0x636f6e766572736174696f6e2d3132333435",
        # JavaScript's text of an object, and other texts that no generator makes.
        "[object Object]", "[object Promise]", "chat-[object Object]", "function(){return id}",
        "chat%201%20of%20bob%20smith", "moc.elpmaxe@htims.nhoj",
        # UUIDs that are not random.
        "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001",
        "00000000-0000-4000-8000-000000000001", "ffffffff-ffff-4fff-bfff-ffffffffffff",
        "11111111-1111-4111-8111-111111111111", "12345678-1234-4234-8234-123456789abc",
        "deadbeef-dead-4eef-8ead-beefdeadbeef", "123e4567-e89b-12d3-a456-426614174000",
        "018f3c5e-7b1a-7000-8000-000000000001", "018F3C5E-7B1A-7000-8000-000000000001",
        "1ef21d2f-1207-6660-8c4f-419efbd44d48", "2489e9ad-2ee2-8e00-8ec9-32d5f69181c0",
        "7d9f3c52-1b6e-4a0d-0c48-f2a35e7b60d1",
        str(uuid5(NAMESPACE_DNS, "example.com")), "5f39ade2-edb9-11f1-bf21-02fc00000001",
        "5F39AEFA-EDB9-11F1-BF21-02FC00000001",
        "urn:uuid:5f39b01c-edb9-11f1-bf21-02fc00000001", "{5f39b0a8-edb9-11f1-bf21-02fc00000001}",
    ],
)  # fmt: skip
def test_an_id_that_can_be_guessed_is_found_out(chat_id: str) -> None:
    assert is_guessable(chat_id)


def test_an_id_of_the_present_time_and_few_random_bits_is_found_out() -> None:
    assert is_guessable(f"{int(time.time()):08x}a1c3f9d27b40e581")
    assert is_guessable(uuid1(node=0x02FC00000001).hex)


def test_a_long_id_takes_no_longer_than_its_beginning() -> None:
    assert unknown_bits("a" * 255, 6.0) == unknown_bits("a" * 80, 6.0) < LEAST_BITS
