"""Files that an answer shows: stored while it is made, and kept with it."""

import psycopg
import pytest

from tests.support.images import data_url, png_of_bytes
from tests.support.model_server import Reply, ScriptedModel, chunk
from tests.support.product import CHAT_ID, Parley, headers_of, parts_of

PNG = png_of_bytes(3000)


@pytest.fixture(autouse=True)
def _drawn(model: ScriptedModel) -> None:
    """Let each answer show the same picture before its text."""
    picture = chunk({"images": [{"image_url": data_url("image/png", PNG)}]})
    model.default = Reply(chunks=[picture, chunk({"content": "There."}, "stop")])


async def test_a_file_of_an_answer_is_stored_once_and_history_has_the_part_of_the_stream(
    parley: Parley, database: psycopg.Connection
) -> None:
    responses = [await parley.send("Draw!", user="ann", message_id=str(n)) for n in range(2)]

    parts = [part for response in responses for part in parts_of(response)]
    files = [part for part in parts if part["type"] == "file"]
    answers = (await parley.history(user="ann"))["messages"][1::2]
    parts = [part for answer in answers for part in answer["parts"]]
    assert [part for part in parts if part["type"] == "file"] == files
    assert len(files) == 2
    assert (await parley.client.get(files[0]["url"])).content == PNG
    stored = database.execute("SELECT user_id, bytes, filename FROM chat_files").fetchall()
    assert stored == [("ann", PNG, None)]
    kept = database.execute("""
        SELECT chat_messages.role FROM message_files
        INNER JOIN chat_messages ON message_files.chat_message_id = chat_messages.id
    """).fetchall()
    assert kept == [("assistant",)] * 2


async def test_a_file_goes_with_its_answer(parley: Parley, database: psycopg.Connection) -> None:
    await parley.send("Draw!", user="ann")

    await parley.client.delete(f"/api/conversations?id={CHAT_ID}", headers=headers_of("ann"))

    assert database.execute("SELECT count(*) FROM chat_files").fetchall() == [(0,)]


async def test_the_answer_of_a_killed_function_keeps_its_file(
    parley: Parley, database: psycopg.Connection
) -> None:
    sent = await parley.send("Draw!", user="ann")
    files = [part for part in parts_of(sent) if part["type"] == "file"]
    # As if the function had been killed before it could store the answer.
    database.execute("""
        UPDATE conversations SET turn_id = streams.turn_id, turn_message_id = 'message-1',
            turn_expires_at = now()
        FROM (SELECT * FROM finished_streams) AS streams;
        INSERT INTO stream_batches (
            conversation_id, turn_id, user_id, first_part, part_count, parts
        )
        SELECT conversation_id, turn_id, user_id, 0, 1,
            left(parts, position('data: {"type":"finish"' in parts) - 1)
        FROM finished_streams;
        DELETE FROM finished_streams
    """)
    database.execute("ALTER TABLE chat_messages DISABLE TRIGGER delete_files_of_messages")
    database.execute("DELETE FROM chat_messages WHERE role = 'assistant'")
    database.execute("ALTER TABLE chat_messages ENABLE TRIGGER delete_files_of_messages")
    database.execute("DELETE FROM message_files")

    recovered = await parley.get(f"/api/chat/{CHAT_ID}/stream", user="ann")

    assert recovered.status_code == 200, recovered.text
    answer = (await parley.history(user="ann"))["messages"][1]
    assert [part for part in answer["parts"] if part["type"] == "file"] == files
    assert (await parley.client.get(files[0]["url"])).content == PNG
    assert database.execute("SELECT count(*) FROM message_files").fetchall() == [(1,)]
