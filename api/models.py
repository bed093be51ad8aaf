"""GET /api/models: the models that the caller may choose among.

Answers   200 {"models": [{"name", "is_default", "tools", "files", "reasoning", "web_search",
          "reasoning_effort", "reasoning_efforts", "messages_per_day", "prices", "stand_in"}]}: the
          one that answers without a choice first; [] for a guest where all are for users
Problems  401 unauthenticated (a token that is not valid)
Database  no round trip: the list is the operator's, and the caller is the token's
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.functions import function
from lib.http.responses import json_response
from lib.identity.callers import caller_of
from lib.identity.models import listed_models


async def get(request: Request) -> Response:
    """Answer the caller's models."""
    return json_response(listed_models(await caller_of(request)))


app = function(GET=get)
