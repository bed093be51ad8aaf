"""What an application adds to the tables after the migration: told apart, and nothing half done."""

import time

import psycopg
import pytest

from lib.conversations import changes
from lib.database import _problems
from lib.operations import faults
from lib.problems import RefusedByRule
from lib.users import accounts
from tests.api.test_cron_cleanup import CRON
from tests.support.logs import events_of
from tests.support.product import Parley, headers_of, id_of, problem_of

pytestmark = pytest.mark.usefixtures("logged")
SAID = RefusedByRule().detail
STILL_USED = _problems.STILL_USED
# A trigger of the application's that raises for one user's rows, in words of its own.
TRIGGER = """
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.user_id = 'ann' THEN
            {body}
        END IF;
        RETURN OLD;
    END $$;
    CREATE TRIGGER keep BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION keep();
"""
INVOICES = """
    CREATE TABLE invoices (payer text REFERENCES users (id) {action});
    INSERT INTO invoices VALUES ('ann');
"""
LINKS = """
    CREATE TABLE links (conversation uuid {null} REFERENCES conversations (id) {action});
    INSERT INTO links SELECT id FROM conversations WHERE user_id = 'ann' LIMIT 1;
"""
LINK = "links_conversation_fkey"
RULES = {
    "a foreign key": (INVOICES.format(action=""), STILL_USED, "invoices_payer_fkey"),
    "RESTRICT": (INVOICES.format(action="ON DELETE RESTRICT"), STILL_USED, '"invoices"'),
    "a foreign key that waits for the end": (
        INVOICES.format(action="DEFERRABLE INITIALLY DEFERRED"),
        STILL_USED,
        "invoices_payer_fkey",
    ),
    "a foreign key on a conversation": (
        LINKS.format(null="", action=""),
        STILL_USED,
        "links_conversation_fkey",
    ),
    "SET NULL of a column that needs a value": (
        LINKS.format(null="NOT NULL", action="ON DELETE SET NULL"),
        SAID,
        '"links" violates not-null',
    ),
    "a trigger that raises": (
        TRIGGER.format(table="tasks", body="RAISE 'an open task stays';"),
        SAID,
        "P0001 an open task stays",
    ),
    "a trigger with a code of its own": (
        TRIGGER.format(table="tasks", body="RAISE 'stays' USING ERRCODE = 'AB123';"),
        SAID,
        "AB123 stays",
    ),
    "a trigger whose table is gone": (
        TRIGGER.format(table="conversations", body="INSERT INTO gone VALUES (1);"),
        SAID,
        '42P01 relation "gone"',
    ),
    "a trigger that divides by zero": (
        TRIGGER.format(
            table="chat_messages", body="PERFORM 1 / (length(OLD.role) - length(OLD.role));"
        ),
        SAID,
        "22012",
    ),
}
COUNTS = """
    SELECT
        (SELECT count(*) FROM users), (SELECT count(*) FROM conversations),
        (SELECT count(*) FROM chat_messages), (SELECT count(*) FROM tasks)
"""


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> None:
    """Keep all lines of the log."""
    caplog.set_level("INFO")


async def _fill(parley: Parley) -> None:
    for number in (1, 2):
        await parley.say("Hello!", user="ann", conversation_id=id_of(number))
    await parley.client.post("/api/tasks", json={"title": "Milk"}, headers=headers_of("ann"))


@pytest.mark.parametrize("rule", RULES)
async def test_an_account_that_a_rule_of_the_application_keeps_stays_whole(
    parley: Parley,
    database: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    rule: str,
) -> None:
    statement, detail, words = RULES[rule]
    await _fill(parley)
    database.execute(statement.encode())
    before = database.execute(COUNTS.encode()).fetchall()

    refused = await parley.client.delete("/api/auth", headers=headers_of("ann"))

    assert problem_of(refused, 409, "refused_by_rule")["detail"] == detail
    assert database.execute(COUNTS.encode()).fetchall() == before
    [event] = events_of(caplog, "refused_by_rule")
    assert words in event["cause"]
    assert event["step"] == "delete_conversations+delete_own_account"
    assert events_of(caplog, "erased") == []

    # The others are not affected.
    await parley.say("Hello!", user="bob")
    assert (await parley.client.delete("/api/auth", headers=headers_of("bob"))).status_code == 204


