"""Facts that a summary lacks are pinned, word for word."""

import pytest

from lib.answers._summaries.pins import HEADER, MAX_CHARS, with_pins


@pytest.mark.parametrize(
    ("summary", "said", "pinned"),
    [
        ("They talked.", "Hi. My ship is the Marigold. It is red.", ["My ship is the Marigold."]),
        ("They talked.", "We meet at 10:30 on the 4th!\nFine.", ["We meet at 10:30 on the 4th!"]),
        ("They meet at 10:30.", "We meet at 10:30.", []),
        ("Ann's ship is the marigold.", "My ship is the Marigold.", []),
        ("They talked.", "What do you think? Nothing. So it is.", []),
        ("Sie reden.", "Мы живём в Москве.", ["Мы живём в Москве."]),
        ("They talked.", f"My number is 12 {'x' * 200}.", []),
    ],
)
def test_a_sentence_of_the_user_with_a_name_or_a_number_is_pinned_where_the_summary_lacks_it(
    summary: str, said: str, pinned: list[str]
) -> None:
    told = with_pins(summary, None, [said])

    lines = told.splitlines()
    assert lines[0] == summary
    assert lines[1:] == (["", HEADER, *(f"- {each}" for each in pinned)] if pinned else [])


def test_pins_are_kept_from_summary_to_summary_and_bounded_and_the_first_and_the_last_stay() -> (
    None
):
    memory = None
    for number in range(100):
        memory = with_pins("They talked.", memory, [f"My lucky number is now {number}."])

    assert memory is not None
    assert "is now 0." in memory
    assert "is now 99." in memory
    assert len(memory) < MAX_CHARS + 300


def test_a_pin_that_the_new_summary_tells_is_dropped() -> None:
    memory = with_pins("They talked.", None, ["My ship is the Marigold."])

    assert with_pins("The Marigold is a ship.", memory, []) == "The Marigold is a ship."
