"""The bill of materials: valid, complete, and the same as the lock and the page."""

import hashlib
import json
import re
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import cyclonedx.schema
import jsonschema_rs
import pytest

from dev.supply.lock import packages_of_functions
from dev.supply.materials import bill_of_materials
from dev.vendor import VENDOR

# The schemas that CycloneDX publishes, as its library ships them. The first names the others.
FILES = ("bom-1.6", "spdx", "jsf-0.82")
SCHEMAS: dict[str, dict[str, Any]] = {
    f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json": json.loads(
        (files(cyclonedx.schema) / "_res" / f"{name}.SNAPSHOT.schema.json").read_text()
    )
    for name in FILES
}
SCHEMA = jsonschema_rs.validator_for(
    next(iter(SCHEMAS.values())),
    registry=jsonschema_rs.Registry(list(SCHEMAS.items())),
    validate_formats=True,
)


@pytest.fixture
def bill() -> dict[str, Any]:
    """Return the bill as `make sbom` writes it."""
    return bill_of_materials(datetime.now(UTC))


def test_the_bill_of_materials_fits_the_schema_of_cyclonedx(bill: dict[str, Any]) -> None:
    assert bill["specVersion"] == "1.6"
    assert [error.message for error in SCHEMA.iter_errors(bill)] == []


def test_the_schema_refuses_a_bill_with_an_unknown_field(bill: dict[str, Any]) -> None:
    # The validator does look: otherwise the test before proves nothing.
    bill["components"][0]["colour"] = "blue"

    assert not SCHEMA.is_valid(bill)


def test_the_bill_lists_the_packages_of_the_functions_and_the_libraries_of_the_page(
    bill: dict[str, Any],
) -> None:
    listed = {component["purl"] for component in bill["components"]}

    packages = packages_of_functions().values()
    vendored = [re.fullmatch(r"(\w+)-([\d.]+)\.js", path.name) for path in VENDOR.glob("*.js")]
    libraries = {f"pkg:npm/{match[1]}@{match[2]}" for match in vendored if match}
    assert len(libraries) == len(vendored) > 0
    assert listed == {f"pkg:pypi/{each.name}@{each.version}" for each in packages} | libraries


def test_each_component_has_a_license_and_the_hash_of_its_file(bill: dict[str, Any]) -> None:
    for component in bill["components"]:
        assert component["licenses"], component["name"]
        [file] = component["externalReferences"]
        assert file["type"] == "distribution"
        assert len(file["hashes"]) == 1


def test_the_hash_of_a_library_is_that_of_the_file_that_the_page_loads(
    bill: dict[str, Any],
) -> None:
    hashes = {each["name"]: each["hashes"] for each in bill["components"] if "hashes" in each}

    for path in VENDOR.glob("*.js"):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        name = path.name.partition("-")[0]
        assert hashes[name] == [{"alg": "SHA-256", "content": content}]


def test_the_bill_says_which_package_needs_which(bill: dict[str, Any]) -> None:
    needs = {each["ref"]: set(each.get("dependsOn", [])) for each in bill["dependencies"]}
    version_of = {name: each.version for name, each in packages_of_functions().items()}

    def purl(name: str) -> str:
        return f"pkg:pypi/{name}@{version_of[name]}"

    assert {purl("aiohttp"), purl("pydantic"), purl("starlette")} <= needs["parley"]
    assert purl("idna") not in needs["parley"]
    assert purl("cryptography") in needs[purl("pyjwt")]
    # Each component is reached from the product.
    reached, waiting = {"parley"}, ["parley"]
    while waiting:
        below = needs[waiting.pop()] - reached
        reached |= below
        waiting += below
    assert reached == {each["purl"] for each in bill["components"]} | {"parley"}