async def test_an_account_that_is_too_large_for_one_step_is_told_what_of_it_is_gone(
    parley: Parley, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _fill(parley)
    database.execute(INVOICES.format(action="").encode())
    slow = """
        CREATE SEQUENCE tries;
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('tries') = 1 THEN PERFORM pg_sleep(2); END IF;
            RETURN OLD;
        END $$;
        CREATE TRIGGER slow BEFORE DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION slow();
        GRANT USAGE ON SEQUENCE tries TO public;
    """
    database.execute(slow.encode())
    for each in (accounts.DELETE_OWN_ACCOUNT, changes.DELETE_CONVERSATIONS):
        monkeypatch.setattr(each, "timeout_ms", 200)

    refused = await parley.client.delete("/api/auth", headers=headers_of("ann"))

    assert problem_of(refused, 409, "refused_by_rule")["detail"] == accounts.KEPT
    assert database.execute(COUNTS.encode()).fetchall() == [(1, 0, 0, 1)]


async def test_a_conversation_that_other_data_refers_to_stays_and_says_so(
    parley: Parley, database: psycopg.Connection
) -> None:
    await _fill(parley)
    database.execute(LINKS.format(null="", action="").encode())
    [(kept,)] = database.execute("SELECT conversation FROM links").fetchall()

    for path in (f"/api/conversations?id={kept}", "/api/conversations?all=true"):
        for deferred in ("NOT DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"):
            database.execute(f"ALTER TABLE links ALTER CONSTRAINT {LINK} {deferred}".encode())
            refused = await parley.client.delete(path, headers=headers_of("ann"))
            assert problem_of(refused, 409, "refused_by_rule")["detail"] == STILL_USED

    assert database.execute("SELECT count(*) FROM chat_messages").fetchall() == [(4,)]


async def test_a_refusal_whose_answer_comes_before_psycopg_waits_for_it_is_told_all_the_same(
    parley: Parley, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def enqueue_slow_sync(pipeline: psycopg.AsyncPipeline) -> None:
        def sync_slowly() -> None:
            pipeline.pgconn.pipeline_sync()
            # As on a busy machine: the process comes back when the answer is there.
            time.sleep(0.05)

        pipeline.command_queue.append(sync_slowly)
        pipeline.result_queue.append(None)
        slowed.append(pipeline)

    slowed = list[psycopg.AsyncPipeline]()
    await _fill(parley)
    database.execute(LINKS.format(null="", action="DEFERRABLE INITIALLY DEFERRED").encode())
    [(kept,)] = database.execute("SELECT conversation FROM links").fetchall()
    monkeypatch.setattr(psycopg.AsyncPipeline, "_enqueue_sync", enqueue_slow_sync)

    refused = await parley.client.delete(f"/api/conversations?id={kept}", headers=headers_of("ann"))

    assert problem_of(refused, 409, "refused_by_rule")["detail"] == STILL_USED
    assert slowed


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER TABLE tasks ADD CHECK (title <> 'Milk')", 'check constraint "tasks_title_check"'),
        ("CREATE UNIQUE INDEX one_each ON tasks (user_id)", 'unique constraint "one_each"'),
        ("ALTER TABLE tasks ADD room int NOT NULL", 'null value in column "room"'),
        (
            "CREATE POLICY none ON tasks AS RESTRICTIVE FOR INSERT WITH CHECK (FALSE)",
            "42501 new row violates row-level security",
        ),
    ],
)
async def test_a_task_that_a_rule_of_the_application_refuses_is_no_missing_migration(
    parley: Parley,
    database: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    statement: str,
    words: str,
) -> None:
    if "UNIQUE" in statement:
        await parley.client.post("/api/tasks", json={"title": "Tea"}, headers=headers_of("ann"))
    database.execute(statement.encode())

    refused = await parley.client.post(
        "/api/tasks", json={"title": "Milk"}, headers=headers_of("ann")
    )

    assert problem_of(refused, 409, "refused_by_rule")["detail"] == SAID
    assert words in events_of(caplog, "refused_by_rule")[0]["cause"]


