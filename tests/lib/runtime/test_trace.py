"""The deadline of a trace: of a request, and of background work."""

import contextvars
import time
from collections.abc import Generator

import pytest

from lib.runtime.deadlines import Deadline
from lib.runtime.trace import begin_trace, trace
from tests.support.product import forget_process

OVER = Deadline(ends_at=0.0, cut_at=0.0, last_words_at=0.0)


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    forget_process()
    yield
    forget_process()


@pytest.mark.parametrize("seconds_after_cut", [0.5, 20, 40])
def test_background_work_gets_a_new_deadline_when_its_own_is_near(
    seconds_after_cut: float,
) -> None:
    def work() -> None:
        first = trace()
        assert trace() is first

        cut_at = time.monotonic() - seconds_after_cut
        first.deadline = Deadline(ends_at=cut_at + 30, cut_at=cut_at, last_words_at=cut_at + 10)

        assert trace().deadline.last_words_at > time.monotonic() + 30

    contextvars.Context().run(work)


def test_a_request_gets_no_new_deadline() -> None:
    def work() -> None:
        request = begin_trace("api/chat", {"type": "http", "method": "POST", "headers": []})

        request.deadline = OVER

        assert trace() is request

    contextvars.Context().run(work)
