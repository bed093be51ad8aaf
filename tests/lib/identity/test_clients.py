"""Keyed hashes of callers, and the site of a client."""

import pytest

from lib.identity.clients import hashed, site_of
from lib.settings import settings

SECRETS = {
    "DATABASE_URL": "postgresql://user:one@db.example/parley?sslmode=require",
    "OPENAI_API_KEY": "sk-one",
    "JWT_SECRET": "one secret of at least 32 bytes, for a test",
    "CRON_SECRET": "one secret for the cron",
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_hash_depends_on_each_secret_of_the_deployment(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    hashes: set[str] = set()
    for value in (SECRETS[name], SECRETS[name].replace("one", "two")):
        for variable, secret in (SECRETS | {name: value}).items():
            monkeypatch.setenv(variable, secret)
        settings.cache_clear()
        hashes |= {hashed("user", "ann"), hashed("user", "ann")}
    settings.cache_clear()

    assert len(hashes) == 2


def test_hashes_of_different_kinds_differ_for_the_same_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, secret in SECRETS.items():
        monkeypatch.setenv(variable, secret)
    settings.cache_clear()
    digests = {hashed(kind, "x").rpartition(" ")[2] for kind in ("user", "client", "site")}
    settings.cache_clear()

    assert len(digests) == 3


@pytest.mark.parametrize(
    ("client", "site"),
    [
        ("2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("2001:db8:1:ffff::/64", "2001:db8:1::/48"),
        ("2001:db8:2:2::/64", "2001:db8:2::/48"),
        ("203.0.113.7", None),
        ("", None),
        ("no:address", None),
    ],
)
def test_the_site_of_an_ipv6_client_is_its_network_of_48_bits(
    client: str, site: str | None
) -> None:
    assert site_of(client) == site
