"""The figures in Prometheus's text format, version 0.0.4 (its document "Exposition formats")."""

import math
from collections.abc import Iterator

from lib.figures import FIGURES, Figure
from lib.metrics import Metrics
from lib.metrics_database import Counter
from lib.metrics_families import Labels, families_of

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COUNTED = "Of all instances, each of which adds its own after a response."


def text_of(metrics: Metrics) -> bytes:
    """Return all figures in the text format."""
    lines: list[str] = []
    for name, kind, text, samples in families_of(metrics):
        lines += _heading(name, kind, text)
        lines += [_line(name, labels, value) for labels, value in samples]
    if metrics.reading is not None:
        for figure in FIGURES:
            counted = [each for each in metrics.reading.counted if each.figure == figure.name]
            lines += _counted(figure, counted)
    return ("\n".join(lines) + "\n").encode()


def _counted(figure: Figure, counted: list[Counter]) -> Iterator[str]:
    """Yield the lines of something that all instances have counted; none, if they have not."""
    if not counted:
        return
    text = f"{figure.text} {COUNTED}"
    if not figure.bounds:
        yield from _heading(f"{figure.name}_total", "counter", text)
        for each in counted:
            yield _line(f"{figure.name}_total", _labels(figure, each), each.count)
        return
    yield from _heading(figure.name, "histogram", text)
    series: dict[tuple[str, str], list[Counter]] = {}
    for each in counted:
        series.setdefault((each.function, each.label), []).append(each)
    for cells in series.values():
        yield from _histogram(figure, cells)


def _histogram(figure: Figure, cells: list[Counter]) -> Iterator[str]:
    """Yield one histogram: of its buckets, each holds those before it, too."""
    labels = _labels(figure, cells[0])
    for bound in (*figure.bounds, math.inf):
        count = sum(each.count for each in cells if each.bound <= bound)
        yield _line(f"{figure.name}_bucket", labels | {"le": _number(bound)}, count)
    yield _line(f"{figure.name}_sum", labels, sum(each.total for each in cells))
    yield _line(f"{figure.name}_count", labels, sum(each.count for each in cells))


def _labels(figure: Figure, counter: Counter) -> dict[str, str]:
    beside = {figure.label: counter.label} if figure.label else {}
    return {"function": counter.function} | beside


def _heading(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP parley_{name} {text}"
    yield f"# TYPE parley_{name} {kind}"


def _line(name: str, labels: Labels, value: float) -> str:
    written = ",".join(f'{label}="{_escaped(given)}"' for label, given in labels.items())
    return (
        f"parley_{name}{{{written}}} {_number(value)}"
        if written
        else f"parley_{name} {_number(value)}"
    )


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return "+Inf" if math.isinf(value) else repr(float(value)) if value % 1 else str(int(value))
