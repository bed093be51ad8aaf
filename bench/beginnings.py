"""How much of each request the model's provider has read before: the bytes with which both begin.

    python -m bench.beginnings    takes half a minute

A conversation of 200 turns with a provider that reads 4,000 tokens and refuses more. Every fifth
question makes the model call a tool, every seventh answer is marked as a mistake, and every
eleventh question changes the tone. The share of a request is that of its tools and messages, as
JSON, that the request before began with; providers bill that at a tenth to a fiftieth. It falls
when the window moves, and is higher in a larger window. Postgres is the embedded one.
"""

import argparse
import asyncio
import shlex
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest

from dev.postgres import programs, start_postgres
from dev.psql import migrate
from tests.support.databases import make_database
from tests.support.model_server import ScriptedModel
from tests.support.product import CHAT_ID, JWT_SECRET, Parley, headers_of, running_product
from tests.support.runtime import PROJECT
from tests.support.serving import Switchboard, serve
from tests.support.small_model import SmallModel, common, text_of

TURNS = 200
WINDOWS = (100, 20)
A_LINE = 20


async def converse(parley: Parley) -> None:
    """Have the conversation.

    Raises:
        RuntimeError: when a question is not answered.
    """
    for number in range(TURNS):
        question = f"Add {number} things" if (number + 1) % 5 == 0 else f"What about {number}? " * 4
        style = {"tone": "technical" if number // 11 % 2 else "casual"}
        response = await parley.send(question, message_id=f"m-{number}", user="ann", **style)
        if not response.is_success or '"error"' in response.text:
            raise RuntimeError(response.text)
        if (number + 1) % 7 == 0:
            messages = (await parley.history(user="ann", limit=2))["messages"]
            where = {"id": messages[-1]["id"], "conversation_id": CHAT_ID}
            mark = {"is_mistake": True}
            await parley.client.patch(
                "/api/messages", params=where, json=mark, headers=headers_of("ann")
            )


async def measure(database_url: str, history_messages: int) -> SmallModel:
    """Return the model after a conversation with it."""
    model, product = Switchboard(), Switchboard()
    scripted, small = ScriptedModel(), SmallModel()
    scripted.choose, model.app = small, scripted
    with pytest.MonkeyPatch.context() as patch:
        async with serve(model) as model_url, serve(product) as product.base_url:
            environment = {
                "DATABASE_URL": database_url,
                "OPENAI_API_KEY": "sk-test",
                "OPENAI_BASE_URL": f"{model_url}/v1",
                "OPENAI_MODEL": "test-model",
                "JWT_SECRET": JWT_SECRET,
                "MAX_PROMPT_TOKENS": str(small.max_tokens),
                "HISTORY_MESSAGES": str(history_messages),
                "MESSAGES_PER_MINUTE": "0",
            }
            async with running_product(product, patch, environment) as parley:
                await converse(parley)
    return small


def table(history_messages: int, small: SmallModel) -> list[str]:
    """Return the share of each request, in percent, and that of all."""
    texts = [text_of(body) for body in small.answers]
    shares = [common(before, after) / len(after) for before, after in pairwise(texts)]
    lines = [f"HISTORY_MESSAGES={history_messages}: percent of each request after the first"]
    shown = [f"{share * 100:3.0f}" for share in shares]
    lines += [" ".join(shown[start : start + A_LINE]) for start in range(0, len(shown), A_LINE)]
    what = f"share of equal bytes, {TURNS} turns, HISTORY_MESSAGES={history_messages}"
    target = " (at least 0.9)" if history_messages == WINDOWS[0] else ""
    lines.append(f"{what}  {small.equal_share():.3f}{target}")
    lines.append(f"summaries {len(small.summaries)}, refused as too long {small.refused}")
    return lines


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.beginnings", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.parse_args()
    lines = [f"$ {shlex.join(['python', '-m', 'bench.beginnings', *sys.argv[1:]])}"]
    with tempfile.TemporaryDirectory(prefix="beginnings-") as directory:
        postgres = start_postgres(Path(directory) / "data", tcp=True, durable=False)
        try:
            for history_messages in WINDOWS:
                name = f"beginnings_{history_messages}"
                make_database(postgres, name)
                url = postgres.url_of(name, "postgres")
                migrate(programs() / "psql", url, PROJECT)
                lines += table(history_messages, await measure(url, history_messages))
        finally:
            postgres.stop()
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
