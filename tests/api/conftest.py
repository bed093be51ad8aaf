"""Fixtures of the endpoints."""

import pytest

from lib.users import accounts


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the passwords that bcrypt hashes or compares, in order, without its work."""
    done: list[str] = []

    def hash_(password: str) -> str:
        done.append(password)
        return f"hash of {password}"

    def is_password(password: str, stored: str | None) -> bool:
        done.append(password)
        return stored == f"hash of {password}"

    monkeypatch.setattr(accounts, "_hash", hash_)
    monkeypatch.setattr(accounts, "_is_password", is_password)
    return done
