"""The problems that a client can get, one class each, as RFC 9457 problem details.

A class has a stable `code`, an HTTP status, and, as the first line of its docstring, the text that
the client gets unless the raising code gives a more precise one. People read that text: it says
how to go on, and it never carries a provider's words, a statement or a secret. The cause goes to
the log (`raise … from`).
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar


class Problem(Exception):
    """Something went wrong. Try again; if it persists, tell the operator."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    # True: the provider refused one message, which later requests then leave out.
    is_for_message_alone: ClassVar[bool] = False

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_after_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        """Take the details of this case.

        Args:
            detail: the fault and the way on; by default the class's own text.
            retry_after_seconds: the header Retry-After, rounded up.
            headers: further headers of the response.
            errors: `{"field", "detail"}` for each field that is not valid.
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
    """The body is not valid JSON."""

    code = "malformed_request"
    status = HTTPStatus.BAD_REQUEST


class Unauthenticated(Problem):
    """Sign in first: send a valid token in the header Authorization: Bearer."""

    code = "unauthenticated"
    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str | None = None) -> None:
        """Take the fault of the token; RFC 6750 requires the header."""
        super().__init__(detail, headers={"www-authenticate": "Bearer"})


class IdentityProviderUnavailable(Problem):
    """The identity provider does not answer, so your token cannot be checked. Try again soon."""

    code = "identity_provider_unavailable"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class AccountInactive(Problem):
    """This account is switched off. Ask the operator to switch it on."""

    code = "account_inactive"
    status = HTTPStatus.FORBIDDEN


class AccountUnknown(Problem):
    """Your token is valid, but you have no account in this application. Register first."""

    code = "account_unknown"
    status = HTTPStatus.FORBIDDEN


class AccountDeleted(Problem):
    """This account was deleted. To begin a new one, sign in or register again."""

    code = "account_deleted"
    status = HTTPStatus.FORBIDDEN


class NotFound(Problem):
    """It does not exist, or it belongs to another user."""

    code = "not_found"
    status = HTTPStatus.NOT_FOUND


class LocalAccountsUnavailable(Problem):
    """This application keeps its accounts elsewhere. Sign in there."""

    code = "local_accounts_unavailable"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class WrongCredentials(Problem):
    """The email address or the password is wrong."""

    code = "wrong_credentials"
    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str | None = None) -> None:
        """Use the same text for both cases; RFC 9110 requires the header with a 401."""
        super().__init__(detail, headers={"www-authenticate": "Bearer"})


class NoPassword(Problem):
    """Your account has no password here. Change it where you sign in."""

    code = "no_password"
    status = HTTPStatus.CONFLICT


class SignOutUnavailable(Problem):
    """This application cannot end your sessions from here. End them where you sign in."""

    code = "sign_out_unavailable"
    status = HTTPStatus.CONFLICT


class TooManyAttempts(Problem):
    """Too many attempts. Wait a little, then try again."""

    code = "too_many_attempts"
    status = HTTPStatus.TOO_MANY_REQUESTS


class TooManyGuesses(Problem):
    """Too many requests from your network for conversations that do not exist. Try again later."""

    code = "too_many_guesses"
    status = HTTPStatus.TOO_MANY_REQUESTS


class ConversationKeyRequired(Problem):
    """Send the conversation's key in the header x-conversation-key: its id alone claims nothing."""

    code = "conversation_key_required"
    status = HTTPStatus.FORBIDDEN


class QuotaExceeded(Problem):
    """You have reached your message limit, so nothing was stored. Try again later."""

    code = "quota_exceeded"
    status = HTTPStatus.TOO_MANY_REQUESTS


class TokenQuotaExceeded(QuotaExceeded):
    """Your answers of today have reached the limit of tokens, so nothing was stored."""

    code = "token_quota_exceeded"


class StorageQuotaExceeded(QuotaExceeded):
    """This message is larger than what you may still store today, so nothing was stored."""

    code = "storage_quota_exceeded"


class FileStorageFull(Problem):
    """Your files have reached the storage that you may use, so nothing was stored."""

    code = "file_storage_full"
    status = HTTPStatus.UNPROCESSABLE_ENTITY

    @classmethod
    def with_left(cls, left_bytes: int, max_bytes: int) -> "FileStorageFull":
        """Return the problem of an owner with so many bytes left, of so many in all."""
        return cls(
            f"Your files may have {max_bytes:,} bytes in all, of which {left_bytes:,} are left, so "
            "nothing was stored. Send smaller files, or delete conversations with files that you "
            "no longer need."
        )


