"""The chunks of the Chat Completions API: text, reasoning, tool calls, and the end of an answer."""

import json
from collections.abc import Iterator
from typing import Any, cast

from lib.model._annotations import pages_in, sources_in
from lib.model._chat.state import ReplyState
from lib.model._inline_thought import InlineThought
from lib.model._pictures import Pictures, is_picture
from lib.model.reply import (
    CallPiece,
    GarbledStreamError,
    ModelFinishReason,
    Piece,
    ProviderError,
    ReasoningPiece,
    Reply,
)
from lib.runtime.counting import note_unreadable_event
from lib.texts import Characters, storable_text

MAX_NAME_CHARS = 255
MAX_TOOL_NAME_CHARS = 64
# Postgres' `integer`.
MAX_INTEGER = 2**31 - 1
# The names that providers have for the reason of an end, in small letters; "other" for all others.
FINISH_REASONS: dict[str, ModelFinishReason | None] = {
    # Some write JSON's null as a word.
    **dict.fromkeys(("", "null", "none"), None),
    **dict.fromkeys(("stop", "end_turn", "eos", "eos_token", "stop_sequence"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
    **dict.fromkeys(("tool_calls", "tool_use", "tool_call", "function_call"), "tool_calls"),
    **dict.fromkeys(
        ("safety", "refusal", "sensitive", "recitation", "blocklist", "prohibited_content", "spii"),
        "content_filter",
    ),
}
# Reasons of an end that is none: the provider failed midway.
FAILURES = {"error", "network_error", "insufficient_system_resource", "abort", "aborted"}
# Texts of a delta, and lists of blocks, in which models think. Where one delta has several of them,
# they say the same, and the first one is shown.
THOUGHT_TEXTS = ("reasoning_content", "reasoning")
THOUGHT_BLOCKS = ("reasoning_details", "thinking_blocks")
# The fields of a call that the API describes. All others must go back with it.
CALL_FIELDS = {"index", "id", "type", "function"}
FUNCTION_FIELDS = {"name", "arguments"}


class ChatReader:
    """Reads the chunks of one response.

    Attributes:
        is_over: the provider has failed midway: nothing that counts follows.
    """

    def __init__(self, reply: Reply, *, has_tools: bool) -> None:
        """Take the reply to note all in that is not a piece; without tools, calls are not read."""
        self.is_over = False
        self._reply = reply
        self._has_tools = has_tools
        self._state = ReplyState()
        self._text = Characters()
        self._thought = Characters()
        # None: the content is past any thought.
        self._inline: InlineThought | None = InlineThought()
        # From here on the content is text that needs no look into it.
        self._is_plain = False
        # The index of the choice that is read; None: no choice has come.
        self._choice: object = None
        self._has_delta = False
        # Characters of the content that are no part of the text: a thought, and blanks before it.
        self._untold_chars = 0
        # The pages beside the choices, which come with each chunk.
        self._pages: object = None
        self._has_thought = False
        self._has_text = False
        self._has_calls = False
        self._pictures = Pictures(reply)
        self._failure: ProviderError | None = None

    def read(self, chunk: dict[str, Any]) -> list[Piece]:
        """Return the pieces in a chunk; a chunk that breaks the API's description has none.

        Raises:
            ProviderError: when the chunk reports an error.
            GarbledStreamError: when a tool call breaks the API's description. Without the broken
                piece its arguments may be others, and still JSON.
        """
        if error := chunk.get("error"):
            raise ProviderError(_error_object(error))
        reply, choices = self._reply, chunk.get("choices")
        if not choices and chunk.get("object") == "error":
            raise ProviderError(chunk)
        if not reply.model_name or chunk.get("usage"):
            self._note_facts(chunk)
        pieces: list[Piece] = []
        try:
            for choice in choices or ():
                self._read_choice(choice, pieces)
            if (pages := chunk.get("search_results") or chunk.get("citations")) != self._pages:
                self._pages = pages
                pieces += pages_in(pages)
        except (AttributeError, TypeError, ValueError, RecursionError):
            note_unreadable_event()
        return pieces

    def end(self, *, is_done: bool) -> Iterator[Piece]:
        """Yield the pieces that waited for more, and judge how the reply has ended.

        Args:
            is_done: `[DONE]` has arrived, which is a provider's word that the answer is whole.

        Raises:
            ProviderError: when the reason of the end is that the provider failed midway.
        """
        pieces: list[Piece] = []
        self._end_texts(pieces)
        yield from pieces
        reply = self._reply
        if self._failure is not None:
            raise self._failure
        has_answer = bool(self._has_text or self._has_calls or self._pictures)
        if reply.finish_reason is None and is_done and (has_answer or self._has_thought):
            reply.finish_reason = "stop"
        if reply.finish_reason == "stop" and self._has_calls:
            reply.finish_reason = "tool_calls"
        if has_answer and reply.finish_reason not in (None, "content_filter"):
            reply.state = self._state.take()

    def _note_facts(self, chunk: dict[str, Any]) -> None:
        """Note the model and the usage."""
        reply = self._reply
        if not reply.model_name and isinstance(name := chunk.get("model"), str):
            # Azure's first chunk has an empty name.
            reply.model_name = storable_text(name)[:MAX_NAME_CHARS] or None
        if isinstance(usage := chunk.get("usage"), dict):
            counts = cast("dict[str, object]", usage)
            reply.prompt_tokens = _token_count(counts.get("prompt_tokens"))
            reply.completion_tokens = _token_count(counts.get("completion_tokens"))
            reply.cached_tokens = cached_tokens_in(
                counts, "prompt_tokens_details", reply.prompt_tokens
            )
            reply.reasoning_tokens = reasoning_tokens_in(counts, "completion_tokens_details")

    def _read_choice(self, choice: dict[str, Any], pieces: list[Piece]) -> None:
        # Parley asks for one choice. Of two that come all the same, one is the answer: together
        # they would be no text, and would run each tool twice.
        index = choice.get("index") or 0
        if self._choice is None:
            self._choice = index
        elif index != self._choice:
            return
        if delta := choice.get("delta"):
            self._has_delta = True
            self._read_delta(delta, pieces)
        # A whole reply instead of a stream has its message here. After deltas it repeats them, but
        # may bring the annotations.
        elif message := choice.get("message"):
            if self._has_delta:
                self._read_annotations(message, pieces)
            else:
                self._read_delta(message, pieces)
        if error := choice.get("error"):
            self._fail(_error_object(error))
        elif reason := choice.get("finish_reason"):
            self._note_end(reason)

    def _note_end(self, reason: str) -> None:
        name = reason.strip().lower()
        if name in FAILURES:
            self._fail({"code": name})
            return
        # Gemini adds the kind: `content_filter: PROHIBITED_CONTENT`.
        is_withheld = name.startswith("content_filter")
        known = "content_filter" if is_withheld else FINISH_REASONS.get(name, "other")
        self._reply.finish_reason = known or self._reply.finish_reason

    def _fail(self, error: dict[str, Any]) -> None:
        """Note a failure, which `end` raises; it takes nothing from an answer that has ended."""
        if self._reply.finish_reason is None:
            self._failure = ProviderError(error)
            self.is_over = True

    def _read_delta(self, delta: dict[str, Any], pieces: list[Piece]) -> None:
        content = delta.get("content")
        # Most deltas are {"content": …}, some with a role.
        is_only_content = content is not None and len(delta) == 1 + ("role" in delta)
        if is_only_content and self._is_plain and isinstance(content, str):
            if text := self._text.add(content).replace("\0", ""):
                pieces.append(text)
            return
        if not is_only_content:
            self._read_thought(delta, pieces)
            content = content or delta.get("refusal")
        if isinstance(content, str):
            self._read_text(content, pieces)
        elif content:
            blocks = cast("list[Any]", content if isinstance(content, list) else [content])
            self._read_blocks(blocks, pieces)
        if not is_only_content:
            self._read_media(delta, pieces)
        if self._has_tools and (calls := delta.get("tool_calls")):
            # The text before a call is complete.
            self._end_texts(pieces)
            self._has_calls = True
            pieces += self._read_calls(calls)
        if not is_only_content:
            self._read_annotations(delta, pieces)

    def _read_annotations(self, delta: dict[str, Any], pieces: list[Piece]) -> None:
        if annotations := delta.get("annotations"):
            pieces += sources_in(annotations, -self._untold_chars)

    def _read_text(self, content: str, pieces: list[Piece]) -> None:
        """Read a piece of the content, which may begin with a thought."""
        if self._state.has_content and not self._has_calls:
            self._state.add_blocks("content", [{"type": "text", "text": content}])
        self._add_text(self._text.add(content), pieces)

    def _add_text(self, text: str, pieces: list[Piece]) -> None:
        text = text.replace("\0", "")
        if self._inline is not None:
            self._untold_chars += len(text)
            thought, text = self._inline.split(text)
            self._untold_chars -= len(text)
            if self._inline.is_over:
                self._inline = None
                self._is_plain = not self._state.has_content
            self._append_thought(thought, pieces)
        self._append_text(text, pieces)

    def _append_thought(self, thought: str, pieces: list[Piece]) -> None:
        if thought:
            self._has_thought = True
            pieces.append(ReasoningPiece(thought))

    def _append_text(self, text: str, pieces: list[Piece]) -> None:
        if text:
            self._has_text = True
            pieces.append(text)

    def _think(self, text: str, pieces: list[Piece]) -> None:
        self._append_thought(self._thought.add(text).replace("\0", ""), pieces)

    def _read_thought(self, delta: dict[str, Any], pieces: list[Piece]) -> None:
        """Read the thought in a delta, and the fields that must go back with the reply."""
        shown = ""
        for name in THOUGHT_TEXTS:
            if (text := delta.get(name)) and isinstance(text, str):
                self._state.add_text(name, text)
                shown = shown or text
        for name in THOUGHT_BLOCKS:
            if (blocks := delta.get(name)) and isinstance(blocks, list):
                self._state.add_blocks(name, cast("list[Any]", blocks))
                shown = shown or "".join(map(_thought_in, cast("list[Any]", blocks)))
        if (extra := delta.get("extra_content")) and isinstance(extra, dict):
            self._state.add_object("extra_content", cast("dict[str, Any]", extra))
        if shown:
            self._think(shown, pieces)

    def _read_media(self, delta: dict[str, Any], pieces: list[Piece]) -> None:
        """Read the pictures in a delta, and of sound its words."""
        if (pictures := delta.get("images")) and isinstance(pictures, list):
            self._pictures.read(cast("list[Any]", pictures), pieces)
        if (sound := delta.get("audio")) and isinstance(sound, dict):
            fields = cast("dict[str, Any]", sound)
            self._reply.left_out_count += bool(fields.get("data"))
            if (words := fields.get("transcript")) and isinstance(words, str):
                self._read_text(words, pieces)

    def _read_blocks(self, blocks: list[Any], pieces: list[Piece]) -> None:
        """Read a content that is a list, as Mistral's is."""
        # It goes back as a whole, or not at all: not where its beginning came in another form.
        is_state = self._state.has_content or (not self._has_text and any(map(_is_thought, blocks)))
        if is_state and not self._has_calls:
            self._is_plain = False
            # Pictures do not go back: the model is told that there was one.
            self._state.add_blocks("content", [each for each in blocks if not is_picture(each)])
        for block in blocks:
            if is_picture(block):
                self._pictures.read([block], pieces)
            elif thought := _thought_in(block):
                self._think(thought, pieces)
            elif text := _text_in(block):
                self._add_text(self._text.add(text), pieces)

    def _end_texts(self, pieces: list[Piece]) -> None:
        """Add text that waited for the other half of a character, or for the rest of a tag."""
        if thought := self._thought.end():
            self._think(thought, pieces)
        if text := self._text.end():
            self._add_text(text, pieces)
        if self._inline is not None:
            thought, text = self._inline.end()
            self._untold_chars -= len(text)
            self._append_thought(thought, pieces)
            self._append_text(text, pieces)

    def _read_calls(self, calls: list[dict[str, Any]]) -> list[CallPiece]:
        try:
            return [self._call_piece(call) for call in calls]
        except (AttributeError, TypeError, ValueError, OverflowError, RecursionError) as error:
            message = "a tool call breaks the API's description"
            raise GarbledStreamError(message) from error

    def _call_piece(self, call: dict[str, Any]) -> CallPiece:
        function: dict[str, Any] = call.get("function") or {}
        arguments = function.get("arguments")
        if arguments is None:
            arguments = ""
        call_id = str(call.get("id") or "")
        return CallPiece(
            index=int(call.get("index") or 0),
            id=storable_text(call_id),
            name=storable_text(function.get("name") or "")[:MAX_TOOL_NAME_CHARS],
            # Some servers send an object, against the API's description.
            arguments=arguments if isinstance(arguments, str) else json.dumps(arguments),
            state=self._call_state(call_id, call, function),
        )

    def _call_state(
        self, call_id: str, call: dict[str, Any], function: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Return the fields of a call that must go back; None: this piece has none."""
        state = _further(call, CALL_FIELDS)
        if further := _further(function, FUNCTION_FIELDS):
            state["function"] = further
        if call_id:
            state["id"] = call_id
        return self._state.of_call(state) if state else None


def _error_object(error: object) -> dict[str, Any]:
    """Return an error as an object; some servers send its text alone."""
    return cast("dict[str, Any]", error) if isinstance(error, dict) else {"message": str(error)}


def _further(fields: dict[str, Any], described: set[str]) -> dict[str, Any]:
    """Return the fields that the API does not describe."""
    return {
        name: value for name, value in fields.items() if name not in described and value is not None
    }


def _is_thought(block: object) -> bool:
    """Return whether the model thinks in a block of content or of reasoning."""
    if not isinstance(block, dict):
        return False
    fields = cast("dict[str, Any]", block)
    return "thinking" in fields or str(fields.get("type")).startswith("reasoning")


def _thought_in(block: Any) -> str:  # noqa: ANN401 (JSON)
    """Return the thought in a block; '' if it is sealed, or if there is none."""
    if not _is_thought(block):
        return ""
    parts = block.get("thinking") or block.get("summary") or block
    return "".join(map(_text_in, cast("list[Any]", parts) if isinstance(parts, list) else [parts]))


def _text_in(block: object) -> str:
    """Return the text of a block, which some servers send without the block around it."""
    if isinstance(block, dict):
        fields = cast("dict[str, Any]", block)
        block = fields.get("text") or fields.get("refusal")
    return block if isinstance(block, str) else ""


def reasoning_tokens_in(usage: dict[str, object], name: str) -> int | None:
    """Return the tokens of thoughts in a usage, which has them in an object of that name."""
    details = usage.get(name)
    # Some gateways put them beside the other counts.
    counts = cast("dict[str, object]", details) if isinstance(details, dict) else usage
    return _token_count(counts.get("reasoning_tokens"))


def cached_tokens_in(usage: dict[str, object], name: str, prompt_tokens: int | None) -> int | None:
    """Return those tokens of a prompt that came from the provider's cache; None: unknown.

    Args:
        usage: the usage; has them in an object of that name (OpenAI and most), beside the other
            counts (Moonshot), or by DeepSeek's name, "prompt_cache_hit_tokens".
        name: the object's.
        prompt_tokens: all of them; gateways that count cached tokens apart tell fewer.
    """
    details = usage.get(name)
    counts = cast("dict[str, object]", details) if isinstance(details, dict) else {}
    cached = next(
        (
            each
            for each in (counts.get("cached_tokens"), usage.get("cached_tokens"))
            if each is not None
        ),
        usage.get("prompt_cache_hit_tokens"),
    )
    count = _token_count(cached)
    return None if count is None or prompt_tokens is None else min(count, prompt_tokens)


def _token_count(count: object) -> int | None:
    """Return a number of tokens; None if it is not one, because it must not cost the answer."""
    return count if isinstance(count, int) and 0 <= count <= MAX_INTEGER else None
