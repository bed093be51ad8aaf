"""Lead each provider of the zoo through all scenarios, and print the table of the outcomes.

    python -m tests.zoo
    python -m tests.zoo Gemini Mistral

A name, or the beginning of one, chooses providers. Exits with 1 if a scenario fails.
"""

import argparse
import asyncio
import contextlib
import io
import logging
import sys
import tempfile
import time
from pathlib import Path

import pytest

from dev.postgres import programs, start_postgres
from dev.psql import migrate
from tests.support.databases import Databases, make_database
from tests.support.product import ROOT
from tests.support.serving import Switchboard, serve
from tests.zoo.providers import PROVIDERS
from tests.zoo.scenarios import NOT_MEANT, SCENARIOS
from tests.zoo.server import Provider
from tests.zoo.visits import Zoo

TEMPLATE = "parley_template"
GOOD = {"ok", NOT_MEANT}


def main() -> int:
    """Visit the providers that the command line names; without a name, all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="providers, by the beginnings of their names")
    names = tuple(parser.parse_args().names) or ("",)
    # The product's server would tell of each connection that the zoo cuts.
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    started = time.monotonic()
    chosen = [provider for provider in PROVIDERS if provider.name.startswith(names)]
    with (
        tempfile.TemporaryDirectory(prefix="zoo-") as folder,
        # The product's log, which would drown the table.
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        table = asyncio.run(_visit(chosen, Path(folder)))
    _print(table)
    failures = sum(why not in GOOD for outcomes in table.values() for why in outcomes.values())
    print(f"{failures} failed, {time.monotonic() - started:.0f} s")
    return 1 if failures else 0


async def _visit(providers: list[Provider], folder: Path) -> dict[str, dict[str, str]]:
    postgres = start_postgres(folder / "data", tcp=True, durable=False)
    try:
        make_database(postgres, TEMPLATE)
        migrate(programs() / "psql", postgres.url_of(TEMPLATE, "postgres"), ROOT)
        product, model = Switchboard(), Switchboard()
        with pytest.MonkeyPatch.context() as monkeypatch:
            async with serve(product) as product.base_url, serve(model) as model.base_url:
                zoo = Zoo(Databases(postgres, TEMPLATE), product, model, monkeypatch)
                return {provider.name: await zoo.visit(provider) for provider in providers}
    finally:
        postgres.stop()


def _print(table: dict[str, dict[str, str]]) -> None:
    """Print the table, each failure as a number, and below it why each failed."""
    width = max(map(len, table), default=0)
    for number, name in enumerate(SCENARIOS, 1):
        print(f"{number:3}  {name}")
    print(f"\n{'':{width}}" + "".join(f"{number:>5}" for number in range(1, len(SCENARIOS) + 1)))
    for provider, outcomes in table.items():
        cells = (outcomes[name] if outcomes[name] in GOOD else "FAIL" for name in SCENARIOS)
        print(f"{provider:{width}}" + "".join(f"{cell:>5}" for cell in cells))
    print()
    for provider, outcomes in table.items():
        for name, why in outcomes.items():
            if why not in GOOD:
                print(f"{provider}: {name}: {why}")


if __name__ == "__main__":
    sys.exit(main())
