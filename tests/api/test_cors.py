"""The pages of other origins that may read responses (Fetch Standard, "CORS protocol")."""

import pytest

from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import Parley, headers_of, parts_of, problem_of, sdk_body

# ALLOWED_ORIGIN is https://example.app,https://*.preview.example.app
PATTERNS = "https://myapp-*-team.vercel.app,http://localhost:*,capacitor://localhost"
ALLOWED = [
    "https://example.app",
    "https://a.preview.example.app",
    "https://git-branch-42.preview.example.app",
]
REFUSED = [
    "https://evil.com",
    "http://example.app",
    "https://example.app:8443",
    "https://example.app.evil.com",
    "https://www.example.app",
    "https://evilexample.app",
    "https://exampleXapp",
    "https://preview.example.app",
    "https://.preview.example.app",
    "https://a.b.preview.example.app",
    "https://apreview.example.app",
    "https://evil.com/.preview.example.app",
    "https://evil.com?.preview.example.app",
    "https://evil.com#.preview.example.app",
    "https://user@a.preview.example.app",
    "https://evil-preview.example.app.evil.com",
    "https://a.preview.example.app.evil.com",
    "https://a.previewXexample.app",
    "http://a.preview.example.app",
    "https://*.preview.example.app",
    "null",
]


def preflight(origin: str, method: str = "POST", headers: str = "content-type") -> dict[str, str]:
    """Return the headers of a browser's preflight for a page of another origin."""
    return {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": headers,
    }


@pytest.mark.parametrize("origin", ALLOWED)
async def test_a_page_of_an_allowed_origin_may_send_requests_and_read_responses(
    parley: Parley, origin: str
) -> None:
    preflighted = await parley.client.options(
        "/api/chat",
        headers=preflight(origin, headers="authorization,content-type,x-conversation-key"),
    )
    answered = await parley.client.post(
        "/api/chat", json={"message": "Hello!"}, headers={"origin": origin}
    )

    for response in (preflighted, answered):
        assert response.is_success
        assert response.headers["access-control-allow-origin"] == origin
        assert "Origin" in response.headers["vary"]
    assert "POST" in preflighted.headers["access-control-allow-methods"]
    allowed = preflighted.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "x-conversation-key"} <= set(allowed)
    exposed = answered.headers["access-control-expose-headers"].lower().split(", ")
    assert "x-conversation-key" in exposed


@pytest.mark.parametrize("origin", REFUSED)
async def test_a_page_of_another_origin_may_read_no_response(parley: Parley, origin: str) -> None:
    preflighted = await parley.client.options("/api/health", headers=preflight(origin, "GET"))
    answered = await parley.get("/api/health")
    got = await parley.client.get("/api/health", headers={"origin": origin})

    assert not preflighted.is_success
    assert got.json() == answered.json()
    for response in (preflighted, got):
        assert "access-control-allow-origin" not in response.headers
        assert "Origin" in response.headers["vary"]


@pytest.mark.environment(ALLOWED_ORIGIN=None)
@pytest.mark.parametrize("origin", [ALLOWED[0], "http://localhost:3000", "null"])
async def test_a_deployment_without_allowed_origins_lets_no_page_in(
    parley: Parley, origin: str
) -> None:
    for response in (
        await parley.client.options("/api/chat", headers=preflight(origin)),
        await parley.client.get("/api/health", headers={"origin": origin}),
    ):
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.environment(ALLOWED_ORIGIN=" http://localhost:3000/ , http://*.localhost:3000")
async def test_an_allowed_origin_may_have_a_port(parley: Parley) -> None:
    for origin in ("http://localhost:3000", "http://a.localhost:3000"):
        got = await parley.client.get("/api/health", headers={"origin": origin})
        assert got.headers["access-control-allow-origin"] == origin
    got = await parley.client.get("/api/health", headers={"origin": "http://localhost:3001"})
    assert "access-control-allow-origin" not in got.headers


@pytest.mark.environment(ALLOWED_ORIGIN=PATTERNS)
async def test_a_pattern_lets_in_what_fits_within_one_label_and_nothing_else(
    parley: Parley,
) -> None:
    allowed = {
        "https://myapp-git-main-team.vercel.app": True,
        "https://myapp-a1b2c3-team.vercel.app": True,
        "https://myapp--team.vercel.app": False,
        "https://myapp-a.b-team.vercel.app": False,
        "https://myapp-a-team.vercel.app.evil.com": False,
        "https://evil-myapp-a-team.vercel.app": False,
        "https://myapp-a-team-evil.vercel.app": False,
        "https://myapp-a-team.vercel.app:8443": False,
        "http://myapp-a-team.vercel.app": False,
        "http://localhost": True,
        "http://localhost:5173": True,
        "http://localhost:": False,
        "http://localhost:1.evil.com": False,
        "https://localhost:5173": False,
        "capacitor://localhost": True,
        "ionic://localhost": False,
        "null": False,
    }
    seen = {
        origin: (await parley.client.get("/api/health", headers={"origin": origin})).headers.get(
            "access-control-allow-origin"
        )
        for origin in allowed
    }

    assert {origin: answer == origin for origin, answer in seen.items()} == allowed
    assert {answer for origin, answer in seen.items() if not allowed[origin]} == {None}


