"""The one place where an error of the database becomes a problem."""

from collections.abc import Callable, Mapping

import psycopg
from psycopg import errors
from psycopg_pool import PoolTimeout

from lib.database._rules import is_foreign, keeps_row
from lib.database.connecting import LASTING, ConnectFailedError
from lib.identity.callers import Caller
from lib.problems import (
    AccountDeleted,
    AccountInactive,
    AccountUnknown,
    DatabaseNotMigrated,
    DatabaseTooSlow,
    DatabaseUnavailable,
    FileNotStored,
    FilesTooLarge,
    FileStorageFull,
    LocalAccountsUnavailable,
    NotFound,
    Problem,
    RefusedByRule,
    SignOutUnavailable,
    StorageQuotaExceeded,
    TooManyGuesses,
    Unauthenticated,
)
from lib.settings import settings

# Those that may have lost the connection; whether they have, the connection itself tells.
TRANSIENT = (psycopg.OperationalError, psycopg.InterfaceError)
SIGNED_OUT = "You were signed out everywhere, or your password was changed. Sign in again."
NO_BYTES_LEFT = (
    "With this file you would store more than you may in a day, so it was not stored. Send a "
    "smaller one, or come back tomorrow."
)
# Errors that functions of the database raise on purpose (sql/functions/).
RAISED: dict[str | None, Callable[[], Problem]] = {
    "PA001": AccountInactive,
    "PA002": AccountUnknown,
    "PA003": LocalAccountsUnavailable,
    "PA004": lambda: Unauthenticated(SIGNED_OUT),
    "PA006": NotFound,
    "PA007": SignOutUnavailable,
    "PA010": FileNotStored,
    "PA014": AccountDeleted,
}
# Those whose DETAIL is a number.
WITH_NUMBER = {"PA005", "PA009", "PA011", "PA012"}
LOCKED = "The database is busy with another change to the same data. Try again in a moment."
NO_ROLE = (
    "The role of DATABASE_URL may not act as parley_app. The operator grants it: GRANT parley_app "
    "TO <role>. The role must also own Parley's tables, or be a member of the role that does."
)
NO_PRIVILEGE = (
    "The database denies this application a privilege. The operator gives it back: "
    "psql -X -f sql/migrate.sql, as the owner of Parley's tables; GET /api/health tells more."
)
NOT_FITTING = (
    "The tables or functions of the database do not fit this version of the application. The "
    "operator brings them up to date: psql -X -f sql/migrate.sql; GET /api/health tells more."
)
COLUMN_MISSING = (
    "The database lacks a column that this version needs. The operator brings it up to date: psql "
    "-X -f sql/migrate.sql; where that changes nothing, the application has changed a table of its "
    "own that Parley uses. GET /api/health tells more."
)
NUMBERS_TAKEN = (
    "The database gives out numbers that rows have already, as after a move or a restore. The "
    "operator sets its sequences right: psql -X -f sql/migrate.sql."
)
ENCODING = (
    "The database cannot keep a character of this text, because its encoding is not UTF8. The "
    "operator moves Parley to a database in UTF8."
)
REFUSED = (
    "The database refuses this application. Only its operator can change that; the application's "
    "log has the reason."
)
STILL_USED = (
    "Other data of this application still refers to this, so nothing was changed. Remove that data "
    "first, or ask the operator: the application's log names it."
)
NO_CONNECTION_LEFT = "The database has no connection left at this moment. Try again soon."
ALL_IN_USE = "Too many requests use the database at this moment. Try again soon."
STARTING = "The database is starting or shutting down. Try again in a moment."
NO_ROOM = "The database has no room left, so nothing was stored. Its operator has to make room."
NO_MEMORY = "The database has too little memory at this moment. Try again soon."
BEYOND_LIMITS = (
    "This request exceeds a limit of the database, so nothing was stored. Try a smaller one, or "
    "tell the operator."
)
NOT_UNDERSTOOD = (
    "The database does not understand a statement of this application. Its operator needs "
    "PostgreSQL 15 or later."
)
ONLY_READS = "The database only reads at present, so nothing can be stored. Try again later."
ENDED_BY_HAND = "The operator of the database has ended this request. Try again in a moment."
FAILING = "The database has an internal error. Try again; if it persists, tell the operator."
# What a connect that failed, or an error of an open connection, means for the client. By SQLSTATE,
# or by its first two characters, which are its class (PostgreSQL, "PostgreSQL Error Codes").
PASSING: dict[str, tuple[str | None, int]] = {
    "08": (None, 5),
    "0A": (FAILING, 5),
    "25": (FAILING, 5),
    "25006": (ONLY_READS, 60),
    "25P03": (None, 5),
    "26": (FAILING, 1),
    "28": (REFUSED, 60),
    "34": (FAILING, 1),
    "3D": (REFUSED, 60),
    "40": (LOCKED, 1),
    "40003": (None, 5),
    "53": (FAILING, 5),
    "53100": (NO_ROOM, 60),
    "53200": (NO_MEMORY, 5),
    "53300": (NO_CONNECTION_LEFT, 5),
    "54": (BEYOND_LIMITS, 60),
    "55": (FAILING, 5),
    "55006": (LOCKED, 5),
    "55P03": (LOCKED, 5),
    "57": (None, 5),
    "57P03": (STARTING, 5),
    "57P04": (REFUSED, 60),
    "58": (FAILING, 60),
    "72": (FAILING, 5),
    "F0": (FAILING, 60),
    "HV": (FAILING, 60),
    "HV001": (NO_MEMORY, 5),
    "XX": (FAILING, 60),
}
CONNECT: Mapping[str, tuple[str | None, int]] = {
    "full": (NO_CONNECTION_LEFT, 5),
    "starting": (STARTING, 5),
} | dict.fromkeys(LASTING, (REFUSED, 60))
# Missing, or hidden from the role: table, column, function, schema.
ABSENCES = {"42P01", "42703", "42883", "3F000"}
# Of prepared statements and cursors behind a pooler, and of a DDL that is not Parley's.
NAMES_IN_USE = {"42P03", "42P04", "42P05", "42P06", "42P07", "42701", "42710", "42712", "42723"}
# The tables whose primary keys are numbers of a sequence: a number that is taken is no conflict.
NUMBERED = {"chat_messages", "tasks"}


