"""Quotas: the answers, tokens and bytes that a caller may have, as begin_turn counts them.

A caller counts for one subject or several, from the narrowest to the widest: a user; a guest's
client, its site (IPv6), and all guests together; an account that is younger than a day, and all
such accounts of its client and of its site; and for a model with a limit of its own, the caller
with this model. Each subject has its own limits, and the first one reached refuses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from lib.identity.callers import Caller
from lib.identity.clients import hashed, site_of
from lib.models import Model
from lib.problems import QuotaExceeded, StorageQuotaExceeded, TokenQuotaExceeded
from lib.settings import settings

MINUTE_SECONDS, DAY_SECONDS = 60, 86_400
# The limits of a subject that many share, in those of one caller: a site, and for tokens and bytes
# all guests together.
SHARED = 10
# Names no network address, so it needs no hash.
ALL_GUESTS = "all guests"
# Up to so many seconds, a refusal names the wait; from there on, the time of day.
SHORT_WAIT_SECONDS = 120

# What a limit counts that refuses; `size`: the message alone is larger than the bytes of a day.
Refusal = Literal["uses", "tokens", "bytes", "size"]
SubjectKind = Literal["user", "new accounts", "client", "site", "guests", "model"]
SHARERS: Mapping[SubjectKind, str] = {
    "user": "You have reached your limit of {}",
    "new accounts": "The new accounts of your network have reached the limit of {} that they share "
    "on their first day",
    "client": "Guests from your network address have reached their limit of {}",
    "site": "Guests from your network have reached their limit of {}",
    "guests": "All guests together have reached the day's limit of {}",
    "model": "You have reached your limit of {}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A subject that uses count for, and its limits; 0: any number.

    Attributes:
        name: `quotas.subject`: its kind and a keyed hash, which tell neither user nor address.
        kind: the callers that share it.
        messages_per_minute: answers that they may ask for in a minute.
        messages_per_day: answers that they may ask for in a day.
        tokens_per_day: tokens after which they get no further answer that day.
        bytes_per_day: bytes of messages that they may store in a day.
        model: of the kind `model`: its name.
    """

    name: str
    kind: SubjectKind
    messages_per_minute: int
    messages_per_day: int
    tokens_per_day: int
    bytes_per_day: int
    model: str = ""

    @property
    def is_limited(self) -> bool:
        """At least one of its limits is switched on."""
        return any(
            (
                self.messages_per_minute,
                self.messages_per_day,
                self.tokens_per_day,
                self.bytes_per_day,
            )
        )


