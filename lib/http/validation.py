"""Checking what clients send by models of pydantic's, and the types of fields that they share.

Imported when the first body is to be checked, see `lib.bodies`.
"""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from lib.http.ids import MAX_CHARS
from lib.problems import InvalidRequest
from lib.texts import storable

Storable = Annotated[str, AfterValidator(storable)]
# An id that a client made, of a conversation or of a message.
ClientId = Annotated[str, Field(min_length=1, max_length=MAX_CHARS), AfterValidator(storable)]


def validate[Model: BaseModel](model: type[Model], content: object, at: str = "") -> Model:
    """Check that content is what a model says.

    Args:
        model: what it should be.
        content: what came.
        at: where in the request it stood, for the names of fields.

    Raises:
        InvalidRequest: it is not; each wrong field is named.
    """
    try:
        return TypeAdapter(model).validate_python(content)
    except ValidationError as error:
        raise InvalidRequest(errors=_errors(error, at)) from error


def _errors(error: ValidationError, at: str) -> list[dict[str, str]]:
    return [
        {
            "field": ".".join([*([at] if at else []), *(str(part) for part in each["loc"])]),
            "detail": each["msg"].removeprefix("Value error, "),
        }
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
