"""The models that may answer a message: begin_turn chooses among them."""

from lib.files.kinds import unread_kind
from lib.identity.callers import Caller
from lib.identity.models import some_models_of
from lib.models import Model
from lib.problems import InvalidRequest
from lib.turns.request import ChatRequest


def models_for(caller: Caller, request: ChatRequest) -> tuple[Model, ...]:
    """Return the models that the caller may use and that can do what a message needs.

    The one that answers where neither the request nor the conversation names another comes first.

    Raises:
        InvalidRequest: when the request names a model that is not among them, or none can do it;
            says which may be named, or what it cannot do.
        Problem: see `some_models_of`.
    """
    models = some_models_of(caller)
    if request.model is not None:
        named = [model for model in models if model.name == request.model]
        if not named:
            names = ", ".join(model.name for model in models)
            raise _invalid("model", f"must be one of {names}")
        models = tuple(named)
    faults = {model.name: _fault(model, request) for model in models}
    able = tuple(model for model in models if faults[model.name] is None)
    if not able:
        # That of the model that would have answered.
        raise faults[models[0].name] or InvalidRequest
    return able


def _fault(model: Model, request: ChatRequest) -> InvalidRequest | None:
    """Return the problem of a model that cannot do what a message needs; None: it can do all."""
    other = f"must be another one, or left out: the model {model.name}"
    if request.tool_choice is not None and not model.tools:
        return _invalid("tool_choice", f"{other} calls no tools")
    if (unread := unread_kind(model.files, request.files or [])) is not None:
        return _invalid("model", f"{other} reads no {unread}")
    efforts = model.reasoning_efforts
    if request.reasoning_effort is not None and request.reasoning_effort not in efforts:
        detail = f"must be one of {', '.join(efforts)}, for the model {model.name}"
        if not efforts:
            detail = f"must not be set: for the model {model.name} there is no choice"
        return _invalid("reasoning_effort", detail)
    return None


def _invalid(field: str, detail: str) -> InvalidRequest:
    return InvalidRequest(errors=[{"field": field, "detail": detail}])