def hide_row(error: psycopg.Error) -> None:
    """Keep the first line of an error's text alone.

    The other lines may show the refused row, and a row of `users` has the hash of a password.
    """
    if error.diag.message_primary is not None:
        error.args = (error.diag.message_primary,)


def as_problem(error: psycopg.Error, caller: Caller | None) -> Problem | None:
    """Return the problem that an error means for the client.

    None: the code around the statement expects the error, such as a violated constraint of
    Parley's, or it is a bug.

    Args:
        error: the error that a step raised.
        caller: for whom the step was sent; None: for no caller.
    """
    code = error.sqlstate
    if code is None:
        # Without one it is an error of the connection, or a mistake in Parley's own code.
        return _connect_problem(error) if isinstance(error, TRANSIENT) else None
    if is_foreign(error):
        return RefusedByRule(STILL_USED if keeps_row(error) else None)
    if unfit := UNFIT.get(code) or UNFIT.get(code[:2]):
        return unfit(error)
    if told := PASSING.get(code) or PASSING.get(code[:2]):
        detail, seconds = told
        return DatabaseUnavailable(detail, retry_after_seconds=seconds)
    if isinstance(error, errors.IntegrityError):
        return _constraint_problem(error, caller)
    return _raised_problem(error)


def is_absence(error: psycopg.Error) -> bool:
    """Tell whether a table, column, function or schema is missing, or hidden from the role."""
    return error.sqlstate in ABSENCES


def hidden_problem() -> Problem:
    """Return the problem of tables and functions that are there, in a schema without USAGE."""
    return DatabaseNotMigrated(NO_PRIVILEGE, retry_after_seconds=60)


def _privilege_problem(error: psycopg.Error) -> Problem:
    detail = NO_ROLE if _names_role(error) else NO_PRIVILEGE
    return DatabaseNotMigrated(detail, retry_after_seconds=60)


def _value_problem(error: psycopg.Error) -> Problem | None:
    """Return the problem if a value of a setting is refused because parley_app is missing."""
    return _privilege_problem(error) if _names_role(error) else None


def _names_role(error: psycopg.Error) -> bool:
    """Tell whether the role that requests act as cannot be taken on: it is denied, or missing."""
    return "parley_app" in (error.diag.message_primary or "")


