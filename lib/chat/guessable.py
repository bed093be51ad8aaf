"""Which ids of conversations can be guessed, measured in bits that an attacker does not know.

Without a token or a key, the id of a conversation is its password. Its length says nothing: a date,
a counter, words and a row of keys are long too. So an id is described as briefly as possible in a
code for such patterns. If the code describes it no better than a random generator would, the id is
random, and its length counts. Otherwise only the parts count that no pattern describes.

The code is a probability model, so an id of a random generator has a code that is shorter than its
own by PATTERN_BITS with a probability of 2^-PATTERN_BITS at most (Kraft's inequality): less than
one in a million ids of AI SDK, nanoid, cuid2 or crypto.randomUUID() is refused by mistake. zxcvbn,
which does this for passwords, takes 140 ms to import and 8 ms or more for an id, and gives four
common words more than 16 random characters.
"""

import binascii
import math
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

# Fewer unknown bits could be guessed by many clients together: a generator with a clock (UUIDv7,
# ULID) has 74 or 80, useChat's own ids have 95.
LEAST_BITS = 64.0
PATTERN_BITS = 20.0
# Of a letter in a text (C. E. Shannon, "Prediction and Entropy of Printed English", 1951).
BITS_OF_A_LETTER = 1.3
# Enough for a verdict, and little enough for a long text to cost less than a millisecond or two.
MOST_CHARS = 80
# Random (4) and sorted by time (7): RFC 9562. The others have a clock, a network card or a name.
RANDOM_VERSIONS, SORTED_VERSION = ("4", "7"), "7"
UUID_FORM = re.compile(
    r"(?:urn:uuid:)?\{?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\}?", re.IGNORECASE
)
EMAIL_FORM = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")
DAY_SECONDS = 86_400
# Words before a random part, and the characters of that part: as many as useChat's ids have.
MOST_NAMES, LEAST_CHARS = 3, 16
# Of a UUID's clock, whose ticks have 100 ns: from the beginning of the Gregorian calendar to 1970.
TICKS_PER_SECOND, GREGORIAN_SECONDS = 10_000_000, 12_219_292_800
# Bits of each character, by the characters that an id has: hexadecimal digits, base 32, base 36.
ALPHABETS = (
    (re.compile(r"[0-9a-f]+|[0-9A-F]+"), 4.0),
    (re.compile(r"[0-9A-Z]+"), 5.0),
    (re.compile(r"[0-9a-z]+"), math.log2(36)),
)
BITS_OF_ANY, BITS_OF_PRINTABLE = math.log2(62), math.log2(95)
BASE_64 = str.maketrans("-_", "+/")
GENERAL = frozenset({"random", "text", "number", "word"})
NO_GENERATOR_MAKES = re.compile(r"[^0-9A-Za-z_+/=.~:-]")
# Bits of a letter after a letter, in quarters, as digits of base 62; the last line and column are
# the space between words. From the frequencies of English words, names and passwords.
LETTERS = "abcdefghijklmnopqrstuvwxyz-"
BASE_62 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
LETTER_AFTER_LETTER = (
    "ymijwsmtkzpdjbBmBchdnprynuf", "cmywaDCwevCdzxdCDelueyCEmBo", "cCnBdCBcgEgjBzaEyisfjCFEqCj",
    "gxyoavrwdACqtwhBDkkxkvuGoC6", "itkemrqwrCyhletpxbejvosppwb", "eDyBcfwwbDyhzxcCEftkgzDEpEh",
    "fxCwcynggCDlvmhCFfmtiFzFqE7", "atBxayDtcyArrqcBEltjjDvGmGd", "iqfkhokCCBthl9fozkefwlDxDqn",
    "8DuuaEzsiBoyzw9yCtAEbyFvuEq", "evBx9tzobAwlrkjxFngtoCuGlDa", "ctwlasxAcDtdrAfvGymmlsyGgDd",
    "9jqEazECcEEyjudgFzmCkECFpEf", "gxifercwgxqvxlkABygdqtzDqya", "polltqnupApgh9jkDcjjgmkvryi",
    "cABBbACifEAfwCdhGckkjFCGsFi", "jBDBBBAFqGGDCCEDyCAG2FizEEk", "dsolatowdCqommetDlhimrxFlCd",
    "jxlyeyBhgFrpqvjlyAhckBsDrD7", "fyrCazCfbFCovxgzFgijkEuFlxc", "jkikiqkyjAuficwkEccfDxDyvvp",
    "cxDF5vBG9BDyEDgFFxzCxAFGtGr", "auyubvCfbCvovhdBDkkwxFyFsFf", "fuezftDmcDFvvBnbAtqdpzxpnya",
    "kqpqiuwzmAAmnklpFqjptAtEBy3", "auwy8DwodGxpruhxwxwxnxrolib", "ghehjjkjkoojhmmgvhehpokDuxG",
)  # fmt: skip
SPACE = len(LETTERS) - 1
COSTS = [[BASE_62.index(digit) / 4 for digit in row] for row in LETTER_AFTER_LETTER]
LOOKALIKES = {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s"}
AS_LETTERS = str.maketrans(LOOKALIKES)
# In bits: a small letter after a small one or at the beginning, a capital there, a lookalike; and
# after a capital: a small letter, another capital.
SMALL_CASE, CAPITAL_CASE, LOOKALIKE, SMALL_AFTER_CAPITAL, CAPITAL_AGAIN = 0.42, 3.0, 3.0, 1.0, 1.42
# In bits: a word in small letters, with a capital, in capitals, or otherwise; then no separator, or
# one of six.
SMALL, CAPITAL, CAPITALS, LOOKALIKE_WORD = 0.52, 2.74, 3.74, 3.74
SEPARATORS, NO_SEPARATOR, SEPARATOR = frozenset("-_ .:@"), 1.0, 1.0 + math.log2(6)
SHORTEST_WORD, LONGEST_WORD = 3, 20
# Digits, the separators of a date and of a time, and the letters T and Z.
NUMBER_CHARS, NUMBER_BITS = frozenset("0123456789-:._tz"), 4.0
KEYBOARD = ("`1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./")
# How far back a row of neighbors, on the keyboard or in the alphabet, and a repetition may look.
MOST_INTERLEAVED, MOST_REPEATED = 4, 20
REPEATED = [f"repeated {distance}" for distance in range(MOST_REPEATED + 1)]
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
# By two characters: the rows in which the second follows the first. Each row tells one successor.
NEIGHBORS: dict[tuple[str, str], list[str]] = {}
for _name, _rows in (("alphabet", (ALPHABET,)), ("keys", KEYBOARD)):
    for _row in _rows:
        for _first, _second in pairwise(_row):
            NEIGHBORS.setdefault((_first, _second), []).append(f"{_name} ")
            NEIGHBORS.setdefault((_second, _first), []).append(f"{_name} back ")
# In bits: to go on with the pattern of the character before; to begin a general pattern (random,
# text, words, numbers), or one of the others.
GOING_ON = -math.log2(0.9)
BEGINNING = -math.log2(0.1 / 2 / 4)
BEGINNING_SPECIAL = -math.log2(0.1 / 2 / (4 * MOST_INTERLEAVED + MOST_REPEATED))


class Code(NamedTuple):
    """The best description of the characters so far.

    Attributes:
        length: its length in bits.
        unknown: bits of it that no pattern tells. Of each random piece PATTERN_BITS are left out,
            because it may be a word that is not listed.
    """

    length: float
    unknown: float


# Each message of a guest without a key asks for the same id again.
@lru_cache(maxsize=256)
def is_guessable(chat_id: str) -> bool:
    """Tell whether fewer than LEAST_BITS of an id are unknown to an attacker.

    Takes a quarter of a millisecond for a random id of 16 characters, and 26 ms at most, for 255
    characters of words.
    """
    if match := UUID_FORM.fullmatch(chat_id):
        return _is_guessable_uuid(match[1].lower())
    if not any(character.isalpha() for character in chat_id) or _is_of_this_moment(chat_id):
        return True
    if EMAIL_FORM.fullmatch(chat_id):
        return True
    # A name may stand before a random part, which then counts alone.
    rests = [chat_id[place + 1 :] for place, each in enumerate(chat_id) if each in SEPARATORS]
    pieces = NO_GENERATOR_MAKES.split(chat_id)[: MOST_NAMES + 1]
    rests = [rest for rest in (*rests[:MOST_NAMES], *pieces) if len(rest) >= LEAST_CHARS]
    texts = (chat_id, *dict.fromkeys(rests))
    return all(map(_is_guessable_text, texts)) or any(map(_is_encoded_text, texts))


def _is_encoded_text(text: str) -> bool:
    """Tell whether an id is a guessable text in hexadecimal digits or base64, as btoa() makes it.

    The text must be printable, which 1 of 150,000 rows of 12 random bytes is, and have a code that
    is shorter than its bytes by PATTERN_BITS, as in `unknown_bits`.
    """
    for decoded in filter(str.isprintable, _decoded(text)):
        code = _shortest_code(decoded[:MOST_CHARS], BITS_OF_PRINTABLE)
        bits_of_bytes = 8.0 * len(decoded[:MOST_CHARS])
        if code.length <= bits_of_bytes - PATTERN_BITS and code.unknown < LEAST_BITS:
            return True
    return False


def _decoded(text: str) -> Iterator[str]:
    """Yield the ASCII texts that an id may stand for."""
    with suppress(ValueError):
        yield bytes.fromhex(text.removeprefix("0x")).decode("ascii")
    digits = text.rstrip("=").translate(BASE_64)
    with suppress(ValueError):
        padded = digits + "=" * (-len(digits) % 4)
        yield binascii.a2b_base64(padded, strict_mode=True).decode("ascii")


def _is_guessable_text(text: str) -> bool:
    alphabets = (bits for form, bits in ALPHABETS if form.fullmatch(text))
    return unknown_bits(text, next(alphabets, BITS_OF_ANY)) < LEAST_BITS


def _is_guessable_uuid(text: str) -> bool:
    digits = text.replace("-", "")
    if digits[12] not in RANDOM_VERSIONS or digits[16] not in "89ab":
        return True
    beginning = "" if digits[12] == SORTED_VERSION else digits[:12]
    return unknown_bits(beginning + digits[13:16] + digits[17:], 4.0) < LEAST_BITS


def _is_of_this_moment(text: str) -> bool:
    """Tell whether an id has today's date, as generators with a clock and few random bits make it.

    They are UUIDs of version 1 and 6 without hyphens, MongoDB's ObjectId, xid, and the first cuid.
    """
    text, times = text.lower(), list[float]()
    if re.fullmatch(r"[0-9a-f]{32}", text) and text[16] in "89ab":
        ticks = {
            "1": text[13:16] + text[8:12] + text[:8],
            "6": text[:12] + text[13:16],
        }.get(text[12])
        if ticks:
            times.append(int(ticks, 16) / TICKS_PER_SECOND - GREGORIAN_SECONDS)
    elif re.fullmatch(r"[0-9a-f]{24}", text):
        times.append(int(text[:8], 16))
    elif re.fullmatch(r"[0-9a-v]{20}", text):
        times.append(int(text[:7], 32) >> 3)
    elif re.fullmatch(r"c[0-9a-z]{24}", text):
        times.append(int(text[1:9], 36) / 1000)
    return any(abs(moment - time.time()) < DAY_SECONDS for moment in times)


def unknown_bits(text: str, bits_of_each: float) -> float:
    """Return how many bits of a text an attacker does not know.

    Args:
        text: the text; of a longer one the first MOST_CHARS characters count.
        bits_of_each: bits of each character, if a generator has made the text.
    """
    text = text[:MOST_CHARS]
    made_chars = len(text) - len(NO_GENERATOR_MAKES.findall(text))
    random_bits = bits_of_each * made_chars
    code = _shortest_code(text, bits_of_each)
    # A text with another character was typed, or a generator has made a piece of it at most.
    if made_chars == len(text) and code.length > random_bits - PATTERN_BITS:
        return random_bits
    return min(code.unknown, random_bits)


def _shortest_code(text: str, bits_of_each: float) -> Code:
    """Return the shortest code of a text, each piece of it by one of the patterns (A. Viterbi)."""
    small = "".join(each.lower() if len(each.lower()) == 1 else each for each in text)
    codes: list[dict[str, Code]] = [{} for _ in range(len(text) + 1)]
    codes[0]["beginning"] = Code(0.0, 0.0)
    for place in range(len(text)):
        # No pattern ends here: it is within a word.
        if not codes[place]:
            continue
        best = min(codes[place].values())
        for pattern, end, length, unknown in _pieces(text, small, place, bits_of_each):
            begun = BEGINNING if pattern in GENERAL else BEGINNING_SPECIAL
            doubt = PATTERN_BITS if pattern == "random" else 0.0
            code = Code(best.length + begun + length, best.unknown + unknown - doubt)
            if before := codes[place].get(pattern):
                code = min(code, Code(before.length + GOING_ON + length, before.unknown + unknown))
            codes[end][pattern] = min(code, codes[end].get(pattern, code))
    return min(codes[-1].values())


def _pieces(
    text: str, small: str, place: int, bits_of_each: float
) -> Iterator[tuple[str, int, float, float]]:
    """Yield each description of the next piece of a text: pattern, end, length, unknown bits.

    Args:
        text: the text.
        small: the text in small letters.
        place: where the piece begins.
        bits_of_each: see `unknown_bits`.
    """
    character, end = small[place], place + 1
    is_made = not NO_GENERATOR_MAKES.match(character)
    yield "random", end, bits_of_each, bits_of_each if is_made else 0.0
    yield "text", end, _letter_bits(text, place), BITS_OF_A_LETTER
    if character in NUMBER_CHARS:
        yield "number", end, NUMBER_BITS, 0.0
    for distance in range(1, min(place, MOST_REPEATED) + 1):
        if text[place - distance] == text[place]:
            yield REPEATED[distance], end, 0.0, 0.0
    for distance in range(1, min(place, MOST_INTERLEAVED) + 1):
        before = text[place - distance]
        # A row goes on in the case in which it began.
        if before.isalpha() and text[place].isalpha() and before.isupper() != text[place].isupper():
            continue
        for row in NEIGHBORS.get((small[place - distance], character), ()):
            yield row + str(distance), end, 0.0, 0.0
    if small[place : place + SHORTEST_WORD].translate(AS_LETTERS) in beginnings():
        yield from _words(text, small, place)


def _words(text: str, small: str, place: int) -> Iterator[tuple[str, int, float, float]]:
    """Yield the words that begin at a place, each with a separator behind it or without."""
    known = words()
    for end in range(place + SHORTEST_WORD, min(place + LONGEST_WORD, len(text)) + 1):
        word, written = small[place:end], text[place:end]
        if word not in known and word.translate(AS_LETTERS) not in known:
            continue
        # Each letter in one of three ways.
        case_bits = LOOKALIKE_WORD + math.log2(3) * len(word)
        if word in known:
            cases = {word: SMALL, word.capitalize(): CAPITAL, word.upper(): CAPITALS}
            case_bits = cases.get(written, case_bits)
        length = known.get(word) or known[word.translate(AS_LETTERS)]
        length += case_bits
        unknown = BITS_OF_A_LETTER * len(word)
        yield "word", end, length + NO_SEPARATOR, unknown
        if end < len(text) and text[end] in SEPARATORS:
            yield "word", end + 1, length + SEPARATOR, unknown


@cache
def words() -> dict[str, float]:
    """Return the bits of each word that ids are made of: common words, names and passwords.

    The file has them by how common they are, and the bits follow from the place (Zipf's law).
    """
    listed = Path(__file__).with_name("words.txt").read_text(encoding="ascii").split()
    all_bits = math.log2(sum(1 / place for place in range(1, len(listed) + 1)))
    return {word: math.log2(place) + all_bits for place, word in enumerate(listed, 1)}


@cache
def beginnings() -> frozenset[str]:
    """Return how the words begin, also those that are written with lookalikes."""
    return frozenset(word[:SHORTEST_WORD].translate(AS_LETTERS) for word in words())


def _letter_bits(text: str, place: int) -> float:
    """Return the bits of a character as a letter of a text, after the letter before."""
    character, before = text[place], text[place - 1] if place else " "
    if character in LOOKALIKES:
        case_bits = LOOKALIKE
    elif before.isupper():
        case_bits = CAPITAL_AGAIN if character.isupper() else SMALL_AFTER_CAPITAL
    else:
        case_bits = CAPITAL_CASE if character.isupper() else SMALL_CASE
    return COSTS[_letter(before)][_letter(character)] + case_bits


def _letter(character: str) -> int:
    place = LETTERS.find(LOOKALIKES.get(character, character).lower())
    return SPACE if place < 0 else place
