"""The router of `make dev`: the headers of vercel.json, and the files of public/."""

import pytest

from tests.support.product import Parley


@pytest.mark.parametrize("path", ["/api/chat/a%0Ab/stream", "/api/%0A", "/%0A", "/a%0D%0Ab"])
async def test_a_path_with_a_line_break_gets_the_headers_of_vercel_json(
    parley: Parley, path: str
) -> None:
    response = await parley.client.get(path)

    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"


async def test_the_description_is_served_at_openapi_json(parley: Parley) -> None:
    response = await parley.client.get("/openapi.json")

    assert response.headers["content-type"] == "application/json"
    assert response.json()["openapi"] == "3.1.0"
