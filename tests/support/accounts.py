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
    """Register an account, and return the answer to its first log-in."""
    response = await authenticate(parley, "register", email, **given)
    assert (response.status_code, response.json()) == (202, {"status": "registered"})
    return await logged_in(parley, email, **given)


async def logged_in(parley: Parley, email: str = EMAIL, **given: Any) -> dict[str, Any]:
    """Log in to an account, and return the answer."""
    response = await authenticate(parley, "login", email, **given)
    assert response.status_code == 200, response.text
    return response.json()


async def post(parley: Parley, token: str | None, action: str, **body: object) -> httpx2.Response:
    """Do something else with an account."""
    headers = {"x-forwarded-for": "203.0.113.7"} | (bearer(token) if token else {})
    return await parley.client.post(PATH, json={"action": action} | body, headers=headers)


async def leave(parley: Parley, token: str, **body: object) -> httpx2.Response:
    """Delete an account; with a body, if there is one."""
    headers = {"x-forwarded-for": "203.0.113.7"} | bearer(token)
    content = body or None
    return await parley.client.request("DELETE", PATH, json=content, headers=headers)


async def status_with(parley: Parley, token: str) -> int:
    """Return the status of a request with a token."""
    response = await parley.client.get("/api/conversations", headers=bearer(token))
    return response.status_code


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"authorization": f"Bearer {token}"}


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Return all that was logged, by whomever, tracebacks among it."""
    form = logging.Formatter()
    return "\n".join(form.format(record) for record in caplog.records)
