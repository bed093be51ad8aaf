"""The providers of the zoo, one row each: a provider's next quirk is one more line.

The rows follow public reports: the words of a refusal are those that people quote in the issues of
client libraries.
"""

from typing import Any

from tests.zoo.asked import Asked, calls_of, objects_in, sealed, text_of, title_of
from tests.zoo.refusals import (
    Refusal,
    bare_form,
    blocks_unchanged,
    call_not_after_user,
    context_of,
    details_unchanged,
    effort_is_not_none,
    filters,
    google_form,
    ids_of_forty,
    ids_of_nine,
    llama_cpp_form,
    no_blank_text,
    no_documents,
    no_forced_tool,
    no_images,
    no_large_bound,
    no_parameter,
    no_schema_keyword,
    no_system,
    no_unknown_fields,
    seal_of_beginning,
    seal_of_thought,
    short_form,
    strict_order,
    tools_want_no_effort,
    user_after_tool,
    wants_field,
    wants_query,
    wants_signatures,
)
from tests.zoo.responses import (
    items_with_neighbours,
    no_chat_parameters,
    outputs_with_calls,
    reasoning_unchanged,
    wants_no_store,
)
from tests.zoo.server import Miss, Provider, call_id_of
from tests.zoo.streams import (
    begins_with_nothing,
    calls_whole,
    cites,
    cites_beside_the_choices,
    counts_at_the_end,
    draws,
    ends_with,
    ends_without_done,
    ends_without_reason,
    filters_late,
    keeps_alive,
    names_ids_again,
    repeats_calls,
    signs_calls,
    thinks,
    thinks_in_blocks,
    thinks_in_details,
    thinks_in_lists,
    thinks_in_tags,
    with_calls,
)

ALTERNATE = (
    "After the optional system message, conversation roles must alternate "
    "user/assistant/user/assistant/..."
)
AZURE_FILTER = Refusal(
    message="The response was filtered due to the prompt triggering Azure OpenAI's content "
    "management policy. Please modify your prompt and retry. To learn more about our content "
    "filtering policies please read our documentation: "
    "https://go.microsoft.com/fwlink/?linkid=2198766",
    type=None,
    param="prompt",
    code="content_filter",
    more=(("status", 400), ("innererror", {"code": "ResponsibleAIPolicyViolation"})),
)
GLM_FILTER = Refusal(
    message="System detected potentially unsafe or sensitive content in input or generation. "
    "Please avoid using prompts that may generate sensitive content.",
    code="1301",
)
LLAMA_CPP_CONTEXT = Refusal(
    message="the request exceeds the available context size, try increasing it",
    type="exceed_context_size_error",
    more=(("n_prompt_tokens", 1043), ("n_ctx", 1024)),
)


def field_back(name: str) -> Miss:
    """Miss the thought in a field of the provider's own messages."""

    def miss(asked: Asked) -> str | None:
        for message, given in asked.own():
            if message.get(name) != given.thought:
                return f"{name} of {given.key!r} is {message.get(name)!r}"
        return None

    return miss


def call_id_back(asked: Asked) -> str | None:
    """Miss the provider's own id of a call."""
    for message, given in asked.own():
        for call in calls_of(message):
            if given.call is not None and call["id"] != given.call.id:
                return f"the id of {given.key!r} is {call['id']!r}"
    return None


def details_back(asked: Asked) -> str | None:
    """Miss OpenRouter's `reasoning_details` on the provider's own messages."""
    missing = (given.key for message, given in asked.own() if not message.get("reasoning_details"))
    return next((f"reasoning_details of {key!r} are missing" for key in missing), None)


def blocks_back(asked: Asked) -> str | None:
    """Miss LiteLLM's `thinking_blocks` on the provider's own messages."""
    for message, given in asked.own():
        thoughts = [block.get("thinking") for block in objects_in(message, "thinking_blocks")]
        if thoughts != [given.thought]:
            return f"thinking_blocks of {given.key!r} are {thoughts}"
    return None


def list_back(asked: Asked) -> str | None:
    """Miss the thought in the list that is the content of Mistral's own messages."""
    for message, given in asked.own():
        texts = [
            text["text"]
            for part in objects_in(message, "content")
            for text in objects_in(part, "thinking")
        ]
        if "".join(texts) != given.thought:
            return f"the content of {given.key!r} is {message.get('content')!r}"
    return None


def reasoning_back(asked: Asked) -> str | None:
    """Miss the reasoning item before each of the provider's own items of Responses."""
    before: dict[str, Any] = {}
    for item in asked.items:
        key = _key_of_item(item)
        if key in asked.issued and before.get("type") != "reasoning":
            return f"the reasoning before {key!r} is missing"
        before = item
    return None


def _key_of_item(item: dict[str, Any]) -> str:
    if item.get("type") == "function_call":
        return title_of(item)
    return text_of(item) if item.get("role") == "assistant" else ""


def litellm_id(title: str) -> str:
    """Return a call's id with a signature in it."""
    return f"{call_id_of(title)}__thought__{sealed(title)}"


