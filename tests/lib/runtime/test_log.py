"""The log: an error's traceback has lines of code and types, and no text that may hold a value."""

import asyncio
import gc
import json
import logging

import pytest
from psycopg import OperationalError, errors
from pydantic import BaseModel

from lib.model.reply import GarbledStreamError
from lib.problems import DatabaseUnavailable, ModelFailed
from lib.runtime.log import log, traceback_of
from lib.tools import ToolError
from tests.support.logs import events_of

WORD = "xylocarp"


class Form(BaseModel):
    """A form that words do not fit."""

    number: int


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """Return an error that was raised, from its cause if it has one."""
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def read_form() -> None:
    """Fail with an error that quotes the input."""
    Form.model_validate({"number": WORD})


@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"invalid literal for int() with base 10: '{WORD}'"),
        KeyError(WORD),
        OSError(111, f"Connect call failed ('{WORD}', 5432)"),
        UnicodeEncodeError("utf-8", WORD, 0, 1, WORD),
        OperationalError(f'connection to server at "{WORD}", port 5432 failed'),
        ToolError(WORD),
        ExceptionGroup(WORD, [ValueError(WORD)]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_text_of_a_foreign_error_is_not_logged_and_its_type_and_line_are(
    error: Exception,
) -> None:
    error.add_note(WORD)

    text = traceback_of(raised(DatabaseUnavailable(), cause=raised(error)))

    assert WORD not in text
    assert type(error).__name__ in text
    assert "lib.problems.DatabaseUnavailable: The database cannot be reached." in text
    assert "raise error from cause" in text


def test_an_error_that_quotes_the_input_of_a_form_is_logged_without_it() -> None:
    with pytest.raises(ValueError, match=WORD) as told:
        read_form()

    text = traceback_of(told.value)
    assert "ValidationError" in text
    assert "Form.model_validate" in text
    assert WORD not in text


def test_errors_of_parley_are_logged_with_their_text_in_the_order_of_their_causes() -> None:
    text = traceback_of(raised(ModelFailed(), cause=raised(GarbledStreamError("no reason"))))

    first, between, last = text.partition("direct cause of the following exception:")
    assert first.count("GarbledStreamError: no reason") == 1
    assert between
    assert "lib.problems.ModelFailed: The model could not answer." in last


def test_an_error_that_is_its_own_cause_is_logged_once() -> None:
    error = ValueError()
    error.__cause__ = OSError()
    error.__cause__.__cause__ = error

    assert traceback_of(error).count("ValueError") == 1


def test_the_words_of_postgres_about_a_value_that_does_not_fit_are_not_logged() -> None:
    assert "22P02" in traceback_of(errors.InvalidTextRepresentation(WORD))
    assert WORD not in traceback_of(errors.InvalidTextRepresentation(WORD))


def test_a_line_with_an_error_is_json(caplog: pytest.LogCaptureFixture) -> None:
    log("unexpected_error", error=raised(KeyError(WORD)))

    [line] = events_of(caplog)
    assert line["event"] == "unexpected_error"
    assert line["traceback"].endswith("\nKeyError")


@pytest.mark.parametrize("library", ["asyncio", "aiohttp.client"])
def test_a_warning_of_a_library_is_a_line_without_values(
    caplog: pytest.LogCaptureFixture, library: str
) -> None:
    # As asyncio writes it: the values are part of the message.
    message = f"Something is odd: {WORD}\nfuture: <{WORD}>"
    logging.getLogger(library).error(message, exc_info=ValueError(WORD))

    [line] = events_of(caplog, "library_warning")
    assert (line["library"], line["warning"]) == (library, "Something is odd")
    assert line["traceback"] == "ValueError"
    assert WORD not in json.dumps(line)


def test_the_error_of_a_task_that_nobody_awaits_is_logged_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise ValueError(WORD)

    async def leave_behind() -> None:
        task = asyncio.create_task(fail())
        await asyncio.wait({task})
        del task
        gc.collect()

    # In a loop of its own, because the loop of the tests reports such errors itself.
    asyncio.run(leave_behind())

    [line] = events_of(caplog, "library_warning")
    assert line["warning"] == "Task exception was never retrieved"
    assert "ValueError" in line["traceback"]
    assert WORD not in json.dumps(line)
