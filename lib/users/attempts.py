"""Attempts to log in and to register: their limits, and the waits beyond them.

Log-ins slow down, and lock nobody out: from the last free failure of a day on, each failure doubles
the wait for the next attempt, up to LONGEST_WAIT_SECONDS. An attempt that has to wait is refused
before its password is hashed, and counts for nothing. NIST SP 800-63B (3.2.2) asks for at most 100
failures in a row on one account; after 100 in a day from networks that the account was not used
from, Parley lets further ones through at 12 an hour at most, instead of the lock-out that would
let a stranger keep the owner out.
"""

from dataclasses import dataclass
from datetime import datetime

from lib.database.statements import Call, Statement
from lib.identity.clients import KNOWN_NETWORK_DAYS, hashed, site_of
from lib.problems import TooManyAttempts

LONGEST_WAIT_SECONDS = 300
DAY_SECONDS = 86_400
# Known networks of an account, the latest; the home, the office and the phone are a few.
NETWORKS_KEPT = 20


@dataclass(frozen=True, slots=True)
class Limit:
    """The attempts of one subject.

    Attributes:
        free_count: attempts in a day before it has to wait.
        first_wait_seconds: its first wait; each further attempt doubles it.
        longest_wait_seconds: its longest wait, which ends with the day at the latest.
    """

    free_count: int
    first_wait_seconds: int = 1
    longest_wait_seconds: int = LONGEST_WAIT_SECONDS


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject that attempts are counted for.

    Attributes:
        name: its keyed hash.
        limit: its attempts.
    """

    name: str
    limit: Limit


@dataclass(frozen=True, slots=True)
class CountedAttempt:
    """The row of count_account_attempt.

    Attributes:
        is_known: the account was used from this network, so only the first subject counts.
        retry_after_seconds: 0: the attempt is allowed, and counted.
        counted_at: the time of the attempt, by the database's clock.
    """

    is_known: bool
    retry_after_seconds: float
    counted_at: datetime

    def check(self) -> None:
        """Refuse an attempt that has to wait.

        Raises:
            TooManyAttempts: with the wait as Retry-After.
        """
        if self.retry_after_seconds > 0:
            raise TooManyAttempts(retry_after_seconds=self.retry_after_seconds)


COUNT_ACCOUNT_ATTEMPT = Statement("users/count_account_attempt", CountedAttempt)
PAIR, CLIENT, ADDRESS = Limit(5), Limit(30), Limit(100)
# All registrations count, because each may store a row.
CLIENT_REGISTERING = Limit(10, DAY_SECONDS, DAY_SECONDS)
ADDRESS_REGISTERING = Limit(10)
# A site has 65,536 clients, of which each would have attempts of its own.
SITE, SITE_REGISTERING = Limit(300), Limit(100, DAY_SECONDS, DAY_SECONDS)


def log_in_subjects(email: str, client: str) -> list[Subject]:
    """Return the subjects that a log-in counts for; the first names the network and the address.

    Args:
        email: address of the account, in small letters.
        client: network address of the request: see `client_of`.
    """
    return [
        Subject(network_subject(email, client), PAIR),
        Subject(hashed("log-in client", client), CLIENT),
        *_site_subjects("log-in site", client, SITE),
        Subject(hashed("log-in address", email), ADDRESS),
    ]


def registration_subjects(email: str, client: str) -> list[Subject]:
    """Return the subjects that a registration counts for; the arguments are as for a log-in."""
    return [
        Subject(hashed("registration client", client), CLIENT_REGISTERING),
        *_site_subjects("registration site", client, SITE_REGISTERING),
        Subject(hashed("registration address", email), ADDRESS_REGISTERING),
    ]


def _site_subjects(kind: str, client: str, limit: Limit) -> list[Subject]:
    """Return the subject of a client's site; an IPv4 client has none."""
    site = site_of(client)
    return [] if site is None else [Subject(hashed(kind, site), limit)]


def network_subject(email: str, client: str) -> str:
    """Return the subject of a client's network together with an address."""
    # No address has a space in its domain, so no two pairs have the same text.
    return hashed("log-in", f"{email} {client}")


def count_attempt(subjects: list[Subject]) -> Call[CountedAttempt]:
    """Return the call that counts an attempt for its subjects, unless one of them has to wait."""
    limits = [subject.limit for subject in subjects]
    return COUNT_ACCOUNT_ATTEMPT(
        subjects=[subject.name for subject in subjects],
        free_counts=[limit.free_count for limit in limits],
        first_delays=[limit.first_wait_seconds for limit in limits],
        longest_delays=[limit.longest_wait_seconds for limit in limits],
        known_days=KNOWN_NETWORK_DAYS,
        now=None,
    )
