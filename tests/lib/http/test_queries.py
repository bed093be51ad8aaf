"""Query strings: the parameters that are read, and the words for those that are refused."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlencode
from uuid import UUID

import pytest
from starlette.requests import Request

from lib.http.cursors import cursor, encode_cursor
from lib.http.queries import one_of, parameter, parse_query, query_string, text, whole_number
from lib.problems import InvalidRequest

NOT_WHOLE = "Input should be a valid integer, unable to parse string as an integer"
NOT_A_CURSOR = "must be the next_cursor of an earlier response"
A_UUID = UUID("97366c86-30a4-4c26-8c47-5f4b1a1b8b3c")


@query_string
class Shelf:
    """A query string with a parameter of each kind."""

    name: str = parameter(text(least=1, most=5), names=("name", "called"))
    limit: int = parameter(whole_number(1, 200), default=50)
    order: Literal["new", "old", "any"] | None = parameter(
        one_of("new", "old", "any"), default=None
    )
    by_row: tuple[int] | None = parameter(cursor(int), default=None)
    by_time: tuple[datetime, UUID] | None = parameter(cursor(datetime, UUID), default=None)


@query_string
class OrderedShelf(Shelf):
    """One that has a rule, and inherits parameters."""

    first: int = parameter(whole_number(0, 9), default=0)
    last: int = parameter(whole_number(0, 9), default=9)

    def __post_init__(self) -> None:
        """Check the order."""
        if self.first > self.last:
            raise ValueError("first must not be after last")


def read(pairs: dict[str, str] | list[tuple[str, str]], query: type[Shelf] = Shelf) -> Shelf:
    """Read a query string."""
    scope: dict[str, Any] = {
        "type": "http",
        "headers": [],
        "query_string": urlencode(pairs).encode(),
    }
    return parse_query(Request(scope), query)


def refused(
    pairs: dict[str, str] | list[tuple[str, str]], query: type[Shelf] = Shelf
) -> list[tuple[str, str]]:
    """Return which parameters are refused, and why."""
    with pytest.raises(InvalidRequest) as problem:
        read(pairs, query)
    return [(each["field"], each["detail"]) for each in problem.value.errors or []]


def refusal_of(name: str, value: str) -> str:
    """Return why a value is refused."""
    [(field, detail)] = refused({"name": "x"} | {name: value})
    assert field == name
    return detail


def test_parameters_are_read() -> None:
    assert read({"name": "Ann", "limit": "7", "order": "old"}) == Shelf(
        name="Ann", limit=7, order="old"
    )


def test_a_missing_parameter_has_its_default() -> None:
    assert read({"name": "Ann"}) == Shelf(name="Ann", limit=50, order=None)


def test_unknown_parameters_are_ignored_even_if_they_are_repeated() -> None:
    assert read([("name", "Ann"), ("id", "1"), ("id", "2")]) == Shelf(name="Ann")


def test_a_parameter_may_have_two_names() -> None:
    assert read({"called": "Ann"}) == Shelf(name="Ann")


def test_the_first_of_a_parameters_two_names_is_preferred() -> None:
    assert read([("called", "Bob"), ("name", "Ann")]) == Shelf(name="Ann")


def test_an_invalid_parameter_is_named_as_in_the_query_string() -> None:
    assert refused({"called": ""}) == [("called", "String should have at least 1 character")]


def test_a_missing_required_parameter_is_named_by_its_first_name() -> None:
    assert refused({}) == [("name", "Field required")]


def test_a_repeated_parameter_is_refused() -> None:
    pairs = [("name", "a"), ("called", "b"), ("called", "c"), ("limit", "0"), ("limit", "0")]

    assert refused(pairs) == [("called", "must be given once"), ("limit", "must be given once")]


def test_one_problem_names_all_invalid_parameters() -> None:
    assert refused({"limit": "many", "order": "best"}) == [
        ("name", "Field required"),
        ("limit", NOT_WHOLE),
        ("order", "Input should be 'new', 'old' or 'any'"),
    ]


@pytest.mark.parametrize(
    ("given", "detail"),
    [
        ("", "String should have at least 1 character"),
        ("x" * 6, "String should have at most 5 characters"),
        ("a\0b", "must not contain the character NUL"),
    ],
)
def test_a_text_of_a_wrong_length_or_with_nul_is_refused(given: str, detail: str) -> None:
    assert refusal_of("name", given) == detail


@pytest.mark.parametrize("given", ["5", " 5 ", "+5", "05", "5.0", "5.00", "0_5"])
def test_a_whole_number_may_be_written_in_several_ways(given: str) -> None:
    assert read({"name": "Ann", "limit": given}).limit == 5


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "five",
        "5.5",
        "5.0.0",
        "5 .0",
        "5e0",
        "0x5",
        "1__0",
        "_5",
        "+-5",
        "5\0",
        "\u0665",
        "\xa05",
    ],
)
def test_a_text_that_is_no_whole_number_is_refused(given: str) -> None:
    assert refusal_of("limit", given) == NOT_WHOLE


@pytest.mark.parametrize("given", ["9" * 5000, "-" + "9" * 5000])
def test_a_number_of_more_digits_than_python_reads_is_refused(given: str) -> None:
    assert refusal_of("limit", given) == NOT_WHOLE


def test_a_whole_number_has_its_limits() -> None:
    assert refusal_of("limit", "0") == "Input should be greater than or equal to 1"
    assert refusal_of("limit", "201") == "Input should be less than or equal to 200"
    assert [read({"name": "Ann", "limit": each}).limit for each in ("1", "200")] == [1, 200]


@pytest.mark.parametrize(
    ("choices", "detail"),
    [
        (("true",), "Input should be 'true'"),
        (("true", "false"), "Input should be 'true' or 'false'"),
    ],
)
def test_the_error_of_a_refused_choice_lists_the_choices(
    choices: tuple[str, ...], detail: str
) -> None:
    with pytest.raises(ValueError, match=f"^{detail}$"):
        one_of(*choices).read("TRUE")  # pyright: ignore[reportArgumentType] (not literal)


def test_a_broken_rule_about_several_parameters_names_no_single_one() -> None:
    pairs = {"name": "Ann", "first": "2", "last": "1"}

    assert refused(pairs, OrderedShelf) == [("", "first must not be after last")]


def test_a_rule_is_not_checked_if_a_parameter_is_invalid() -> None:
    pairs = {"first": "2", "last": "1"}

    assert refused(pairs, OrderedShelf) == [("name", "Field required")]


def test_a_query_string_inherits_parameters() -> None:
    assert read({"name": "Ann", "first": "2"}, OrderedShelf) == OrderedShelf(name="Ann", first=2)


@pytest.mark.parametrize("row_id", [0, 7, 2**63 - 1])
def test_a_cursor_is_read_back_as_its_row_id(row_id: int) -> None:
    assert read({"name": "Ann", "by_row": encode_cursor(row_id)}).by_row == (row_id,)


@pytest.mark.parametrize(
    "time",
    [
        datetime(2026, 1, 1, 12, 30, 0, 123456, UTC),
        datetime.fromisoformat("2026-01-01T00:00:00+05:30"),
    ],
)
def test_a_cursor_is_read_back_as_its_time_and_id(time: datetime) -> None:
    given = encode_cursor(time, A_UUID)

    assert read({"name": "Ann", "by_time": given}).by_time == (time, A_UUID)


def test_a_cursors_time_has_no_offset_that_postgres_could_not_read() -> None:
    given = cursor_of(f'["2026-01-01T00:00:00+00:00:00.000001", "{A_UUID}"]')

    found = read({"name": "Ann", "by_time": given}).by_time

    assert found is not None
    assert found[0].utcoffset() == timedelta(0)


CONTENTS_OF_NO_ROW = (
    "", "null", "5", '"5"', "{}", '{"5": 5}', "[]", "[5, 6]", "[[5]]", "[null]", "[true]", "[5.0]",
    '["5"]', "[-1]", f"[{2**63}]", f"[{'9' * 300}]", "[NaN]", "[Infinity]", "[5", "[5]x", "[" * 370,
)  # fmt: skip
TIMES_OF_NO_ROW = (
    '"2026-01-01T00:00:00"', '"2026-01-01"', '"infinity"', '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59-14:00"', '"10000-01-01T00:00:00Z"', '"2026-02-30T00:00:00Z"', '""',
    "1700000000", "null", "[]",
)  # fmt: skip
IDS_OF_NO_ROW = ('"x"', "5", "null", "[]", '"' + "9" * 33 + '"')


@pytest.mark.parametrize("content", CONTENTS_OF_NO_ROW)
def test_a_cursor_that_holds_no_row_id_is_refused(content: str) -> None:
    assert refusal_of("by_row", cursor_of(content)) == NOT_A_CURSOR


@pytest.mark.parametrize(
    "content",
    [
        *(f'[{time}, "{A_UUID}"]' for time in TIMES_OF_NO_ROW),
        *(f'["2026-01-01T00:00:00Z", {each}]' for each in IDS_OF_NO_ROW),
        f'{{"2026-01-01T00:00:00Z": 1, "{A_UUID}": 2}}',
        "[5]",
    ],
)
def test_a_cursor_that_holds_no_time_and_id_is_refused(content: str) -> None:
    assert refusal_of("by_time", cursor_of(content)) == NOT_A_CURSOR


@pytest.mark.parametrize("given", ["", "garbage", "====", "W\0", "é", "Wz/d"])
def test_a_text_that_is_not_base64_is_refused_as_a_cursor(given: str) -> None:
    assert refusal_of("by_row", given) == NOT_A_CURSOR


def test_a_cursor_has_at_most_500_characters() -> None:
    assert refusal_of("by_row", "x" * 501) == "String should have at most 500 characters"


def cursor_of(content: str) -> str:
    """Return a cursor with any content, valid or not."""
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")
