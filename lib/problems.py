"""What can go wrong for a client: one class a case, answered as RFC 9457 problem details.

Each has a stable `code`, an HTTP status, and as its docstring's first line the text that a client
gets unless the place that raises it says something more precise. That text is for people, and never
carries a provider's words, a statement or a secret: the cause goes to the log (`raise … from`).
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar


class Problem(Exception):
    """Something went wrong on our side. Please try again; if it stays, tell the operator."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_after_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        """Take what is known about this one case.

        Args:
            detail: what was wrong and what to do; by default the class's own text.
            retry_after_seconds: when it is worth trying again (header Retry-After, rounded up).
            headers: further headers of the answer.
            errors: `{"field", "detail"}` of each field that is not valid.
        """
        self.detail = detail or (self.__doc__ or "").partition("\n")[0]
        super().__init__(self.detail)
        self.headers = dict(headers or {})
        if retry_after_seconds is not None:
            self.headers["retry-after"] = str(max(1, -int(-retry_after_seconds // 1)))
        self.errors = errors
        self.is_logged = False

    def body(self) -> dict[str, Any]:
        """Return the problem details object (RFC 9457, section 3)."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "code": self.code,
            "detail": self.detail,
        }
        return body | {"errors": self.errors} if self.errors else body


class MalformedRequest(Problem):
    """The body is not JSON."""

    code = "malformed_request"
    status = HTTPStatus.BAD_REQUEST


class Unauthenticated(Problem):
    """Sign in first: this needs a valid token in the header Authorization: Bearer."""

    code = "unauthenticated"
    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str | None = None) -> None:
        """Say what was wrong with the token; RFC 6750 wants the header."""
        super().__init__(detail, headers={"www-authenticate": "Bearer"})


class IdentityProviderUnavailable(Problem):
    """The identity provider does not answer, so the token cannot be checked. Try again soon."""

    code = "identity_provider_unavailable"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class AccountInactive(Problem):
    """This account is switched off."""

    code = "account_inactive"
    status = HTTPStatus.FORBIDDEN


class AccountUnknown(Problem):
    """The token is valid, but its user has no account in this application."""

    code = "account_unknown"
    status = HTTPStatus.FORBIDDEN


class NotFound(Problem):
    """There is no such thing here, or it is not yours."""

    code = "not_found"
    status = HTTPStatus.NOT_FOUND


class LocalAccountsUnavailable(Problem):
    """This application keeps its accounts elsewhere: sign in there."""

    code = "local_accounts_unavailable"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class WrongCredentials(Problem):
    """There is no account with this address and password."""

    code = "wrong_credentials"
    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str | None = None) -> None:
        """Say nothing that tells one case from the other; RFC 9110 wants the header with a 401."""
        super().__init__(detail, headers={"www-authenticate": "Bearer"})


class EmailTaken(Problem):
    """This address has an account already. Log in instead."""

    code = "email_taken"
    status = HTTPStatus.CONFLICT


class TooManyAttempts(Problem):
    """There were too many attempts. Try again later."""

    code = "too_many_attempts"
    status = HTTPStatus.TOO_MANY_REQUESTS


class QuotaExceeded(Problem):
    """You have sent as many messages as you may for now. Try again later; nothing was stored."""

    code = "quota_exceeded"
    status = HTTPStatus.TOO_MANY_REQUESTS


class MethodNotAllowed(Problem):
    """This address does not take that method."""

    code = "method_not_allowed"
    status = HTTPStatus.METHOD_NOT_ALLOWED


class TurnInProgress(Problem):
    """Another message of this conversation is just being answered. Send this one again after it."""

    code = "turn_in_progress"
    status = HTTPStatus.CONFLICT


class ConversationMovedOn(Problem):
    """This message was never answered, and others have been said since. Send it as a new one."""

    code = "conversation_moved_on"
    status = HTTPStatus.CONFLICT


class ConversationArchived(Problem):
    """This conversation is archived. Make it active again to go on with it."""

    code = "conversation_archived"
    status = HTTPStatus.CONFLICT


class ConversationFull(Problem):
    """This conversation holds as many messages as it may. Start a new one."""

    code = "conversation_full"
    status = HTTPStatus.CONFLICT


class MessageIdTaken(Problem):
    """Another message of this conversation has that id. Send this one under a new id."""

    code = "message_id_taken"
    status = HTTPStatus.CONFLICT


class PayloadTooLarge(Problem):
    """The body is too large."""

    code = "payload_too_large"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedMediaType(Problem):
    """Send JSON, with the header Content-Type: application/json."""

    code = "unsupported_media_type"
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class InvalidRequest(Problem):
    """The request is not valid."""

    code = "invalid_request"
    status = HTTPStatus.UNPROCESSABLE_ENTITY


class NothingToAnswer(Problem):
    """There is no user message to answer. Send one."""

    code = "nothing_to_answer"
    status = HTTPStatus.UNPROCESSABLE_ENTITY


class ModelNotConfigured(Problem):
    """This deployment has no model yet: set OPENAI_API_KEY. Nothing was stored."""

    code = "model_not_configured"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class ModelFailed(Problem):
    """The model could not answer. Your message is stored; send it again to try once more."""

    code = "model_failed"
    status = HTTPStatus.BAD_GATEWAY


class ModelRefused(ModelFailed):
    """The model's provider refused: a wrong key or setting, or too long a conversation."""

    code = "model_refused"


class ModelOverloaded(ModelFailed):
    """The model has too much to do. Your message is stored; send it again in a moment."""

    code = "model_overloaded"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class ModelTimeout(ModelFailed):
    """The model took too long. Your message is stored; send it again to try once more."""

    code = "model_timeout"
    status = HTTPStatus.GATEWAY_TIMEOUT


class AnswerWithheld(ModelFailed):
    """The model's provider held the answer back as unsuitable. Put the question differently."""

    code = "answer_withheld"


class AnswerInterrupted(Problem):
    """The server was restarted during this answer. Send your message again to try once more."""

    code = "answer_interrupted"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class AnswerStopped(Problem):
    """This answer was stopped before it began. Send your message again to have it answered."""

    code = "answer_stopped"
    status = HTTPStatus.CONFLICT


class AnswerNotStored(Problem):
    """This answer was not stored: the conversation was deleted, or another attempt took over."""

    code = "answer_not_stored"
    status = HTTPStatus.CONFLICT


class DatabaseUnavailable(Problem):
    """The database cannot be reached. Please try again in a moment."""

    code = "database_unavailable"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class DatabaseNotMigrated(Problem):
    """The database lacks migrations. The operator applies them: psql -f sql/migrate.sql."""

    code = "database_not_migrated"
    status = HTTPStatus.SERVICE_UNAVAILABLE
