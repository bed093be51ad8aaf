"""Refused tokens: the 401 and the log say which part of the token does not fit, and no secret."""

import logging
import time

import pytest

import lib.runtime.log
from tests.api.test_callers import HS256, forged, signed
from tests.support.logs import events_of
from tests.support.product import JWT_SECRET, Parley, headers_of, problem_of

ISSUER, AUDIENCE = "https://issuer.example", "parley"
NOW = int(time.time())
OTHER_SECRET = "another secret of at least 32 bytes"
# By a word for the cause: the token, and words of its 401.
CASES = {
    "malformed": ("nonsense", "is not a JWT"),
    "header": (forged(HS256 | {"crit": ["x"], "x": 1}, {}), "crit must be absent"),
    "algorithm": (
        forged({"alg": "RS256"}, {}),
        'has alg "RS256", but this deployment accepts HS256.',
    ),
    "signature": (
        forged(HS256, {"sub": "ann", "exp": NOW + 60}, OTHER_SECRET),
        "signature is not right",
    ),
    "expired": (
        signed(exp=1_600_000_000),
        "has expired, at 2020-09-13 12:26:40 UTC. Sign in again.",
    ),
    "not_yet_valid": (signed(nbf=4_000_000_000), "not valid before 2096-10-02 07:06:40 UTC"),
    "no_end": (signed(exp=None), "no end (exp)"),
    "times": (signed(exp="soon"), "must be numbers: seconds of Unix time"),
    "issuer": (
        signed(iss=f"{ISSUER}/", aud=AUDIENCE),
        f'is "{ISSUER}/", but it must be "{ISSUER}". Only the slash at the end differs',
    ),
    "audience": (
        signed(iss=ISSUER, aud=["other"]),
        'audience (aud) is ["other"], but it must be "parley" or "https://api.example".',
    ),
    "subject": (signed(iss=ISSUER, aud=AUDIENCE, sub=None), "no subject (sub)"),
}


@pytest.mark.environment(JWT_ISSUER=ISSUER, JWT_AUDIENCE=f"{AUDIENCE}, https://api.example")
async def test_a_refusal_names_the_part_of_the_token_that_does_not_fit_once_a_minute_in_the_log(
    parley: Parley, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "parley")
    lib.runtime.log._seldom.clear()
    for token, words in CASES.values():
        for _ in range(3):
            response = await parley.client.get(
                "/api/conversations", headers={"authorization": f"Bearer {token}"}
            )
            assert words in problem_of(response, 401, "unauthenticated")["detail"]

    logged = {event["cause"]: event["detail"] for event in events_of(caplog, "token_refused")}
    assert len(events_of(caplog, "token_refused")) == len(CASES)
    assert {cause: words in logged[cause] for cause, (_, words) in CASES.items()} == dict.fromkeys(
        CASES, True
    )
    assert JWT_SECRET not in caplog.text
    assert not any(
        token.rpartition(".")[2] in caplog.text for token, _ in CASES.values() if "." in token
    )


async def test_a_line_about_refused_tokens_counts_those_since_the_line_before(
    parley: Parley, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "parley")
    lib.runtime.log._seldom.clear()
    expired = {"authorization": f"Bearer {signed(exp=NOW - 60)}"}
    for _ in range(4):
        await parley.client.get("/api/conversations", headers=expired)
    monkeypatch.setattr(lib.runtime.log, "SELDOM_SECONDS", 0)
    await parley.client.get("/api/conversations", headers=expired)

    assert [event["more"] for event in events_of(caplog, "token_refused")] == [0, 3]


@pytest.mark.environment(JWT_ISSUER=ISSUER)
async def test_a_text_of_a_token_is_repeated_in_part_and_never_as_more_than_a_text(
    parley: Parley,
) -> None:
    token = signed(iss="x" * 5000 + '"\n')

    response = await parley.client.get(
        "/api/conversations", headers={"authorization": f"Bearer {token}"}
    )

    assert len(problem_of(response, 401, "unauthenticated")["detail"]) < 400


async def test_a_whole_number_as_subject_is_the_user_of_its_decimal_text(parley: Parley) -> None:
    await parley.say("Hello!", user="5")

    listed = await parley.client.get(
        "/api/conversations", headers={"authorization": f"Bearer {signed(sub=5)}"}
    )

    assert (
        listed.json()
        == (await parley.client.get("/api/conversations", headers=headers_of("5"))).json()
    )
    assert len(listed.json()["conversations"]) == 1
