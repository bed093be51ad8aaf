"""Functions: making one changes the process, importing lib does not."""

import subprocess
import sys

from tests.support.product import ROOT

IMPORTING = """
import gc, importlib, pkgutil
before = gc.get_threshold(), gc.get_freeze_count()
import lib
for module in pkgutil.walk_packages(lib.__path__, "lib."):
    importlib.import_module(module.name)
assert (gc.get_threshold(), gc.get_freeze_count()) == before
from lib.functions import function
async def get(request): ...
function(GET=get)
assert gc.get_threshold() == (50_000, 20, 50)
assert gc.get_freeze_count() > 10_000
"""


def test_garbage_collection_is_tuned_by_making_a_function_and_not_by_importing_lib() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"DATABASE_URL": "postgresql://parley@127.0.0.1/parley"},
    )

    assert (done.returncode, done.stderr) == (0, "")
