"""Sources that a model of the Responses API cites."""

from typing import Any

import pytest

from tests.support.cited import ODD, SOURCE, answer_of, citation, cited, flat, placed, sources_in
from tests.support.product import Parley, text_of
from tests.support.responses_model import Item, ResponsesModel, check_events, responding, said

pytestmark = pytest.mark.environment(OPENAI_API="responses")


@pytest.fixture
def model(responses: ResponsesModel) -> ResponsesModel:
    """Return the model that answers."""
    return responses


async def test_an_annotation_is_a_source_once(parley: Parley, model: ResponsesModel) -> None:
    reply = responding(said("Cats ", "purr.", annotations=[flat(cited(5, 9))]))
    check_events(reply.events)
    model.replies = [reply]

    await parley.send("Do cats purr?")

    [_, text, *sources] = (await answer_of(parley))["parts"]
    assert sources == [SOURCE | placed(5, 9)]
    assert text["citations"] == [citation(5, 9)]


async def test_a_place_counts_from_its_own_message(parley: Parley, model: ResponsesModel) -> None:
    first, second = flat(cited(0, 4)), flat(cited(5, 9))
    model.replies = [
        responding(said("Look.", annotations=[first]), said("Cats purr.", annotations=[second]))
    ]

    await parley.send("Do cats purr?")

    answer = await answer_of(parley)
    assert answer["content"] == "Look.\n\nCats purr."
    assert sources_in(answer["parts"]) == [
        SOURCE | placed(0, 4),
        SOURCE | {"sourceId": "source-2"} | placed(12, 16),
    ]


@pytest.mark.parametrize("left_out", ["annotation.added", "content_part", "all"])
async def test_sources_are_read_from_whichever_event_brings_them(
    parley: Parley, model: ResponsesModel, left_out: str
) -> None:
    items = [
        said("Look.", annotations=[flat(cited(0, 4))]),
        said("Cats purr.", annotations=[flat(cited(5, 9))]),
    ]
    reply = responding(*items)
    reply.events = [
        event
        for event in reply.events
        if "annotation.added" not in event["type"]
        and (left_out not in event["type"])
        and (left_out != "all" or "response.completed" in event["type"])
    ]
    model.replies = [reply]

    await parley.send("Do cats purr?")

    assert sources_in((await answer_of(parley))["parts"]) == [
        SOURCE | placed(0, 4),
        SOURCE | {"sourceId": "source-2"} | placed(12, 16),
    ]


@pytest.mark.parametrize("odd", [*ODD, flat(cited(0, 0, "x"))])
async def test_an_odd_annotation_costs_an_answer_nothing(
    parley: Parley, model: ResponsesModel, odd: Any
) -> None:
    message: dict[str, Any] = said("Cats purr.").sent
    content = [{"type": "output_text", "text": "Cats purr.", "annotations": [odd]}, None]
    sent = Item(message | {"content": [content[0]]}, ("Cats purr.",))
    model.replies = [responding(sent)]
    for event in model.replies[0].events:
        if event["type"] == "response.output_item.done":
            event["item"] = message | {"content": content}

    assert text_of(await parley.send("Do cats purr?")) == "Cats purr."

    assert sources_in((await answer_of(parley))["parts"]) == []
