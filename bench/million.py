"""Three databases of the same million messages: Parley's, bare, and langchain-postgres's."""

from collections.abc import Iterable
from dataclasses import dataclass

import psycopg

from bench.large import CONVERSATIONS_EACH, insert
from bench.workers import LANGCHAIN, PARLEY, Kind, empty_database, prepare
from bench.workload import ANSWER_WORDS, DAYS, MESSAGES_EACH, Place
from dev.postgres import RunningPostgres

# The peer's messages are JSON with a dozen fields. It has stored some itself: these are made alike.
LANGCHAIN_ROWS = (
    """
    CREATE TEMPORARY TABLE stored AS
    SELECT DISTINCT ON (message -> 'type') message, message ->> 'type' = 'ai' AS is_answer
    FROM chat_history ORDER BY message -> 'type'
    """,
    "TRUNCATE chat_history",
    """
    INSERT INTO chat_history (session_id, message, created_at)
    SELECT
        spoken.conversation_id,
        jsonb_set(stored.message, '{data,content}', to_jsonb(spoken.content)), spoken.at
    FROM spoken INNER JOIN stored ON spoken.is_answer = stored.is_answer
    """,
)
LONG_CONVERSATIONS = """
    INSERT INTO conversations (id, user_id, title, message_count)
    SELECT
        md5(number::text)::uuid, 'user-' || number %% %(users)s, 'Title ' || number, %(length)s
    FROM unnest(%(numbers)s::integer[]) AS number;
    INSERT INTO chat_messages (conversation_id, user_id, role, content)
    SELECT
        md5(number::text)::uuid, 'user-' || number %% %(users)s,
        CASE n %% 2 WHEN 0 THEN 'user' ELSE 'assistant' END, said.content
    FROM unnest(%(numbers)s::integer[]) AS number
    CROSS JOIN generate_series(0, %(length)s - 1) AS n
    CROSS JOIN LATERAL (
        SELECT content FROM chat_messages
        WHERE
            conversation_id
            = md5(((number / %(users)s * 48 + n / 20) %% %(conversations)s)::text)::uuid
        ORDER BY id LIMIT 1 OFFSET n %% 20
    ) AS said
    ORDER BY number, n;
"""


@dataclass(frozen=True, slots=True)
class Million:
    """The databases.

    Attributes:
        messages: in each.
        places: where they are; none of the candidates prepares statements by name.
    """

    messages: int
    places: dict[Kind, Place]

    @property
    def conversations(self) -> int:
        """How many there are; the newest have the highest numbers."""
        return self.messages // MESSAGES_EACH

    @property
    def users(self) -> int:
        """How many there are: the owner of a conversation is its number by this, the remainder."""
        return self.conversations // CONVERSATIONS_EACH

    def newest(self, count: int, *, before: int = 0) -> range:
        """Return the numbers of the newest conversations, or of those before the newest."""
        end = self.conversations - before
        return range(max(0, end - count), end)

    def add_long(self, length: int, count: int, user: int) -> list[int]:
        """Give one of Parley's users further conversations, as long as told; return their numbers.

        Args:
            length: messages in each.
            count: conversations.
            user: the number of the user, to be called with once.
        """
        numbers = [self.conversations + user + n * self.users for n in range(count)]
        given = {
            "numbers": numbers,
            "length": length,
            "users": self.users,
            "conversations": self.conversations,
        }
        url = self.places[PARLEY].url
        with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as database:
            database.execute(LONG_CONVERSATIONS, given)
            database.execute("VACUUM ANALYZE")
        return numbers


async def fill_all(server: RunningPostgres, messages: int, kinds: Iterable[Kind]) -> Million:
    """Make the databases, in some minutes for a million messages."""
    million = Million(messages, {})
    for kind in kinds:
        place = Place(empty_database(server, kind), 1, True, messages, million.users)
        million.places[kind] = place
        await prepare(kind, place)
        if kind is LANGCHAIN:
            insert(
                place.url,
                LANGCHAIN_ROWS,
                messages=messages,
                days=DAYS,
                words=ANSWER_WORDS,
                users=million.users,
            )
            with psycopg.connect(place.url, autocommit=True) as database:
                database.execute("VACUUM ANALYZE")
    return million
