"""The model of an answer, and what its provider is told of the user and the conversation."""

from dataclasses import replace
from typing import TypedDict

from lib.identity.clients import keyed
from lib.models import Model
from lib.settings import settings
from lib.turns.request import ChatRequest
from lib.turns.turn import Turn

# Of the keyed hash, in bytes: OpenAI takes at most 64 characters.
MARK_BYTES = 24


class Marks(TypedDict):
    """The fields of a `ModelRequest` that stand for a user and a conversation."""

    user_mark: str
    cache_mark: str


def model_of(turn: Turn, request: ChatRequest) -> Model:
    """Return the model that is asked first, with the effort that the request chooses."""
    model = next(model for model in settings().all_models if model.name == turn.model)
    effort = request.reasoning_effort
    return model if effort is None else replace(model, reasoning_effort=effort)


def marks_of(turn: Turn) -> Marks:
    """Return what stands for the user and the conversation: keyed hashes, which reveal neither.

    A guest is marked by the network address, as guests are counted by it.
    """
    return {
        "user_mark": keyed(f"told {turn.caller.counted_as}")[:MARK_BYTES].hex(),
        "cache_mark": keyed(f"told conversation {turn.conversation_id}")[:MARK_BYTES].hex(),
    }
