"""`python -m dev.supply.materials`, behind `make sbom`: write the bill of materials.

`sbom.cdx.json` lists the packages that the functions get, from the lock, and the libraries that the
page loads, from `public/vendor`: CycloneDX 1.6, with versions, licenses, hashes, and which package
needs which. It needs no network. Not in it: Python itself, and the packages `vercel-runtime` and
`pip`, which Vercel's builder adds in versions of its own.

The JSON is written here, because the classes of `cyclonedx-python-lib` have no types that a checker
can read, and uv's own export is experimental, without licenses and without the page. That library
ships the schema, which the tests compare the bill with.
"""

import base64
import hashlib
import json
import re
import tomllib
from datetime import UTC, datetime
from importlib.metadata import metadata
from pathlib import Path
from typing import Any
from uuid import uuid4

from dev.supply.lock import ROOT, LockedPackage, normal_name, packages_of_functions
from dev.vendor import VENDOR

BILL = ROOT / "sbom.cdx.json"
NPM_LOCK = ROOT / "tests/web/package-lock.json"
VENDORED = re.compile(r"(?P<name>[a-z-]+)-(?P<version>\d+\.\d+\.\d+)\.js")
# An identifier of SPDX; two of them with AND or OR between are an expression.
SPDX_ID = re.compile(r"[A-Za-z0-9]+(?:[-.][A-Za-z0-9]+)*")
SPDX_EXPRESSION = re.compile(rf"{SPDX_ID.pattern}(?: (?:AND|OR) {SPDX_ID.pattern})+")

type Json = dict[str, Any]


def main() -> None:
    """Write the bill into the checkout's folder."""
    bill = bill_of_materials(datetime.now(UTC))
    BILL.write_text(json.dumps(bill, indent=2) + "\n", encoding="utf-8")
    print(f"Written: {BILL.relative_to(ROOT)}, {len(bill['components'])} components")


def bill_of_materials(now: datetime) -> Json:
    """Return the bill of materials, a document of CycloneDX 1.6.

    Args:
        now: the time that it names, with its zone.
    """
    project: Json = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    packages = packages_of_functions()
    components = {name: _component_of(package) for name, package in packages.items()}
    libraries = [_component_of_library(path) for path in sorted(VENDOR.glob("*.js"))]
    refs = {name: component["bom-ref"] for name, component in components.items()}
    direct = {normal_name(re.split(r"[\[=]", each)[0]) for each in project["dependencies"]}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid4().urn,
        "version": 1,
        "metadata": {
            "timestamp": now.isoformat(timespec="seconds"),
            "component": {
                "type": "application",
                "bom-ref": project["name"],
                "name": project["name"],
                "version": project["version"],
                "description": project["description"],
                "licenses": _licenses(project["license"]),
            },
        },
        "components": [*components.values(), *libraries],
        "dependencies": [
            {
                "ref": project["name"],
                "dependsOn": [
                    *(refs[name] for name in sorted(direct)),
                    *(library["bom-ref"] for library in libraries),
                ],
            },
            *(
                {"ref": refs[name], "dependsOn": [refs[each] for each in package.needs]}
                for name, package in packages.items()
            ),
            # A file of the page is whole: it imports no other package.
            *({"ref": library["bom-ref"], "dependsOn": []} for library in libraries),
        ],
    }


def _component_of(package: LockedPackage) -> Json:
    return {
        **_identity("pypi", package.name, package.version),
        "licenses": _licenses(_license_of(package.name)),
        "externalReferences": [_distribution(package.url, "SHA-256", package.sha256)],
    }


def _component_of_library(path: Path) -> Json:
    """Return the component of a file that the page loads; npm's lock has its package's hash."""
    match = VENDORED.fullmatch(path.name)
    assert match, path
    entry = json.loads(NPM_LOCK.read_text())["packages"][f"node_modules/{match['name']}"]
    assert entry["version"] == match["version"], path
    # npm writes `sha512-` and the hash in base64.
    sha512 = base64.b64decode(entry["integrity"].removeprefix("sha512-")).hex()
    return {
        **_identity("npm", match["name"], match["version"]),
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}],
        "licenses": _licenses(entry["license"]),
        "externalReferences": [_distribution(entry["resolved"], "SHA-512", sha512)],
    }


def _identity(registry: str, name: str, version: str) -> Json:
    purl = f"pkg:{registry}/{name}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _distribution(url: str, algorithm: str, content: str) -> Json:
    hashes = [{"alg": algorithm, "content": content}]
    return {"type": "distribution", "url": url, "hashes": hashes}


def _license_of(name: str) -> str:
    """Return the license that a package declares, as installed here in the locked version."""
    declared = metadata(name)
    expression = declared.get("License-Expression") or declared.get("License")
    if expression and "\n" not in expression:
        return expression
    classifiers = declared.get_all("Classifier") or []
    [found] = {each for each in classifiers if each.startswith("License ::")}
    return found.rpartition(" :: ")[2]


def _licenses(text: str) -> list[Json]:
    """Return the field `licenses` for an SPDX identifier or expression, or for another name."""
    if SPDX_EXPRESSION.fullmatch(text):
        return [{"expression": text}]
    return [{"license": {"id" if SPDX_ID.fullmatch(text) else "name": text}}]


if __name__ == "__main__":
    main()
