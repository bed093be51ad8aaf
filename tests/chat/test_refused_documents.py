"""A provider that refuses a PDF refuses that message alone, never the conversation."""

import json
from typing import Any

import httpx2
import pytest

from tests.support.documents import PDF, sent_file
from tests.support.images import IMAGES, file_part
from tests.support.model_server import Reply, ScriptedModel
from tests.support.product import CHAT_ID, Parley, problem_of, text_of

REPORT = sent_file("report.pdf", PDF, "application/pdf")
PNG = file_part(*IMAGES["PNG"])
# The words of refusals, as people report them of each provider.
NO_PDF = {
    "OpenAI": "Invalid value: 'file'. Supported values are: 'text', 'image_url' and 'input_audio'.",
    "OpenAI, the model": "This model does not support file content types.",
    "DeepSeek": "Failed to deserialize the JSON body into the target type: messages[1]: unknown "
    "variant `file`, expected `text` or `image_url` at line 1 column 2838",
    "vLLM": "Unknown part type: file",
    "llama.cpp": "unsupported content[].type",
    "Ollama": "invalid message format",
    "OpenRouter": "No endpoints found that support file input",
    "Groq": "'messages.1' : for 'role:user' the following must be satisfied"
    "[('messages.1.content' : value must be a string)]",
    "Mistral": "Input tag 'file' found using 'type' does not match any of the expected tags: "
    "'text', 'image_url'",
    "Gemini": "Unsupported MIME type: application/pdf",
}
BAD_PDF = (
    "The PDF specified was not valid.",
    "The PDF specified is password protected.",
    "Could not process PDF",
    "A maximum of 100 PDF pages may be provided.",
    "The document has no pages.",
    "Invalid file data: 'file_data'. Expected a base64-encoded data URL",
    "Failed to parse report.pdf",
    "File parsing failed",
)


class Refusing:
    """A provider that refuses what contains some text."""

    def __init__(self, text: str, words: str, status: int = 400) -> None:
        """Take the text in the messages, and the words and the status of the error."""
        self._text = text
        self._reply = Reply(status=status, error={"error": {"message": words, "param": None}})

    def reply_to(self, body: dict[str, Any]) -> Reply:
        """Refuse a request, or answer it."""
        return self._reply if self._text in json.dumps(body["messages"]) else Reply()


def has_pdf(body: dict[str, Any]) -> bool:
    """Return whether a request has a PDF."""
    return '"type": "file"' in json.dumps(body["messages"])


async def send(
    parley: Parley, *files: dict[str, str], message_id: str = "message-1", chat_id: str = CHAT_ID
) -> httpx2.Response:
    """Send a question with files."""
    parts = [{"type": "text", "text": "What is this?"}, *files]
    message = {"id": message_id, "role": "user", "parts": parts}
    return await parley.send("", messages=[message], user="ann", chat_id=chat_id)


@pytest.mark.parametrize("words", [*NO_PDF.values(), *BAD_PDF])
async def test_a_pdf_that_the_provider_refuses_is_a_422_and_the_conversation_goes_on_without_it(
    parley: Parley, model: ScriptedModel, words: str
) -> None:
    model.choose = Refusing('"type": "file"', words).reply_to

    problem = problem_of(await send(parley, REPORT), 422, "file_refused")
    assert problem["detail"].startswith("The model cannot read a file of this message.")
    assert len(model.requests) == 1

    response = await parley.send("Hello", message_id="message-2", user="ann")
    assert text_of(response) == "Hello, how are you?"
    assert [has_pdf(body) for body in model.requests] == [True, False]


@pytest.mark.parametrize("words", NO_PDF.values(), ids=NO_PDF.keys())
async def test_an_earlier_pdf_is_left_out_for_a_model_that_reads_none(
    parley: Parley, model: ScriptedModel, words: str
) -> None:
    await send(parley, REPORT)
    model.choose = Refusing('"type": "file"', words).reply_to

    for number in (2, 3):
        response = await parley.send("And?", message_id=f"message-{number}", user="ann")
        assert text_of(response) == "Hello, how are you?"

    content = model.requests[-1]["messages"][1]["content"]
    assert content == "What is this?\n\n[There was a PDF document here, which you cannot read.]"


async def test_a_model_that_reads_pictures_and_no_pdf_keeps_earlier_pictures(
    parley: Parley, model: ScriptedModel
) -> None:
    await send(parley, PNG, REPORT)
    model.choose = Refusing('"type": "file"', NO_PDF["OpenAI"]).reply_to

    for number in (2, 3):
        await parley.send("And?", message_id=f"message-{number}", user="ann")

    # Asked in vain once, and never again.
    assert [has_pdf(body) for body in model.requests] == [True, True, False, False]
    kinds = [part["type"] for part in model.requests[-1]["messages"][1]["content"]]
    assert kinds == ["text", "image_url", "text"]


async def test_a_pdf_is_asked_about_though_an_earlier_picture_has_to_be_left_out(
    parley: Parley, model: ScriptedModel
) -> None:
    await send(parley, PNG)
    words = "This model does not support image input."
    model.choose = Refusing('"type": "image_url"', words).reply_to

    assert text_of(await send(parley, REPORT, message_id="message-2")) == "Hello, how are you?"

    assert has_pdf(model.requests[-1])
