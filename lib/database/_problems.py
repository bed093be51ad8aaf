"""The one place where an error of the database becomes a problem."""

from collections.abc import Callable

import psycopg
from psycopg import errors

from lib.identity.callers import Caller
from lib.problems import (
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
    SignOutUnavailable,
    StorageQuotaExceeded,
    TooManyGuesses,
    Unauthenticated,
)
from lib.settings import settings

# Not the statement's fault, and perhaps over in a moment: a lost connection, too long a wait for a
# connection or a lock, a full disk, a server that only reads.
TRANSIENT = (psycopg.OperationalError, psycopg.InterfaceError, errors.ReadOnlySqlTransaction)
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
}
# Those whose DETAIL is a number.
WITH_NUMBER = {"PA005", "PA009", "PA011", "PA012"}
LOCKED = "The database is busy with another change to the same data. Try again in a moment."
NO_ROLE = (
    "The role of DATABASE_URL may not act as parley_app. The operator grants it: GRANT parley_app "
    "TO <role>. The role must also own Parley's tables, or be a member of the role that does."
)


def hide_row(error: psycopg.Error) -> None:
    """Keep the first line of an error's text alone.

    The other lines may show the refused row, and a row of `users` has the hash of a password.
    """
    if error.diag.message_primary is not None:
        error.args = (error.diag.message_primary,)


def as_problem(error: psycopg.Error, caller: Caller | None) -> Problem | None:
    """Return the problem that an error means for the client.

    None: the code around the statement expects the error, such as a violated constraint.

    Args:
        error: the error that a step raised.
        caller: for whom the step was sent; None: for no caller.
    """
    match error:
        case _ if isinstance(error, TRANSIENT):
            return _passing_problem(error)
        case errors.UndefinedTable() | errors.UndefinedColumn() | errors.UndefinedFunction():
            return DatabaseNotMigrated(retry_after_seconds=60)
        case errors.InsufficientPrivilege():
            return DatabaseNotMigrated(NO_ROLE, retry_after_seconds=60)
        case errors.IntegrityError():
            return _problem_with_user(error, caller)
        case _:
            return _raised_problem(error)


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


def _passing_problem(error: psycopg.Error) -> Problem:
    """Return the problem if the statement itself is right, and may succeed at another time."""
    if isinstance(error, errors.QueryCanceled):
        # Its time was over (`Statement.timeout_ms`), or the operator has ended it. Without
        # Retry-After, because the same statement would take as long in a moment.
        return DatabaseTooSlow()
    detail = LOCKED if isinstance(error, errors.LockNotAvailable) else None
    return DatabaseUnavailable(detail, retry_after_seconds=5)


def _problem_with_user(error: psycopg.Error, caller: Caller | None) -> Problem | None:
    """Return the problem if a violated constraint says that the caller cannot be a user."""
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
