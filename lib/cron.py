"""The cron: who may call it, and what it can be asked."""

from typing import Literal

from starlette.requests import Request

from lib.operators import check_operator
from lib.problems import Unauthenticated
from lib.queries import one_of, parameter, query_string
from lib.settings import settings
from lib.trace import log

NOT_THE_CRON = "This needs the header Authorization: Bearer with the deployment's CRON_SECRET."


@query_string
class CleanUpQuery:
    """The query of GET /api/cron/cleanup; Vercel's cron sends none."""

    dry_run: Literal["true", "false"] = parameter(one_of("true", "false"), default="false")


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
