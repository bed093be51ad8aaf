"""Sources that the model cites: parts of the answer, with the passage that each belongs to."""

from typing import Any

import psycopg
import pytest

from lib.answers._hosted.sources import MAX_SOURCES
from tests.support.cited import (
    ODD,
    PAGE,
    SOURCE,
    answer_of,
    answering,
    citation,
    cited,
    placed,
    sources_in,
)
from tests.support.left_behind import leave_behind
from tests.support.model_server import MODEL_NAME, Called, Reply, ScriptedModel, calling, chunk
from tests.support.product import CHAT_ID, Parley, parts_of, problem_of, text_of
from tests.support.reading import path_of, sending, until_stored


async def test_a_source_is_a_part_of_the_stream_and_of_history_with_its_place(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [
        answering({"content": "Cats "}, {"content": "purr."}, {"annotations": [cited(5, 9)]})
    ]

    parts = parts_of(await parley.send("Do cats purr?"))

    end = {"type": "text-end", "id": "0", "citations": [citation(5, 9)]}
    assert parts[5:7] == [SOURCE | placed(5, 9), end]
    answer = await answer_of(parley)
    assert answer["parts"] == [
        {"type": "step-start"},
        {"type": "text", "text": "Cats purr.", "state": "done", "citations": [citation(5, 9)]},
        SOURCE | placed(5, 9),
    ]
    assert answer["content"] == "Cats purr."


async def test_an_answer_sent_again_has_the_same_sources(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [answering({"content": "Cats purr."}, {"annotations": [cited(5, 9)]})]
    first = parts_of(await parley.send("Do cats purr?"))

    again = parts_of(await parley.send("Do cats purr?"))

    assert sources_in(again) == sources_in(first) == [SOURCE | placed(5, 9)]
    assert [part.get("citations") for part in (*first, *again) if part["type"] == "text-end"] == [
        [citation(5, 9)],
        [citation(5, 9)],
    ]


async def test_a_whole_reply_instead_of_a_stream_has_its_sources(
    parley: Parley, model: ScriptedModel
) -> None:
    message = {"role": "assistant", "content": "Cats purr.", "annotations": [cited(0, 4)]}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    model.replies = [Reply(chunks=[{"model": MODEL_NAME, "choices": [choice]}])]

    await parley.send("Do cats purr?")

    assert sources_in((await answer_of(parley))["parts"]) == [SOURCE | placed(0, 4)]


async def test_the_message_at_the_end_of_a_stream_brings_the_sources_once(
    parley: Parley, model: ScriptedModel
) -> None:
    message = {"content": "Cats purr.", "annotations": [cited(0, 4), cited(0, 4)]}
    end = {"index": 0, "delta": {}, "message": message, "finish_reason": "stop"}
    model.replies = [
        Reply(
            chunks=[
                chunk({"content": "Cats purr."}),
                chunk({"annotations": [cited(0, 4)]}),
                {"model": MODEL_NAME, "choices": [end]},
            ]
        )
    ]

    await parley.send("Do cats purr?")

    answer = await answer_of(parley)
    assert sources_in(answer["parts"]) == [SOURCE | placed(0, 4)]
    assert answer["content"] == "Cats purr."


async def test_a_page_that_is_cited_twice_has_a_source_for_each_place(
    parley: Parley, model: ScriptedModel
) -> None:
    annotations = [cited(0, 4), cited(5, 9), cited(0, 4)]
    model.replies = [answering({"content": "Cats purr."}, {"annotations": annotations})]

    await parley.send("Do cats purr?")

    assert sources_in((await answer_of(parley))["parts"]) == [
        SOURCE | placed(0, 4),
        SOURCE | {"sourceId": "source-2"} | placed(5, 9),
    ]


async def test_sources_before_the_text_stand_behind_it(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [answering({"annotations": [cited(0, 4)]}, {"content": "Cats purr."})]

    await parley.send("Do cats purr?")

    [_, text, source] = (await answer_of(parley))["parts"]
    assert (text["citations"], source) == ([citation(0, 4)], SOURCE | placed(0, 4))


async def test_pages_beside_the_choices_are_sources_once_though_each_chunk_has_them(
    parley: Parley, model: ScriptedModel
) -> None:
    pages = {"citations": [PAGE], "search_results": [{"url": PAGE, "title": "Cats", "date": None}]}
    model.replies = [
        Reply(
            chunks=[
                chunk({"content": "Cats "}) | pages,
                chunk({"content": "purr."}) | pages,
                chunk({}, "stop") | {"citations": [PAGE, "https://example.com/more"]},
            ]
        )
    ]

    await parley.send("Do cats purr?")

    more = {"type": "source-url", "sourceId": "source-2", "url": "https://example.com/more"}
    assert sources_in((await answer_of(parley))["parts"]) == [SOURCE, more]


async def test_a_place_counts_from_the_text_behind_an_inline_thought(
    parley: Parley, model: ScriptedModel
) -> None:
    deltas = [{"content": "<think>Hm."}, {"content": "</think>\n\nCa"}, {"content": "ts purr."}]
    start = len("<think>Hm.</think>\n\n")
    annotations = {"annotations": [cited(start, start + 4)]}
    model.replies = [answering(*deltas, annotations)]

    await parley.send("Do cats purr?")

    answer = await answer_of(parley)
    assert answer["content"] == "Cats purr."
    assert sources_in(answer["parts"]) == [SOURCE | placed(0, 4)]


async def test_a_place_in_the_text_after_a_tool_call_counts_the_text_before_it(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [
        calling(Called("list_tasks"), text="Let me look."),
        answering({"content": "Cats purr."}, {"annotations": [cited(5, 9)]}),
    ]

    await parley.send("Do cats purr?", user="ann")

    answer = (await parley.history(user="ann"))["messages"][-1]
    start = answer["content"].index("purr")
    assert sources_in(answer["parts"]) == [SOURCE | placed(start, start + 4)]
    texts = [part for part in answer["parts"] if part["type"] == "text"]
    assert [text.get("citations") for text in texts] == [None, [citation(5, 9)]]


async def test_a_citations_place_counts_as_javascript_counts(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [answering({"content": "😀 purr."}, {"annotations": [cited(2, 6)]})]

    await parley.send("Do cats purr?")

    [_, text, source] = (await answer_of(parley))["parts"]
    assert (text["citations"], source) == ([citation(3, 7)], SOURCE | placed(2, 6))


async def test_a_place_beyond_the_text_ends_with_it(parley: Parley, model: ScriptedModel) -> None:
    annotations = [cited(5, 900), cited(800, 900)]
    model.replies = [answering({"content": "Cats purr."}, {"annotations": annotations})]

    await parley.send("Do cats purr?")

    [_, text, *sources] = (await answer_of(parley))["parts"]
    assert text["citations"] == [citation(5, 10)]
    assert len(sources) == 2


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://example.com/",
        "//example.com/",
        "https://",
        "https://user:password@example.com/",
        "https://bank.example@evil.example/",
        "https://[::1",
        "https://example.com:99999/",
        "https://example.com/a b",
        "https:\\\\example.com",
        "https://example.com/\n",
        "https://example.com/\ud800",
        "https://example.com/" + "x" * 2048,
        "",
        5,
        None,
    ],
)
async def test_an_address_that_no_page_may_link_to_is_no_source(
    parley: Parley, model: ScriptedModel, url: object
) -> None:
    annotations = [cited(0, 4, url), cited(0, 4)]
    model.replies = [answering({"content": "Cats purr."}, {"annotations": annotations})]

    await parley.send("Do cats purr?")

    assert sources_in((await answer_of(parley))["parts"]) == [SOURCE | placed(0, 4)]


@pytest.mark.parametrize("annotations", [*([odd] for odd in ODD), "x", {"0": 1}, 5, True])
async def test_annotations_of_an_odd_form_cost_an_answer_nothing(
    parley: Parley, model: ScriptedModel, annotations: object
) -> None:
    model.replies = [answering({"content": "Cats purr."}, {"annotations": annotations})]

    assert text_of(await parley.send("Do cats purr?")) == "Cats purr."

    answer = await answer_of(parley)
    assert (answer["finish_reason"], sources_in(answer["parts"])) == ("stop", [])


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 0), (4, 2), (-5, 4), ("0", "4"), (None, 4), (0.0, 4.0), (True, 4), (0, 10**30)],
)
async def test_a_source_with_an_odd_place_belongs_to_the_whole_answer(
    parley: Parley, model: ScriptedModel, start: Any, end: Any
) -> None:
    annotations = {"annotations": [cited(start, end)]}
    model.replies = [answering({"content": "Cats purr."}, annotations)]

    await parley.send("Do cats purr?")

    [_, text, source] = (await answer_of(parley))["parts"]
    assert (text.get("citations"), source) == (None, SOURCE)


