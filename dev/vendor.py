"""`python -m dev.vendor`, behind `make vendor`: copy the playground's libraries to `public/vendor`.

The page loads them from there, because it talks to its own origin only. tests/web/package.json pins
their versions, and `npm ci` compares each package with the hash in the lock file. The copies stay
byte for byte as published, so that anyone can compare them with npm's.
"""

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ROOT / "tests/web/node_modules"
VENDOR = ROOT / "public/vendor"
PAGE = ROOT / "public/index.html"
# The ES module in each package.
MODULES = {"marked": "lib/marked.esm.js", "remend": "dist/index.js"}
IMPORT_MAP = re.compile(r'(<script type="importmap">).*?(</script>)', re.DOTALL)


def main() -> None:
    """Replace `public/vendor`, and name its files and their hashes in the page's import map."""
    shutil.rmtree(VENDOR, ignore_errors=True)
    VENDOR.mkdir()
    files = {name: _copy(name, PACKAGES / name / module) for name, module in MODULES.items()}
    urls = {name: f"/vendor/{file.name}" for name, file in files.items()}
    hashes = {urls[name]: integrity_of(file) for name, file in files.items()}
    written = json.dumps({"imports": urls, "integrity": hashes}, indent=2)
    page, count = IMPORT_MAP.subn(rf"\g<1>\n{written}\n\g<2>", PAGE.read_text())
    assert count == 1
    PAGE.write_text(page)


def integrity_of(file: Path) -> str:
    """Return a file's hash as Subresource Integrity writes it."""
    return f"sha384-{base64.b64encode(hashlib.sha384(file.read_bytes()).digest()).decode()}"


def _copy(name: str, module: Path) -> Path:
    package = PACKAGES / name
    version = json.loads((package / "package.json").read_text())["version"]
    [licence] = package.glob("LICENSE*")
    shutil.copy(licence, VENDOR / f"{name}-{version}.LICENSE.txt")
    return Path(shutil.copy(module, VENDOR / f"{name}-{version}.js"))


if __name__ == "__main__":
    main()
