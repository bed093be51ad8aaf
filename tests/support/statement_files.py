"""The files of `sql/queries/` as a reader sees them, and the `Statement` objects that load them."""

import importlib
import pkgutil
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lib
from lib.database.statements import QUERIES, Statement

PARAMETER = re.compile(r"--   (?P<name>\w+) {2,}(?P<type>\S+(?: \S+)?) {2,}\S.*")
PLACEHOLDER = re.compile(r"%\((\w+)\)s(?:::((?:double precision|[a-z]+)(?:\[\])?))?")
INDEX = re.compile(r"\b(?:\w+_pkey|(?:idx|ix|uq)_\w+)\b")
# The tables whose rows are a caller's.
OWNED = (
    "conversations|chat_messages|tasks|quotas|tool_runs|stream_batches|finished_streams"
    "|known_networks|chat_files|message_files|user_settings"
)
# A table that a statement reads or changes, with the name that it goes by there.
TOUCHED = re.compile(rf"\b(?:FROM|JOIN|UPDATE)\s+({OWNED})\b(?:\s+AS\s+(\w+))?")
FUNCTIONS = QUERIES.parent / "functions"
# The last line of the header of a statement that only calls a function of the same name.
POINTER = "-- Parameters, result and indexes: sql/functions/{name}.sql."
# Statements whose work is one statement in a function of the same name, whose plan is kept.
PLANNED_ONCE = {"list_tool_runs", "read_history"}
# Statements whose work is done inside a function of the database, which no plan shows.
FUNCTION_CALLS = {
    "act_as_caller",
    "begin_turn",
    "change_password",
    "count_account_attempt",
    "count_bytes",
    "delete_old_chat_messages",
    "delete_old_conversations",
    "delete_own_account",
    "erase_conversation",
    "find_account",
    "finish_log_in",
    "finish_turn",
    "list_conversations",
    "list_faults",
    "list_slow_statements",
    "list_turn_messages",
    "register_account",
    "remember_user",
    "replace_old_titles",
    "search_conversations",
    "sign_out_everywhere",
    "store_import",
    "store_message_files",
    "store_stream_batches",
}

# Settings: Postgres plans no SET.
WITHOUT_PLAN = {"check_constraints", "pin_isolation"}
# Those that are not about what one caller owns.
WITHOUT_CALLER = {
    "delete_old_chat_messages": "for the cron alone, which deletes whosever messages they are",
    "list_migrations": "reads no table that holds anybody's data",
    "limit_time": "sets limits, and reads no table",
    "act_as_caller": "says who the caller is",
    "count_account_attempt": "of who is not known yet",
    "delete_old_conversations": "for the cron alone",
    "delete_unused_files": "for the cron alone, which deletes them whosever they are",
    "delete_old_quotas": "for the cron alone",
    "delete_old_account_attempts": "for the cron alone",
    "delete_old_deleted_users": "for the cron alone",
    "delete_old_known_networks": "for the cron alone, which deletes them whosever they are",
    "count_old_chat_messages": "for the cron alone, which counts whosever messages they are",
    "count_old_conversations": "for the cron alone",
    "count_old_titles": "for the cron alone",
    "replace_old_titles": "for the cron alone",
    "delete_own_account": "takes the caller from act_as_caller, within the database",
    "delete_old_finished_streams": "for the cron alone, which deletes them whosever they are",
    "list_lapsed_turns": "for the cron alone, which recovers them whosever they are",
    "store_stream_batches": "for several callers at once, each with the token of its own turn",
    "erase_conversation": "takes the key from act_as_caller, within the database",
    "find_linked_file": "for a signed link, whose signature is checked before",
    "find_account": "of who is not known yet",
    "register_account": "of who is not known yet",
    "finish_log_in": "of who is not known yet",
    "change_password": "for the one account whose password was compared",
    "sign_out_everywhere": "takes the caller from act_as_caller, within the database",
    "add_counters": "sums, which name no user",
    "count_backlog": "for the metrics alone, which count whosever they are",
    "describe_database": "reads no table that holds anybody's data",
    "list_counters": "sums, which name no user",
    "describe_access": "reads no table that holds anybody's data",
    "list_faults": "counts nobody's rows, and names roles, objects and numbers alone",
    "list_indexes": "reads no table that holds anybody's data",
    "list_slow_statements": "reads no table that holds anybody's data",
    "list_tables": "reads no table that holds anybody's data",
}
FOR_THE_CRON = {name for name, why in WITHOUT_CALLER.items() if why.startswith("for the cron")}
FOR_THE_METRICS = {
    name for name, why in WITHOUT_CALLER.items() if why.startswith("for the metrics")
}
FOR_SIGNED_LINKS = {
    name for name, why in WITHOUT_CALLER.items() if why.startswith("for a signed link")
}
FOR_SEVERAL_CALLERS = {
    name for name, why in WITHOUT_CALLER.items() if why.startswith("for several callers")
}