async def test_a_title_is_storable_and_no_longer_than_a_line(
    parley: Parley, model: ScriptedModel
) -> None:
    title = "Cats\0\ud800\n and\tdogs" + "x" * 1000
    annotations = {"annotations": [cited(0, 4, title=title)]}
    model.replies = [answering({"content": "Cats purr."}, annotations)]

    await parley.send("Do cats purr?")

    [source] = sources_in((await answer_of(parley))["parts"])
    assert source["title"].startswith("Cats\ufffd and dogsxxx")
    assert len(source["title"]) <= 500


async def test_an_answer_has_a_limited_number_of_sources(
    parley: Parley, model: ScriptedModel
) -> None:
    annotations = [cited(0, 4, f"{PAGE}{number}") for number in range(MAX_SOURCES + 50)]
    model.replies = [answering({"content": "Cats purr."}, {"annotations": annotations})]

    await parley.send("Do cats purr?")

    assert len(sources_in((await answer_of(parley))["parts"])) == MAX_SOURCES


async def test_a_reply_of_nothing_but_sources_is_no_answer(
    parley: Parley, model: ScriptedModel
) -> None:
    model.replies = [answering({"annotations": [cited(0, 4)]})]

    response = await parley.say("Do cats purr?", conversation_id=CHAT_ID)

    problem_of(response, 502, "model_failed")
    assert await parley.said() == ["Do cats purr?"]


