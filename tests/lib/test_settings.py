"""Settings: read once, checked as a whole, and documented."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from lib.settings import OWN_FIELDS, Settings, SettingsError, read_settings
from tests.support.product import ROOT

LEAST = {"DATABASE_URL": "postgresql://parley@host/parley?sslmode=require"}
PROVIDER = {
    "JWT_JWKS_URL": "https://a.app/jwks",
    "JWT_ISSUER": "https://a.app",
    "JWT_AUDIENCE": "parley",
}
VARIABLES = sorted(each.name.upper() for each in fields(Settings))
SSLMODE = "sslmode is weaker than require: add ?sslmode=require"
PERSONAS = 'must be a JSON object of names and instructions like {"Guide": '
BODY = 'must be a JSON object like {"top_p": 0.9}'
JWKS_URL = "must be a URL like https://example.app/api/auth/jwks"
ACCEPTED: list[tuple[str, str, object]] = [
    ("DATABASE_URL", "postgres://user:password@host-pooler/db?sslmode=require", None),
    (
        "DATABASE_URL",
        "postgresql://host-pooler/db?sslmode=verify-full&channel_binding=require",
        None,
    ),
    ("DATABASE_URL", "postgresql://host/db?ssl=true", None),
    ("DATABASE_URL", "postgresql://parley@localhost/db", None),
    ("DATABASE_URL", "postgresql://parley@LOCALHOST:5433/db?sslmode=disable", None),
    ("DATABASE_URL", "postgresql://parley@127.0.0.2/db", None),
    ("DATABASE_URL", "postgresql://parley@[::1]:5432/db", None),
    ("DATABASE_URL", "postgresql://parley@127.0.0.1:5432,localhost:5433/db", None),
    ("DATABASE_URL", "postgresql://parley@/db?host=/var/run/postgresql", None),
    ("DATABASE_URL", "postgresql://parley@%2Fvar%2Frun%2Fpostgresql/db", None),
    ("DATABASE_URL", "postgresql:///db", None),
    ("DATABASE_URL", "postgresql://db.example/db?hostaddr=127.0.0.1", None),
    ("DATABASE_URL_UNPOOLED", "postgresql://host/db?sslmode=verify-ca", None),
    ("PARLEY_SCHEMA", "parley_2", "parley_2"),
    ("DB_POOL_MAX", "1", 1),
    ("DB_POOL_MAX", "1000", 1000),
    ("DB_POOL_TIMEOUT", "1.5", 1.5),
    ("DB_POOL_MAX_LIFETIME", "86400", 86_400.0),
    ("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1"),
    ("OPENAI_API", "Responses", "responses"),
    ("OPENAI_BASE_URL", "http://localhost:11434/v1", "http://localhost:11434/v1"),
    ("OPENAI_BASE_URL", "http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ("OPENAI_BASE_URL", "https://10.0.0.5/v1", "https://10.0.0.5/v1"),
    ("OPENAI_BASE_URL", "https://a.test/v1/?v=1", "https://a.test/v1?v=1"),
    ("OPENAI_BASE_URL", "https://a.test/v1?v=1/", "https://a.test/v1?v=1/"),
    ("OPENAI_BASE_URL", "https://a.test/v1/?", "https://a.test/v1"),
    ("OPENAI_BASE_URL", "https://user:secret@a.test/v1/", "https://user:secret@a.test/v1"),
    ("OPENAI_REASONING_EFFORT", "none", "none"),
    ("OPENAI_REASONING_EFFORT", "xhigh", "xhigh"),
    ("OPENAI_TEMPERATURE", "0", 0.0),
    ("OPENAI_TEMPERATURE", "2", 2.0),
    ("OPENAI_MAX_TOKENS", "1", 1),
    ("OPENAI_MAX_TOKENS", "1000000", 1_000_000),
    ("OPENAI_EXTRA_BODY", '{"top_p": 0.9, "x": {"y": null}}', {"top_p": 0.9, "x": {"y": None}}),
    ("OPENAI_EXTRA_BODY", "{}", {}),
    ("OPENAI_FILES", "PDF, images", ("pdf", "images")),
    ("OPENAI_FILES", "images", ("images",)),
    ("OPENAI_FILES", "none", ()),
    ("TOOLS", "auto", "auto"),
    ("TOOLS", "OFF", "off"),
    ("SYSTEM_PROMPT", "", ""),
    ("SYSTEM_PROMPT", " ", ""),
    ("PERSONAS", "{}", {}),
    ("PERSONAS", '{"Né-mo 2": "You\\nsail."}', {"Né-mo 2": "You\nsail."}),
    ("JWT_SECRET", "s" * 32, ("s" * 32,)),
    ("JWT_SECRET", "ü" * 16, ("ü" * 16,)),
    # Not split: secrets of before may have commas and spaces in them.
    (
        "JWT_SECRET",
        "a secret, and a long one of one piece",
        ("a secret, and a long one of one piece",),
    ),
    ("JWT_SECRET", f'["{"n" * 32}", "{"o" * 32}"]', ("n" * 32, "o" * 32)),
    ("JWT_SECRET", "[no list, but a secret of 32 bytes]", ("[no list, but a secret of 32 bytes]",)),
    ("JWT_JWKS_URL", "https://a.app/api/auth/jwks", ("https://a.app/api/auth/jwks",)),
    ("JWT_JWKS_URL", "HTTPS://a.app:8443/jwks?v=1", ("HTTPS://a.app:8443/jwks?v=1",)),
    ("JWT_JWKS_URL", "http://localhost:3000/jwks", ("http://localhost:3000/jwks",)),
    ("JWT_JWKS_URL", "http://127.9.9.9/jwks", ("http://127.9.9.9/jwks",)),
    ("JWT_JWKS_URL", "http://[::1]:3000/jwks", ("http://[::1]:3000/jwks",)),
    ("JWT_ISSUER", "https://a.app, https://b.app/", ("https://a.app", "https://b.app/")),
    ("JWT_AUDIENCE", '["one, with a comma", "two"]', ("one, with a comma", "two")),
    ("CRON_SECRET", "s" * 16, "s" * 16),
    ("AUTH_REQUIRED", "TRUE", True),
    ("AUTH_REQUIRED", "0", False),
    ("LOCAL_ACCOUNTS", "no", False),
    ("ALLOW_INSECURE_NETWORK", "true", True),
    ("DEBUG", "on", True),
    ("ALLOWED_ORIGIN", "https://a.app/, http://localhost:3000", None),
    ("ALLOWED_ORIGIN", "https://*.example.app", ("https://*.example.app",)),
    ("ALLOWED_ORIGIN", "HTTPS://A.App:443,http://b.app:80", ("https://a.app", "http://b.app")),
    *(
        ("ALLOWED_ORIGIN", origin, (origin,))
        for origin in (
            "https://myapp-*-team.vercel.app",
            "https://*-myapp.*.example.co.uk",
            "https://*.myapp.pages.dev",
            "http://*.localhost:3000",
            "http://localhost:*",
            "http://[::1]:3000",
            "capacitor://localhost",
            "tauri://localhost",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        )
    ),
    ("ALLOWED_HEADERS", "X-Tenant, x-flags,", ("x-tenant", "x-flags")),
    ("OPENAI_WEB_SEARCH", "ON", "on"),
    ("MAX_MESSAGE_CHARS", "1000", 1000),
    ("MAX_MESSAGE_CHARS", "100000", 100_000),
    ("MAX_FILE_BYTES", "0", 0),
    ("MAX_FILE_BYTES", "14000000", 14_000_000),
    ("MAX_USER_BYTES", "0", 0),
    ("MAX_PROMPT_IMAGES", "0", 0),
    ("MAX_PROMPT_IMAGES", "100", 100),
    ("ANONYMOUS_FILES", "true", True),
    ("IMAGE_HOSTS", "a.app, *.b.example.app,", ("a.app", "*.b.example.app")),
    ("HISTORY_MESSAGES", "1", 1),
    ("MAX_CONVERSATION_MESSAGES", "2", 2),
    ("MESSAGES_PER_MINUTE", "0", 0),
    ("MESSAGES_PER_MINUTE", "1000000", 1_000_000),
    ("MESSAGES_PER_DAY", "0", 0),
    ("MESSAGES_PER_DAY", "1", 1),
    ("ANONYMOUS_PER_DAY", "0", 0),
    ("ANONYMOUS_PER_DAY", "1000000000", 1_000_000_000),
    ("TOKENS_PER_DAY", "0", 0),
    ("TOKENS_PER_DAY", "1000000000000", 1_000_000_000_000),
    ("BYTES_PER_DAY", "0", 0),
    ("BYTES_PER_DAY", "1", 1),
    ("RETENTION_DAYS", "0", 0),
    ("MAX_DURATION_SECONDS", "3600", 3600.0),
    ("MODEL_SILENCE_SECONDS", "1", 1.0),
    ("SLOW_QUERY_MS", "0", 0),
]
REFUSED = [
    *(
        ("PARLEY_SCHEMA", name, "must be 1 to 63 small letters, digits and _")
        for name in ("Parley", "a,b", '"$user"', "pg_temp", "information_schema", "1st", "x" * 64)
    ),
    ("DATABASE_URL", "mysql://host/db", "must be a URL like postgresql://"),
    ("DATABASE_URL", "postgresql://ann:a%b@localhost/db", "% @ : / of a password are written"),
    ("DATABASE_URL", "postgresql://localhost/db?sslmod=require", "must be a URL like"),
    ("DATABASE_URL", "postgresql://host/db", SSLMODE),
    ("DATABASE_URL", "postgresql://host/db?application_name=sslmode%3Drequire", SSLMODE),
    ("DATABASE_URL", "postgresql://host/db?sslmode=disable", SSLMODE),
    ("DATABASE_URL", "postgresql://host/db?sslmode=allow", SSLMODE),
    ("DATABASE_URL", "postgresql://host/db?sslmode=prefer", SSLMODE),
    ("DATABASE_URL", "postgresql://host/db?sslmode=REQUIRE", 'invalid sslmode value: "REQUIRE"'),
    ("DATABASE_URL", "postgresql://10.0.0.5/db", SSLMODE),
    ("DATABASE_URL", "postgresql://host.docker.internal/db", SSLMODE),
    ("DATABASE_URL", "postgresql://localhost.evil.com/db", SSLMODE),
    ("DATABASE_URL", "postgresql://localhost/db?host=db.example", SSLMODE),
    ("DATABASE_URL", "postgresql://localhost/db?hostaddr=10.0.0.5", SSLMODE),
    ("DATABASE_URL", "postgresql://localhost,db.example/db", SSLMODE),
    ("DATABASE_URL_UNPOOLED", "postgresql://host/db", SSLMODE),
    ("DATABASE_URL_UNPOOLED", "host=localhost", "must be a URL like postgresql://"),
    ("DB_POOL_MAX", "0", "must be a whole number from 1 to 1000"),
    ("DB_POOL_MAX", "1001", "must be a whole number from 1 to 1000"),
    ("DB_POOL_MAX", "2.5", "must be a whole number from 1 to 1000"),
    ("DB_POOL_TIMEOUT", "0.5", "must be a number from 1 to 600"),
    ("DB_POOL_TIMEOUT", "nan", "must be a number from 1 to 600"),
    ("DB_POOL_MAX_LIFETIME", "inf", "must be a number from 1 to 86400"),
    ("OPENAI_BASE_URL", "api.openai.com/v1", "must be a URL like https://"),
    ("OPENAI_BASE_URL", "https://", "must be a URL like https://"),
    ("OPENAI_BASE_URL", "http://api.example.com/v1", "use https://"),
    ("OPENAI_BASE_URL", "HTTP://api.example.com/v1", "use https://"),
    ("OPENAI_BASE_URL", "http://host.docker.internal:11434/v1", "ALLOW_INSECURE_NETWORK=true"),
    ("OPENAI_BASE_URL", "http://10.0.0.5/v1", "use https://"),
    ("OPENAI_BASE_URL", "http://0.0.0.0:8000/v1", "use https://"),
    ("OPENAI_BASE_URL", "http://localhost@evil.com/v1", "use https://"),
    ("OPENAI_BASE_URL", "http://localhost.evil.com/v1", "use https://"),
    ("OPENAI_API", "completions", "must be one of auto, chat, responses"),
    ("OPENAI_REASONING_EFFORT", "very high", "must be a word of the provider's"),
    ("OPENAI_REASONING_EFFORT", "5", "must be a word of the provider's"),
    ("OPENAI_TEMPERATURE", "2.1", "must be a number from 0 to 2"),
    ("OPENAI_TEMPERATURE", "-0.1", "must be a number from 0 to 2"),
    ("OPENAI_TEMPERATURE", "nan", "must be a number from 0 to 2"),
    ("OPENAI_MAX_TOKENS", "0", "must be a whole number from 1 to 1000000"),
    ("OPENAI_MAX_TOKENS", "1000001", "must be a whole number from 1 to 1000000"),
    ("OPENAI_EXTRA_BODY", "top_p=0.9", BODY),
    ("OPENAI_EXTRA_BODY", '["top_p"]', BODY),
    ("OPENAI_EXTRA_BODY", "null", BODY),
    ("OPENAI_EXTRA_BODY", '{"top_p": NaN}', BODY),
    ("OPENAI_EXTRA_BODY", '{"user": "\\ud800"}', BODY),
    ("OPENAI_EXTRA_BODY", "[" * 100_000, BODY),
    ("OPENAI_EXTRA_BODY", '{"model": "x", "tools": [], "top_p": 1}', "must not set model, tools:"),
    *(
        ("OPENAI_EXTRA_BODY", f'{{"{name}": 1}}', f"must not set {name}:")
        for name in sorted(OWN_FIELDS)
    ),
    ("PERSONAS", "Guide", PERSONAS),
    ("PERSONAS", '["Guide"]', PERSONAS),
    ("PERSONAS", "null", PERSONAS),
    ("PERSONAS", '{"Guide": " "}', PERSONAS),
    ("PERSONAS", '{"Guide": {"prompt": "You guide."}}', PERSONAS),
    ("PERSONAS", '{"Guide": "\\ud800"}', PERSONAS),
    ("PERSONAS", "[" * 100_000, PERSONAS),
    ("PERSONAS", '{"": "You guide."}', "must have names of 1 to 64 letters"),
    ("PERSONAS", '{"a\\nb": "You guide."}', "must have names of 1 to 64 letters"),
    ("ALLOW_INSECURE_NETWORK", "perhaps", "must be true or false"),
    ("TOOLS", "on", "must be one of auto, off"),
    ("JWT_SECRET", "s" * 31, "must have at least 32 bytes"),
    ("JWT_JWKS_URL", "a.app/jwks", JWKS_URL),
    ("JWT_JWKS_URL", "https://", JWKS_URL),
    ("JWT_JWKS_URL", "https:///jwks", JWKS_URL),
    ("JWT_JWKS_URL", "file:///etc/passwd", JWKS_URL),
    ("JWT_JWKS_URL", "http://a.app/jwks", JWKS_URL),
    ("JWT_JWKS_URL", "http://10.0.0.1/jwks", JWKS_URL),
    ("JWT_JWKS_URL", "http://128.0.0.1/jwks", JWKS_URL),
    ("JWT_JWKS_URL", "http://0.0.0.0/jwks", JWKS_URL),
    ("JWT_JWKS_URL", "http://localhost.evil.com/jwks", JWKS_URL),
    ("JWT_JWKS_URL", "http://127.0.0.1.evil.com/jwks", JWKS_URL),
    ("JWT_JWKS_URL", "http://localhost@evil.com/jwks", JWKS_URL),
    ("JWT_JWKS_URL", "https://ann:hunter2@a.app/jwks", JWKS_URL),
    ("JWT_JWKS_URL", "https://@a.app/jwks", JWKS_URL),
    ("JWT_JWKS_URL", "https://[a.app/jwks", JWKS_URL),
    ("JWT_JWKS_URL", "https://a.app:99999/jwks", JWKS_URL),
    ("JWT_JWKS_URL", "https://a.app/jw ks", JWKS_URL),
    ("JWT_JWKS_URL", "https://a.app/jw\nks", JWKS_URL),
    ("CRON_SECRET", "s" * 15, "must have at least 16 bytes"),
    ("AUTH_REQUIRED", "perhaps", "must be true or false"),
    ("LOCAL_ACCOUNTS", "perhaps", "must be true or false"),
    ("ALLOWED_ORIGIN", "*", "must be origins like https://example.app"),
    ("ALLOWED_ORIGIN", "https://a.app/path", "must be origins like https://example.app"),
    ("ALLOWED_ORIGIN", "https://a.app,ftp://b.app", "must not have 'ftp://b.app'"),
    ("ALLOWED_ORIGIN", "null", "must not have 'null'"),
    ("ALLOWED_ORIGIN", "https://a.app,file://", "not 'file:'"),
    ("ALLOWED_ORIGIN", "https://bücher.example", "with xn--"),
    ("ALLOWED_ORIGIN", "https://a.app:*", "has 'https://a.app:*': a port may be * on this machine"),
    ("ALLOWED_ORIGIN", "chrome-extension://*", "not 'chrome-extension://*'"),
    *(
        ("ALLOWED_ORIGIN", origin, f"has {origin!r}: a * may stand only before a name of your own")
        for origin in (
            "https://*.com",
            "https://*",
            "https://example.*",
            "https://my*app.com",
            "https://*.co.uk",
            "https://my-*.com.br",
        )
    ),
    *(
        ("ALLOWED_ORIGIN", origin, f"has {origin!r}: anybody can have a name under {shared}")
        for origin, shared in (
            ("https://*.vercel.app", "vercel.app"),
            ("https://my-*.vercel.app", "vercel.app"),
            ("https://*-*.netlify.app", "netlify.app"),
            ("https://*.s3.amazonaws.com", "amazonaws.com"),
            ("https://*.app.github.dev", "app.github.dev"),
        )
    ),
    ("ALLOWED_HEADERS", "*", "must have names of headers like x-request-id, not '*'"),
    ("ALLOWED_HEADERS", "x-a, x b", "not 'x b'"),
    ("CLIENT_ADDRESS_HEADER", "Forwarded", "must not be Forwarded"),
    ("CLIENT_ADDRESS_HEADER", "x client", "not 'x client'"),
    ("PROXY_SECRET", "s" * 15, "must have at least 16 bytes"),
    ("JWT_SECRET", "[]", "must have at least one secret"),
    ("JWT_SECRET", f'["{"s" * 32}", "short"]', "must have at least 32 bytes"),
    ("JWT_JWKS_URL", "https://a.app/jwks, a.app/jwks", JWKS_URL),
    ("MAX_FILE_BYTES", "14000001", "must be a whole number from 0 to 14000000"),
    ("MAX_USER_BYTES", "-1", "must be a whole number from 0 to 1000000000000"),
    ("MAX_PROMPT_IMAGES", "101", "must be a whole number from 0 to 100"),
    ("ANONYMOUS_FILES", "users", "must be true or false"),
    ("OPENAI_FILES", "images,video", "must be images, pdf"),
    ("OPENAI_FILES", "none,pdf", "must be images, pdf"),
    ("OPENAI_FILES", ",", "must be images, pdf"),
    ("IMAGE_HOSTS", "*", "must be hosts like images.example.app"),
    ("IMAGE_HOSTS", "*.app", "not '*.app'"),
    ("IMAGE_HOSTS", "a.app,https://b.app", "not 'https://b.app'"),
    ("IMAGE_HOSTS", "a.app/cats", "not 'a.app/cats'"),
    ("IMAGE_HOSTS", "A.app", "not 'A.app'"),
    ("IMAGE_HOSTS", "localhost", "not 'localhost'"),
    ("IMAGE_HOSTS", "10.0.0.5", "not '10.0.0.5'"),
    ("OPENAI_WEB_SEARCH", "true", "must be one of on, off"),
    ("MAX_MESSAGE_CHARS", "100001", "must be a whole number from 1 to 100000"),
    ("HISTORY_MESSAGES", "0", "must be a whole number from 1 to 1000"),
    ("MAX_CONVERSATION_MESSAGES", "1", "must be a whole number from 2 to 100000"),
    ("MESSAGES_PER_MINUTE", "-1", "must be a whole number from 0 to 1000000"),
    ("MESSAGES_PER_MINUTE", "1.5", "must be a whole number from 0 to 1000000"),
    ("MESSAGES_PER_DAY", "1000001", "must be a whole number from 0 to 1000000"),
    ("ANONYMOUS_PER_DAY", "-1", "must be a whole number from 0 to 1000000000"),
    ("TOKENS_PER_DAY", "1e6", "must be a whole number from 0 to 1000000000000"),
    ("BYTES_PER_DAY", "20 MB", "must be a whole number from 0 to 1000000000000"),
    ("MESSAGES_PER_DAY", "unlimited", "must be a whole number from 0 to 1000000"),
    ("RETENTION_DAYS", "-1", "must be a whole number from 0 to 36500"),
    ("MAX_DURATION_SECONDS", "4", "must be a number from 5 to 3600"),
    ("MODEL_SILENCE_SECONDS", "0", "must be a number from 1 to 3600"),
    ("SLOW_QUERY_MS", "soon", "must be a whole number from 0 to 600000"),
]


def test_one_error_names_each_variable_that_is_not_valid() -> None:
    mistakes = {"DB_POOL_MAX": "many", "JWT_SECRET": "short", "OPENAI_BASE_URL": "nowhere"}

    with pytest.raises(SettingsError) as told:
        read_settings(mistakes)

    named = re.findall(r"^  - (\w+) ", str(told.value), re.MULTILINE)
    assert named == ["DATABASE_URL", "DB_POOL_MAX", "OPENAI_BASE_URL", "JWT_SECRET"]


@pytest.mark.parametrize("environment", [{}, {"DATABASE_URL": ""}, {"DATABASE_URL": " \t"}])
def test_a_database_is_required(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL is not set"):
        read_settings(environment)


def test_every_setting_but_the_database_has_a_default() -> None:
    chosen = read_settings(LEAST)

    assert chosen == Settings(database_url=LEAST["DATABASE_URL"])
    assert (chosen.max_message_chars, chosen.history_messages) == (10_000, 100)
    assert (chosen.max_conversation_messages, chosen.retention_days) == (1000, 30)
    assert (chosen.messages_per_minute, chosen.messages_per_day) == (20, 500)
    assert (chosen.db_pool_max, chosen.db_pool_timeout, chosen.db_pool_max_lifetime) == (
        10, 30.0, 3600.0,
    )  # fmt: skip
    assert chosen.openai_api_key is None
    assert chosen.jwt_secret == ()
    assert chosen.cron_secret is None


@pytest.mark.parametrize("nothing", ["", "  "])
def test_a_variable_that_is_empty_counts_as_not_set(nothing: str) -> None:
    empty = dict.fromkeys(VARIABLES, nothing)
    # Empty, it means that there is no system prompt.
    del empty["SYSTEM_PROMPT"]

    assert read_settings(empty | LEAST) == read_settings(LEAST)


def test_without_a_system_prompt_of_the_operators_there_is_one() -> None:
    assert read_settings(LEAST).system_prompt == "You are a helpful assistant."


def test_white_space_around_a_value_is_not_part_of_it() -> None:
    assert read_settings(LEAST | {"OPENAI_MODEL": " gpt-4o \n"}).openai_model == "gpt-4o"


def test_variables_of_other_programs_are_ignored() -> None:
    assert read_settings(LEAST | {"PATH": "/bin", "VERCEL": "1"}) == read_settings(LEAST)


@pytest.mark.parametrize(("variable", "value", "read"), ACCEPTED)
def test_a_valid_variable_is_read(variable: str, value: str, read: object) -> None:
    others = PROVIDER if variable == "JWT_JWKS_URL" else {}
    chosen = read_settings(LEAST | others | {variable: value})

    assert read is None or getattr(chosen, variable.lower()) == read


@pytest.mark.parametrize(("variable", "value", "why"), REFUSED)
def test_an_invalid_variable_is_refused_with_a_hint(variable: str, value: str, why: str) -> None:
    with pytest.raises(SettingsError) as told:
        read_settings(LEAST | {variable: value})

    assert f"  - {variable} " in str(told.value)
    assert why in str(told.value)


@pytest.mark.parametrize(
    ("together", "named"),
    [
        (
            {"JWT_SECRET": "short", "JWT_JWKS_URL": "nowhere"},
            ["JWT_SECRET", "JWT_JWKS_URL", "JWT_ISSUER", "JWT_AUDIENCE"],
        ),
        (PROVIDER | {"JWT_JWKS_URL": "https://a.app/jwks,https://b.app/jwks"}, ["JWT_JWKS_URL"]),
        (
            PROVIDER
            | {
                "JWT_JWKS_URL": "https://a.app/jwks,https://b.app/jwks",
                "JWT_ISSUER": "https://a.app,https://b.app,https://c.app",
            },
            ["JWT_JWKS_URL"],
        ),
        ({"CLIENT_ADDRESS_HEADER": "cf-connecting-ip"}, ["PROXY_SECRET"]),
        ({"PROXY_SECRET": "s" * 16}, ["CLIENT_ADDRESS_HEADER"]),
        (PROVIDER | {"JWT_ISSUER": ""}, ["JWT_ISSUER"]),
        (PROVIDER | {"JWT_AUDIENCE": " "}, ["JWT_AUDIENCE"]),
        (
            {
                "DATABASE_URL": "postgresql://host/db",
                "OPENAI_BASE_URL": "http://model/v1",
                "JWT_JWKS_URL": "https://a.app/jwks",
            },
            ["JWT_ISSUER", "JWT_AUDIENCE", "DATABASE_URL", "OPENAI_BASE_URL"],
        ),
        ({"LOCAL_ACCOUNTS": "true"}, ["LOCAL_ACCOUNTS"]),
        ({"LOCAL_ACCOUNTS": "true", "JWT_SECRET": "short"}, ["JWT_SECRET"]),
        (
            {"LOCAL_ACCOUNTS": "true", "DB_POOL_MAX": "0"} | PROVIDER,
            ["DB_POOL_MAX", "LOCAL_ACCOUNTS"],
        ),
    ],
)
def test_settings_that_exclude_each_other_are_named_with_all_other_mistakes(
    together: dict[str, str], named: list[str]
) -> None:
    with pytest.raises(SettingsError) as told:
        read_settings(LEAST | together)

    assert re.findall(r"^  - (\w+) ", str(told.value), re.MULTILINE) == named


def test_tokens_of_a_provider_are_possible_with_an_issuer_and_an_audience() -> None:
    chosen = read_settings(LEAST | PROVIDER)

    assert (chosen.jwt_issuer, chosen.jwt_audience) == (("https://a.app",), ("parley",))


def test_a_secret_of_the_operators_own_needs_neither_issuer_nor_audience() -> None:
    assert read_settings(LEAST | {"JWT_SECRET": "s" * 32}).jwt_issuer == ()


def test_a_private_network_may_be_allowed_by_one_switch() -> None:
    private = {
        "DATABASE_URL": "postgresql://parley@db/parley",
        "OPENAI_BASE_URL": "http://host.docker.internal:11434/v1",
        "ALLOW_INSECURE_NETWORK": "true",
    }

    assert read_settings(private).openai_base_url == private["OPENAI_BASE_URL"]


def test_the_switch_does_not_open_the_way_to_forged_keys() -> None:
    insecure = {"JWT_JWKS_URL": "http://a.app/jwks", "ALLOW_INSECURE_NETWORK": "true"}

    with pytest.raises(SettingsError, match="JWT_JWKS_URL must be a URL like"):
        read_settings(LEAST | PROVIDER | insecure)


@pytest.mark.parametrize(
    ("variables", "is_refused"),
    [
        ({"PGSSLMODE": "require"}, False),
        ({"PGSSLMODE": "prefer"}, True),
        ({"PGSSLMODE": "require", "DATABASE_URL": "postgresql://host/db?sslmode=allow"}, True),
        ({"DATABASE_URL": "postgresql:///db", "PGHOST": "db.example"}, True),
        ({"DATABASE_URL": "postgresql:///db", "PGHOST": "/tmp"}, False),  # noqa: S108 (no file)
        ({"DATABASE_URL": "postgresql://localhost/db", "PGHOSTADDR": "10.0.0.5"}, True),
        ({"DATABASE_URL": "postgresql:///db?service=production"}, True),
        ({"DATABASE_URL": "postgresql:///db", "PGSERVICE": "production"}, True),
        (
            {"DATABASE_URL": "postgresql:///db?service=production", "PGSSLMODE": "require"},
            True,
        ),
        ({"DATABASE_URL": "postgresql:///db?service=production&sslmode=require"}, False),
    ],
)
def test_what_a_url_leaves_out_comes_from_the_variables_of_libpq(
    variables: dict[str, str],
    *,
    is_refused: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    services = tmp_path / "services"
    services.write_text("[production]\nhost=db.example\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    environment = {"DATABASE_URL": "postgresql://host/db"} | variables
    if not is_refused:
        read_settings(environment)
        return
    with pytest.raises(SettingsError, match="DATABASE_URL names another host"):
        read_settings(environment)


def test_local_accounts_are_possible_with_a_secret() -> None:
    chosen = read_settings(LEAST | {"LOCAL_ACCOUNTS": "true", "JWT_SECRET": "s" * 32})

    assert chosen.local_accounts is True


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "hunter2"),
        ("DATABASE_URL", "postgresql://ann:hunter2@host/db"),
        ("DATABASE_URL", "postgresql://ann:hunter2%zz@host/db"),
        ("OPENAI_BASE_URL", "http://ann:hunter2@host/v1"),
        ("JWT_SECRET", "hunter2"),
        ("JWT_JWKS_URL", "https://ann:hunter2@a.app/jwks"),
        ("JWT_JWKS_URL", "https://[ann:hunter2]/jwks"),
        ("CRON_SECRET", "hunter2"),
        ("PROXY_SECRET", "hunter2"),
        ("JWT_SECRET", '["hunter2", "hunter2"]'),
    ],
)
def test_a_refused_secret_is_not_in_the_error(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as told:
        read_settings(LEAST | {variable: value})

    assert "hunter2" not in str(told.value)


def test_several_origins_are_read_without_their_trailing_slashes() -> None:
    chosen = read_settings(LEAST | {"ALLOWED_ORIGIN": "https://a.app/, http://localhost:3000,"})

    assert chosen.allowed_origin == ("https://a.app", "http://localhost:3000")


def test_each_variable_is_in_the_example_environment() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")

    named = re.findall(r"^#? ?([A-Z_]+)=", example, re.MULTILINE)
    assert {*VARIABLES} - {*named} == set()


def test_each_variable_is_in_the_table_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    named = re.findall(r"^\| `([A-Z_]+)` ", readme, re.MULTILINE)
    assert {*VARIABLES} - {*named} == set()


def test_a_function_may_run_as_long_as_vercel_lets_it() -> None:
    vercel = json.loads((ROOT / "vercel.json").read_text())

    # Of several patterns that fit, the first counts.
    answering = next(pattern for pattern in vercel["functions"] if "chat" in pattern)
    duration = vercel["functions"][answering]["maxDuration"]
    assert duration == read_settings(LEAST).max_duration_seconds
