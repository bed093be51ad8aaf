"""Parley's settings: read from the environment once, and checked as a whole.

README.md (table of variables) and `.env.example` explain each of them.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from ipaddress import ip_address
from typing import Any, Literal, NoReturn, cast
from urllib.parse import urlsplit

from lib.models import Model, read_entries, read_models
from lib.origins import origins
from lib.postgres_url import read_postgres_url

# A name with a dot, in small letters; or `*.` and one: each subdomain.
IMAGE_HOST = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z][a-z0-9-]+")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# With a syntax of its own, which no single address has (RFC 7239).
FORWARDED = "forwarded"
# One that OpenAI does not announce to end, and does not refuse tools. It wants an effort with each
# request (lib/model/_shape.py).
DEFAULT_MODEL = "gpt-6-luna"
# Fields of a request that OPENAI_EXTRA_BODY must not set: Parley reads the answer by them, or keeps
# the conversation itself. `n` would mix several answers into one.
OWN_FIELDS = frozenset(
    {
        *("model", "messages", "input", "instructions", "stream", "response_format", "n"),
        *("tools", "tool_choice", "functions", "function_call"),
        *("store", "include", "background", "conversation", "previous_response_id"),
    }
)

# A name that means the same with and without quotes.
SCHEMA_NAME = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
# A persona's name is part of requests, of stored answers and of a problem's text.
PERSONA_NAME = re.compile(r"\w[\w .'-]{0,63}")
# The modes of libpq that never send the password or a row in the clear.
ENCRYPTED = {"require", "verify-ca", "verify-full"}


class SettingsError(Exception):
    """Variables are missing or not valid; the message names each of them and its remedy."""


def setting(
    read: Callable[[str], object], default: object = None, *, may_be_empty: bool = False
) -> Any:  # noqa: ANN401 (a field)
    """Declare a field of `Settings`.

    Args:
        read: the reader of its variable.
        default: the value where the variable is not set.
        may_be_empty: a variable that is set to nothing is a value, and not the default.
    """
    return field(default=default, metadata={"read": read, "may_be_empty": may_be_empty})


def text(value: str) -> str:
    """Read any text."""
    return value


def number(
    least: float, most: float, kind: type[int | float] = int
) -> Callable[[str], int | float]:
    """Make a reader of whole numbers (with `kind=float`, of any) from `least` to `most`."""

    def read(value: str) -> int | float:
        message = f"must be a {'whole ' if kind is int else ''}number from {least} to {most}"
        try:
            result = kind(value)
        except ValueError:
            raise ValueError(message) from None
        if not least <= result <= most:
            raise ValueError(message)
        return result

    return read


def choice(*choices: str) -> Callable[[str], str]:
    """Make a reader of one of several words."""

    def read(value: str) -> str:
        if value.lower() not in choices:
            message = f"must be one of {', '.join(choices)}"
            raise ValueError(message)
        return value.lower()

    return read


def boolean(value: str) -> bool:
    """Read a switch: true or false, 1 or 0, yes or no, on or off."""
    switches = {"true": True, "1": True, "yes": True, "on": True}
    switches |= {"false": False, "0": False, "no": False, "off": False}
    if value.lower() not in switches:
        message = "must be true or false"
        raise ValueError(message)
    return switches[value.lower()]


def postgres_url(value: str) -> str:
    """Read the URL of a Postgres database. It stays as it is; `read_postgres_url` tells its use."""
    read_postgres_url(value)
    return value


def schema(value: str) -> str:
    """Read the name of the schema that Parley lives in (`sql/steps/open.sql` reads it too)."""
    if not SCHEMA_NAME.fullmatch(value) or value == "information_schema":
        message = (
            "must be 1 to 63 small letters, digits and _, not first a digit or pg_, like parley"
        )
        raise ValueError(message)
    return value


def http_url(value: str) -> str:
    """Read the base URL of an HTTP server, without a slash at the end of its path.

    A query (`?api-version=...`) stays: it is sent with each request.
    """
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = "must be a URL like https://api.example.com/v1"
        raise ValueError(message)
    address, _, query = value.partition("?")
    return address.rstrip("/") + (f"?{query}" if query else "")


def effort(value: str) -> str:
    """Read how much a model thinks: a word, because each provider has its own."""
    if not re.fullmatch(r"[A-Za-z]{1,20}", value):
        message = "must be a word of the provider's, such as none, minimal, low, medium or high"
        raise ValueError(message)
    return value


def extra_body(value: str) -> dict[str, Any]:
    """Read fields to add to each request to the model: a JSON object."""
    message = 'must be a JSON object like {"top_p": 0.9}'
    try:
        # Python also reads NaN and infinite numbers, which are not JSON, and lone surrogates,
        # which cannot be sent.
        content: object = json.loads(value, parse_constant=_refuse_constant)
        json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ValueError(message) from None
    body = cast("dict[str, Any]", content) if isinstance(content, dict) else None
    if body is None:
        raise ValueError(message)
    if own := sorted(OWN_FIELDS & body.keys()):
        message = f"must not set {', '.join(own)}: Parley sets that itself"
        raise ValueError(message)
    return body


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError


def personas(value: str) -> dict[str, str]:
    """Read the personas that requests may choose: a JSON object of instructions by name."""
    message = 'must be a JSON object of names and instructions like {"Guide": "You guide hikers."}'
    try:
        # Lone surrogates can neither be sent nor stored.
        content: object = json.loads(value)
        json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ValueError(message) from None
    if not isinstance(content, dict):
        # Not a TypeError: the text of the variable is wrong.
        raise ValueError(message)  # noqa: TRY004
    named = cast("dict[str, object]", content)
    if not all(isinstance(each, str) and each.strip() for each in named.values()):
        raise ValueError(message)
    if not all(map(PERSONA_NAME.fullmatch, named)):
        message = (
            "must have names of 1 to 64 letters, digits, spaces and .'-_ that begin with a letter, "
            "a digit or _"
        )
        raise ValueError(message)
    return cast("dict[str, str]", named)


def jwks_url(value: str) -> str:
    """Read the URL of a key set. Its integrity matters: a forged key set makes any user."""
    message = (
        "must be a URL like https://example.app/api/auth/jwks, without a password in it; "
        "http is allowed for localhost only"
    )
    try:
        parts = urlsplit(value)
        is_safe = parts.scheme == "https" or (
            parts.scheme == "http" and _is_loopback(parts.hostname or "")
        )
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError(message) from None
    is_plain = value.isprintable() and " " not in value and "@" not in parts.netloc
    if not (is_safe and is_complete and is_plain):
        raise ValueError(message)
    return value


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def listed(value: str) -> tuple[str, ...]:
    """Read several texts, in order: with commas between, or as a JSON list of texts."""
    texts = _json_list(value)
    parts = value.split(",") if texts is None else texts
    return tuple(part.strip() for part in parts if part.strip())


def _json_list(value: str) -> tuple[str, ...] | None:
    """Return the texts of a JSON list; None: it is none, or not of texts alone."""
    if not value.startswith("["):
        return None
    try:
        content: object = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, list):
        return None
    texts = [each for each in cast("list[object]", content) if isinstance(each, str)]
    return tuple(texts) if len(texts) == len(cast("list[object]", content)) else None


def jwks_urls(value: str) -> tuple[str, ...]:
    """Read the URLs of key sets; one may stand there twice, once for each of two issuers."""
    return tuple(jwks_url(part.strip()) for part in value.split(",") if part.strip())


def secrets(least_bytes: int) -> Callable[[str], tuple[str, ...]]:
    """Make a reader of one secret, or of a JSON list of secrets, the newest first.

    A list has the form of JSON because a secret may have commas and spaces in it.
    """
    read_one = secret(least_bytes)

    def read(value: str) -> tuple[str, ...]:
        given = _json_list(value)
        if given == ():
            message = "must have at least one secret"
            raise ValueError(message)
        return tuple(map(read_one, dict.fromkeys((value,) if given is None else given)))

    return read


def secret(least_bytes: int) -> Callable[[str], str]:
    """Make a reader of secrets that are long enough not to be guessed."""

    def read(value: str) -> str:
        if len(value.encode()) < least_bytes:
            message = f"must have at least {least_bytes} bytes; try: openssl rand -base64 32"
            raise ValueError(message)
        return value

    return read


def header_names(value: str) -> tuple[str, ...]:
    """Read a comma-separated list of names of headers, in small letters."""
    names = tuple(dict.fromkeys(part.strip().lower() for part in value.split(",") if part.strip()))
    for name in names:
        header_name(name)
    return names


def header_name(value: str) -> str:
    """Read the name of a header, in small letters."""
    if not HEADER_NAME.fullmatch(value) or "*" in value:
        message = f"must have names of headers like x-request-id, not {value!r}"
        raise ValueError(message)
    return value.lower()


def address_header(value: str) -> str:
    """Read the name of a header that has an address in it."""
    name = header_name(value)
    if name == FORWARDED:
        message = "must not be Forwarded, which has more than addresses: use a header of your own"
        raise ValueError(message)
    return name


def image_hosts(value: str) -> tuple[str, ...]:
    """Read a comma-separated list of hosts; `*.example.app` stands for each subdomain."""
    listed = tuple(part.strip() for part in value.split(",") if part.strip())
    for host in listed:
        if not IMAGE_HOST.fullmatch(host):
            message = f"must be hosts like images.example.app, separated by commas, not {host!r}"
            raise ValueError(message)
    return listed


def files_read(value: str) -> tuple[str, ...]:
    """Read the kinds of files that the model reads: `images`, `pdf`, with a comma between; `none`.

    Text needs no word: it is told as text, which each model reads.
    """
    words = tuple(dict.fromkeys(word.strip().lower() for word in value.split(",") if word.strip()))
    if words == ("none",):
        return ()
    if not words or not {*words} <= {"images", "pdf"}:
        message = "must be images, pdf, both with a comma between, or none"
        raise ValueError(message)
    return words


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, under its variable's name in lower case."""

    database_url: str = setting(postgres_url)
    database_url_unpooled: str | None = setting(postgres_url)
    parley_schema: str | None = setting(schema)
    db_pool_max: int = setting(number(1, 1000), 10)
    db_pool_timeout: float = setting(number(1, 600, float), 30.0)
    db_pool_max_lifetime: float = setting(number(1, 86_400, float), 3600.0)

    openai_api_key: str | None = setting(text)
    openai_base_url: str = setting(http_url, "https://api.openai.com/v1")
    openai_api: str = setting(choice("auto", "chat", "responses"), "auto")
    openai_model: str = setting(text, DEFAULT_MODEL)
    openai_title_model: str | None = setting(text)
    openai_analysis_model: str | None = setting(text)
    openai_reasoning_effort: str | None = setting(effort)
    openai_temperature: float | None = setting(number(0, 2, float))
    openai_max_tokens: int | None = setting(number(1, 1_000_000))
    openai_files: tuple[str, ...] = setting(files_read, ("images", "pdf"))
    openai_extra_body: Mapping[str, Any] | None = setting(extra_body)
    models: tuple[Model, ...] = setting(read_entries, ())
    reasoning: Literal["show", "store", "hide"] = setting(choice("show", "store", "hide"), "show")
    tools: Literal["auto", "off"] = setting(choice("auto", "off"), "auto")
    openai_web_search: Literal["on", "off"] = setting(choice("on", "off"), "off")
    model_silence_seconds: float | None = setting(number(1, 3600, float))
    system_prompt: str = setting(text, "You are a helpful assistant.", may_be_empty=True)
    personas: Mapping[str, str] | None = setting(personas)

    jwt_secret: tuple[str, ...] = setting(secrets(32), ())
    jwt_jwks_url: tuple[str, ...] = setting(jwks_urls, ())
    jwt_issuer: tuple[str, ...] = setting(listed, ())
    jwt_audience: tuple[str, ...] = setting(listed, ())
    auth_required: bool = setting(boolean, default=False)
    local_accounts: bool = setting(boolean, default=False)
    allowed_origin: tuple[str, ...] = setting(origins, ())
    allowed_headers: tuple[str, ...] = setting(header_names, ())
    client_address_header: str | None = setting(address_header)
    proxy_secret: tuple[str, ...] = setting(secrets(16), ())
    allow_insecure_network: bool = setting(boolean, default=False)
    cron_secret: str | None = setting(secret(16))
    metrics_token: str | None = setting(secret(16))

    max_message_chars: int = setting(number(1, 100_000), 10_000)
    max_file_bytes: int = setting(number(0, 14_000_000), 10_000_000)
    max_user_bytes: int = setting(number(0, 1_000_000_000_000), 500_000_000)
    max_prompt_images: int = setting(number(0, 100), 10)
    anonymous_files: bool = setting(boolean, default=False)
    image_hosts: tuple[str, ...] = setting(image_hosts, ())
    history_messages: int = setting(number(1, 1000), 100)
    max_prompt_tokens: int = setting(number(0, 10_000_000), 100_000)
    summaries: Literal["on", "off"] = setting(choice("on", "off"), "on")
    max_conversation_messages: int = setting(number(2, 100_000), 1000)
    messages_per_minute: int = setting(number(0, 1_000_000), 20)
    messages_per_day: int = setting(number(0, 1_000_000), 500)
    anonymous_per_day: int = setting(number(0, 1_000_000_000), 5000)
    tokens_per_day: int = setting(number(0, 1_000_000_000_000), 5_000_000)
    bytes_per_day: int = setting(number(0, 1_000_000_000_000), 100_000_000)
    max_tool_steps: int = setting(number(1, 50), 5)
    retention_days: int = setting(number(0, 36_500), 30)
    imports: Literal["on", "off"] = setting(choice("on", "off"), "on")
    search: Literal["index", "scan", "off"] = setting(choice("index", "scan", "off"), "index")
    max_duration_seconds: float = setting(number(5, 3600, float), 300.0)
    slow_query_ms: int = setting(number(0, 600_000), 100)
    debug: bool = setting(boolean, default=False)

    @property
    def model_of_variables(self) -> Model:
        """The model that the OPENAI_ variables describe; MODELS takes from it what it leaves out.

        Without MODELS it is the only one.
        """
        return Model(
            name=self.openai_model,
            model=self.openai_model,
            base_url=self.openai_base_url,
            api_key=self.openai_api_key,
            api=self.openai_api,
            reasoning_effort=self.openai_reasoning_effort,
            temperature=self.openai_temperature,
            max_tokens=self.openai_max_tokens,
            extra_body=self.openai_extra_body,
            tools=self.tools != "off",
            files=self.openai_files,
            web_search=self.openai_web_search == "on",
        )

    @property
    def all_models(self) -> tuple[Model, ...]:
        """The models that requests may choose among, in the operator's order."""
        return self.models or (self.model_of_variables,)

    @property
    def has_model(self) -> bool:
        """Whether there is a key. An entry of MODELS without one stops the start."""
        return bool(self.models) or self.openai_api_key is not None

    @property
    def files_read(self) -> tuple[str, ...]:
        """The kinds of files that one of the models reads."""
        kinds = (kind for model in self.all_models for kind in model.files)
        return tuple(dict.fromkeys(kinds))

    def stand_in_of(self, model: Model) -> Model | None:
        """Return the model that answers while another one's provider does not; None: none does."""
        return next((each for each in self.models if each.name == model.stand_in), None)

    @property
    def first_model(self) -> Model:
        """The model that answers without a choice: the entry with `default`, or the first."""
        return next((each for each in self.all_models if each.is_default), self.all_models[0])

    def default_model(self, purpose: Literal["title", "analysis", "summary"]) -> Model:
        """Return the model for what nobody chooses a model for.

        It is the one of OPENAI_TITLE_MODEL (also of summaries) or OPENAI_ANALYSIS_MODEL; without
        that, the cheapest of those with prices, and where none has any, `first_model`.
        """
        variables = {
            "title": ("OPENAI_TITLE_MODEL", self.openai_title_model),
            "analysis": ("OPENAI_ANALYSIS_MODEL", self.openai_analysis_model),
            "summary": ("OPENAI_TITLE_MODEL", self.openai_title_model),
        }
        variable, name = variables[purpose]
        if name is not None:
            return self._named_by(name, variable)
        priced = [
            (model.prices.input + model.prices.output, place, model)
            for place, model in enumerate(self.all_models)
            if model.prices is not None
        ]
        return min(priced)[2] if priced else self.first_model

    def _named_by(self, name: str, variable: str) -> Model:
        """Return the entry of this name; without one, the model of that name at OPENAI_BASE_URL."""
        other = replace(self.model_of_variables, name=name, model=name, setting=variable)
        return next((each for each in self.models if each.name == name), other)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read and check all settings.

    A variable that is empty, or only white space, counts as not set; but an empty SYSTEM_PROMPT
    means that there is none.

    Raises:
        SettingsError: when variables are missing or not valid; names all of them.
    """
    texts = {
        variable.name: environment.get(variable.name.upper(), "").strip()
        for variable in fields(Settings)
    }
    values: dict[str, object] = {}
    mistakes: list[str] = []
    for variable in fields(Settings):
        is_meant = variable.metadata["may_be_empty"] and variable.name.upper() in environment
        if not texts[variable.name] and not is_meant:
            continue
        try:
            values[variable.name] = variable.metadata["read"](texts[variable.name])
        except ValueError as error:
            mistakes.append(f"{variable.name.upper()} {error}")
    if values.get("local_accounts") and not texts["jwt_secret"]:
        mistakes.append("LOCAL_ACCOUNTS is true, but JWT_SECRET, which signs tokens, is not set")
    if texts["jwt_jwks_url"]:
        mistakes += _mistakes_of_tokens(texts, values)
    mistakes += _mistakes_of_proxy(texts)
    if "models" in values:
        mistakes += _read_models(values, environment)
    if not values.get("allow_insecure_network"):
        mistakes += _mistakes_of_network(values, environment)
    if not texts["database_url"]:
        mistakes.insert(
            0,
            "DATABASE_URL is not set: it must be the URL of a Postgres database "
            "(on Neon the pooled one, whose host has -pooler in its name)",
        )
    if mistakes:
        raise SettingsError(
            "Parley cannot start:\n" + "\n".join(f"  - {mistake}" for mistake in mistakes)
        )
    return Settings(**values)  # pyright: ignore[reportArgumentType] (each reader returns its field's type)


def _read_models(values: dict[str, object], environment: Mapping[str, str]) -> list[str]:
    """Make models of the entries of MODELS, and return the mistakes in them."""
    entries = cast("tuple[object, ...]", values.pop("models"))
    # The fields that an entry leaves out; those of a variable that is wrong are the default ones.
    usual = Settings(**values).model_of_variables  # pyright: ignore[reportArgumentType] (see `read_settings`)
    readers = {variable.name: variable.metadata["read"] for variable in fields(Settings)}
    models, mistakes = read_models(
        entries, usual, environment, lambda name, value: readers[name](value)
    )
    values["models"] = models
    for name in ("openai_title_model", "openai_analysis_model"):
        model = values.get(name)
        if model and "openai_api_key" not in values and not any(m.name == model for m in models):
            mistakes.append(
                f"{name.upper()} is no name in MODELS, and OPENAI_API_KEY is not set: name an entry"
            )
    return mistakes


def _mistakes_of_tokens(texts: Mapping[str, str], values: Mapping[str, object]) -> list[str]:
    """Return the checks of a token that its provider's signature does not make unnecessary.

    An identity provider signs the tokens of all its applications with the same keys. Of several
    providers, each may sign for its own issuer alone.
    """
    checks = {"JWT_ISSUER": "iss", "JWT_AUDIENCE": "aud"}
    mistakes = [
        f"{variable} is not set, but JWT_JWKS_URL is: set it to the `{claim}` of your tokens, or "
        "a token that the identity provider signs for another application is valid here"
        for variable, claim in checks.items()
        if not texts[variable.lower()]
    ]
    urls = cast("tuple[str, ...]", values.get("jwt_jwks_url", ()))
    named = cast("tuple[str, ...]", values.get("jwt_issuer", ()))
    # Beside a secret, the issuers after those of the key sets are of its tokens.
    if len(urls) > 1 and (
        len(named) < len(urls) or (len(named) > len(urls) and not texts["jwt_secret"])
    ):
        mistakes.append(
            f"JWT_JWKS_URL has {len(urls)} key sets, but JWT_ISSUER has {len(named)} issuers: name "
            "the issuer of each key set, in the same order"
        )
    return mistakes


def _mistakes_of_proxy(texts: Mapping[str, str]) -> list[str]:
    """Return what is missing to know that a proxy has set the client's address."""
    if texts["client_address_header"] and not texts["proxy_secret"]:
        mistake = (
            "PROXY_SECRET is not set, but CLIENT_ADDRESS_HEADER is: have the proxy send the secret "
            "in the header x-proxy-secret, or anybody who reaches the function without the proxy "
            "has a new address, and so a new quota, for each request"
        )
        return [mistake]
    if texts["proxy_secret"] and not texts["client_address_header"]:
        mistake = (
            "CLIENT_ADDRESS_HEADER is not set, but PROXY_SECRET is: name the header in which the "
            "proxy sends the client's address"
        )
        return [mistake]
    return []