PATHS = {path.stem: path for path in sorted(QUERIES.glob("*/*.sql"))}
NAMES = sorted(PATHS)


@dataclass(frozen=True, slots=True)
class StatementFile:
    """One file of `sql/queries/` or `sql/functions/`.

    Attributes:
        name: the file's, without `.sql`.
        header: its comment, a line each.
        body: what comes after it.
    """

    name: str
    header: list[str]
    body: str

    @property
    def declared(self) -> dict[str, str]:
        """The types of the parameters, by name, as the header has them."""
        start = self.header.index("-- Parameters") + 1 if "-- Parameters" in self.header else 0
        end = self.header.index("--", start) if start else 0
        lines = self.header[start:end]
        found = [PARAMETER.fullmatch(line) for line in lines if not line.startswith("--    ")]
        return {each["name"]: each["type"] for each in found if each}

    @property
    def used(self) -> dict[str, set[str]]:
        """The types that the parameters are cast to, by name, as the SQL has them."""
        types: dict[str, set[str]] = {}
        for name, cast in PLACEHOLDER.findall(self.body):
            types.setdefault(name, set()).add(cast or "no cast")
        return types

    @property
    def indexes(self) -> set[str]:
        """The indexes that the header names."""
        start = next(n for n, line in enumerate(self.header) if line.startswith("-- Index"))
        return set(INDEX.findall("\n".join(self.header[start:])))

    @property
    def numbered(self) -> str:
        """The SQL with $1, $2 in place of its parameters, in the order of the header."""
        numbers = {name: f"${number}" for number, name in enumerate(self.declared, 1)}
        sql = re.sub(r"%\((\w+)\)s", lambda found: numbers[found[1]], self.body)
        return sql.replace("%%", "%").rstrip().rstrip(";")


def read_statement(name: str) -> StatementFile:
    """Read the file of `sql/queries/` that holds a statement.

    If its header points to a function of the same name, the header goes on with the function's.
    """
    statement = _read(PATHS[name])
    if statement.header[-1] != POINTER.format(name=name):
        return statement
    header = statement.header[:-1] + read_function(name).header[2:]
    return StatementFile(name, header, statement.body)


def read_function(name: str) -> StatementFile:
    """Read the file of `sql/functions/` that makes a function of the database."""
    return _read(FUNCTIONS / f"{name}.sql")


def _read(path: Path) -> StatementFile:
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("--"))
    body = [line for line in lines[end:] if not line.lstrip().startswith("--")]
    return StatementFile(path.stem, lines[:end], "\n".join(body))


def read_work(name: str) -> StatementFile:
    """Read the statement that does the work: of those that are PLANNED_ONCE, their function's.

    With parameters as those of `sql/queries/` are written.
    """
    statement = read_statement(name)
    if name not in PLANNED_ONCE:
        return statement
    function = read_function(name)
    work = re.sub(
        rf"\b{name}\.(\w+)",
        lambda found: f"%({found[1]})s::{function.declared[found[1]]}",
        function.body.partition("    RETURN QUERY\n")[2].partition(";\nEND\n")[0],
    )
    return StatementFile(name, function.header, f"{textwrap.dedent(work)};\n")


def loaded_statements() -> list[Statement[Any]]:
    """Return each `Statement` object that a module of `lib` makes."""
    modules = [
        importlib.import_module(each.name) for each in pkgutil.walk_packages(lib.__path__, "lib.")
    ]
    values = {id(value): value for module in modules for value in vars(module).values()}
    return [value for value in values.values() if isinstance(value, Statement)]
