"""The metrics in the text format of Prometheus, whose writer is imported with the first reading."""

from collections.abc import Callable

from lib.operations.metrics import Metrics

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


def text_writer() -> Callable[[Metrics], bytes]:
    """Return `text_of`; importing it takes 58 ms, beside the database's round trip."""
    from lib.operations.prometheus import text_of

    return text_of
