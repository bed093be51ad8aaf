"""begin_turn: the verdicts that it and decide_turn can return are those that Python handles."""

import re
from typing import get_args

import psycopg

from lib.turns.begin import Verdict

# decide_turn's own steps on the way to `taken` or `over_quota`.
INTERMEDIATE_VERDICTS = {"free", "new_conversation"}
SOURCE = "SELECT prosrc FROM pg_proc WHERE proname = %s"


def test_python_knows_exactly_the_verdicts_that_begin_turn_returns(
    database: psycopg.Connection,
) -> None:
    decided, returned = _verdict_cases(database)

    # The last CASE replaces the intermediate verdicts, and passes the others on.
    assert "ELSE decision.verdict" in returned
    assert set(get_args(Verdict)) == _results(decided) - INTERMEDIATE_VERDICTS | _results(returned)


def test_decide_turn_returns_no_intermediate_verdict(database: psycopg.Connection) -> None:
    decided, returned = _verdict_cases(database)
    [replaced] = re.findall(r"decision\.verdict IN \(([^)]*)\) THEN 'over_quota'", returned)

    assert set(re.findall(r"'(\w+)'", replaced)) == INTERMEDIATE_VERDICTS
    assert _results(decided) >= INTERMEDIATE_VERDICTS


def test_begin_turn_itself_decides_two_of_the_verdicts(database: psycopg.Connection) -> None:
    row = database.execute(SOURCE, ["begin_turn"]).fetchone()

    assert row is not None
    decided = re.findall(r"\bverdict := ([^;]*);", row[0])
    assert decided == ["'over_quota'", "'taken'", "decision.verdict"]


def _verdict_cases(database: psycopg.Connection) -> list[str]:
    """Return the two CASE expressions of decide_turn that are named verdict, in their order."""
    row = database.execute(SOURCE, ["decide_turn"]).fetchone()
    assert row is not None
    cases = re.findall(r"\bCASE\b(?:(?!\bCASE\b).)*?\bEND AS verdict\b", row[0], re.DOTALL)
    assert len(cases) == 2
    return cases


def _results(case: str) -> set[str]:
    return set(re.findall(r"\b(?:THEN|ELSE) '(\w+)'", case))
