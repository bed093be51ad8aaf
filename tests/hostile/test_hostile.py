"""A short hostile hour; longer ones: `python -m tests.hostile --seconds 600`."""

from tests.hostile.run import play_hour


async def test_hostile_people_get_no_more_than_their_ceilings_while_others_get_each_answer(
    database_url: str,
) -> None:
    result = await play_hour(4, database_url)

    assert result.errors == []
    # Each conversation of an honest person has four answers: three guests, and a user or two.
    assert result.honest_answers >= 20
    assert len(result.rows) > 40
