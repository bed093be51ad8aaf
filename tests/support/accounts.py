"""Local accounts as tests use them."""

import logging
from typing import Any

import httpx2
import pytest

from tests.support.product import Parley

PATH = "/api/auth"
PASSWORD = "correct horse battery staple"
EMAIL = "ada@example.com"
LOCAL = pytest.mark.environment(LOCAL_ACCOUNTS="true")


async def authenticate(
    parley: Parley,
    action: str,
    email: str = EMAIL,
    password: str = PASSWORD,
    *,
    client: str = "203.0.113.7",
    **body: object,
) -> httpx2.Response:
    """Register or log in, from a client's address."""
    content = {"action": action, "email": email, "password": password} | body
    return await parley.client.post(PATH, json=content, headers={"x-forwarded-for": client})


async def registered(parley: Parley, email: str = EMAIL, **given: Any) -> dict[str, Any]:
    """Register an account that can be made, and return the answer."""
    response = await authenticate(parley, "register", email, **given)
    assert response.status_code == 201, response.text
    return response.json()


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"authorization": f"Bearer {token}"}


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Return all that was logged, by whomever, tracebacks among it."""
    form = logging.Formatter()
    return "\n".join(form.format(record) for record in caplog.records)