async def test_a_file_that_is_cited_is_a_document(parley: Parley, model: ScriptedModel) -> None:
    file = {"type": "file_citation", "file_id": "file-1", "filename": "cats.pdf", "index": 3}
    nameless = {"type": "file_path", "file_id": "file-2"}
    model.replies = [answering({"content": "Cats purr."}, {"annotations": [file, nameless]})]

    await parley.send("Do cats purr?")

    assert sources_in((await answer_of(parley))["parts"]) == [
        {
            "type": "source-document",
            "sourceId": "source-1",
            "mediaType": "application/pdf",
            "title": "cats.pdf",
            "filename": "cats.pdf",
        },
        {
            "type": "source-document",
            "sourceId": "source-2",
            "mediaType": "application/octet-stream",
            "title": "file-2",
        },
    ]


async def test_an_answer_cut_in_its_text_keeps_its_sources(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    deltas = [{"content": "Cats purr."}, {"annotations": [cited(5, 9)]}]
    model.replies = [answering(*deltas, finish_reason=None)]

    await parley.send("Do cats purr?")

    answer = await answer_of(parley)
    assert sources_in(answer["parts"]) == [SOURCE | placed(5, 9)]
    [(steps,)] = database.execute("SELECT steps FROM chat_messages WHERE role = 'assistant'")
    assert steps == [
        [
            {"type": "text", "chars": 10},
            {
                "type": "source",
                "id": "source-1",
                "url": PAGE,
                "title": "Cats",
                "start": 5,
                "end": 9,
            },
        ]
    ]


async def test_a_recovered_answer_keeps_its_sources_with_their_places(
    parley: Parley, model: ScriptedModel, database: psycopg.Connection
) -> None:
    deltas = [{"content": "Cats purr."}, {"annotations": [cited(5, 9)]}, {"content": " Dogs"}]
    model.replies = [Reply(chunks=[*map(chunk, deltas)], hangs_after=2)]
    first = sending(parley.client, user="ann")
    await first.has("Dogs")
    await until_stored(database, "Dogs")
    leave_behind(database)

    await parley.get(path_of(), user="ann")

    answer = (await parley.history(user="ann"))["messages"][1]
    assert answer["finish_reason"] == "interrupted"
    assert answer["parts"] == [
        {"type": "step-start"},
        {"type": "text", "text": "Cats purr. Dogs", "state": "done", "citations": [citation(5, 9)]},
        SOURCE | placed(5, 9),
    ]