def _mistakes_of_network(values: Mapping[str, object], environment: Mapping[str, str]) -> list[str]:
    """Return the connections that would cross a network in the clear."""
    mistakes: list[str] = []
    switch = "or, in a network of your own, ALLOW_INSECURE_NETWORK=true"
    for name in ("database_url", "database_url_unpooled"):
        url = values.get(name)
        if isinstance(url, str) and not _is_encrypted_or_local(url, environment):
            mistakes.append(
                f"{name.upper()} names another host, but its sslmode is weaker than require: add "
                f"?sslmode=require (after other parameters: &sslmode=require), {switch}"
            )
    asked = {"OPENAI_BASE_URL": values.get("openai_base_url")} | {
        f"{model.setting}: base_url": model.base_url
        for model in cast("tuple[Model, ...]", values.get("models", ()))
        if model.base_url != values.get("openai_base_url")
    }
    for setting_name, url in asked.items():
        parts = urlsplit(url if isinstance(url, str) else "")
        if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            mistakes.append(
                f"{setting_name} is http:// to another host, so its key and all messages would "
                f"cross the network in the clear: use https://, {switch}"
            )
    return mistakes


def _is_encrypted_or_local(url: str, environment: Mapping[str, str]) -> bool:
    """Tell whether libpq reaches all hosts of a URL with encryption, or within this machine.

    Parameters that the URL leaves out come from libpq's variables; but where it names a service,
    from that service's file, which may name any host and take the encryption away.
    """
    variables = {"hostaddr": "PGHOSTADDR", "host": "PGHOST", "sslmode": "PGSSLMODE"}
    parameters = read_postgres_url(url).parameters
    if parameters.get("service") or environment.get("PGSERVICE"):
        return parameters.get("sslmode") in ENCRYPTED
    known = {
        name: parameters.get(name) or environment.get(variable, "")
        for name, variable in variables.items()
    }
    if parameters.get("sslrootcert") == "system" and not known["sslmode"]:
        # libpq then verifies the server, and takes no weaker mode.
        return True
    # An address is where libpq connects; then the host's name is for the certificate alone.
    hosts = (known["hostaddr"] or known["host"]).split(",")
    return known["sslmode"] in ENCRYPTED or all(map(_is_of_this_machine, hosts))


def _is_of_this_machine(host: str) -> bool:
    """Tell whether a host of libpq is this machine: a Unix socket (a path, `@`, none), or so."""
    return not host or host.startswith(("/", "@")) or _is_loopback(host.lower())


@cache
def settings() -> Settings:
    """Return the settings of this process.

    Raises:
        SettingsError: see `read_settings`.
    """
    return read_settings(os.environ)
