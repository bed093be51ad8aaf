"""Rules that are not Parley's: what an application adds to the tables after the migration.

Such a rule is a foreign key that keeps a row, a trigger that raises, a CHECK, a policy. Postgres
reports it with the code that Parley's own mistakes and missing migrations have, so the names decide
(PostgreSQL, "Error Message Fields"). tests/lib/database/test_rules.py compares them with a migrated
database.
"""

import re
from collections.abc import Iterator

import psycopg
from psycopg import errors

TABLES = frozenset(
    {
        *("account_attempts", "chat_files", "chat_messages", "conversations", "deleted_users"),
        *("finished_streams", "known_networks", "message_files", "metric_counters", "quotas"),
        *("schema_migrations", "stream_batches", "tasks", "tool_runs", "user_settings", "users"),
    }
)
# Constraints and unique indexes of these tables but for primary keys, which are TABLE_pkey.
CONSTRAINTS = frozenset(
    {
        *("chat_files_conversation_id_fkey", "chat_files_user_id_fkey"),
        *("chat_messages_conversation_id_fkey", "chat_messages_user_id_fkey"),
        *("conversations_user_id_fkey", "finished_streams_conversation_id_fkey"),
        *("known_networks_user_id_fkey", "message_files_file_id_fkey"),
        *("stream_batches_conversation_id_fkey", "tasks_user_id_fkey"),
        *("tool_runs_conversation_id_fkey", "tool_runs_user_id_fkey"),
        *("user_settings_user_id_fkey",),
        *("chk_chat_message", "chk_conversation_instructions", "chk_conversation_status"),
        *("chk_file_owner", "chk_file_size", "chk_user_instructions"),
        *("chk_key_hash", "chk_task_title", "ix_users_email"),
        *("uq_chat_messages_message_id", "uq_chat_messages_reply_to"),
    }
)
# In PL/pgSQL and without parameters, as all trigger functions are.
FUNCTIONS = frozenset(
    {
        *("delete_files_of_messages", "delete_own_account", "forget_message_counts"),
        *("list_faults", "list_privilege_faults", "remember_deleted_users", "sign_out_everywhere"),
    }
)
# It gives its errors a name for each rule.
CHECKING = "check_chat_message("
# Where begin_tool_run finds no conversation.
EXPECTED_NULLS = frozenset({("tool_runs", "conversation_id")})
# Classes of errors that tell of the server or the connection, whatever was being done.
OF_THE_SERVER = frozenset(
    {"08", "25", "28", "3D", "40", "53", "54", "55", "57", "58", "F0", "HV", "XX"}
)
# The name PL/pgSQL stands in the line in every language; only trigger functions, and few others,
# have no parameters.
CALL = re.compile(r"([^\s()]+)\(\)")
# The check of a policy, in Postgres's own code: its words are in the language of the server.
POLICY_CHECK = "ExecWithCheckOptions"
QUOTED = re.compile(r'"[^"]+"')


def is_foreign(error: psycopg.Error) -> bool:
    """Tell whether a rule that is not Parley's refuses a change, or fails at it."""
    if (error.sqlstate or "08")[:2] in OF_THE_SERVER:
        return False
    if any(name not in FUNCTIONS for name in _called(error.diag.context or "")):
        return True
    if error.diag.source_function == POLICY_CHECK:
        # Parley's own policies permit, and a refusal names only one that restricts.
        return len(QUOTED.findall(error.diag.message_primary or "")) > 1
    return isinstance(error, errors.IntegrityError) and not _is_own(error)


def keeps_row(error: psycopg.Error) -> bool:
    """Tell whether a row of a table that is not Parley's refers to a row that was to go."""
    is_reference = isinstance(error, (errors.ForeignKeyViolation, errors.RestrictViolation))
    return is_reference and error.diag.table_name not in {*TABLES, None}


def _is_own(error: psycopg.Error) -> bool:
    """Tell whether a violated constraint is Parley's, or one that the statement itself named."""
    table, name = error.diag.table_name, error.diag.constraint_name
    if CHECKING in (error.diag.context or ""):
        return True
    if table not in TABLES:
        # Of a statement of a tool's own on a table of its own, unless it came by a cascade.
        return error.diag.context is None and not keeps_row(error)
    if isinstance(error, errors.NotNullViolation):
        return table == "users" or (table, error.diag.column_name) in EXPECTED_NULLS
    return name is None or name == f"{table}_pkey" or name in CONSTRAINTS


def _called(context: str) -> Iterator[str]:
    """Return the functions without parameters that were running, by name, the innermost first."""
    for line in context.splitlines():
        if "PL/pgSQL" in line and (found := CALL.search(line)):
            yield found[1].rpartition(".")[2].strip('"')
