"""The chat function in Vercel's own runtime, set up as a deployment is, for users who sign in."""

from bench.candidates.parley import SETTINGS
from bench.model import PacedModel
from tests.support.product import JWT_SECRET
from tests.support.runtime import RunningFunction, start_function


def start_chat(
    database_url: str, model_port: int, *, connections: int = 10, has_titles: bool = False
) -> RunningFunction:
    """Start it.

    Args:
        database_url: of its database.
        model_port: of a PacedModel.
        connections: how many it may have.
        has_titles: the model says titles.
    """
    environment = SETTINGS | {
        "DATABASE_URL": database_url,
        "DB_POOL_MAX": str(connections),
        "JWT_SECRET": JWT_SECRET,
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1",
        "OPENAI_TITLE_MODEL": PacedModel.TITLES if has_titles else PacedModel.UNKNOWN,
    }
    return start_function("api/chat.py", environment)
