"""What is wrong with the database around the tables, in words for strangers and for operators."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from lib.database.statements import Statement

# How many faults of a kind are named: default privileges open a hundred objects at once.
MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Fault:
    """A row of list_faults.

    Attributes:
        description: the object, and the role or the numbers; for operators alone.
    """

    kind: Literal[
        "read_only",
        "missing_privilege",
        "open_privilege",
        "late_sequence",
        "missing_column",
        "keeping_key",
    ]
    description: str


@dataclass(frozen=True, slots=True)
class Access:
    """The row of describe_access: may the role of DATABASE_URL do what requests do?

    Attributes:
        owner_name: the owner of Parley's tables; None: there are none where the role looks.
    """

    role_name: str
    may_act: bool
    owner_name: str | None
    is_owner: bool


LIST_FAULTS = Statement("operations/list_faults", Fault)
DESCRIBE_ACCESS = Statement("operations/describe_access", Access)


def command(file: str) -> str:
    """Return the command that an operator runs for one of the files in `sql/`."""
    return f'psql -X "$DATABASE_URL_UNPOOLED" -v ON_ERROR_STOP=1 -f sql/{file}'


# Both ways alike: a stranger need not know whether requests fail or others have too much.
PRIVILEGES = (
    "The privileges on Parley's tables and functions are not those that it sets. The operator sets "
    f"them again: {command('privileges.sql')}"
)
SEQUENCES = (
    "The numbers of stored rows are ahead of their sequences, as after a move by replication, so "
    "new messages fail or sort among old ones. The operator moves the sequences: "
    f"{command('sequences.sql')}"
)
KEEPING_KEYS = (
    "Foreign keys of other tables keep accounts, conversations or messages from being deleted, "
    "also by the clean-up. The operator gives each of them ON DELETE CASCADE or ON DELETE SET NULL."
)
COLUMNS = (
    "The table of tasks lacks columns that Parley uses, so no task can be stored, and perhaps no "
    "account be deleted. The operator adds them again, as in sql/migrations/005_tasks.sql."
)
READ_ONLY = (
    "The database only reads, so nothing can be stored. The operator points DATABASE_URL at the "
    "primary server, or ends default_transaction_read_only."
)
MAY_NOT_ACT = (
    "The role of DATABASE_URL may not act as parley_app. The operator grants it: GRANT parley_app "
    "TO <role>."
)
NOT_OWNER = (
    "The role of DATABASE_URL does not own Parley's tables, and has not the rights of the role "
    "that does. The operator grants them, or connects as the owner: GRANT <owner> TO <role>."
)
OTHER_FUNCTIONS = (
    "The functions of the database are not those of this version, or closed even to their owner. "
    "The operator applies them: "
    f"{command('migrate.sql')}"
)


def say(sentence: str, details: Iterable[str], *, is_operator: bool) -> str:
    """Return a sentence; for an operator with the details, of which it names the first ten."""
    named = list(details)
    if not is_operator or not named:
        return sentence
    more = len(named) - MOST_NAMED
    rest = f"; and {more} more" if more > 0 else ""
    return f"{sentence} ({'; '.join(named[:MOST_NAMED])}{rest})"


def describe_faults(faults: list[Fault], *, is_operator: bool) -> tuple[list[str], list[str]]:
    """Return the sentences about faults that keep requests from work, and about the others."""

    def of(kind: str) -> list[str]:
        return [fault.description for fault in faults if fault.kind == kind]

    grave = [
        say(sentence, of(kind), is_operator=is_operator)
        for kind, sentence in (("missing_privilege", PRIVILEGES), ("late_sequence", SEQUENCES))
        if of(kind)
    ]
    others = [
        say(sentence, of(kind), is_operator=is_operator)
        for kind, sentence in (
            ("open_privilege", PRIVILEGES),
            ("missing_column", COLUMNS),
            ("keeping_key", KEEPING_KEYS),
        )
        if of(kind)
    ]
    return grave, others


def describe_access(access: Access, *, is_operator: bool) -> str | None:
    """Return why the role of DATABASE_URL cannot do what requests do; None: it can."""
    names = [f"the role is {access.role_name}"]
    if access.owner_name is not None and not access.is_owner:
        owner = f"the owner is {access.owner_name}"
        return say(NOT_OWNER, [*names, owner], is_operator=is_operator)
    return None if access.may_act else say(MAY_NOT_ACT, names, is_operator=is_operator)
