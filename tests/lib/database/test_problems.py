"""Errors of the database: each known code has a problem that is true, and none shows a secret."""

import inspect
import re
from collections import defaultdict
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
from lib.runtime.log import traceback_of

# Classes whose errors come of a statement's own values or of a rule on the rows: Parley's code
# expects them, or they are a bug, or a trigger or a constraint of somebody else's.
OF_STATEMENTS = {
    *("00", "01", "02", "03", "07", "09", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22"),
    *("23", "24", "27", "2B", "2D", "2F", "2H", "38", "39", "3B", "44", "P0"),
}
NOT_MIGRATED = DatabaseNotMigrated().detail
UNREACHABLE = DatabaseUnavailable().detail
# Each sentence that tells of a cause, and all codes of which it is true.
TRUE_OF = {
    NOT_MIGRATED: {"3F000", "42883", "42P01"},
    UNREACHABLE: {
        *("08000", "08001", "08003", "08004", "08006", "08007", "08P01", "25P03", "40003"),
        *("57000", "57P01", "57P02", "57P05"),
    },
    DatabaseTooSlow().detail: {"57014", "25P04"},
    _problems.BEYOND_LIMITS: {"54000", "54001", "54011", "54023"},
    _problems.COLUMN_MISSING: {"42703"},
    _problems.LOCKED: {"40000", "40001", "40002", "40P01", "55006", "55P03"},
    _problems.NOT_UNDERSTOOD: {"42601"},
    _problems.NO_CONNECTION_LEFT: {"53300"},
    _problems.NO_MEMORY: {"53200", "HV001"},
    _problems.NO_PRIVILEGE: {"42501"},
    _problems.NO_ROOM: {"53100"},
    _problems.ONLY_READS: {"25006"},
    _problems.REFUSED: {"28000", "28P01", "3D000", "57P04"},
    _problems.STARTING: {"57P03"},
}
# These say no more than that the database has an error, or does not fit; which, the log has.
VAGUE = {_problems.FAILING, _problems.NOT_FITTING}
# Names that are taken already are no missing migration.
IN_USE = re.compile(r"Duplicate")


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
        if code[:2] in OF_STATEMENTS:
            assert problem is None, code
            continue
        assert isinstance(problem, (DatabaseUnavailable, DatabaseNotMigrated, DatabaseTooSlow)), (
            code
        )
        # A statement that took too long takes as long in a moment.
        has_time = "retry-after" in problem.headers
        assert has_time is not isinstance(problem, DatabaseTooSlow), code


def test_each_sentence_is_told_of_the_codes_that_it_is_true_of_and_of_no_other() -> None:
    told: defaultdict[str, set[str]] = defaultdict(set)
    for code in CODES:
        if problem := as_problem(error_of(code), Caller()):
            told[problem.detail].add(code)

    vague = {detail: told.pop(detail) for detail in VAGUE}
    assert told == TRUE_OF
    in_use = {code for code in CODES if IN_USE.match(errors.lookup(code).__name__)}
    assert in_use & vague[_problems.NOT_FITTING] == set()


def test_the_log_has_the_code_and_the_client_has_none() -> None:
    for code in CODES:
        error = error_of(code)
        assert code in traceback_of(error), code
        if problem := as_problem(error, Caller()):
            assert code not in problem.detail


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
