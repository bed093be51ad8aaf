"""008 streams, where answers are being made: applied again, taken back, and applied once more."""

from uuid import uuid4

from tests.support.servers import SQL, Site

MIGRATION = "008_streams"
ID = uuid4()
# What Parley stores of an answer that is being made, and of one before it.
ANSWERS = f"""
    INSERT INTO conversations (id, turn_id, turn_message_id, turn_expires_at)
    VALUES ('{ID}', '{ID}', 'question-2', now() + interval '1 minute');
    INSERT INTO chat_messages (conversation_id, role, content) VALUES ('{ID}', 'user', 'Hello!');
    UPDATE conversations SET stopped_turn_id = turn_id;
    INSERT INTO stream_batches (conversation_id, turn_id, first_part, part_count, parts)
    VALUES ('{ID}', '{ID}', 0, 1, 'Hello');
    INSERT INTO finished_streams (conversation_id, turn_id, answer_message_id, parts, ended_at)
    VALUES ('{ID}', '{ID}', 'answer-1', 'Hello', now());
"""
STREAMS = "SELECT parts FROM stream_batches UNION ALL SELECT parts FROM finished_streams"
SAID = "SELECT content, turn_message_id FROM chat_messages CROSS JOIN conversations"


def test_applied_again_it_leaves_running_answers_alone(migrated: Site) -> None:
    migrated.run(ANSWERS)
    before = migrated.schema()

    migrated.run((SQL / "migrations" / f"{MIGRATION}.sql").read_text())

    assert migrated.rows(STREAMS) == [("Hello",), ("Hello",)]
    assert migrated.schema() == before


def test_taken_back_it_loses_streams_and_nothing_else_and_can_be_applied_again(
    migrated: Site,
) -> None:
    migrated.run(ANSWERS)
    schema = migrated.schema()

    while migrated.roll_back() != [f"taking back {MIGRATION}"]:
        pass
    assert migrated.rows(SAID) == [("Hello!", "question-2")]
    migrated.migrate()

    assert migrated.schema() == schema
    assert migrated.rows(STREAMS) == []
    assert migrated.rows(SAID) == [("Hello!", "question-2")]
