"""Connects that fail: the reason, told apart by what the server, PgBouncer or libpq says.

A refused connect has no SQLSTATE in libpq, only words. Those that match no pattern (a server that
speaks another language, a new pooler) count as passing, so Parley tries again.
"""

import re
from typing import Literal

import psycopg

type Reason = Literal[
    "name_unknown",
    "refused",
    "unreachable",
    "timed_out",
    "no_socket",
    "no_tls",
    "certificate",
    "tls",
    "wrong_password",
    "no_database",
    "no_role",
    "not_allowed",
    "full",
    "starting",
    "settings_refused",
    "host_unknown_to_proxy",
    "suspended",
    "other",
]
# The first that matches counts: what the server says before what the network says, because several
# addresses of one host are tried, and the last of them may merely be closed.
PATTERNS: dict[Reason, str] = {
    "full": r"too many (database )?connections|too many clients|remaining connection slots|"
    r"no more connections allowed|max clients reached|max_client_conn|MaxClients|"
    r"query_wait_timeout",
    "starting": r"starting up|shutting down|not yet accepting connections|in recovery mode",
    "wrong_password": r"password authentication failed|no password supplied|password is empty|"
    r"authentication method|SASL|SCRAM|authentication failed|server login failed",
    "no_database": r'database "[^"]*" does not exist|no such database',
    "no_role": r'role "[^"]*" does not exist|no such user|not permitted to log in',
    "not_allowed": r"no pg_hba\.conf entry|permission denied for database|pg_hba\.conf rejects|"
    r"not currently accepting connections",
    "settings_refused": r"unsupported startup parameter|unrecognized configuration parameter|"
    r"invalid value for parameter|requires a value|permission denied to set parameter",
    "host_unknown_to_proxy": r"[Ee]ndpoint ID is not specified|endpoint could not be found|"
    r"Tenant or user not found|Inconsistent project name",
    "suspended": r"compute time quota|data transfer quota|project is paused|exceeded the quota",
    "no_tls": r"server does not support SSL",
    "certificate": r"certificate verify failed|server certificate|root certificate",
    "tls": r"SSL error|SSL SYSCALL|SSL negotiation|GSSAPI",
    "name_unknown": r"could not translate host name|failed to resolve host|name resolution|"
    r"Name or service not known|nodename nor servname|No address associated",
    "refused": r"Connection refused|Connection reset|closed the connection unexpectedly",
    "unreachable": r"No route to host|is unreachable",
    "timed_out": r"timeout expired|timed out",
    "no_socket": r"No such file or directory|Permission denied",
}
# Only an operator ends these, so a request need not wait.
LASTING: frozenset[Reason] = frozenset(
    {
        *("no_tls", "certificate", "wrong_password", "no_database", "no_role", "not_allowed"),
        *("settings_refused", "host_unknown_to_proxy", "suspended"),
    }
)
# The server's words when it refuses a connection. The text before them has its address.
REFUSAL = re.compile(r"(?:FATAL|ERROR): +(.+)")
# The address of this client, in such words.
OWN_ADDRESS = re.compile(r'\bhost "[^"]*"')


class ConnectFailedError(psycopg.OperationalError):
    """A connection could not be made.

    Its text is for the log: the reason, and the words of the server without this client's address.

    Attributes:
        reason: the kind of cause.
        words: what the server says; None: it has not said anything.
    """

    def __init__(self, error: BaseException) -> None:
        """Take what psycopg raised."""
        text = str(error)
        self.reason = reason_in(text)
        refusal = REFUSAL.search(text)
        self.words = OWN_ADDRESS.sub("host …", refusal[1]) if refusal else None
        super().__init__(f"{self.reason}: {self.words}" if self.words else self.reason)

    @property
    def is_lasting(self) -> bool:
        """Whether the next attempt fails as well, until an operator acts."""
        return self.reason in LASTING


def reason_in(text: str) -> Reason:
    """Return the reason that a failed connect gives in its text."""
    for reason, pattern in PATTERNS.items():
        if re.search(pattern, text):
            return reason
    return "other"
