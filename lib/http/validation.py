"""Checks the contents of bodies against pydantic models; the field types that models share.

The first body imports this module: see lib/http/bodies.py.
"""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from lib.http.ids import MAX_CHARS
from lib.problems import InvalidRequest
from lib.texts import storable

Storable = Annotated[str, AfterValidator(storable)]
# The id of a conversation or of a message, made by a client.
ClientId = Annotated[str, Field(min_length=1, max_length=MAX_CHARS), AfterValidator(storable)]


def validate[Model: BaseModel](model: type[Model], content: object, at: str = "") -> Model:
    """Check content against a model, and return the model's object.

    Args:
        model: the model.
        content: the content, as JSON.
        at: its place in the request, as a prefix for the names of fields.

    Raises:
        InvalidRequest: when it does not fit the model; names each wrong field.
    """
    try:
        # Not by a TypeAdapter, which would build the validator of a deferred model each time: 3 ms.
        return model.model_validate(content)
    except ValidationError as error:
        raise InvalidRequest(errors=_errors(error, at)) from error


def _errors(error: ValidationError, at: str) -> list[dict[str, str]]:
    return [
        {
            "field": ".".join([*([at] if at else []), *(str(part) for part in fault["loc"])]),
            "detail": fault["msg"].removeprefix("Value error, "),
        }
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]
