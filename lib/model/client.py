"""The model: any OpenAI-compatible provider, asked through the package `openai`.

The package sends the request (keys, base URL, errors); Parley reads the raw response. The package's
own reader makes a pydantic object of each chunk, which costs 166 to 195 ms of CPU for 1,000 tokens.

Imported with the first message, by the chat function alone: `import openai` takes about 230 ms.
"""

from collections.abc import AsyncGenerator

import httpx2
import openai

from lib.model._connection import body_of
from lib.model._dialects import dialect
from lib.model._events import EventStream
from lib.model._refusals import problem_of
from lib.model.reply import GarbledStreamError, Piece, Reply
from lib.model.request import ModelRequest
from lib.problems import AnswerWithheld, ModelFailed


async def stream_answer(request: ModelRequest, reply: Reply) -> AsyncGenerator[Piece]:
    """Ask a model and yield the pieces of its answer as they arrive.

    Args:
        request: the request.
        reply: filled in while the answer streams.

    Raises:
        ModelRefused: when the key, the model or a parameter is wrong.
        ModelOverloaded: when the provider answers 429, 503 or 529.
        ModelTimeout: when there is no connection in time, or SILENCE_TIMEOUT_SECONDS of silence.
        AnswerWithheld: when a content filter lets nothing through.
        ModelFailed: on any other failure; also when the stream is cut or garbled, or has no answer.
    """
    events, is_empty = EventStream(), True
    spoken = dialect()
    reader = spoken.reader(reply, has_tools=bool(request.tools))
    try:
        async with spoken.send(spoken.body(request)) as response:
            async for received in body_of(response.http_response):
                for event in events.feed(received):
                    for piece in reader.read(event):
                        is_empty = False
                        yield piece
                if events.is_done:
                    break
    except (openai.APIError, httpx2.HTTPError, httpx2.StreamError, GarbledStreamError) as error:
        # A failure after the finish reason takes nothing from the answer.
        if reply.finish_reason is None:
            raise problem_of(error) from error
    if is_empty and reply.finish_reason == "content_filter":
        raise AnswerWithheld
    if is_empty or reply.finish_reason is None:
        raise ModelFailed from GarbledStreamError(f"{is_empty=}, {reply.finish_reason=}")
