"""Who runs the deployment: let in by a secret of its variables, sent as a bearer token."""

import hmac

from starlette.requests import Request

from lib.problems import NotFound, Unauthenticated
from lib.runtime.log import log
from lib.runtime.trace import trace
from lib.settings import settings


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


NOT_THE_CRON = "This needs the header Authorization: Bearer with the deployment's CRON_SECRET."


def check_cron_secret(request: Request) -> None:
    """Let nobody in but Vercel's cron, which sends CRON_SECRET as a bearer token.

    Raises:
        Unauthenticated: it is another one, or none is set: then nobody is let in.
    """
    expected = settings().cron_secret
    if expected is None:
        log("cron_refused", cause="CRON_SECRET is not set")
        raise Unauthenticated(NOT_THE_CRON)
    check_operator(request, expected, "cron", NOT_THE_CRON)


NOT_A_READER = "This needs the header Authorization: Bearer with the deployment's METRICS_TOKEN."


def check_metrics_token(request: Request) -> None:
    """Let nobody in but who sends METRICS_TOKEN as a bearer token.

    Raises:
        NotFound: none is set.
        Unauthenticated: it is another one, or none was sent.
    """
    expected = settings().metrics_token
    if expected is None:
        raise NotFound
    check_operator(request, expected, "metrics", NOT_A_READER)
