"""`python -m dev.openapi`: write `public/openapi.json`; `--check`: fail if it is out of date."""

import json
import sys

from dev.openapi.description import ROOT, describe

FILE = ROOT / "public" / "openapi.json"


def main() -> None:
    """Write or check."""
    text = json.dumps(describe(), indent=2, ensure_ascii=False) + "\n"
    if "--check" not in sys.argv:
        FILE.write_text(text, encoding="utf-8")
    elif not FILE.exists() or FILE.read_text(encoding="utf-8") != text:
        sys.exit("public/openapi.json is out of date: make openapi")


if __name__ == "__main__":
    main()