EXPIRED = """
    INSERT INTO conversations (id, title, titled_at, updated_at)
    SELECT md5(n::text)::uuid, 'Title', now() - interval '40 days',
        now() - make_interval(days => 40, mins => n)
    FROM generate_series(1, 60) AS n;
    INSERT INTO chat_messages (conversation_id, role, content, created_at)
    SELECT md5(n::text)::uuid, 'user', 'Hello!', now() - make_interval(days => 40, mins => n)
    FROM generate_series(1, 40) AS n;
"""
KEEPERS = {
    "a foreign key": """
        CREATE TABLE pins (a uuid, b bigint, FOREIGN KEY (a, b) REFERENCES chat_messages {action});
        INSERT INTO pins SELECT conversation_id, id FROM chat_messages
        WHERE conversation_id IN (md5('1')::uuid, md5('30')::uuid);
        CREATE TABLE stars (conversation uuid REFERENCES conversations (id) {action});
        INSERT INTO stars VALUES (md5('50')::uuid);
    """,
    "a trigger": """
        CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF to_jsonb(OLD) ->> TG_ARGV[0]
            IN (md5('1')::uuid::text, md5('30')::uuid::text, md5('50')::uuid::text) THEN
                RAISE 'row of "pins" stays';
            END IF;
            RETURN OLD;
        END $$;
        CREATE TRIGGER keep BEFORE DELETE ON chat_messages
        FOR EACH ROW EXECUTE FUNCTION keep('conversation_id');
        CREATE TRIGGER keep BEFORE DELETE ON conversations
        FOR EACH ROW EXECUTE FUNCTION keep('id');
    """,
}
KEEPERS["a foreign key that waits for the end"] = KEEPERS["a foreign key"].format(
    action="DEFERRABLE INITIALLY DEFERRED"
)
KEEPERS["a foreign key"] = KEEPERS["a foreign key"].format(action="")


@pytest.mark.parametrize("keeper", KEEPERS)
async def test_the_clean_up_deletes_the_others_and_names_the_rule_that_keeps_some(
    parley: Parley,
    database: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    keeper: str,
) -> None:
    psycopg.ClientCursor(database).execute(EXPIRED.encode())
    psycopg.ClientCursor(database).execute(KEEPERS[keeper].encode())

    report = (await parley.client.get("/api/cron/cleanup", headers=CRON)).json()

    # Of 60 conversations three stay: two with their message, and one that is empty.
    assert (report["deleted"], report["conversations_deleted"]) == (38, 57)
    assert (report["refused"], report["remaining"]) == (3, False)
    assert database.execute(COUNTS.encode()).fetchall() == [(0, 3, 2, 0)]
    events = events_of(caplog, "clean_up_refused")
    assert [(each["step"], each["count"]) for each in events] == [
        ("delete_old_chat_messages", 2),
        ("delete_old_conversations", 1),
    ]
    assert '"pins"' in events[0]["cause"]


@pytest.mark.parametrize(
    ("statement", "sentence", "named"),
    [
        (
            "CREATE TABLE invoices (payer text REFERENCES users (id))",
            faults.KEEPING_KEYS,
            "(invoices_payer_fkey of invoices refers to users)",
        ),
        ("ALTER TABLE tasks DROP COLUMN completed", faults.COLUMNS, "(tasks lacks completed)"),
    ],
)
async def test_health_names_what_an_application_has_changed_and_requests_go_on(
    parley: Parley, database: psycopg.Connection, statement: str, sentence: str, named: str
) -> None:
    database.execute(statement.encode())

    told = (await parley.client.get("/api/health", headers=CRON)).json()
    asked = (await parley.get("/api/health")).json()

    assert told["status"] == asked["status"] == "degraded"
    assert told["warnings"] == [f"{sentence} {named}"]
    assert asked["warnings"] == [sentence]
    assert (await parley.say("Hello!", user="ann")).status_code == 200
