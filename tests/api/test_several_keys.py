"""Several keys at once: a change of secrets, of a secret for published keys, and of providers."""

from collections.abc import AsyncGenerator

import jwt
import pytest

from tests.api.test_callers import HS256, claims, forged, signed
from tests.support.identity_provider import AUDIENCE, ISSUER, PATH, IdentityProvider, signer
from tests.support.product import JWT_SECRET, Parley, problem_of, running_product, token_of
from tests.support.serving import Switchboard, serve

NEW_SECRET, STRANGE_SECRET = "n" * 32, "a secret of nobody here, of 32 bytes"
OTHER_ISSUER = "https://other.example"
ED, OTHER = signer("EdDSA"), signer("ES256", "other")
# The same id as another issuer's key.
TWIN = signer("EdDSA", ED.key_id)


@pytest.fixture(scope="module")
async def providers() -> AsyncGenerator[list[IdentityProvider]]:
    """Return two providers, which publish a key each."""
    first, second = Switchboard(), Switchboard()
    async with serve(first) as one, serve(second) as two:
        made = [IdentityProvider(one), IdentityProvider(two)]
        first.app, second.app = made
        made[0].keys, made[1].keys = [ED.jwk()], [OTHER.jwk(), TWIN.jwk()]
        yield made


async def seen(parley: Parley, tokens: dict[str, str]) -> dict[str, str]:
    """Return, for each token, `ok` or the words of its 401."""
    found: dict[str, str] = {}
    for name, token in tokens.items():
        response = await parley.client.get(
            "/api/conversations", headers={"authorization": f"Bearer {token}"}
        )
        is_refused = response.status_code != 200
        found[name] = problem_of(response, 401, "unauthenticated")["detail"] if is_refused else "ok"
    return found


@pytest.mark.environment(JWT_SECRET=f'["{NEW_SECRET}", "{JWT_SECRET}"]', LOCAL_ACCOUNTS="true")
async def test_the_tokens_of_an_old_secret_stay_valid_beside_a_new_one_which_signs(
    parley: Parley,
) -> None:
    tokens = {
        "old": token_of("ann"),
        "new": forged(HS256, claims(), NEW_SECRET),
        "strange": forged(HS256, claims(), STRANGE_SECRET),
        "old, expired": signed(exp=1),
    }
    found = await seen(parley, tokens)

    assert (found["old"], found["new"]) == ("ok", "ok")
    assert "signature" in found["strange"]
    assert "has expired" in found["old, expired"]
    account = {"email": "ada@example.com", "password": "a password of Ada's"}
    await parley.client.post("/api/auth", json={"action": "register"} | account)
    made = await parley.client.post("/api/auth", json={"action": "login"} | account)
    jwt.decode(made.json()["token"], NEW_SECRET, algorithms=["HS256"])


async def test_a_secret_beside_published_keys_keeps_the_tokens_of_yesterday(
    environment: dict[str, str],
    providers: list[IdentityProvider],
    switchboard: Switchboard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment |= {
        "JWT_JWKS_URL": providers[0].base_url + PATH,
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
    }
    public = ED.jwk()["x"]
    tokens = {
        "of yesterday": token_of("ann"),
        "of yesterday, with an issuer": signed(iss=ISSUER, aud=AUDIENCE),
        "published": ED.token(),
        "of yesterday, of another issuer": signed(iss=OTHER_ISSUER),
        "of yesterday, for another audience": signed(aud="other"),
        "published, no issuer": ED.token(iss=None),
        "published, no audience": ED.token(aud=None),
        "HS256 with the public key": forged(HS256 | {"kid": ED.key_id}, claims(iss=ISSUER), public),
        "HS256 with the secret, said to be EdDSA": forged(
            {"alg": "EdDSA", "kid": ED.key_id}, claims(iss=ISSUER)
        ),
        "alg none": forged({"alg": "none"}, claims()).rpartition(".")[0] + ".",
    }
    async with running_product(switchboard, monkeypatch, environment) as parley:
        found = await seen(parley, tokens)

    accepted = [name for name, words in found.items() if words == "ok"]
    assert accepted == ["of yesterday", "of yesterday, with an issuer", "published"]
    for name in ("HS256 with the public key", "HS256 with the secret, said to be EdDSA"):
        assert "signature is not right" in found[name]
    assert "accepts HS256, EdDSA, ES256, RS256." in found["alg none"]


async def test_of_several_providers_each_signs_for_its_own_issuer_alone(
    environment: dict[str, str],
    providers: list[IdentityProvider],
    switchboard: Switchboard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    del environment["JWT_SECRET"]
    environment |= {
        "JWT_JWKS_URL": ",".join(each.base_url + PATH for each in providers),
        "JWT_ISSUER": f"{ISSUER},{OTHER_ISSUER}",
        "JWT_AUDIENCE": AUDIENCE,
    }
    tokens = {
        "first": ED.token(),
        "second": OTHER.token(iss=OTHER_ISSUER),
        "second, with the first's key id": TWIN.token(iss=OTHER_ISSUER),
        "first's key for the second": ED.token(iss=OTHER_ISSUER),
        "second's key for the first": OTHER.token(),
        "a third": ED.token(iss="https://third.example"),
    }
    async with running_product(switchboard, monkeypatch, environment) as parley:
        found = await seen(parley, tokens)

    assert [name for name, words in found.items() if words == "ok"] == [*tokens][:3]
    assert "signature is not right" in found["first's key for the second"]
    assert "is not among the keys" in found["second's key for the first"]
    assert f'"{ISSUER}" or "{OTHER_ISSUER}"' in found["a third"]
