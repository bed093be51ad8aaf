"""change_user_settings and find_user_settings: a user's own, and nobody else's."""

from datetime import timedelta

from lib.database.acting import act_as, remember_user
from lib.database.client import Database
from lib.identity.callers import Caller
from lib.users.own_settings import CHANGE_USER_SETTINGS, FIND_USER_SETTINGS, UserSettings
from tests.support.steps.rows import Rows
from tests.support.steps.turns import NOON

ADA, EVE = Caller("ada"), Caller("eve")


async def test_settings_are_stored_changed_and_found_for_the_caller_alone(
    pool: Database, rows: Rows
) -> None:
    for days, text in enumerate(("Be brief.", "Be long.")):
        now = NOON + timedelta(days)
        change = CHANGE_USER_SETTINGS(user_id="ada", instructions=text, now=now)
        await pool.run(act_as(ADA, None), remember_user(ADA), change)

    _, of_ada = await pool.run(act_as(ADA, None), FIND_USER_SETTINGS(user_id="ada"))
    _, of_eve = await pool.run(act_as(EVE, None), FIND_USER_SETTINGS(user_id="ada"))

    assert (of_ada, of_eve) == ([UserSettings("Be long.")], [])
    stored = rows.run("SELECT user_id, instructions, updated_at FROM user_settings")
    assert stored == [("ada", "Be long.", NOON + timedelta(1))]
