"""What a killed function leaves behind, without a process to kill."""

from uuid import UUID, uuid4

import psycopg


def leave_behind(database: psycopg.Connection, seconds_left: float = -1) -> UUID:
    """Have the running answer look as if its function had been killed just now.

    All that it stored becomes another attempt's, which nobody makes. The one that does make it has
    lost its turn by that, and writes nothing any more.

    Args:
        database: a connection to it.
        seconds_left: until the lease runs out; less than 0: it has.

    Returns:
        The token of that attempt.
    """
    token = uuid4()
    with database.transaction():
        database.execute(
            "UPDATE conversations SET turn_id = %s, "
            "turn_expires_at = now() + make_interval(secs => %s) WHERE turn_id IS NOT NULL",
            [token, seconds_left],
        )
        database.execute("UPDATE stream_batches SET turn_id = %s", [token])
        database.execute("UPDATE tool_runs SET turn_id = %s", [token])
    return token
