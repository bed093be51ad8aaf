"""Models for tests that ask none by a whole turn."""

from dataclasses import replace

from lib.models import Model
from lib.settings import Settings, settings


def a_model(name: str = "m", of: Settings | None = None) -> Model:
    """Return a model as the variables describe it, under another name of its provider's."""
    given = of or settings()
    return replace(given.model_of_variables, name=name, model=name)