class Limit(NamedTuple):
    """One limit of a quota.

    Attributes:
        name: `minute` or `day`.
        window_seconds: length of its window.
        answers: answers that a caller may ask for in a window.
        remaining: answers left in the running window.
        reset_seconds: time until the running window ends.
    """

    name: str
    window_seconds: int
    answers: int
    remaining: int
    reset_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The rest of a caller's quota, as the row of begin_turn tells it.

    Attributes:
        subject: of the caller's subjects the one that refuses, or else the one with the fewest
            answers left.
        refusal: the limit that refuses; None: the request is allowed.
        minute_remaining: answers left in the running minute.
        minute_reset_seconds: time until that minute ends.
        day_remaining: answers left in the running day.
        day_reset_seconds: time until that day ends.
    """

    subject: Subject
    refusal: Refusal | None = None
    minute_remaining: int
    minute_reset_seconds: float
    day_remaining: int
    day_reset_seconds: float

    @property
    def retry_after_seconds(self) -> float:
        """Time until the subject allows a use again, in seconds; 0: it does now."""
        if self.refusal in {"tokens", "bytes"}:
            return self.day_reset_seconds
        return max([0.0, *(limit.reset_seconds for limit in self._limits() if not limit.remaining)])

    def problem(self) -> QuotaExceeded:
        """Return the problem that tells the caller which limit refuses, and how to go on."""
        headers = self.headers()
        if self.refusal == "size":
            detail = (
                f"This message is larger than the {self.subject.bytes_per_day:,} bytes that may be "
                "stored in a day, so nothing was stored. Send less text, or no files."
            )
            return StorageQuotaExceeded(detail, headers=headers)
        wait = self.retry_after_seconds
        problem, counted, ways = QuotaExceeded, "messages", []
        if self.refusal == "tokens":
            counted = "tokens, which are the text that the model reads and writes"
            problem = TokenQuotaExceeded
        elif self.refusal == "bytes":
            problem, counted, ways = StorageQuotaExceeded, "storage", ["send less"]
        if self.subject.kind in {"client", "site", "guests"}:
            ways = [*ways, "sign in"]
        elif self.subject.kind == "model":
            counted, ways = f"messages to the model {self.subject.model}", ["choose another model"]
        way = ", ".join([*ways, ("or " if ways else "") + _when(wait)])
        sharer = SHARERS[self.subject.kind].format(counted)
        detail = f"{sharer}, so nothing was stored. {way[0].upper()}{way[1:]}."
        return problem(detail, retry_after_seconds=wait, headers=headers)

    def headers(self) -> dict[str, str]:
        """Return the header fields `RateLimit` and `RateLimit-Policy`, and their older forms.

        Source: draft-ietf-httpapi-ratelimit-headers-10. The three older fields, which most clients
        read, come from its version 6 and describe the limit with the fewest answers left.
        """
        limits = self._limits()
        if not limits:
            return {}
        tightest = min(limits, key=lambda limit: (limit.remaining, -limit.reset_seconds))
        return {
            "ratelimit-policy": ", ".join(
                f'"{limit.name}";q={limit.answers};w={limit.window_seconds}' for limit in limits
            ),
            "ratelimit": ", ".join(
                f'"{limit.name}";r={limit.remaining};t={_round_up(limit.reset_seconds)}'
                for limit in limits
            ),
            "ratelimit-limit": str(tightest.answers),
            "ratelimit-remaining": str(tightest.remaining),
            "ratelimit-reset": str(_round_up(tightest.reset_seconds)),
        }

    def _limits(self) -> list[Limit]:
        """Return the limits of answers that are switched on."""
        minute = Limit(
            "minute",
            MINUTE_SECONDS,
            self.subject.messages_per_minute,
            self.minute_remaining,
            self.minute_reset_seconds,
        )
        day = Limit(
            "day",
            DAY_SECONDS,
            self.subject.messages_per_day,
            self.day_remaining,
            self.day_reset_seconds,
        )
        return [limit for limit in (minute, day) if limit.answers]


def _when(wait: float) -> str:
    """Return the words that tell when to come back, in UTC: the server knows no other zone."""
    if wait <= SHORT_WAIT_SECONDS:
        return f"try again in {max(1, _round_up(wait))} seconds"
    # The next minute, so that nobody comes back too early.
    return f"come back at {datetime.now(UTC) + timedelta(seconds=wait, minutes=1):%H:%M} UTC"


def _round_up(seconds: float) -> int:
    # A client that came a fraction of a second early would be refused.
    return -int(-seconds // 1)


def subjects_of(caller: Caller) -> Sequence[Subject]:
    """Return the subjects that a caller counts for, the narrowest first, without unlimited ones.

    The order matters: count_use and count_tokens lock the rows in it, so no two sessions deadlock.
    """
    if caller.user_id is not None:
        subjects = [_subject("user", hashed("user", caller.user_id))]
        # Hashed once more, so that no token can name a row of another kind.
        for shared, times in zip(caller.new_account_subjects, (1, SHARED), strict=False):
            subjects.append(_subject("new accounts", hashed("new accounts", shared), times))
    else:
        subjects = [_subject("client", hashed("client", caller.client))]
        if (site := site_of(caller.client)) is not None:
            subjects.append(_subject("site", hashed("site", site), SHARED))
        if settings().anonymous_per_day:
            subjects.append(_all_guests())
    return [subject for subject in subjects if subject.is_limited]


def model_subject(caller: Caller, model: Model) -> Subject:
    """Return the subject that counts a model's answers to a caller.

    It comes after those of `subjects_of`, whose rows are locked by then: no two sessions deadlock.
    """
    return Subject(
        # The name of a model has no control character, so no two pairs are written alike.
        name=hashed("model", f"{model.name}\n{caller.counted_as}"),
        kind="model",
        model=model.name,
        messages_per_minute=0,
        messages_per_day=model.messages_per_day,
        tokens_per_day=0,
        bytes_per_day=0,
    )


def _subject(kind: SubjectKind, name: str, times: int = 1) -> Subject:
    configuration = settings()
    return Subject(
        name=name,
        kind=kind,
        messages_per_minute=times * configuration.messages_per_minute,
        messages_per_day=times * configuration.messages_per_day,
        tokens_per_day=times * configuration.tokens_per_day,
        bytes_per_day=times * configuration.bytes_per_day,
    )


def _all_guests() -> Subject:
    """Return the subject of all guests: one row, which their turns lock one after the other.

    Without ANONYMOUS_PER_DAY they share no limit, and no row.
    """
    configuration = settings()
    return Subject(
        name=ALL_GUESTS,
        kind="guests",
        # A minute of many guests would stop all of them; the clients' own limits bound it.
        messages_per_minute=0,
        messages_per_day=configuration.anonymous_per_day,
        tokens_per_day=SHARED * configuration.tokens_per_day,
        bytes_per_day=SHARED * configuration.bytes_per_day,
    )
