"""Errors of the database: each known code has a problem that is true, and none shows a secret."""

import inspect
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors
from psycopg_pool import PoolTimeout

from lib.database import _problems
from lib.database._problems import as_problem
from lib.database.connecting import LASTING, ConnectFailedError
from lib.identity.callers import Caller
from lib.problems import DatabaseNotMigrated, DatabaseTooSlow, DatabaseUnavailable, Problem

# Classes whose errors come of a statement's own values or of a rule on the rows: Parley's code
# expects them, or they are a bug, or a trigger or a constraint of somebody else's.
OF_STATEMENTS = {
    *("00", "01", "02", "03", "07", "09", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22"),
    *("23", "24", "27", "2B", "2D", "2F", "2H", "38", "39", "3B", "44", "72", "P0"),
}
# Of those, the ones that tell of the database itself.
OF_THE_DATABASE = {"22021", "22P05"}


def codes() -> Iterator[str]:
    """Return each SQLSTATE that psycopg knows."""
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        if isinstance(code := vars(kind).get("sqlstate"), str):
            yield code


CODES = sorted({*codes()})


def test_all_codes_of_postgres_are_looked_at() -> None:
    assert len(CODES) > 250


def error_of(code: str) -> psycopg.Error:
    """Return an error of a code, as if a server had said it without words."""
    return errors.lookup(code)()


def test_each_code_of_the_databases_state_is_a_problem_with_a_time_and_no_internal_error() -> None:
    for code in CODES:
        problem = as_problem(error_of(code), Caller())
        if code[:2] in OF_STATEMENTS and code not in OF_THE_DATABASE:
            assert problem is None, code
            continue
        assert isinstance(problem, (DatabaseUnavailable, DatabaseNotMigrated, DatabaseTooSlow)), (
            code
        )
        # A statement that took too long takes as long in a moment.
        has_time = "retry-after" in problem.headers
        assert has_time is not isinstance(problem, DatabaseTooSlow), code


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("53300", _problems.NO_CONNECTION_LEFT),
        ("53100", _problems.NO_ROOM),
        ("25006", _problems.ONLY_READS),
        ("57P03", _problems.STARTING),
        ("28P01", _problems.REFUSED),
        ("3D000", _problems.REFUSED),
        ("40001", _problems.LOCKED),
        ("40P01", _problems.LOCKED),
        ("55P03", _problems.LOCKED),
        ("57P01", DatabaseUnavailable().detail),
        ("42501", _problems.NO_PRIVILEGE),
        ("42P01", DatabaseNotMigrated().detail),
        ("42883", DatabaseNotMigrated().detail),
        ("42703", DatabaseNotMigrated().detail),
        ("3F000", DatabaseNotMigrated().detail),
        ("42804", _problems.NOT_FITTING),
        ("22P05", _problems.ENCODING),
        ("57014", DatabaseTooSlow().detail),
        ("XX001", _problems.FAILING),
    ],
)
def test_a_problem_says_what_the_code_means(code: str, detail: str) -> None:
    assert _detail(as_problem(error_of(code), None)) == detail


@pytest.mark.parametrize("reason", sorted(LASTING))
def test_a_lasting_refusal_is_told_without_the_operators_details(reason: str) -> None:
    assert _problems.CONNECT[reason][0] == _problems.REFUSED


def test_a_wait_for_a_connection_tells_whether_there_was_none_or_none_was_free() -> None:
    failed = PoolTimeout()
    failed.__cause__ = ConnectFailedError(psycopg.OperationalError("too many clients already"))

    assert _detail(as_problem(failed, None)) == _problems.NO_CONNECTION_LEFT
    assert _detail(as_problem(PoolTimeout(), None)) == _problems.ALL_IN_USE


def test_a_mistake_in_parleys_own_code_is_no_problem_of_the_database() -> None:
    assert as_problem(psycopg.ProgrammingError("cannot adapt type"), None) is None


def _detail(problem: Problem | None) -> str:
    assert problem is not None
    return problem.detail
