"""The rows that a killed function leaves behind, without a process to kill."""

from uuid import UUID, uuid4

import psycopg


def leave_behind(database: psycopg.Connection, seconds_left: float = -1) -> UUID:
    """Make the running answer look as if its function had been killed at this moment.

    Its rows get the token of another attempt, which does not exist. The real attempt has lost its
    turn by that, and writes nothing any more.

    Args:
        database: a connection to the product's database.
        seconds_left: the rest of the lease, in seconds; less than 0: it has run out.

    Returns:
        The token of the attempt that does not exist.
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
