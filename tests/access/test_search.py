"""A search is in one's own name, whatever characters that has."""

import pytest

from tests.support.product import Parley

NAMES = ["a\\b", "\\", "o'brien", "it''s\\", "é\\'x", "auth0|x:y*", "a b & !c", "ann' | 'bob"]


@pytest.mark.parametrize("user", NAMES)
async def test_a_user_of_any_id_finds_their_own_conversations_only_over_http(
    parley: Parley, user: str
) -> None:
    for owner in ("bob", "b", "ann", user):
        assert (await parley.say(f"Zebras of {owner}", user=owner)).status_code == 200

    found = await parley.get("/api/conversations", user=user, q="zebras")

    titles = [each["title"] for each in found.json()["conversations"]]
    assert titles == [f"Zebras of {user}"]
