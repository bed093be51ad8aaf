"""lib.trace: whose time it is."""

import contextvars
from collections.abc import Generator

import pytest

from lib.deadlines import Deadline
from lib.trace import begin_trace, trace
from tests.product import forget_process

OVER = Deadline(ends_at=0.0, cut_at=0.0, last_words_at=0.0)


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    forget_process()
    yield
    forget_process()


def test_what_is_done_for_no_request_has_time_again_when_its_time_is_over() -> None:
    def work() -> None:
        first = trace()
        assert trace() is first

        first.deadline = OVER

        assert trace().deadline.ends_at > OVER.ends_at

    contextvars.Context().run(work)


def test_a_request_whose_time_is_over_gets_no_more() -> None:
    def work() -> None:
        request = begin_trace("api/chat", {"type": "http", "method": "POST", "headers": []})

        request.deadline = OVER

        assert trace() is request

    contextvars.Context().run(work)
