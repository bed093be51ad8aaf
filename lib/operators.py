"""Who runs the deployment: let in by a secret of its variables, sent as a bearer token."""

import hmac

from starlette.requests import Request

from lib.problems import Unauthenticated
from lib.trace import trace


def check_operator(request: Request, secret: str, name: str, refusal: str) -> None:
    """Let nobody in but who sends a secret.

    Args:
        request: the request.
        secret: what must be sent, compared in constant time.
        name: what the log calls who sends it.
        refusal: what all others are told.

    Raises:
        Unauthenticated: it is another one, or none was sent.
    """
    given = request.headers.getlist("authorization")
    if len(given) != 1 or not hmac.compare_digest(given[0].encode(), f"Bearer {secret}".encode()):
        raise Unauthenticated(refusal)
    trace().caller = name
