"""The models that requests may choose among: MODELS, and without it the one of the variables.

docs/models.md explains each field of an entry.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from lib.prices import Prices, read_prices

OPENAI_HOST = "api.openai.com"
ROOT = Path(__file__).parent.parent
MAX_NAME_CHARS = 64
MAX_COUNT = 1_000_000
# Capitals with a `_`: no provider's key looks like this, so a key is never taken for a name, and
# never repeated in a mistake.
KEY_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")

type Audience = Literal["all", "guests", "users"] | Claim
# Claims of a token by name, and the JSON text of each value.
type Claims = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the token that lets its user use a model.

    Attributes:
        name: the claim.
        values: the JSON text of each value that does; of a claim that is a list, one is enough.
    """

    name: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model: where and how it is asked, and who may use it.

    Attributes:
        name: as users see it; no other model has it.
        model: the provider's name.
        base_url: of its provider, without a slash at the end.
        api_key: of its provider; None: there is none.
        api: `auto`, `chat` or `responses`.
        reasoning_effort: how much it thinks; None: as its provider chooses.
        reasoning_efforts: those that a request may choose instead.
        temperature: None: as its provider chooses.
        max_tokens: of one reply; None: as its provider chooses.
        extra_body: fields that are added to each request; None: none are.
        tools: it is offered Parley's tools.
        files: the kinds of files that it reads, `images` and `pdf`.
        reasoning: its thoughts are asked for.
        web_search: its provider may search the web.
        audience: who may use it.
        stand_in: name of the model that answers while this one's provider does not; None: none
            does.
        is_default: it answers where a request names none.
        messages_per_day: how many of its answers one caller may ask for in 24 hours; 0: any number.
        prices: of its tokens; None: they are not known.
        setting: the variable or entry that names it, for the operator.
        key_setting: the variable that holds its key, likewise.
    """

    name: str
    model: str
    base_url: str
    api_key: str | None = field(repr=False)
    api: str = "auto"
    reasoning_effort: str | None = None
    reasoning_efforts: tuple[str, ...] = ()
    temperature: float | None = None
    max_tokens: int | None = None
    extra_body: Mapping[str, Any] | None = field(default=None, hash=False)
    tools: bool = True
    files: tuple[str, ...] = ()
    reasoning: bool = True
    web_search: bool = False
    audience: Audience = "all"
    stand_in: str | None = None
    is_default: bool = False
    messages_per_day: int = 0
    prices: Prices | None = None
    setting: str = "OPENAI_MODEL"
    key_setting: str = "OPENAI_API_KEY"

    @property
    def dialect(self) -> str:
        """The dialect of the provider's API: `chat` or `responses`.

        OpenAI itself refuses tools in Chat Completions from GPT-5.6 on. All other providers know
        those, and not all know Responses.
        """
        if self.api != "auto":
            return self.api
        return "responses" if urlsplit(self.base_url).hostname == OPENAI_HOST else "chat"

    def is_for(self, *, is_user: bool, claims: Claims) -> bool:
        """Tell whether a caller may use it: a user or a guest, with these claims of the token."""
        match self.audience:
            case "all":
                return True
            case "guests":
                return not is_user
            case "users":
                return is_user
            case Claim(name, values):
                return is_user and any((name, value) in claims for value in values)


# Reads a field by the rules of a variable: its name in small letters, and the text.
type ReadVariable = Callable[[str, str], object]
# The fields of an entry that mean the same as a variable, and their type in JSON.
LIKE_VARIABLES: dict[str, tuple[str, type | tuple[type, ...], str]] = {
    "model": ("openai_model", str, "a text"),
    "base_url": ("openai_base_url", str, "a URL"),
    "api": ("openai_api", str, "auto, chat or responses"),
    "reasoning_effort": ("openai_reasoning_effort", str, "a text"),
    "temperature": ("openai_temperature", (int, float), "a number"),
    "max_tokens": ("openai_max_tokens", int, "a whole number"),
    "extra_body": ("openai_extra_body", dict, "an object"),
}
SWITCHES = ("tools", "reasoning", "web_search")


def read_entries(value: str) -> tuple[object, ...]:
    """Read MODELS: a JSON list, or the path of a file with one, from the repository's root.

    Raises:
        ValueError: when it is neither; says why.
    """
    text = value
    if not value.startswith("["):
        try:
            text = (ROOT / value).read_text(encoding="utf-8")
        except (OSError, ValueError):
            message = (
                'must be a JSON list like [{"name": "Fast", "model": "…"}], or the path of a file '
                "with one, like models.json"
            )
            raise ValueError(message) from None
    try:
        content: object = json.loads(text)
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, list) or not content:
        message = "must be a JSON list of one model or more"
        raise ValueError(message)
    return tuple(cast("list[object]", content))


def read_models(
    entries: tuple[object, ...], usual: Model, environment: Mapping[str, str], read: ReadVariable
) -> tuple[tuple[Model, ...], list[str]]:
    """Read the entries of MODELS.

    Args:
        entries: from `read_entries`.
        usual: has the fields that an entry leaves out.
        environment: holds the keys.
        read: reads a field as its variable is read.

    Returns:
        The models, and all mistakes; where there is a mistake, not all models.
    """
    models: list[Model] = []
    mistakes: list[str] = []
    for number, content in enumerate(entries, 1):
        entry = _Entry(content, number, usual, environment, read)
        model = entry.model()
        mistakes += entry.mistakes
        if model is not None:
            models.append(model)
    mistakes += _mistakes_among(models)
    return tuple(models), mistakes


class _Entry:
    """One entry of MODELS on its way to a `Model`."""

    def __init__(
        self,
        content: object,
        number: int,
        usual: Model,
        environment: Mapping[str, str],
        read: ReadVariable,
    ) -> None:
        """Take the entry; the other arguments are those of `read_models`."""
        is_object = isinstance(content, dict)
        self._fields = dict(cast("dict[str, object]", content)) if is_object else {}
        name = self._fields.get("name")
        self._at = f"MODELS, entry {name if isinstance(name, str) and name else number}:"
        self._usual, self._environment, self._read = usual, environment, read
        self._values: dict[str, Any] = {}
        self.mistakes = list[str]()
        if not is_object:
            self._note("must be an object")

    def model(self) -> Model | None:
        """Return the model; None: it has no name that others could refer to."""
        self._take("name", self._name)
        for name, (variable, kind, words) in LIKE_VARIABLES.items():
            self._take(name, lambda value, rule=(variable, kind, words): self._like(value, *rule))
        for name in SWITCHES:
            self._take(name, _switch)
        self._take("default", _switch, "is_default")
        self._take("reasoning_efforts", self._efforts)
        self._take("files", self._files)
        self._take("for", _audience, "audience")
        self._take("prices", read_prices)
        self._take("messages_per_day", _count)
        self._take("stand_in", _text)
        self._take("api_key", self._key)
        self.mistakes += [
            f"{self._at} {name} is no field that Parley knows" for name in self._fields
        ]
        name = self._values.get("name")
        if name is None:
            if not self.mistakes:
                self._note("name is missing: users choose the model by it")
            return None
        self._check_key()
        # TOOLS=off holds for all models.
        self._values["tools"] = self._values.get("tools", True) and self._usual.tools
        return replace(self._usual, **self._values, setting=f"MODELS, entry {name}")

    def _check_key(self) -> None:
        """Check that there is a key, and that OPENAI_API_KEY goes to its own provider alone."""
        if "api_key" in self._values or self.mistakes:
            return
        base_url: str = self._values.get("base_url", self._usual.base_url)
        why = ""
        if urlsplit(base_url).netloc != urlsplit(self._usual.base_url).netloc:
            why = "base_url is not OPENAI_BASE_URL's host"
        elif self._usual.api_key is None:
            why = "OPENAI_API_KEY is not set"
        if why:
            self._note(
                f"api_key is missing, and {why}: name the variable that holds this provider's key"
            )

    def _take(
        self, name: str, read: Callable[[object], object], attribute: str | None = None
    ) -> None:
        if name not in self._fields:
            return
        try:
            self._values[attribute or name] = read(self._fields.pop(name))
        except ValueError as error:
            self._note(f"{name} {error}")

    def _note(self, mistake: str) -> None:
        self.mistakes.append(f"{self._at} {mistake}")

    def _like(
        self, value: object, variable: str, kind: type | tuple[type, ...], words: str
    ) -> object:
        if not isinstance(value, kind) or isinstance(value, bool) or value == "":
            message = f"must be {words}"
            raise ValueError(message)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return self._read(variable, text)

    def _name(self, value: object) -> str:
        name = _text(value)
        if len(name) > MAX_NAME_CHARS or not name.isprintable() or name != name.strip():
            message = f"must have 1 to {MAX_NAME_CHARS} characters, and no spaces around them"
            raise ValueError(message)
        return name

    def _efforts(self, value: object) -> tuple[str, ...]:
        return tuple(str(self._read("openai_reasoning_effort", each)) for each in _texts(value))

    def _files(self, value: object) -> object:
        return self._read("openai_files", ",".join(_texts(value)) or "none")

    def _key(self, value: object) -> str:
        name = value if isinstance(value, str) else ""
        if not KEY_VARIABLE.fullmatch(name):
            message = "must be the name of the variable that holds the key, like OTHER_API_KEY"
            raise ValueError(message)
        key = self._environment.get(name, "").strip()
        if not key:
            message = f"names the variable {name}, which is not set"
            raise ValueError(message)
        self._values["key_setting"] = name
        return key


def _mistakes_among(models: list[Model]) -> list[str]:
    """Return the mistakes of models that can be seen together only."""
    by_name = {model.name: model for model in models}
    mistakes = [
        f"{model.setting}: name is another entry's, too"
        for number, model in enumerate(models)
        if any(model.name == other.name for other in models[:number])
    ]
    mistakes += [
        f"{model.setting}: stand_in must be the name of an entry, and {model.stand_in} is none"
        for model in models
        if model.stand_in is not None and model.stand_in not in by_name
    ]
    mistakes += [
        f"{model.setting}: stand_in leads back to the entry itself"
        for model in models
        if _leads_back(model, by_name)
    ]
    named = [model.name for model in models if model.is_default]
    if len(named) > 1:
        mistakes.append(f"MODELS: default must be true in one entry, not in {', '.join(named)}")
    return mistakes


def _leads_back(model: Model, by_name: Mapping[str, Model]) -> bool:
    seen = set[str]()
    name = model.stand_in
    while name is not None and name not in seen:
        seen.add(name)
        other = by_name.get(name)
        name = other.stand_in if other else None
    return model.name in seen


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        message = "must be a text"
        raise ValueError(message)
    return value


def _texts(value: object) -> list[str]:
    items = cast("list[object]", value) if isinstance(value, list) else [None]
    texts = [each for each in items if isinstance(each, str)]
    if len(texts) < len(items):
        message = "must be a list of texts"
        raise ValueError(message)
    return texts


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_COUNT:
        message = f"must be a whole number from 0 to {MAX_COUNT:,}; 0: any number"
        raise ValueError(message)
    return value


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        message = "must be true or false"
        raise ValueError(message)  # noqa: TRY004 (the text of the variable is wrong)
    return value


def _audience(value: object) -> Audience:
    if isinstance(value, str) and value in ("all", "guests", "users"):
        return value
    fields = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    name, given = fields.get("claim"), fields.get("is")
    values = cast("list[object]", given) if isinstance(given, list) else []
    if not isinstance(name, str) or not values or fields.keys() != {"claim", "is"}:
        message = 'must be all, guests, users, or like {"claim": "plan", "is": ["pro"]}'
        raise ValueError(message)
    return Claim(name, frozenset(map(_json, values)))


def claims_among(token: Mapping[str, object], models: tuple[Model, ...]) -> Claims:
    """Return those of a token's claims that decide who may use a model."""
    names = {model.audience.name for model in models if isinstance(model.audience, Claim)}
    return frozenset(
        (name, _json(each)) for name in names & token.keys() for each in _each_of(token[name])
    )


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _each_of(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else [value]
