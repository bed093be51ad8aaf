"""`sql/functions`, which every migration applies again: on a database that is in use."""

import re
import shutil
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.support.product import forget_process
from tests.support.servers import SQL, Site
from tests.support.steps.turns import Turns, open_database

# All that belongs to a function, but its number and the transaction that wrote it.
STATE = """
    SELECT
        pg_get_functiondef(oid), proowner::regrole::text, proacl::text, proconfig,
        obj_description(oid, 'pg_proc')
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    ORDER BY oid::regprocedure::text
"""
OTHER_BODY = """
    CREATE OR REPLACE FUNCTION list_tool_runs(conversation_id uuid, user_id text, turn_id uuid)
    RETURNS SETOF tool_runs LANGUAGE plpgsql AS $$ BEGIN RAISE 'another body'; END $$
"""
BODY = "SELECT prosrc LIKE '%another body%' FROM pg_proc WHERE proname = 'list_tool_runs'"
NEW_SIGNATURE = """
    CREATE OR REPLACE FUNCTION find_account(account_email text, seen_at timestamptz)
    RETURNS text LANGUAGE sql STABLE AS $$ SELECT 'of the new code' $$;
"""


def test_a_function_that_was_changed_becomes_that_of_its_file_with_the_rights_it_had(
    migrated: Site,
) -> None:
    before = migrated.rows(STATE)
    migrated.run(OTHER_BODY)
    assert migrated.rows(BODY) == [(True,)]

    assert migrated.migrate() == []

    assert migrated.rows(STATE) == before


def test_functions_stay_their_owners_when_an_administrator_migrates(migrated: Site) -> None:
    owner = "SELECT DISTINCT proowner::regrole::text FROM pg_proc WHERE proname = 'own_user'"
    migrated.run("CREATE ROLE function_owner; ALTER FUNCTION own_user() OWNER TO function_owner")
    try:
        migrated.migrate()

        assert migrated.rows(owner) == [("function_owner",)]
    finally:
        migrated.run("DROP OWNED BY function_owner; DROP ROLE function_owner")


def test_a_function_that_fails_leaves_all_functions_as_they_were(
    migrated: Site, tmp_path: Path
) -> None:
    sql = _copy(tmp_path)
    before = migrated.rows(STATE)
    with (sql / "functions" / "act_as_caller.sql").open("a") as changed:
        changed.write("COMMENT ON FUNCTION act_as_caller IS 'Changed';\n")
    (sql / "functions" / "search_conversations.sql").write_text("SELECT 1 / 0;")

    assert "division by zero" in migrated.migrate_in_vain(sql)

    assert migrated.rows(STATE) == before


def test_an_earlier_version_leaves_the_functions_of_a_later_one_alone(migrated: Site) -> None:
    migrated.run("INSERT INTO schema_migrations (name) VALUES ('999_of_the_future')")
    migrated.run(OTHER_BODY)

    assert migrated.migrate() == [
        "leaving the functions as they are: a later version has migrated this database"
    ]
    assert migrated.rows(BODY) == [(True,)]


def test_a_new_signature_stands_beside_the_one_that_running_code_calls(
    migrated: Site, tmp_path: Path
) -> None:
    sql = _copy(tmp_path)
    file = sql / "functions" / "find_account.sql"
    file.write_text(file.read_text() + NEW_SIGNATURE)
    migrated.run("INSERT INTO users (id, email) VALUES ('ada', 'ada@example.com')")

    migrated.migrate(sql)

    assert migrated.rows("SELECT id FROM find_account('ada@example.com')") == [("ada",)]
    assert migrated.rows("SELECT find_account('', now())") == [("of the new code",)]


@pytest.mark.parametrize("name", ["begin_turn", "finish_turn", "list_turn_messages", "is_kept"])
def test_a_second_signature_stops_neither_a_migration_nor_a_way_back(
    migrated: Site, name: str
) -> None:
    migrated.run(f"""
        CREATE FUNCTION {name}(of_a_later_version text) RETURNS text LANGUAGE sql AS 'SELECT $1';
        COMMENT ON FUNCTION {name}(text) IS 'Parley: of a later version'
    """)

    migrated.migrate()

    while migrated.roll_back() != ["nothing to take back"]:
        pass
    assert migrated.rows(f"SELECT oid FROM pg_proc WHERE proname = '{name}'") == []


def test_a_function_of_the_application_is_not_overwritten(site: Site) -> None:
    site.run("""
        CREATE FUNCTION own_user() RETURNS boolean LANGUAGE sql AS 'SELECT TRUE'
    """)

    refusal = site.migrate_in_vain()

    assert "functions exist already that Parley did not make" in refusal
    assert site.rows("SELECT own_user()") == [(True,)]


async def test_turns_go_on_while_functions_are_applied_again_and_again(
    migrated: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", migrated.url)
    forget_process()
    database = open_database(migrated.url)
    is_over = anyio.Event()
    answered = 0

    async def chat() -> None:
        nonlocal answered
        while not is_over.is_set():
            turns = Turns(database)
            begun = await turns.begin(user_id="ada")
            assert begun.verdict == "taken"
            await turns.finish(begun)
            assert (await turns.begin(user_id="ada")).verdict == "answered"
            answered += 1

    try:
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(chat)
            while answered < 20:
                assert await anyio.to_thread.run_sync(migrated.migrate) == []
            is_over.set()
    finally:
        await database.close()
        forget_process()


def test_no_way_back_leaves_a_function_without_a_table_that_it_names(migrated: Site) -> None:
    made = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    tables = {str(name) for (name,) in migrated.rows(f"{made} AND relkind = 'r'")}

    while migrated.roll_back() != ["nothing to take back"]:
        gone = tables - {str(name) for (name,) in migrated.rows(made)}
        sources = migrated.rows("""
            SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        """)
        for name, source in sources:
            assert [each for each in gone if re.search(rf"\b{each}\b", str(source))] == [], name


def _copy(folder: Path) -> Path:
    sql = folder / "sql"
    shutil.copytree(SQL, sql)
    return sql
