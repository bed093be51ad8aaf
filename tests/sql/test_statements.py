"""The statements' headers cannot lie: names, types and columns are those of the database."""

import re
from collections import Counter
from datetime import date, datetime
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints
from uuid import UUID

import psycopg
import pytest
from psycopg.pq.abc import PGresult

from lib.database.statements import QUERIES, Nothing
from tests.support.product import ROOT
from tests.support.statement_files import (
    FOR_SEVERAL_CALLERS,
    FOR_SIGNED_LINKS,
    FOR_THE_CRON,
    FOR_THE_METRICS,
    NAMES,
    OWNED,
    PATHS,
    TOUCHED,
    WITHOUT_CALLER,
    loaded_statements,
    read_function,
    read_statement,
    read_work,
)

OUTSIDE = FOR_THE_CRON | FOR_THE_METRICS | FOR_SEVERAL_CALLERS | FOR_SIGNED_LINKS
SOURCES = sorted(
    str(path.relative_to(ROOT))
    for folder in ("api", "lib")
    for path in (ROOT / folder).rglob("*.py")
)
# What psycopg makes of a column, by the column's type.
PYTHON_TYPES: dict[str, set[type]] = {
    "bigint": {int},
    "boolean": {bool},
    "bytea": {bytes},
    "character varying": {str},
    "date": {date},
    "double precision": {float},
    "integer": {int},
    "json": {dict, list},
    "jsonb": {dict, list},
    "text": {str},
    "timestamp with time zone": {datetime},
    "uuid": {UUID},
}
# Fields that other statements with rows of the same class leave out: they may be long.
READ_BY = {"provider_state": {"list_turn_messages"}}


@pytest.mark.parametrize("name", NAMES)
def test_a_header_says_what_the_statement_does_takes_returns_and_costs(name: str) -> None:
    header = read_statement(name).header

    first, purpose = header[:2]
    assert first in {f"-- {name} :{rows}" for rows in ("one", "many", "exec")}
    assert re.fullmatch(r"-- [A-Z].+", purpose)
    begins = [line.split(" ")[1] for line in header if re.match(r"-- (Returns|Index) ", line)]
    assert begins == (["Index"] if first.endswith(":exec") else ["Returns", "Index"])


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_of_the_header_and_are_cast_to_its_types(name: str) -> None:
    statement = read_statement(name)

    assert statement.used == {each: {kind} for each, kind in statement.declared.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_database_takes_a_statement_and_its_parameters_as_declared(
    name: str, database: psycopg.Connection
) -> None:
    statement = read_statement(name)

    described = _describe(database, statement.numbered)

    types = [_type_name(database, described.param_type(n)) for n in range(described.nparams)]
    declared = [_canonical(database, each) for each in statement.declared.values()]
    assert types == declared


@pytest.mark.parametrize("name", NAMES)
def test_the_columns_are_the_fields_of_the_class_that_a_row_becomes(
    name: str, database: psycopg.Connection
) -> None:
    [loaded] = [each for each in loaded_statements() if each.name == name]
    fields = get_type_hints(loaded.row)

    described = _describe(database, read_statement(name).numbered)

    columns = {
        (described.fname(n) or b"").decode(): _type_name(database, described.ftype(n))
        for n in range(described.nfields)
    }
    assert len(columns) == described.nfields
    returns_nothing = read_statement(name).header[0].endswith(":exec")
    assert returns_nothing == (loaded.row is Nothing)
    if returns_nothing:
        assert {*columns.values()} <= {"void"}
        return
    assert list(columns) == [field for field in fields if name in READ_BY.get(field, {name})]
    for column, kind in columns.items():
        assert _classes(fields[column]) <= PYTHON_TYPES[kind], column


def test_each_file_is_loaded_by_one_statement_and_each_statement_has_a_file() -> None:
    assert Counter(each.name for each in loaded_statements()) == Counter(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_CALLER])
def test_a_statement_reads_and_writes_only_what_is_the_callers(name: str) -> None:
    body = read_work(name).body

    touched = Counter(alias or table for table, alias in TOUCHED.findall(body))
    # A claim is the one thing that is done to what is nobody's.
    nobodys = "|IS NULL" if name == "claim_conversation" else ""
    condition = rf"\b(\w+)\.user_id (?:(?:=|IS NOT DISTINCT FROM) %\(user_id\)s::text{nobodys})"
    # Within CASE it is one as well: there, the planner makes no guess of it.
    guarded = Counter(re.findall(rf"(?:WHERE|AND)(?: CASE\s+WHEN)?\s+{condition}", body))
    assert guarded == touched
    for table, columns in re.findall(rf"INSERT INTO ({OWNED}) \(([^)]*)\)", body):
        assert "user_id" in columns, table


