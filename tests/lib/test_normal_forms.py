"""Addresses and passwords in the one form in which they are compared."""

# ruff: noqa: RUF001 - The letters that look alike are what the tests are about.

import pytest

from lib.texts import normalized_address, normalized_password


@pytest.mark.parametrize(
    ("address", "same"),
    [
        (" Ada@Example.COM \n", "ada@example.com"),
        ("u\u0308ber@example.com", "über@example.com"),
        ("ａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ada@example.com"),
        ("ada@xn--mnchen-3ya.de", "ada@münchen.de"),
        ("ada@XN--MNCHEN-3YA.DE", "ada@münchen.de"),
        ("ada@MU\u0308NCHEN.de", "ada@münchen.de"),
        ("ada@xn--fa-hia.de", "ada@faß.de"),
        ("ada@例え。jp", "ada@xn--r8jz45g.jp"),
        ("ada@example.com.", "ada@example.com"),
    ],
    ids=ascii,
)
def test_an_address_has_one_form_however_it_is_written(address: str, same: str) -> None:
    assert normalized_address(address) == normalized_address(same)
    assert normalized_address(normalized_address(address)) == normalized_address(address)


@pytest.mark.parametrize(
    ("address", "other"),
    [
        ("ada@faß.de", "ada@fass.de"),
        ("ada@münchen.de", "ada@munchen.de"),
        # Labels that decode to those of others, or to no label.
        ("ada@xn--example-.com", "ada@example.com"),
        ("ada@xn--MNCHEN-3YA", "ada@mnchen"),
        ("ada+1@example.com", "ada@example.com"),
    ],
    ids=ascii,
)
def test_addresses_of_different_mailboxes_stay_different(address: str, other: str) -> None:
    assert normalized_address(address) != normalized_address(other)


@pytest.mark.parametrize(
    "text", ["", "@", "ada", "ada@", "@.", "a@xn--", "a@xn--\u00fc", "a@xn--99999999999"]
)
def test_a_text_that_is_no_address_stays_what_it_is(text: str) -> None:
    assert normalized_address(text) == text


@pytest.mark.parametrize(
    ("password", "same"),
    [
        ("u\u0308" * 8, "ü" * 8),
        ("ｐａｓｓｗｏｒｄ", "password"),
        ("\uac00" * 8, "\u1100\u1161" * 8),
    ],
    ids=ascii,
)
def test_a_password_is_the_same_from_every_keyboard(password: str, same: str) -> None:
    assert normalized_password(password) == normalized_password(same)
