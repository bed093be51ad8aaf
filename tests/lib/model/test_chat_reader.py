"""Chunks of Chat Completions as providers send them: text, thought, calls, ends, and state."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.model._chat.request import chat_messages
from lib.model._chat.state import MAX_STATE_CHARS
from lib.model._chat.stream import ChatReader
from lib.model.reply import CallPiece, GarbledStreamError, ProviderError, ReasoningPiece, Reply
from lib.model.request import AssistantMessage, PromptCall, UserMessage
from lib.runtime.counting import UNREADABLE_EVENTS, counters

HELLO = {"content": "Hello"}
CALL: dict[str, Any] = {
    "tool_calls": [{"index": 0, "id": "a", "function": {"name": "list_tasks", "arguments": "{}"}}]
}


def chunk(delta: dict[str, Any] | None = None, reason: object = None, **fields: Any) -> Any:
    """Return a chunk with a delta, a reason of the end, and further fields of its choice."""
    return {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": reason} | fields]}


class Read:
    """Some chunks, read.

    Attributes:
        text: the text.
        thought: the reasoning.
        calls: the pieces of calls.
        reply: the facts.
        has_failed: the reader says so.
    """

    def __init__(self, *chunks: Any, is_done: bool = True) -> None:
        """Read the chunks."""
        self.reply = Reply()
        self.has_failed = False
        reader = ChatReader(self.reply, has_tools=True)
        pieces = [piece for each in chunks for piece in reader.read(each)]
        try:
            for piece in reader.end(is_done=is_done):
                pieces.append(piece)  # noqa: PERF402 (those before the failure count)
        except ProviderError:
            self.has_failed = True
        self.pieces = pieces
        self.text = "".join(piece for piece in pieces if isinstance(piece, str))
        thoughts = (piece.text for piece in pieces if isinstance(piece, ReasoningPiece))
        self.thought = "".join(thoughts)
        self.calls = [piece for piece in pieces if isinstance(piece, CallPiece)]


def sent_back(read: Read, *calls: PromptCall) -> dict[str, Any]:
    """Return the message that tells the provider its reply."""
    message = AssistantMessage(read.text, calls, read.reply.state)
    return chat_messages([UserMessage(("Hi",)), message])[1]


@pytest.mark.parametrize(
    ("usage", "cached"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 5}}, 5),
        ({"prompt_tokens_details": {"cached_tokens": 0}}, 0),
        ({"prompt_tokens_details": {"cached_tokens": None}, "cached_tokens": 4}, 4),
        ({"prompt_cache_hit_tokens": 3, "prompt_cache_miss_tokens": 4}, 3),
        # A gateway that counts them beside the prompt's tokens.
        ({"prompt_tokens_details": {"cached_tokens": 9}}, 7),
        ({"prompt_tokens_details": None}, None),
        ({"prompt_tokens_details": {"cached_tokens": "5"}}, None),
        ({"prompt_tokens_details": {"cached_tokens": -1}}, None),
        ({"prompt_tokens_details": {"cached_tokens": 5}, "prompt_tokens": None}, None),
    ],
)
def test_tokens_from_the_cache_are_read_as_providers_tell_them(
    usage: dict[str, Any], cached: int | None
) -> None:
    counted: dict[str, Any] = {"prompt_tokens": 7, "completion_tokens": 1} | usage
    end: dict[str, Any] = {"choices": [], "usage": counted}

    assert Read(chunk(HELLO, "stop"), end).reply.cached_tokens == cached


REASONS = {
    "stop": ["stop", "STOP", "end_turn", "eos"],
    "length": ["length", "MAX_TOKENS", "max_tokens", "model_length"],
    "tool_calls": ["tool_calls", "tool_use", "function_call"],
    "content_filter": [
        "content_filter", "CONTENT_FILTER", "content_filter: PROHIBITED_CONTENT",
        "SAFETY", "refusal", "sensitive",
    ],
    "other": ["x"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "known"), [(each, known) for known, names in REASONS.items() for each in names]
)
def test_a_finish_reason_is_known_under_each_of_its_names(reason: str, known: str) -> None:
    read = Read(chunk(HELLO), chunk(reason=reason), is_done=False)

    assert (read.text, read.reply.finish_reason, read.has_failed) == ("Hello", known, False)


@pytest.mark.parametrize(
    "reason", ["error", "ERROR", "network_error", "insufficient_system_resource", "abort"]
)
def test_a_reason_that_is_a_failure_ends_the_reply_as_failed_after_its_text(reason: str) -> None:
    read = Read(chunk(HELLO, reason))

    assert (read.text, read.reply.finish_reason, read.has_failed) == ("Hello", None, True)


def test_a_failure_after_the_finish_reason_takes_nothing_from_the_reply() -> None:
    read = Read(chunk(HELLO, "stop"), chunk(reason="error"))

    assert (read.reply.finish_reason, read.has_failed) == ("stop", False)


@pytest.mark.parametrize("empty", ["", None, "null", "NONE"])
def test_an_empty_finish_reason_is_none(empty: str | None) -> None:
    read = Read(chunk(HELLO, empty), is_done=False)

    assert read.reply.finish_reason is None


@pytest.mark.parametrize(
    ("delta", "reason"), [(HELLO, "stop"), (CALL, "tool_calls"), ({"reasoning": "Hm."}, "stop")]
)
def test_done_without_a_finish_reason_ends_a_reply_well(delta: dict[str, Any], reason: str) -> None:
    assert Read(chunk(delta)).reply.finish_reason == reason


def test_done_alone_ends_no_reply() -> None:
    assert Read(chunk({"role": "assistant"})).reply.finish_reason is None


def test_a_response_that_ends_without_done_and_reason_is_cut_and_has_no_state() -> None:
    read = Read(chunk({"reasoning_content": "Hm."}), chunk(HELLO), is_done=False)

    assert (read.reply.finish_reason, read.reply.state) == (None, None)


def test_tool_calls_with_the_reason_stop_are_tool_calls() -> None:
    assert Read(chunk(CALL, "stop")).reply.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("reported", "error"),
    [
        ({"error": {"code": 429}}, {"code": 429}),
        ({"error": "slow down"}, {"message": "slow down"}),
        ({"object": "error", "code": 400}, {"object": "error", "code": 400}),
    ],
)
def test_an_error_in_the_stream_is_raised_as_the_provider_sent_it(
    reported: dict[str, Any], error: dict[str, Any]
) -> None:
    with pytest.raises(ProviderError) as raised:
        ChatReader(Reply(), has_tools=True).read(reported)

    assert raised.value.error == error


def test_an_error_in_a_choice_ends_the_reply_as_failed_after_its_text() -> None:
    read = Read(chunk(HELLO, error={"code": 502, "message": "x"}), is_done=False)

    assert (read.text, read.has_failed) == ("Hello", True)


@pytest.mark.parametrize(
    "broken",
    [
        {"choices": {"a": 1}},
        {"choices": 5},
        {"choices": [None]},
        chunk(reason=["stop"]),
        {"choices": [{"delta": "x"}]},
    ],
)
def test_a_chunk_that_breaks_the_description_is_skipped_and_counted(broken: Any) -> None:
    counters().take()

    read = Read(chunk(HELLO), broken, chunk({"content": "!"}, "stop"))

    assert (read.text, read.reply.finish_reason) == ("Hello!", "stop")
    assert [key[0] for key in counters().take()] == [UNREADABLE_EVENTS.name]


@pytest.mark.parametrize(
    "calls", [{"a": 1}, ["x"], [{"index": "x"}], [{"function": "x"}], [{"index": float("inf")}]]
)
def test_a_broken_piece_of_a_call_fails_because_without_it_the_arguments_may_be_others(
    calls: Any,
) -> None:
    with pytest.raises(GarbledStreamError):
        Read(chunk(CALL), chunk({"tool_calls": calls}))


def test_of_several_choices_one_is_read() -> None:
    def both(text: str) -> dict[str, Any]:
        return {"choices": [{"index": n, "delta": {"content": f"{text}{n}"}} for n in (0, 1)]}

    assert Read(both("a"), both("b")).text == "a0b0"


WHOLE = {"role": "assistant", "content": "Hello", "tool_calls": CALL["tool_calls"]}


def test_a_whole_reply_instead_of_a_stream_is_read() -> None:
    body = {"object": "chat.completion", "choices": [{"message": WHOLE, "finish_reason": "stop"}]}

    read = Read(body, is_done=False)

    assert (read.text, len(read.calls), read.reply.finish_reason) == ("Hello", 1, "tool_calls")


def test_a_message_after_deltas_repeats_them_and_is_not_read() -> None:
    read = Read(chunk(HELLO), {"choices": [{"message": WHOLE, "finish_reason": "stop"}]})

    assert (read.text, read.calls) == ("Hello", [])


def test_the_model_is_named_by_the_first_chunk_that_has_a_name() -> None:
    filtered: dict[str, Any] = {"choices": [], "model": "", "prompt_filter_results": []}

    assert Read(filtered, chunk(HELLO) | {"model": "gpt"}).reply.model_name == "gpt"


CONTENTS: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "DeepSeek": ([{"reasoning_content": "Hm."}, HELLO], "Hm.", "Hello"),
    "vLLM, Ollama, Groq": ([{"reasoning": "Hm.", "content": ""}, HELLO], "Hm.", "Hello"),
    "two names for one thought": (
        [{"reasoning": "Hm.", "reasoning_content": "Hm."}, HELLO], "Hm.", "Hello",
    ),
    "both in one delta": ([{"reasoning": "Hm.", "content": "Hello"}], "Hm.", "Hello"),
    "OpenRouter": (
        [{"reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]}, HELLO], "Hm.", "Hello",
    ),
    "OpenRouter, a summary": (
        [{"reasoning_details": [{"type": "reasoning.summary", "summary": "Hm."}]}, HELLO],
        "Hm.", "Hello",
    ),
    "OpenRouter, sealed": (
        [{"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, HELLO],
        "", "Hello",
    ),
    "LiteLLM": (
        [{"thinking_blocks": [{"type": "thinking", "thinking": "Hm."}]}, HELLO], "Hm.", "Hello",
    ),
    "Mistral": (
        [
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]},
            {"content": [{"type": "text", "text": "Hel"}]}, {"content": "lo"},
        ],
        "Hm.", "Hello",
    ),
    "a list of texts": ([{"content": [{"text": "Hel"}, "lo"]}], "", "Hello"),
    "an object": ([{"content": {"type": "text", "text": "Hello"}}], "", "Hello"),
    "a refusal": ([{"content": None, "refusal": "Hello"}], "", "Hello"),
    "tags": ([{"content": "<think>Hm.</think>Hello"}], "Hm.", "Hello"),
    "other tags": (
        [{"content": "<thin"}, {"content": "king>Hm.</think></thinking>Hello"}],
        "Hm.</think>", "Hello",
    ),
    "Gemini's tags": (
        [{"content": "<thought>Hm.</thou"}, {"content": "ght>\nHello"}], "Hm.", "Hello",
    ),
    "Mistral's tags": ([{"content": "[THINK]Hm.[/THINK]Hello"}], "Hm.", "Hello"),
    "tags among blank lines": (
        [{"content": "\n<think>\nHm.\n</think>\n\n"}, {"content": "\nHello"}], "Hm.", "Hello",
    ),
    "tags with nothing in them": (
        [{"content": "<think>"}, {"content": "\n\n"}, {"content": "</think>\n\nHello"}],
        "", "Hello",
    ),
    "an ending tag alone": ([{"content": "</think>"}, {"content": "\n\nHello"}], "", "Hello"),
    "an ending tag that never comes": ([{"content": "<think>Hm. </thi"}], "Hm. </thi", ""),
    "tags in the middle of a text": (
        [{"content": "Use <think>"}, {"content": " and </think>"}], "", "Use <think> and </think>",
    ),
    "a text that begins like a tag": ([{"content": "<thi"}, {"content": "s>"}], "", "<this>"),
    "a text that is the beginning of a tag": ([{"content": " <"}], "", " <"),
    "a second thought": (
        [{"content": "<think>a</think>b<think>c</think>"}], "a", "b<think>c</think>",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", CONTENTS)
def test_thought_is_told_from_text_in_each_form(form: str) -> None:
    deltas, thought, text = CONTENTS[form]

    read = Read(*map(chunk, deltas), chunk(reason="stop"))

    assert (read.thought, read.text) == (thought, text)


def halves(text: str) -> list[str]:
    """Return a text in UTF-16 units, as a provider may cut it: half a character has a surrogate."""
    units = text.encode("utf-16-le")
    return [
        units[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2)
    ]


texts = st.text(st.sampled_from("ab <>/😀é\u2028"), max_size=20)


@settings(max_examples=500)
@given(
    st.sampled_from(["", " ", "\n<think>"]), texts, st.sampled_from(["</think>", ""]), texts,
    st.data(),
)  # fmt: skip
def test_thought_and_text_are_the_same_wherever_a_provider_cuts_them(
    before: str, thought: str, after: str, text: str, data: st.DataObject
) -> None:
    whole = before + thought + after + text
    units = halves(whole)
    cuts = data.draw(st.lists(st.integers(0, len(units)), max_size=20))
    pieces = ["".join(units[a:b]) for a, b in pairwise([0, *sorted(cuts), len(units)])]
    expected = Read(chunk({"content": whole}), chunk(reason="stop"))

    read = Read(*(chunk({"content": each}) for each in pieces), chunk(reason="stop"))

    assert (read.text, read.thought) == (expected.text, expected.thought)
    # None of the pieces has half a character.
    for piece in (read.text, read.thought):
        assert "\ufffd" not in piece
        piece.encode()


@given(texts)
def test_characters_in_a_thoughts_field_are_joined_too(thought: str) -> None:
    read = Read(*(chunk({"reasoning": each}) for each in halves(thought)), chunk(HELLO, "stop"))

    assert read.thought == thought
    assert (read.reply.state or {}).get("reasoning", "") == thought


def test_a_half_character_that_stays_alone_is_replaced_at_the_end() -> None:
    assert Read(chunk({"content": "a\ud83d"}), chunk(reason="stop")).text == "a\ufffd"
    assert Read(chunk({"content": "a\ude00"}), chunk({"content": "b"})).text == "a\ufffdb"


def test_a_half_character_before_a_call_belongs_to_the_text_before_it() -> None:
    read = Read(chunk({"content": "a\ud83d"}), chunk(CALL, "tool_calls"))

    assert [type(piece) for piece in read.pieces] == [str, str, CallPiece]


STATES: dict[str, tuple[list[dict[str, Any]], dict[str, Any] | None]] = {
    "a plain text": ([HELLO], None),
    "no thought in its field": ([{"reasoning_content": "", "content": "Hello"}], None),
    "tags": ([{"content": "<think>Hm.</think>Hello"}], None),
    "reasoning_content": (
        [{"reasoning_content": "Let "}, {"reasoning_content": "me."}, HELLO],
        {"reasoning_content": "Let me."},
    ),
    "reasoning": ([{"reasoning": "Let "}, {"reasoning": "me."}, HELLO], {"reasoning": "Let me."}),
    "both, under both names": (
        [{"reasoning": "a", "reasoning_content": "a"}, HELLO],
        {"reasoning": "a", "reasoning_content": "a"},
    ),
    "details by index": (
        [
            {"reasoning_details": [
                {"type": "reasoning.text", "text": "Let ", "index": 0, "format": "anthropic"},
            ]},
            {"reasoning_details": [{"type": "reasoning.text", "text": "me.", "index": 0}]},
            {"reasoning_details": [
                {"type": "reasoning.text", "signature": "sig", "index": 0, "text": ""},
                {"type": "reasoning.summary", "summary": "S", "index": 1, "id": None},
            ]},
            {"reasoning_details": [
                {"type": "reasoning.summary", "summary": "um", "index": 1, "id": "rs_1"},
                {"type": "reasoning.encrypted", "data": "x", "index": 1, "id": "rs_1"},
                {"type": "reasoning.encrypted", "data": "y", "index": 2, "id": "rs_2"},
            ]},
            {"reasoning_details": [
                {"type": "reasoning.encrypted", "data": "y", "index": 2, "id": "rs_2"},
                {"type": "reasoning.encrypted", "data": "z", "index": 1, "id": "rs_1"},
            ]},
            HELLO,
        ],
        {"reasoning_details": [
            {"type": "reasoning.text", "text": "Let me.", "index": 0, "format": "anthropic",
             "signature": "sig"},
            {"type": "reasoning.summary", "summary": "Sum", "index": 1, "id": "rs_1"},
            {"type": "reasoning.encrypted", "data": "xz", "index": 1, "id": "rs_1"},
            {"type": "reasoning.encrypted", "data": "y", "index": 2, "id": "rs_2"},
        ]},
    ),
    "details without an index": (
        [
            {"reasoning_details": [{"type": "reasoning.text", "text": "Let "}]},
            {"reasoning_details": [{"type": "reasoning.text", "text": "me."}]},
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "y"}]},
            HELLO,
        ],
        {"reasoning_details": [
            {"type": "reasoning.text", "text": "Let me."},
            {"type": "reasoning.encrypted", "data": "x"},
            {"type": "reasoning.encrypted", "data": "y"},
        ]},
    ),
    "thinking blocks": (
        [
            {"thinking_blocks": [{"type": "thinking", "thinking": "Let ", "signature": None}]},
            {"thinking_blocks": [{"type": "thinking", "thinking": "me.", "signature": None}]},
            {"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "one"}]},
            {"thinking_blocks": [{"type": "thinking", "thinking": "More", "signature": None}]},
            {"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "two"}]},
            {"thinking_blocks": [{"type": "redacted_thinking", "data": "x"}]},
            {"thinking_blocks": [{"type": "redacted_thinking", "data": "y"}]},
            HELLO,
        ],
        {"thinking_blocks": [
            {"type": "thinking", "thinking": "Let me.", "signature": "one"},
            {"type": "thinking", "thinking": "More", "signature": "two"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "redacted_thinking", "data": "y"},
        ]},
    ),
    "Mistral's content": (
        [
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Let "}]}]},
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "me."}]}]},
            {"content": "Hel"},
            {"content": [{"type": "text", "text": "lo"}]},
        ],
        {"content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "Let me."}]},
            {"type": "text", "text": "Hello"},
        ]},
    ),
    "Gemini's signature of a text": (
        [HELLO, {"extra_content": {"google": {"thought_signature": "sig"}}}],
        {"extra_content": {"google": {"thought_signature": "sig"}}},
    ),
    "characters in halves": (
        [{"reasoning": "\ud83d"}, {"reasoning": "\ude00\ud83d"}, HELLO], {"reasoning": "😀\ufffd"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", STATES)
def test_what_must_go_back_is_kept_under_its_own_name(form: str) -> None:
    deltas, state = STATES[form]

    read = Read(*map(chunk, deltas), chunk(reason="stop"))

    assert read.reply.state == state
    expected: dict[str, Any] = {"role": "assistant", "content": "Hello"} | (state or {})
    assert sent_back(read) == expected


@pytest.mark.parametrize("deltas", [[{"reasoning": "Hm."}], [{"content": "<think>Hm."}]])
def test_a_reply_that_only_thinks_has_no_state(deltas: list[dict[str, Any]]) -> None:
    assert Read(*map(chunk, deltas), chunk(reason="stop")).reply.state is None


def test_a_state_that_is_too_long_is_dropped_as_a_whole_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "parley")
    long = "x" * (MAX_STATE_CHARS // 2)
    thinks = [chunk({"reasoning": long}) for _ in range(4)]

    read = Read(chunk({"extra_content": {"a": 1}}), *thinks, chunk(HELLO, "stop"))

    assert read.reply.state is None
    assert len(read.thought) == 4 * len(long)
    assert caplog.text.count("provider_state_too_long") == 1


def test_a_content_list_that_says_another_text_than_the_step_is_left_out() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    state = {"content": [thinking, {"type": "text", "text": "Hello"}], "reasoning": "Hm."}

    [message] = chat_messages([AssistantMessage("Bye", (), state)])

    assert message == {"role": "assistant", "content": "Bye", "reasoning": "Hm."}


def call(**fields: Any) -> dict[str, Any]:
    """Return a delta with a piece of a call."""
    return {"tool_calls": [{"index": 0} | fields]}


def test_the_fields_of_a_call_that_the_api_does_not_describe_go_back_with_it() -> None:
    signature = {"google": {"thought_signature": "sig"}}
    function = {"name": "list_tasks", "arguments": "{}", "strict": True}
    first = call(id="a" * 300, type="function", extra_content=signature, function=function)

    [piece] = Read(chunk(first, "tool_calls")).calls
    prompt_call = PromptCall("call_1", "list_tasks", "{}", "[]", piece.state)
    called, result = chat_messages([AssistantMessage("", (prompt_call,))])

    assert called["tool_calls"] == [
        {
            "id": "a" * 300,
            "type": "function",
            "extra_content": signature,
            "function": function,
        }
    ]
    assert result["tool_call_id"] == "a" * 300


def test_a_call_without_state_gets_an_id_that_every_provider_takes() -> None:
    prompt_call = PromptCall("call_" + "x" * 40, "list_tasks", "{}", "[]")

    called, result = chat_messages([AssistantMessage("", (prompt_call,))])

    [sent] = called["tool_calls"]
    assert len(sent["id"]) == 9
    assert sent["id"].isalnum()
    assert result["tool_call_id"] == sent["id"]


def test_an_id_that_a_provider_repeats_in_one_answer_goes_back_once() -> None:
    one = PromptCall("call_1", "list_tasks", "{}", "[1]", {"id": "x", "extra_content": 1})
    two = PromptCall("call_2", "list_tasks", "{}", "[2]", {"id": "x", "extra_content": 2})
    three = PromptCall("call_3", "list_tasks", "{}", "[3]", {"id": "x"})
    hi = UserMessage(("Hi",))

    messages = chat_messages(
        [hi, AssistantMessage("", (one,)), AssistantMessage("", (two,)), hi,
         AssistantMessage("", (three,))]
    )  # fmt: skip

    calls = [each for message in messages for each in message.get("tool_calls", [])]
    assert [each["id"] == "x" for each in calls] == [True, False, True]
    assert [each.get("extra_content") for each in calls] == [1, 2, None]
    results = [message["tool_call_id"] for message in messages if message["role"] == "tool"]
    assert results == [each["id"] for each in calls]
