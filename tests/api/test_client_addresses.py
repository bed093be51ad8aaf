"""The client's address behind a proxy of the operator's: CLIENT_ADDRESS_HEADER and PROXY_SECRET."""

import logging

import pytest

import lib.runtime.log
from tests.support.logs import events_of
from tests.support.product import Parley

SECRET, OLD_SECRET = "a secret of the proxy", "a secret of before"
PROXIED = {
    "CLIENT_ADDRESS_HEADER": "CF-Connecting-IP",
    "PROXY_SECRET": f'["{SECRET}", "{OLD_SECRET}"]',
    "MESSAGES_PER_MINUTE": "1",
}


async def is_allowed(parley: Parley, *headers: tuple[str, str]) -> bool:
    """Tell whether a guest with these headers may have an answer."""
    response = await parley.client.post("/api/chat", json={"message": "Hello!"}, headers=[*headers])
    assert response.status_code in {200, 429}
    return response.status_code == 200


def proxied(address: str, secret: str = SECRET) -> list[tuple[str, str]]:
    """Return the headers that the proxy adds for a client."""
    return [("cf-connecting-ip", address), ("x-proxy-secret", secret)]


@pytest.mark.environment(**PROXIED)
async def test_guests_behind_one_proxy_have_a_quota_each(parley: Parley) -> None:
    for guest in range(24):
        assert await is_allowed(parley, *proxied(f"203.0.113.{guest}"))


@pytest.mark.environment(**PROXIED)
async def test_one_client_has_one_quota_however_its_address_is_written(parley: Parley) -> None:
    same = {
        "203.0.113.7": ["::ffff:203.0.113.7", "203.0.113.7:4711", "198.51.100.1, 203.0.113.7"],
        "2001:db8:0:1::1": ["2001:DB8:0:1:ffff::2", "[2001:db8:0:1::3]:443", "[2001:db8:0:1::4]"],
        "203.0.113.8": ["203.0.113.8"],
    }
    for first, others in same.items():
        assert await is_allowed(parley, *proxied(first, OLD_SECRET))
        for other in others:
            assert not await is_allowed(parley, *proxied(other)), other


@pytest.mark.environment(**PROXIED)
async def test_without_the_secret_or_an_address_the_connection_s_own_address_counts(
    parley: Parley, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "parley")
    lib.runtime.log._seldom.clear()
    address = ("cf-connecting-ip", "203.0.113.9")
    assert await is_allowed(parley)

    for headers in (
        [address],
        [address, ("x-proxy-secret", "")],
        [address, ("x-proxy-secret", SECRET[:-1])],
        [address, ("x-proxy-secret", f"{SECRET} x")],
        [address, ("x-proxy-secret", SECRET), ("x-proxy-secret", SECRET)],
        [("x-proxy-secret", SECRET)],
        *[
            proxied(text)
            for text in ("unknown", "", "203.0.113.9,", "203.0.113", "_hidden", "1.2.3.4:x")
        ],
    ):
        assert not await is_allowed(parley, *headers), headers

    causes = [event["cause"] for event in events_of(caplog, "client_address_ignored")]
    assert sorted(causes) == ["no address in it", "no header", "no secret", "wrong secret"]
    assert SECRET not in caplog.text
    assert "203.0.113.9" not in caplog.text


@pytest.mark.environment(MESSAGES_PER_MINUTE="1")
async def test_without_the_setting_no_header_changes_the_address(parley: Parley) -> None:
    assert await is_allowed(parley, ("cf-connecting-ip", "203.0.113.1"))
    assert not await is_allowed(parley, *proxied("203.0.113.2"), ("x-real-ip", "203.0.113.3"))
