"""Every use of every endpoint, by every kind of caller, about a thing of every owner."""

import importlib.util
from collections.abc import AsyncGenerator

import psycopg
import pytest

import lib.users.accounts
from tests.support.access.callers import ANONYMOUS, MECHANISMS, SIGNER, callers_of
from tests.support.access.uses import (
    CREDENTIALS,
    UNAUTHENTICATED,
    USES,
    Outcome,
    Use,
    everybodys,
    switched_off,
)
from tests.support.access.world import PASSWORD_HASH, THINGS, Seen, World
from tests.support.identity_provider import AUDIENCE, ISSUER, IdentityProvider, accepting
from tests.support.model_server import ScriptedModel
from tests.support.product import ROOT, Parley
from tests.support.serving import Switchboard, serve

each_use = pytest.mark.parametrize("use", USES, ids=lambda use: use.name)
each_mechanism = pytest.mark.parametrize("mechanism", MECHANISMS)


@pytest.fixture(scope="module")
async def provider() -> AsyncGenerator[IdentityProvider]:
    """Return an identity provider that publishes one key."""
    switchboard = Switchboard()
    async with serve(switchboard) as base_url:
        switchboard.app = provider = IdentityProvider(base_url)
        provider.keys = [SIGNER.jwk()]
        yield provider


@pytest.fixture
def environment(
    environment: dict[str, str], provider: IdentityProvider, mechanism: str
) -> dict[str, str]:
    """Return the environment of a product with this mechanism."""
    if mechanism == "published keys":
        del environment["JWT_SECRET"]
        environment |= accepting(provider.base_url)
    quota = {"MESSAGES_PER_MINUTE": "100", "MESSAGES_PER_DAY": "100"}
    return environment | quota | {"JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}


@pytest.fixture
def world(parley: Parley, database: psycopg.Connection, model: ScriptedModel) -> World:
    """Return a product whose data are still to be stored."""
    return World(parley, database, model)


def differences(seen: Seen, expected: Outcome) -> str | None:
    """Return how the outcome differs from the expected one; None: it does not."""
    actual = Outcome(seen.status, seen.code, frozenset(seen.marks), seen.changes)
    if actual == expected:
        return None
    return f"was {actual}, should be {expected}: {seen.body[:300]}"


@each_mechanism
@each_use
async def test_each_caller_reaches_their_own_data_and_no_others(
    world: World, mechanism: str, use: Use
) -> None:
    callers = callers_of(MECHANISMS[mechanism])
    ann = callers[0]
    await world.build(ann)
    wrong: list[str] = []
    for caller in callers:
        refusals: dict[Outcome, tuple[object, ...]] = {}
        for thing in use.things:
            expected = use.outcome(caller, thing)
            seen = await world.ask(caller, use.method, use.path, use.body, thing)
            subject = f"{caller.kind}, {thing.name}:"
            if difference := differences(seen, expected):
                wrong.append(f"{subject} {difference}")
            # Only the thing and the caller's own data may change.
            if harmed := seen.harmed - ({thing.owner, caller.owner} if expected.changes else set()):
                wrong.append(f"{subject} changed data of {harmed}")
            # A refusal must not reveal whether the thing is missing, deleted or another caller's.
            alike = refusals.setdefault(expected, seen.masked)
            if (expected.status >= 400 or expected.status == 204) and seen.masked != alike:
                wrong.append(f"{subject} {seen.masked} differs from {alike}")
            if seen.changes:
                await world.build(ann)

    assert wrong == []


@pytest.mark.environment(AUTH_REQUIRED="true")
@each_mechanism
async def test_with_auth_required_an_anonymous_caller_is_refused(
    world: World, mechanism: str
) -> None:
    await world.build(callers_of(MECHANISMS[mechanism])[0])
    wrong: list[str] = []
    for use in USES:
        open_to_all = use.rule in {everybodys, switched_off}
        for thing in use.things:
            expected = use.outcome(ANONYMOUS, thing) if open_to_all else UNAUTHENTICATED
            seen = await world.ask(ANONYMOUS, use.method, use.path, use.body, thing)
            if difference := differences(seen, expected):
                wrong.append(f"{use.name}, {thing.name}: {difference}")

    assert wrong == []


@pytest.mark.environment(LOCAL_ACCOUNTS="true")
@pytest.mark.parametrize("mechanism", ["secret"])
@pytest.mark.parametrize(
    ("action", "expected"),
    [("login", (401, "wrong_credentials")), ("register", (202, None))],
)
async def test_logging_in_and_registering_answer_every_caller_alike_about_another_account(
    world: World,
    mechanism: str,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    expected: tuple[int, str | None],
) -> None:
    # With the real rounds each request would take a fifth of a second.
    monkeypatch.setattr(lib.users.accounts, "BCRYPT_ROUNDS", 4)
    monkeypatch.setattr(lib.users.accounts, "NOBODYS_HASH", PASSWORD_HASH)
    callers = callers_of(MECHANISMS[mechanism])
    body = {"action": action} | CREDENTIALS
    # Registering an address without an account would succeed.
    things = THINGS if action == "login" else THINGS[:3]
    responses: set[object] = set()
    for caller in callers:
        # Forgets the attempts that are counted.
        await world.build(callers[0])
        for thing in things:
            seen = await world.ask(caller, "POST", "/api/auth", body, thing)
            assert (seen.status, seen.code, seen.marks, seen.harmed) == (*expected, set(), set())
            responses.add(str(seen.masked))

    assert len(responses) == 1


def test_each_method_of_each_function_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://parley@127.0.0.1/parley")
    offered: set[tuple[str, str]] = set()
    for path in sorted((ROOT / "api").rglob("*.py")):
        spec = importlib.util.spec_from_file_location("function", path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        url = "/" + str(path.relative_to(ROOT).with_suffix("")).replace("[", "{").replace("]", "}")
        offered |= {(method, url) for method in module.app._handlers}

    paths = [use.path.partition("?")[0].replace("{left}", "{id}") for use in USES]
    assert offered == {(use.method, path) for use, path in zip(USES, paths, strict=True)}
