"""`delete_old_chat_messages()`: what the cron calls, and an operator may call."""

import psycopg
import pytest

from tests.support.servers import Site

CONVERSATION = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"


def test_without_arguments_it_deletes_what_is_older_than_30_days_and_counts_it(
    migrated: Site,
) -> None:
    _store(migrated, CONVERSATION, used_days_ago=0, said_days_ago=[400, 31, 29, 0])

    assert _delete(migrated) == 2
    assert _ages(migrated, CONVERSATION) == [29, 0]
    assert _delete(migrated) == 0


def test_a_conversation_left_empty_and_unused_for_that_long_goes_too(migrated: Site) -> None:
    _store(migrated, CONVERSATION, used_days_ago=31, said_days_ago=[31])

    assert _delete(migrated) == 1
    assert _conversations(migrated) == []


def test_a_conversation_that_is_empty_but_young_stays(migrated: Site) -> None:
    _store(migrated, CONVERSATION, used_days_ago=29, said_days_ago=[])
    _store(migrated, OTHER, used_days_ago=0, said_days_ago=[31])

    assert _delete(migrated) == 1
    assert _conversations(migrated) == [CONVERSATION, OTHER]


def test_a_conversation_that_still_has_a_message_stays(migrated: Site) -> None:
    _store(migrated, CONVERSATION, used_days_ago=31, said_days_ago=[31, 29])

    _delete(migrated)

    assert _conversations(migrated) == [CONVERSATION]
    assert _ages(migrated, CONVERSATION) == [29]


def test_another_period_and_a_batch_may_be_given_and_the_oldest_go_first(migrated: Site) -> None:
    _store(migrated, CONVERSATION, used_days_ago=0, said_days_ago=[3, 10, 9, 2])

    assert _delete(migrated, "interval '1 day', 2") == 2
    assert _ages(migrated, CONVERSATION) == [3, 2]
    assert _delete(migrated, "interval '1 day', 2") == 2
    assert _delete(migrated, "interval '1 day', 2") == 0


def test_two_who_delete_at_once_do_not_wait_for_each_other(migrated: Site) -> None:
    _store(migrated, CONVERSATION, used_days_ago=40, said_days_ago=[33])
    _store(migrated, OTHER, used_days_ago=40, said_days_ago=[32])
    statement = "SELECT delete_old_chat_messages(interval '30 days', 1)"

    with psycopg.connect(migrated.url) as one, psycopg.connect(migrated.url) as other:
        other.execute("SET statement_timeout = '2s'")
        deleted = [each.execute(statement).fetchall() for each in (one, other)]

    assert deleted == [[(1,)], [(1,)]]
    assert _ages(migrated, CONVERSATION) + _ages(migrated, OTHER) == []


def test_a_batch_deletes_conversations_only_when_no_old_message_is_left(migrated: Site) -> None:
    _store(migrated, CONVERSATION, used_days_ago=40, said_days_ago=[])
    _store(migrated, OTHER, used_days_ago=40, said_days_ago=[41, 40])

    assert _delete(migrated, "interval '30 days', 2") == 2
    assert _conversations(migrated) == [CONVERSATION, OTHER]
    assert _delete(migrated, "interval '30 days', 2") == 0
    assert _conversations(migrated) == []


def test_without_a_batch_it_deletes_more_than_fits_into_one(migrated: Site) -> None:
    _store(migrated, CONVERSATION, used_days_ago=40, said_days_ago=[])
    migrated.run(
        """
        INSERT INTO chat_messages (conversation_id, role, content, created_at)
        SELECT %(id)s, 'user', 'Hello!', now() - make_interval(days => 40, secs => n / 4)
        FROM generate_series(1, 25000) AS n;
        """,
        {"id": CONVERSATION},
    )
    migrated.run("""
        INSERT INTO conversations (updated_at)
        SELECT now() - make_interval(days => 40, secs => n / 4) FROM generate_series(1, 25000) AS n
    """)

    assert _delete(migrated) == 25000
    assert _conversations(migrated) == []


def test_who_holds_a_message_or_a_conversation_is_not_waited_for(migrated: Site) -> None:
    _store(migrated, CONVERSATION, used_days_ago=40, said_days_ago=[40])
    _store(migrated, OTHER, used_days_ago=40, said_days_ago=[])

    with psycopg.connect(migrated.url) as turn:
        turn.execute("SELECT FROM chat_messages FOR UPDATE")
        turn.execute("SELECT FROM conversations WHERE id = %s FOR NO KEY UPDATE", [OTHER])
        assert _delete(migrated) == 0

    assert _ages(migrated, CONVERSATION) == [40]
    assert _conversations(migrated) == [CONVERSATION, OTHER]
    assert _delete(migrated) == 1


def test_a_table_that_is_being_altered_is_not_waited_for_long(migrated: Site) -> None:
    _store(migrated, CONVERSATION, used_days_ago=40, said_days_ago=[40])

    for table in ("chat_messages", "conversations"):
        with psycopg.connect(migrated.url) as somebody:
            somebody.execute(f"LOCK TABLE {table} IN SHARE MODE".encode())
            with pytest.raises(psycopg.errors.LockNotAvailable):
                _delete(migrated)

    assert _delete(migrated) == 1


def test_an_expired_title_gives_way_to_the_oldest_kept_message(migrated: Site) -> None:
    _store(migrated, CONVERSATION, used_days_ago=0, said_days_ago=[31, 3])
    migrated.run(
        "UPDATE conversations SET title = 'A title', titled_at = now() - interval '31 days'", {}
    )

    _delete(migrated)

    assert migrated.rows("SELECT title FROM conversations") == [("Hello!",)]


def _store(site: Site, conversation: str, *, used_days_ago: int, said_days_ago: list[int]) -> None:
    site.run(
        """
        INSERT INTO conversations (id, updated_at)
        VALUES (%(id)s, now() - make_interval(days => %(days)s))
        """,
        {"id": conversation, "days": used_days_ago},
    )
    for days in said_days_ago:
        site.run(
            """
            INSERT INTO chat_messages (conversation_id, role, content, created_at)
            VALUES (%(id)s, 'user', 'Hello!', now() - make_interval(days => %(days)s))
            """,
            {"id": conversation, "days": days},
        )


def _delete(site: Site, arguments: str = "") -> object:
    [(deleted,)] = site.rows(f"SELECT delete_old_chat_messages({arguments})")
    return deleted


def _ages(site: Site, conversation: str) -> list[object]:
    """Return how many days ago each message was said, in the order of storing."""
    ages = "SELECT extract(DAY FROM now() - created_at)::integer FROM chat_messages"
    where = "WHERE conversation_id = %(id)s ORDER BY id"
    return [age for (age,) in site.rows(f"{ages} {where}", {"id": conversation})]


def _conversations(site: Site) -> list[object]:
    return [row[0] for row in site.rows("SELECT id::text FROM conversations ORDER BY id")]
