"""The files of `sql/functions/`: each function of the database has one, and its header is true."""

import re
from collections import Counter

import psycopg
import pytest

from tests.support.statement_files import FUNCTIONS, TOUCHED, read_function

NAMES = sorted(path.stem for path in FUNCTIONS.glob("*.sql"))
# Functions that do the work of a caller's step, behind the wall, but with conditions of their own.
STEPS = {
    *("begin_turn", "decide_turn", "finish_turn"),
    *("list_conversations", "list_turn_messages", "store_import"),
}
# Parley's functions but those that an index, a rule or a trigger uses.
CATALOG = """
    SELECT pg_proc.proname, pg_get_function_identity_arguments(pg_proc.oid)
    FROM pg_proc
    WHERE
        pg_proc.pronamespace = 'public'::regnamespace
        AND pg_proc.prorettype <> 'trigger'::regtype
        AND NOT EXISTS (
            SELECT FROM pg_depend
            WHERE
                pg_depend.classid IN ('pg_class'::regclass, 'pg_constraint'::regclass)
                AND pg_depend.refclassid = 'pg_proc'::regclass
                AND pg_depend.refobjid = pg_proc.oid
        )
"""
# Of the migration that has the index too, because the function of the index calls them.
CALLED_BY_AN_INDEX = {"search_class", "search_fold", "search_list", "search_parts", "search_words"}
# Of each function of a name, what it takes and what it returns, by name.
ARGUMENTS = """
    SELECT
        coalesce(proargnames, '{}'),
        coalesce(proargmodes::text[], array_fill('i'::text, ARRAY[pronargs])),
        array(
            SELECT format_type(kind, NULL)
            FROM unnest(coalesce(proallargtypes, proargtypes::oid[])) WITH ORDINALITY AS a (kind, n)
            ORDER BY n
        )
    FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND proname = %s
    ORDER BY pronargs DESC
"""


def test_each_function_of_the_database_has_a_file_unless_an_index_a_rule_or_a_trigger_uses_it(
    database: psycopg.Connection,
) -> None:
    found = {name for name, _ in database.execute(CATALOG).fetchall()}

    assert sorted(found - CALLED_BY_AN_INDEX) == NAMES
    assert found >= CALLED_BY_AN_INDEX


def test_every_function_is_applied_in_alphabetical_order() -> None:
    listed = (FUNCTIONS.parent / "apply_functions.sql").read_text(encoding="utf-8")

    assert re.findall(r"^\\ir functions/(\w+)\.sql$", listed, re.MULTILINE) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_function_file_makes_functions_of_its_own_name_alone(name: str) -> None:
    made = re.findall(r"\bCREATE OR REPLACE FUNCTION (\w+)", read_function(name).body)

    assert {*made} == {name}


@pytest.mark.parametrize("name", NAMES)
def test_a_function_header_says_purpose_parameters_result_and_index(
    name: str, database: psycopg.Connection
) -> None:
    function = read_function(name)
    [longest, *_] = database.execute(ARGUMENTS, [name]).fetchall()
    arguments = list(zip(*longest, strict=True))

    first, purpose, empty = function.header[:3]
    assert (first, empty) == (f"-- {name}", "--")
    assert re.fullmatch(r"-- [A-Z]\w+ .+\.", purpose)
    assert {each: _canonical(database, kind) for each, kind in function.declared.items()} == {
        each: kind for each, mode, kind in arguments if mode == "i"
    }
    returns = " ".join(function.header).partition("-- Returns ")[2]
    assert [each for each, mode, _ in arguments if mode != "i" and each not in returns] == []
    assert [line for line in function.header if line.startswith("-- Index ")] != []


@pytest.mark.parametrize("name", sorted(STEPS))
def test_a_function_of_a_step_reads_and_writes_only_what_is_the_callers(name: str) -> None:
    body = read_function(name).body

    touched = Counter(alias or table for table, alias in TOUCHED.findall(body))
    condition = rf"\b(\w+)\.user_id (?:=|IS NOT DISTINCT FROM) {name}\.user_id\b"
    assert Counter(re.findall(rf"\b(?:WHERE|AND|WHEN)\s+{condition}", body)) == touched
    assert touched != {}


@pytest.mark.parametrize("name", NAMES)
def test_a_function_is_the_owners_and_at_most_the_callers_to_call(
    name: str, database: psycopg.Connection
) -> None:
    allowed = database.execute(
        """
        SELECT has_function_privilege('public', oid, 'EXECUTE')
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname = %s
        """,
        [name],
    ).fetchall()

    assert {*allowed} == {(False,)}


def test_each_function_finds_parleys_objects_and_no_others_whatever_the_path_of_its_caller_is(
    database: psycopg.Connection,
) -> None:
    # A body that is bound when it is made needs no path, and with a SET it is not inlined.
    paths = database.execute("""
        SELECT proname, coalesce(proconfig, '{}') FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND prosqlbody IS NULL
    """).fetchall()

    assert len(paths) > len(NAMES) / 2
    assert [name for name, settings in paths if "search_path=public, pg_temp" not in settings] == []


def test_objects_of_the_callers_with_parleys_names_are_not_used(
    database: psycopg.Connection,
) -> None:
    database.execute("""
        CREATE SCHEMA hostile;
        CREATE FUNCTION hostile.spring() RETURNS boolean LANGUAGE plpgsql
        AS $$ BEGIN RAISE 'the trap is sprung'; END $$;
        CREATE FUNCTION hostile.user_state(text, timestamptz) RETURNS text LANGUAGE sql
        AS $$ SELECT hostile.spring()::text $$;
        CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE sql
        AS $$ SELECT hostile.spring()::text::timestamptz $$;
        CREATE FUNCTION hostile.equal(text, text) RETURNS boolean LANGUAGE sql
        AS $$ SELECT hostile.spring() $$;
        CREATE OPERATOR hostile.= (FUNCTION = hostile.equal, LEFTARG = text, RIGHTARG = text);
        CREATE TEMPORARY TABLE users AS SELECT 'ada' AS id, FALSE AS is_active;
        CREATE TEMPORARY TABLE conversations (id text);
        SET search_path = hostile, pg_catalog, pg_temp, public
    """)

    with database.transaction(force_rollback=True):
        database.execute(
            "SELECT public.act_as_caller('ada', NULL, FALSE, NULL, NULL, NULL, 8000, 'read')"
        )
        database.execute("SELECT public.is_kept('2026-01-01Z', 30, NULL)")
        rows = database.execute(
            "SELECT * FROM public.list_conversations('ada', 'all', 30, NULL, NULL, 10, NULL)"
        ).fetchall()
    assert rows == []


def _canonical(database: psycopg.Connection, declared: str) -> str:
    [(name,)] = database.execute("SELECT %s::regtype::text", [declared]).fetchall()
    return name
