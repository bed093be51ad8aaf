"""A search covers the caller's own conversations, with any characters in the user's id."""

import pytest

from tests.support.product import Parley

NAMES = ["a\\b", "\\", "o'brien", "it''s\\", "é\\'x", "auth0|x:y*", "a b & !c", "ann' | 'bob"]


@pytest.mark.parametrize("user", NAMES)
async def test_a_search_over_http_finds_own_conversations_only_for_any_user_id(
    parley: Parley, user: str
) -> None:
    for owner in ("bob", "b", "ann", user):
        assert (await parley.say(f"Zebras of {owner}", user=owner)).status_code == 200

    response = await parley.get("/api/conversations", user=user, q="zebras")

    titles = [conversation["title"] for conversation in response.json()["conversations"]]
    assert titles == [f"Zebras of {user}"]
