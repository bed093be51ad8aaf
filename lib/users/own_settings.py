"""What users of any kind set for all their conversations: instructions for the model."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lib.database.acting import remember_user
from lib.database.client import Database
from lib.database.statements import Statement
from lib.identity.callers import Caller

if TYPE_CHECKING:
    from lib.users.bodies import SettingsChange


@dataclass(frozen=True, slots=True)
class UserSettings:
    """The row of find_user_settings and change_user_settings.

    Attributes:
        instructions: what the model is to know or to do in each conversation; None: nothing.
    """

    instructions: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the settings as clients see them."""
        return asdict(self)


FIND_USER_SETTINGS = Statement("users/find_user_settings", UserSettings)
CHANGE_USER_SETTINGS = Statement("users/change_user_settings", UserSettings)


def settings_change() -> "type[SettingsChange]":
    """Return the model of the body of PATCH."""
    from lib.users.bodies import SettingsChange

    return SettingsChange


async def find_user_settings(database: Database, caller: Caller) -> UserSettings:
    """Return the settings of a user, who need not have any.

    One round trip: find_user_settings.

    Raises:
        Problem: see `Database.run_as`.
    """
    found = await database.run_as(caller, None, FIND_USER_SETTINGS(user_id=caller.user_id))
    return found[0] if found else UserSettings(instructions=None)


async def change_user_settings(
    database: Database, caller: Caller, change: "SettingsChange"
) -> UserSettings:
    """Set the instructions of a user for all conversations, from the next message on.

    One round trip: remember_user and change_user_settings.

    Raises:
        Problem: see `Database.run_as`.
    """
    _, changed = await database.run_as(
        caller,
        None,
        remember_user(caller),
        CHANGE_USER_SETTINGS(
            user_id=caller.user_id, instructions=change.stored_instructions, now=None
        ),
    )
    return changed[0]