def _is_number_taken(error: psycopg.Error) -> bool:
    name, table = error.diag.constraint_name, error.diag.table_name
    return table in NUMBERED and name == f"{table}_pkey"


def _connect_problem(error: psycopg.Error) -> Problem:
    """Return the problem of a connection that there was none of, or that broke."""
    failure = error.__cause__ if isinstance(error, PoolTimeout) else error
    if isinstance(failure, ConnectFailedError):
        detail, seconds = CONNECT.get(failure.reason, (None, 5))
        return DatabaseUnavailable(detail, retry_after_seconds=seconds)
    detail = ALL_IN_USE if isinstance(error, PoolTimeout) else None
    return DatabaseUnavailable(detail, retry_after_seconds=5)


def _ended_problem(error: psycopg.Error) -> Problem:
    """Return the problem of a statement that was ended: its time was over, or somebody's will."""
    if "user request" in (error.diag.message_primary or ""):
        return DatabaseUnavailable(ENDED_BY_HAND, retry_after_seconds=5)
    # Without Retry-After, because the same statement would take as long in a moment.
    return DatabaseTooSlow()


def _raised_problem(error: psycopg.Error) -> Problem | None:
    """Return the problem that a function of the database has raised; None: it raised none."""
    number = float(error.diag.message_detail or 0) if error.sqlstate in WITH_NUMBER else 0
    match error.sqlstate:
        case "PA005":
            return TooManyGuesses(retry_after_seconds=number or 60)
        case "PA009":
            return FileStorageFull.with_left(int(number), settings().max_user_bytes)
        case "PA011":
            return StorageQuotaExceeded(NO_BYTES_LEFT, retry_after_seconds=number or None)
        case "PA012":
            return FilesTooLarge.with_size(int(number))
        case code:
            raised = RAISED.get(code)
            return raised() if raised else None


def _unfit(detail: str | None = None) -> Callable[[psycopg.Error], Problem]:
    return lambda _error: DatabaseNotMigrated(detail, retry_after_seconds=60)


def _passing(detail: str) -> Callable[[psycopg.Error], Problem]:
    return lambda _error: DatabaseUnavailable(detail, retry_after_seconds=60)


def _encoding_problem(error: psycopg.Error) -> Problem | None:
    """Return the problem if the database's encoding is to blame, and not the text itself.

    A byte that is no UTF-8, or an escape such as that of NUL in JSON, is refused by any database.
    """
    words = error.diag.message_primary or ""
    # The words have the bytes in every language of the server.
    is_of_encoding = "0x" in words and (error.sqlstate != "22021" or "UTF8" not in words)
    return _unfit(ENCODING)(error) if is_of_encoding else None


# What keeps an operator's database from doing Parley's work, by SQLSTATE or its class.
UNFIT: Mapping[str, Callable[[psycopg.Error], Problem | None]] = (
    {
        "42501": _privilege_problem,
        "22023": _value_problem,
        "22021": _encoding_problem,
        "22P05": _encoding_problem,
        "42": _unfit(NOT_FITTING),
        "57014": _ended_problem,
        "25P04": _ended_problem,
        "42703": _unfit(COLUMN_MISSING),
        "42601": _passing(NOT_UNDERSTOOD),
    }
    | dict.fromkeys(ABSENCES - {"42703"}, _unfit())
    | dict.fromkeys(NAMES_IN_USE, _passing(FAILING))
)


def _constraint_problem(error: psycopg.Error, caller: Caller | None) -> Problem | None:
    """Return the problem if a violated constraint tells of the caller, or of the sequences."""
    if isinstance(error, errors.UniqueViolation) and _is_number_taken(error):
        return DatabaseNotMigrated(NUMBERS_TAKEN, retry_after_seconds=60)
    if isinstance(error, errors.NotNullViolation) and error.diag.table_name == "users":
        # An application's own `users` table needs more of a new user than a token says.
        return AccountUnknown()
    names_user = (error.diag.constraint_name or "").endswith("_user_id_fkey")
    if caller is None or not names_user or not isinstance(error, errors.ForeignKeyViolation):
        return None
    # The user was deleted at this moment. A user of an identity provider may come back.
    if caller.has_local_account:
        return AccountUnknown()
    return DatabaseUnavailable(retry_after_seconds=1)
