"""The operator of the deployment, whom a secret of its variables lets in as a bearer token."""

import hmac

from starlette.requests import Request

from lib.problems import NotFound, Unauthenticated
from lib.runtime.log import log
from lib.runtime.trace import trace
from lib.settings import settings


def check_operator(request: Request, secret: str, name: str, refusal: str) -> None:
    """Let in only requests that have a secret as their bearer token.

    Args:
        request: the request.
        secret: the secret, compared in constant time.
        name: the caller's name in the log.
        refusal: the text of the problem for all other callers.

    Raises:
        Unauthenticated: when the secret is wrong or missing.
    """
    headers = request.headers.getlist("authorization")
    expected = f"Bearer {secret}".encode()
    if len(headers) != 1 or not hmac.compare_digest(headers[0].encode(), expected):
        raise Unauthenticated(refusal)
    trace().caller = name


def is_operator(request: Request) -> bool:
    """Tell whether a request has METRICS_TOKEN or CRON_SECRET as its bearer token.

    For answers that anybody gets and an operator gets more of; nobody is refused.
    """
    headers = request.headers.getlist("authorization")
    secrets = (settings().metrics_token, settings().cron_secret)
    return len(headers) == 1 and any(
        hmac.compare_digest(headers[0].encode(), f"Bearer {secret}".encode())
        for secret in secrets
        if secret is not None
    )


NOT_THE_CRON = "Send the deployment's CRON_SECRET in the header Authorization: Bearer."


def check_cron_secret(request: Request) -> None:
    """Let in only Vercel's cron, which sends CRON_SECRET as a bearer token.

    Raises:
        Unauthenticated: when the secret is wrong or missing, or CRON_SECRET is not set.
    """
    expected = settings().cron_secret
    if expected is None:
        log("cron_refused", cause="CRON_SECRET is not set")
        raise Unauthenticated(NOT_THE_CRON)
    check_operator(request, expected, "cron", NOT_THE_CRON)


NOT_A_READER = "Send the deployment's METRICS_TOKEN in the header Authorization: Bearer."


def check_metrics_token(request: Request) -> None:
    """Let in only readers of the metrics, who send METRICS_TOKEN as a bearer token.

    Raises:
        NotFound: when METRICS_TOKEN is not set.
        Unauthenticated: when the token is wrong or missing.
    """
    expected = settings().metrics_token
    if expected is None:
        raise NotFound
    check_operator(request, expected, "metrics", NOT_A_READER)
