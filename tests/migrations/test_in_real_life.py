"""Migrations where people already chat: with rows in the tables, and turns going on."""

import re
import shutil
from pathlib import Path

from tests.migrations.test_migrating import MIGRATIONS
from tests.support.servers import SQL, Site

# Applied again, too: what is there already stays.
ROWS = """
    INSERT INTO users (id, email)
    SELECT 'user-' || n, n || '@example.com' FROM generate_series(1, 20) AS n
    ON CONFLICT DO NOTHING;
    INSERT INTO conversations (id, user_id, title, turn_id, turn_message_id, turn_expires_at)
    SELECT md5(n::text)::uuid, 'user-' || n % 20 + 1, 'Title', md5(n::text)::uuid, 'm-1', now()
    FROM generate_series(1, 100) AS n
    ON CONFLICT DO NOTHING;
    INSERT INTO chat_messages (conversation_id, user_id, message_id, role, content, is_mistake)
    SELECT id, user_id, 'm-' || n, CASE n % 2 WHEN 0 THEN 'assistant' ELSE 'user' END,
        repeat('word ', 20) || n, n % 10 = 0
    FROM conversations, generate_series(1, 20) AS n
    ON CONFLICT DO NOTHING;
    INSERT INTO tasks (user_id, title)
    SELECT id, 'Task' FROM users WHERE NOT EXISTS (SELECT FROM tasks);
    INSERT INTO quotas (subject, minute_count, minute_ends_at, day_count, day_ends_at)
    SELECT id, 1, now(), 1, now() FROM users
    ON CONFLICT DO NOTHING;
    INSERT INTO tool_runs (
        conversation_id, question_id, run_key, user_id, turn_id, tool_call_id, tool_name, arguments
    )
    SELECT id, 1, 'run', user_id, id, 'call', 'add_task', '{}' FROM conversations
    ON CONFLICT DO NOTHING;
"""
# What of each table no way back may change, unless it takes the table away.
KEPT = {
    "users": "id, email",
    "conversations": "id, user_id, title, status, created_at, updated_at",
    "chat_messages": "id, conversation_id, user_id, message_id, role, content, is_mistake",
    "tasks": "id, user_id, title",
    "quotas": "subject, minute_count, day_count",
    "tool_runs": "conversation_id, question_id, run_key, user_id",
}
# Of the tables that were there before a migration: which locks on them it holds in its end that a
# turn would wait for, and which of them it wrote anew.
NOTE = r"""
CREATE TEMPORARY TABLE before ON COMMIT DROP AS
SELECT oid, relfilenode FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace;
"""
TELL = r"""
\t on
SELECT 'lock', :'migration', relation::regclass, mode
FROM pg_locks INNER JOIN before ON before.oid = relation
WHERE pid = pg_backend_pid()
AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
UNION ALL
SELECT 'rewritten', :'migration', oid::regclass, ''
FROM before INNER JOIN pg_class USING (oid) WHERE pg_class.relfilenode <> before.relfilenode;
\t off
"""
# For a moment only, since they do no work on the rows that are there. (A ShareLock would be that of
# who builds an index.)
SPELLED = {
    "ShareRowExclusiveLock": "SHARE ROW EXCLUSIVE",
    "AccessExclusiveLock": "ACCESS EXCLUSIVE",
}


def test_each_migration_is_taken_back_and_applied_again_with_rows_in_place(migrated: Site) -> None:
    schema = migrated.schema()

    for count in range(1, len(MIGRATIONS) + 1):
        migrated.run(ROWS)
        before = _stored(migrated)
        for _ in range(count):
            migrated.roll_back()
        taken_back = MIGRATIONS[-count:]
        assert migrated.migrate() == [f"applying {name}" for name in taken_back]

        assert migrated.schema() == schema
        gone = {table for name in taken_back for table in _tables_of(name)}
        expected = {table: [] if table in gone else rows for table, rows in before.items()}
        assert _stored(migrated) == expected


def test_no_migration_makes_turns_wait_for_what_its_header_does_not_say(
    site: Site, tmp_path: Path
) -> None:
    sql = tmp_path / "sql"
    shutil.copytree(SQL, sql)
    apply = sql / "apply_migration.sql"
    steps = apply.read_text()
    steps = steps.replace("\n\\if :is_pending", f"{NOTE}\\if :is_pending", 1)
    apply.write_text(steps.replace("\\endif\nCOMMIT;", f"\\endif\n{TELL}COMMIT;"))

    printed = [re.split(r"\s*\|\s*", line.strip()) for line in site.migrate(sql)]

    noted = [line for line in printed if len(line) > 1]
    assert {kind for kind, *_ in noted} == {"lock"}
    for _, name, table, mode in noted:
        header = _header_of(name)
        assert f"{SPELLED[mode]} on" in header, (name, table, mode)
        assert re.search(rf"\b{table}\b", header), (name, table, mode)


def _header_of(name: str) -> str:
    """Return what the header of a migration says of locks, in one line."""
    text = (SQL / "migrations" / f"{name}.sql").read_text()
    _, _, after = text.partition("-- Locks: ")
    return after.partition("-- Undo:")[0].replace("\n-- ", " ")


def _tables_of(name: str) -> set[str]:
    """Return the tables that a migration makes."""
    text = (SQL / "migrations" / f"{name}.sql").read_text()
    return set(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", text))


def _stored(site: Site) -> dict[str, list[tuple[object, ...]]]:
    return {
        table: site.rows(f"SELECT {columns} FROM {table} ORDER BY {columns}")
        for table, columns in KEPT.items()
    }