class FilesTooLarge(Problem):
    """The files of this message are too large together, so nothing was stored."""

    code = "files_too_large"
    status = HTTPStatus.UNPROCESSABLE_ENTITY

    @classmethod
    def with_size(cls, size: int) -> "FilesTooLarge":
        """Return the problem of a message whose files have so many bytes."""
        return cls(
            f"The files of this message have {size:,} bytes together, so nothing was stored. Send "
            "some of them in another message."
        )


class FileNotStored(Problem):
    """A file of this message is not stored, or its upload is not complete. Attach it again."""

    code = "file_not_stored"
    status = HTTPStatus.UNPROCESSABLE_ENTITY


class MethodNotAllowed(Problem):
    """This URL does not support that method. The header Allow lists the methods to use."""

    code = "method_not_allowed"
    status = HTTPStatus.METHOD_NOT_ALLOWED


class TurnInProgress(Problem):
    """Another message in this conversation is being answered. Send this one again afterwards."""

    code = "turn_in_progress"
    status = HTTPStatus.CONFLICT


class ConversationMovedOn(Problem):
    """This message was never answered, and the conversation went on. Send it as a new message."""

    code = "conversation_moved_on"
    status = HTTPStatus.CONFLICT


class ConversationArchived(Problem):
    """This conversation is archived. Set its status to active to continue it."""

    code = "conversation_archived"
    status = HTTPStatus.CONFLICT


class ConversationFull(Problem):
    """This conversation has reached its message limit. Start a new one."""

    code = "conversation_full"
    status = HTTPStatus.CONFLICT


class TasksFull(Problem):
    """You have as many tasks as a user may have. Delete some first."""

    code = "tasks_full"
    status = HTTPStatus.CONFLICT


class MessageIdTaken(Problem):
    """Another message in this conversation has this id. Send this one with a new id."""

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
    """The request is not valid. Correct the fields that are listed in errors."""

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
    """The model could not answer. Your message is stored; send it again to retry."""

    code = "model_failed"
    status = HTTPStatus.BAD_GATEWAY


class ModelRefused(ModelFailed):
    """The model's provider refuses this application. Only its operator can change that."""

    code = "model_refused"


class ModelOverloaded(ModelFailed):
    """The model is overloaded. Your message is stored; send it again in a moment."""

    code = "model_overloaded"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class ModelTimeout(ModelFailed):
    """The model took too long. Your message is stored; send it again to retry."""

    code = "model_timeout"
    status = HTTPStatus.GATEWAY_TIMEOUT


class AnswerWithheld(ModelFailed):
    """The model's provider withheld the answer as unsuitable. Rephrase your message."""

    code = "answer_withheld"
    is_for_message_alone = True


class FileRefused(ModelFailed):
    """The model cannot read a file of this message. Send it without, or with another file."""

    code = "file_refused"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    is_for_message_alone = True


class ConversationTooLong(ModelFailed):
    """This message is too long for the model, even without the earlier ones. Send a shorter one."""

    code = "conversation_too_long"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    is_for_message_alone = True


class AnswerInterrupted(Problem):
    """The server restarted during this answer. Send your message again to retry."""

    code = "answer_interrupted"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class AnswerStopped(Problem):
    """This answer was stopped before it began. Send your message again to get an answer."""

    code = "answer_stopped"
    status = HTTPStatus.CONFLICT


class AnswerNotStored(Problem):
    """This answer was not stored: the conversation was deleted, or another attempt took over."""

    code = "answer_not_stored"
    status = HTTPStatus.CONFLICT


class RefusedByRule(Problem):
    """A rule in this application's database forbids this, so nothing changed. Ask its operator."""

    code = "refused_by_rule"
    status = HTTPStatus.CONFLICT


class DatabaseUnavailable(Problem):
    """The database cannot be reached. Try again in a moment."""

    code = "database_unavailable"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class DatabaseTooSlow(Problem):
    """The database took too long for this request and ended it. Ask for less, or try later."""

    code = "database_too_slow"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class SearchTooSlow(DatabaseTooSlow):
    """This search takes too long. Search with fewer or rarer words."""

    code = "search_too_slow"


class DatabaseNotMigrated(Problem):
    """The database lacks migrations. The operator applies them: psql -X -f sql/migrate.sql."""

    code = "database_not_migrated"
    status = HTTPStatus.SERVICE_UNAVAILABLE