async def test_a_preflight_with_the_headers_of_tracing_tools_is_allowed_by_default(
    parley: Parley,
) -> None:
    asked = ["baggage", "sentry-trace", "traceparent", "tracestate", "x-request-id", "b3"]
    preflighted = await parley.client.options(
        "/api/chat", headers=preflight(ALLOWED[0], headers=",".join(asked))
    )

    assert preflighted.status_code == 204
    allowed = preflighted.headers["access-control-allow-headers"].lower().split(", ")
    assert {*asked} <= {*allowed}


@pytest.mark.parametrize(
    ("method", "headers"), [("DELETE", "content-type"), ("POST", "content-type, x-other")]
)
async def test_a_preflight_for_an_unsupported_method_or_header_is_answered_without_it(
    parley: Parley, method: str, headers: str
) -> None:
    """The browser compares the lists, and tells the author of the page which entry is missing."""
    preflighted = await parley.client.options(
        "/api/chat", headers=preflight(ALLOWED[0], method, headers)
    )

    assert preflighted.status_code == 204
    assert preflighted.headers["access-control-allow-origin"] == ALLOWED[0]
    assert "DELETE" not in preflighted.headers["access-control-allow-methods"]
    assert "x-other" not in preflighted.headers["access-control-allow-headers"]
    varied = preflighted.headers["vary"]
    assert {"Origin", "Access-Control-Request-Headers"} <= {*varied.split(", ")}


@pytest.mark.environment(ALLOWED_HEADERS="X-Tenant")
async def test_an_operator_may_allow_further_headers(parley: Parley) -> None:
    preflighted = await parley.client.options("/api/chat", headers=preflight(ALLOWED[0]))

    allowed = preflighted.headers["access-control-allow-headers"].split(", ")
    assert {"x-tenant", "authorization", "traceparent"} <= {*allowed}


async def test_cors_never_allows_cookies(parley: Parley) -> None:
    """The token comes in a header of the page's own, so no other page can send it."""
    preflighted = await parley.client.options("/api/chat", headers=preflight(ALLOWED[0]))

    assert "access-control-allow-credentials" not in preflighted.headers


async def test_an_allowed_page_may_read_problems(parley: Parley) -> None:
    origin = {"origin": ALLOWED[0]}
    for response, status, code in (
        (await parley.client.get("/api/chat", headers=origin), 405, "method_not_allowed"),
        (await parley.client.get("/api/conversations", headers=origin), 401, "unauthenticated"),
        (await parley.client.post("/api/chat", json={}, headers=origin), 422, "invalid_request"),
    ):
        problem_of(response, status, code)
        assert response.headers["access-control-allow-origin"] == ALLOWED[0]
        assert "Origin" in response.headers["vary"]


async def test_an_allowed_page_may_read_that_the_model_failed(
    parley: Parley, model: ScriptedModel
) -> None:
    model.default = Reply(status=500)

    response = await parley.client.post(
        "/api/chat", json=sdk_body("Hello!"), headers={"origin": ALLOWED[0]}
    )

    problem_of(response, 502, "model_failed")
    assert response.headers["access-control-allow-origin"] == ALLOWED[0]


async def test_an_allowed_page_may_read_a_stream_and_its_headers(parley: Parley) -> None:
    headers = headers_of("ann") | {"origin": ALLOWED[1]}

    response = await parley.client.post("/api/chat", json=sdk_body("Hello!"), headers=headers)

    assert parts_of(response)[-1]["type"] == "finish"
    assert response.headers["access-control-allow-origin"] == ALLOWED[1]
    assert "Origin" in response.headers["vary"]
    exposed = response.headers["access-control-expose-headers"].split(", ")
    assert {"x-conversation-id", "retry-after", "server-timing"} <= set(exposed)
    assert response.headers["x-conversation-id"]


async def test_a_response_without_an_origin_varies_by_origin_too(parley: Parley) -> None:
    response = await parley.get("/api/health")

    assert response.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in response.headers
