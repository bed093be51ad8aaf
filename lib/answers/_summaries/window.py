"""How much of a conversation the model is told, and when the rest is to be summarized."""

from collections.abc import Sequence
from dataclasses import replace

from lib.answers._prompt_parts.tokens import estimate_prompt_tokens
from lib.conversations.message import Message
from lib.settings import settings
from lib.turns.turn import Past

# A new summary is due from this part of MAX_PROMPT_TOKENS on.
FULL = 0.9
# So much of MAX_PROMPT_TOKENS the messages may have in any case: where instructions and tools alone
# come near it, each turn would pay for a summary otherwise.
LEAST_ROOM = 0.25


def due_through(
    messages: Sequence[Message],
    past: Past,
    beside_tokens: int = 0,
    *,
    is_nearly_too_long: bool = False,
) -> int | None:
    """Return the number of the last message that a new summary is to tell; None: none is due.

    One is due where messages are forgotten already; where the next turn but one would be beyond
    HISTORY_MESSAGES, so that one failure does no harm (of few messages the next turn); and where
    the prompt is near MAX_PROMPT_TOKENS, or near the length that the provider has refused. It takes
    the older half of the window away, and what stays begins with a question.

    Args:
        messages: of the window and its answer, oldest first.
        past: what stands before them.
        beside_tokens: an estimate of the rest of the prompt: instructions, tools, the summary.
        is_nearly_too_long: the provider will soon refuse the conversation for its length.
    """
    told = [message for message in messages if message.role != "system"]
    place, limit = 0, settings().history_messages
    # The answer is there; the next question, its answer and the question after it are not.
    coming = min(3, 1 + limit // 8)
    if len(told) + coming > limit:
        place = _question_from(told, len(told) - limit // 2)
    budget = FULL * settings().max_prompt_tokens
    if is_nearly_too_long or _fitting_share(told, budget, beside_tokens) < 1:
        place = max(place, half_of(told, 0.5))
    if place:
        return told[place - 1].id
    return next(each.id for each in told if each.role == "user") - 1 if past.has_gap else None


def share_in_budget(messages: Sequence[Message], past: Past, beside_tokens: int) -> float:
    """Estimate which share of the messages fits into MAX_PROMPT_TOKENS; 1.0: all of them.

    Args:
        messages: of the window, the question last.
        past: what stands before them.
        beside_tokens: an estimate of the rest of the prompt.
    """
    answers = [message for message in messages if message.role == "assistant"]
    if past.summarized_at and answers and answers[-1].created_at < past.summarized_at:
        # Its count is that of the window before.
        messages = [_uncounted(message) for message in messages]
    return _fitting_share(messages, settings().max_prompt_tokens, beside_tokens)


def fitting(messages: list[Message], beside_tokens: int) -> list[Message]:
    """Return a window without its oldest messages, as far as it is beyond MAX_PROMPT_TOKENS.

    For SUMMARIES=off. When there are too many, half of what fits is left out at once, and each time
    the messages are looked at as they came: so the next requests begin with the same one. The
    question stays, whatever its length.
    """
    budget = settings().max_prompt_tokens
    told = [message for message in messages if message.role != "system"]
    if not budget or not told:
        return messages
    room = max(budget - beside_tokens, LEAST_ROOM * budget)
    lengths = list(map(tokens_of, told))
    first = 0
    for end in range(1, len(told) + 1):
        if sum(lengths[first:end]) > room:
            first += half_of(told[first:end], 0.5 * room / sum(lengths[first:end]))
    first = min(first, len(told) - 1)
    return [each for each in messages if each.role == "system" or each.id >= told[first].id]


def half_of(messages: Sequence[Message], share: float) -> int:
    """Return the place of the first question from which on there is at most that share.

    Args:
        messages: the messages.
        share: of their tokens, as estimated.
    """
    lengths = list(map(tokens_of, messages))
    total = sum(lengths)
    places = range(len(messages) + 1)
    place = next(place for place in places if sum(lengths[place:]) <= share * total)
    return _question_from(messages, place)


def _fitting_share(messages: Sequence[Message], budget: float, beside_tokens: int) -> float:
    """Estimate which share of messages fits into a number of tokens; 0: any number fits."""
    if not budget:
        return 1.0
    told = sum(map(tokens_of, messages))
    # The provider's count has the instructions and the tools; without one they are estimated.
    beside = max(estimate_prompt_tokens(messages) - told, beside_tokens)
    return min(1.0, max(budget - beside, LEAST_ROOM * budget) / max(told, 1))


def _question_from(messages: Sequence[Message], place: int) -> int:
    """Return the place of the first question from a place on; of none, the end."""
    places = range(max(place, 0), len(messages))
    return next((each for each in places if messages[each].role == "user"), len(messages))


def tokens_of(message: Message) -> int:
    """Estimate the tokens of a message by its characters."""
    return estimate_prompt_tokens([_uncounted(message)])


def _uncounted(message: Message) -> Message:
    return replace(message, prompt_tokens=None)
