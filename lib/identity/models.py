"""The models that a caller may use."""

from collections.abc import Mapping
from typing import Any

from lib.identity.callers import Caller
from lib.models import Model
from lib.problems import ModelNotConfigured, Unauthenticated
from lib.settings import settings


def models_of(caller: Caller) -> tuple[Model, ...]:
    """Return the models that a caller may use, the one that answers without a choice first.

    The others follow in the operator's order.
    """
    is_user = caller.user_id is not None
    models = [
        model
        for model in settings().all_models
        if model.is_for(is_user=is_user, claims=caller.claims)
    ]
    # Stable: it moves the default one alone.
    return tuple(sorted(models, key=lambda model: not model.is_default))


def some_models_of(caller: Caller) -> tuple[Model, ...]:
    """Return `models_of` the caller, of whom there must be one.

    Raises:
        Unauthenticated: when a guest may use none.
        ModelNotConfigured: when a user may use none.
    """
    models = models_of(caller)
    if models:
        return models
    if caller.user_id is None:
        detail = "Sign in first: the models of this application are for its users."
        raise Unauthenticated(detail)
    raise ModelNotConfigured


def listed_models(caller: Caller) -> dict[str, Any]:
    """Return the models of a caller as clients see them: the answer of GET /api/models."""
    models = models_of(caller)
    return {"models": [_listed(model, is_default=model is models[0]) for model in models]}


def _listed(model: Model, *, is_default: bool) -> Mapping[str, object]:
    prices = model.prices
    return {
        "name": model.name,
        "is_default": is_default,
        "tools": model.tools,
        "files": model.files,
        "reasoning": model.reasoning,
        "web_search": model.web_search,
        "reasoning_effort": model.reasoning_effort,
        "reasoning_efforts": model.reasoning_efforts,
        "messages_per_day": model.messages_per_day,
        "prices": prices
        and {
            "input": prices.input,
            "cached_input": prices.cached_input,
            "output": prices.output,
        },
        "stand_in": model.stand_in,
    }