def litellm_ids_unchanged(asked: Asked) -> Refusal | None:
    """Refuse an id whose signature was changed or cut."""
    for item in asked.items:
        for call in calls_of(item):
            if "__thought__" in call["id"] and call["id"] != litellm_id(title_of(call)):
                words = (
                    'litellm.BadRequestError: VertexAIException - {"error": {"code": 400, '
                    '"message": "Invalid value at thought_signature: Base64 decoding failed"}}'
                )
                return Refusal(message=words, why=call["id"])
    return None


# Has no quirk, and takes nothing that another provider has made.
STRICTEST = Provider(
    name="Strictest",
    refusals=(strict_order(ALTERNATE), no_unknown_fields, ids_of_forty),
)

PROVIDERS = (
    Provider(
        name="OpenAI, Chat Completions",
        refusals=(
            tools_want_no_effort,
            no_large_bound(
                "Invalid function parameters for 'tools[0].function.parameters': a numeric value "
                "in the function parameters is too large.",
                param="tools[0].function.parameters",
                code="invalid_function_parameters",
            ),
            no_parameter(
                "max_tokens",
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                "'max_completion_tokens' instead.",
                param="max_tokens",
                code="unsupported_parameter",
            ),
            ids_of_forty,
        ),
        variables={"OPENAI_API": "chat", "OPENAI_MAX_TOKENS": "500"},
    ),
    Provider(
        name="OpenAI, always thinking",
        refusals=(
            effort_is_not_none,
            no_parameter(
                "tools",
                "Function tools with reasoning_effort are not supported for gpt-6-pro in "
                "/v1/chat/completions. Please use /v1/responses instead.",
                param="reasoning_effort",
            ),
        ),
        has_tools=False,
        variables={"OPENAI_API": "chat"},
    ),
    Provider(
        name="OpenAI, Responses",
        thinks=True,
        refusals=(
            no_chat_parameters,
            wants_no_store,
            outputs_with_calls,
            reasoning_unchanged,
            items_with_neighbours,
        ),
        misses=(reasoning_back,),
        draws=True,
        is_chat=False,
        variables={"OPENAI_API": "responses"},
    ),
    Provider(
        name="DeepSeek",
        thinks=True,
        refusals=(
            no_documents(
                "Failed to deserialize the JSON body into the target type: messages[1]: unknown "
                "variant `file`, expected `text` at line 1 column 1183",
                code="invalid_request_error",
            ),
            no_forced_tool("Thinking mode does not support this tool_choice"),
            wants_field(
                "reasoning_content",
                "Missing `reasoning_content` field in the assistant message at message index {}. "
                "For more information, please refer to "
                "https://api-docs.deepseek.com/guides/thinking_mode#tool-calls",
                of_calls_only=False,
            ),
            no_images(
                "Failed to deserialize the JSON body into the target type: messages[1]: unknown "
                "variant `image_url`, expected `text` at line 1 column 283",
                code="invalid_request_error",
            ),
        ),
        streams=(thinks("reasoning_content"), keeps_alive, counts_at_the_end),
        misses=(field_back("reasoning_content"),),
        reads_documents=False,
        reads_images=False,
    ),
    Provider(
        name="OpenRouter",
        thinks=True,
        refusals=(
            details_unchanged,
            no_images("No endpoints found that support image input", status=404, code=404),
        ),
        streams=(thinks_in_details, names_ids_again, draws, keeps_alive, cites),
        cites=True,
        draws=True,
        misses=(details_back,),
        reads_images=False,
    ),
    Provider(
        name="vLLM",
        thinks=True,
        refusals=(
            no_documents("Unknown part type: file", type="BadRequestError", code=400),
            no_images(
                "At most 0 image(s) may be provided in one prompt.",
                type="BadRequestError",
                code=400,
            ),
            strict_order(ALTERNATE, type="BadRequestError", code=400),
        ),
        streams=(thinks("reasoning"), with_calls(ends_without_reason)),
        reads_documents=False,
        reads_images=False,
    ),
    Provider(
        name="vLLM, older",
        thinks=True,
        refusals=(
            no_documents("Unknown part type: file", type="BadRequestError", code=400),
            no_parameter(
                "tools",
                '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to '
                "be set",
                type="BadRequestError",
                code=400,
            ),
            no_images("google/gemma-2-2b-it is not a multimodal model", type="BadRequestError"),
            no_system("System role not supported", type="BadRequestError", code=400),
            strict_order(
                "Conversation roles must alternate user/assistant/user/assistant/...",
                type="BadRequestError",
                code=400,
            ),
        ),
        streams=(thinks("reasoning_content"),),
        form=bare_form,
        has_tools=False,
        reads_documents=False,
        reads_images=False,
    ),
    Provider(
        name="Ollama",
        thinks=True,
        refusals=(
            no_documents("invalid message format"),
            no_parameter(
                "tools",
                "registry.ollama.ai/library/gemma3:4b does not support tools",
                type="api_error",
            ),
            no_images("this model is missing data required for image input", type="api_error"),
        ),
        streams=(thinks("reasoning"),),
        has_tools=False,
        reads_documents=False,
        reads_images=False,
        is_serial=True,
        load_seconds=0.5,
    ),
    Provider(
        name="Groq, parsed",
        thinks=True,
        refusals=(
            no_documents(
                "'messages.1' : for 'role:user' the following must be satisfied"
                "[('messages.1.content' : value must be a string)]"
            ),
            no_images(
                "'messages.1' : for 'role:user' the following must be satisfied"
                "[('messages.1.content' : value must be a string)]"
            ),
        ),
        streams=(thinks("reasoning"), calls_whole),
        misses=(field_back("reasoning"),),
        reads_documents=False,
        reads_images=False,
    ),
    Provider(
        name="Groq, raw", streams=(thinks_in_tags, calls_whole, counts_at_the_end), thinks=True
    ),
    Provider(
        name="Gemini",
        refusals=(
            no_schema_keyword(
                "exclusiveMaximum",
                'Invalid JSON payload received. Unknown name "exclusiveMaximum" at '
                "'tools[0].function_declarations[2].parameters.properties[0].value': Cannot find "
                "field.",
            ),
            call_not_after_user,
            wants_signatures,
        ),
        streams=(calls_whole, signs_calls, with_calls(ends_with("STOP"))),
        form=google_form,
        call_id=lambda title: f"function-call-{int(call_id_of(title)[5:20], 16)}",
    ),
    Provider(
        name="Mistral",
        thinks=True,
        refusals=(
            no_documents(
                "Input tag 'file' found using 'type' does not match any of the expected tags: "
                "'text', 'image_url', 'document_url'"
            ),
            ids_of_nine,
            user_after_tool,
            no_unknown_fields,
        ),
        reads_documents=False,
        streams=(thinks_in_lists, calls_whole, counts_at_the_end),
        misses=(list_back,),
        form=bare_form,
        call_id=lambda title: call_id_of(title)[5:14],
    ),
    Provider(
        name="Kimi",
        thinks=True,
        refusals=(
            no_forced_tool("tool_choice 'specified' is incompatible with thinking enabled"),
            wants_field(
                "reasoning_content",
                "thinking is enabled but reasoning_content is missing in assistant tool call "
                "message at index {}",
                of_calls_only=True,
            ),
        ),
        streams=(thinks("reasoning_content"),),
        misses=(field_back("reasoning_content"),),
        # The first call of every answer has the same id.
        call_id=lambda _title: "functions.add_task:0",
    ),
    Provider(
        name="GLM",
        thinks=True,
        refusals=(filters(GLM_FILTER),),
        # Once only, because Parley waits for usage each time.
        streams=(
            thinks("reasoning_content"),
            repeats_calls,
            with_calls(ends_without_done, title="milk"),
        ),
        misses=(field_back("reasoning_content"),),
        form=short_form,
        filters=True,
    ),
    Provider(
        name="LiteLLM",
        thinks=True,
        refusals=(litellm_ids_unchanged, blocks_unchanged(seal_of_thought)),
        streams=(thinks_in_blocks(seal_of_thought),),
        misses=(call_id_back, blocks_back),
        call_id=litellm_id,
    ),
    Provider(
        name="Anthropic, by a gateway",
        thinks=True,
        refusals=(
            no_large_bound("tools.2.custom.input_schema: int too big to convert"),
            no_forced_tool("Thinking may not be enabled when tool_choice forces tool use."),
            no_blank_text,
            blocks_unchanged(
                seal_of_beginning,
                ". The block is bound to a different conversation. Remove the block, or set "
                '`thinking.block_binding.prefix_mismatch_behavior` to "drop_block".',
            ),
        ),
        streams=(thinks_in_blocks(seal_of_beginning),),
    ),
    Provider(name="x.ai", streams=(cites_beside_the_choices,), cites=True),
    Provider(
        name="Azure",
        refusals=(
            wants_query(
                "api-version",
                Refusal(message="Resource not found", status=404, code="404", type=None),
            ),
            no_parameter(
                "stream_options", "Unrecognized request argument supplied: stream_options"
            ),
            filters(AZURE_FILTER),
        ),
        streams=(begins_with_nothing, filters_late),
        filters=True,
        query="?api-version=2024-10-21",
    ),
    Provider(
        name="llama.cpp",
        thinks=True,
        refusals=(
            no_documents("unsupported content[].type", status=500, type="server_error"),
            no_images(
                "image input is not supported - hint: if this is unexpected, you may need to "
                "provide the mmproj",
                status=500,
                type="server_error",
            ),
            strict_order(
                "Conversation roles must alternate user/assistant/user/assistant/...",
                status=500,
                type="server_error",
            ),
            context_of(2500, LLAMA_CPP_CONTEXT),
        ),
        streams=(thinks("reasoning_content"),),
        form=llama_cpp_form,
        reads_documents=False,
        reads_images=False,
    ),
)