@pytest.mark.parametrize("name", sorted(FOR_SEVERAL_CALLERS))
def test_what_works_for_several_callers_takes_caller_and_token_from_each_row(name: str) -> None:
    statement = read_statement(name)

    assert {"user_ids": "text[]", "turn_ids": "uuid[]"}.items() <= statement.declared.items()
    # Its function looks at one answer after the other.
    body = read_function(name).body
    touched = Counter(alias or table for table, alias in TOUCHED.findall(body))
    for condition in (
        r"(\w+)\.user_id IS NOT DISTINCT FROM user_ids\[answer\]",
        r"(\w+)\.turn_id = turn_ids\[answer\]",
    ):
        conditions = re.findall(rf"(?:WHERE|AND)\s+{condition};?\n", body)
        assert Counter(conditions) == touched, condition
    # What is written is written under the caller's name.
    [(table, columns, values)] = re.findall(
        rf"INSERT INTO ({OWNED}) \(([^)]*)\)\s+VALUES \(([^;]*)\);", body
    )
    assert table == "stream_batches"
    names = [column.strip() for column in columns.split(",")]
    written = dict(zip(names, (value.strip() for value in values.split(",")), strict=True))
    assert (written["user_id"], written["turn_id"]) == ("user_ids[answer]", "turn_ids[answer]")


@pytest.mark.parametrize("name", sorted(FOR_THE_CRON))
def test_what_the_cron_alone_may_do_says_so_and_takes_no_caller(name: str) -> None:
    statement = read_statement(name)

    assert "for the cron alone" in " ".join(line.strip("- ") for line in statement.header)
    assert not [each for each in statement.declared if each.startswith("user_id")]


@pytest.mark.parametrize("name", sorted({*WITHOUT_CALLER} - OUTSIDE))
def test_who_needs_no_caller_names_no_table_that_has_owners(name: str) -> None:
    assert not re.search(rf"\b(FROM|JOIN|UPDATE|INTO)\s+({OWNED})\b", read_statement(name).body)


@pytest.mark.parametrize("name", NAMES)
def test_no_statement_is_built_from_strings(name: str) -> None:
    body = read_statement(name).body

    assert not re.search(r"\b(EXECUTE|format\s*\(|quote_ident|quote_literal)\b", body)
    rest = re.sub(r"%\(\w+\)s|%%", "", body)
    assert "%" not in rest
    assert body.count(";") == 1
    assert body.rstrip().endswith(";")


@pytest.mark.parametrize("path", SOURCES)
def test_no_sql_is_written_outside_of_sql(path: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    sql = r"\b(SELECT\s.+\sFROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b"

    assert not re.search(sql, source, re.DOTALL)
    assert path == "lib/database/client.py" or ".execute(" not in source


def test_the_folders_of_queries_hold_nothing_but_statements_of_one_name_each() -> None:
    files = [path for path in QUERIES.rglob("*") if path.is_file()]

    assert sorted(path.name for path in files) == [f"{name}.sql" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_a_statement_lies_in_the_folder_of_the_room_that_declares_it(name: str) -> None:
    folder = PATHS[name].parent.name

    declared = re.compile(rf'Statement\(\s*"{folder}/{name}"')
    assert any(declared.search(path.read_text()) for path in (ROOT / "lib" / folder).glob("*.py"))


def _describe(database: psycopg.Connection, sql: str) -> PGresult:
    """Prepare a statement, as a pooled connection would, and return what the server says of it."""
    prepared = database.pgconn.prepare(b"described", sql.encode())
    assert not prepared.error_message, prepared.error_message.decode()
    return database.pgconn.describe_prepared(b"described")


def _type_name(database: psycopg.Connection, oid: int) -> str:
    [(name,)] = database.execute("SELECT format_type(%s, NULL)", [oid]).fetchall()
    return name


def _canonical(database: psycopg.Connection, declared: str) -> str:
    [(name,)] = database.execute("SELECT %s::regtype::text", [declared]).fetchall()
    return name


def _classes(hint: Any) -> set[Any]:
    """Return the classes that a field may hold, but None; for a `Literal` those of its values."""
    if get_origin(hint) is Literal:
        return {type(value) for value in get_args(hint)}
    if NoneType in get_args(hint):
        return set[Any]().union(*map(_classes, get_args(hint))) - {NoneType}
    return {get_origin(hint) or hint}
