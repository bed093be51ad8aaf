"""/api/auth."""

from dev.openapi.operations import Answer, Operation, as_json
from lib.problems import (
    AccountInactive,
    EmailTaken,
    LocalAccountsUnavailable,
    NotFound,
    TooManyAttempts,
    WrongCredentials,
)

OPERATIONS = {
    ("POST", "/api/auth"): Operation(
        name="signIn",
        summary="Register or log in",
        text="Where there are local accounts (`LOCAL_ACCOUNTS`). The token is good for 7 days.",
        caller="anybody",
        body="Credentials",
        answers={
            200: as_json("SignedIn", "Logged in."),
            201: as_json("SignedIn", "Registered."),
        },
        problems=(
            WrongCredentials,
            AccountInactive,
            NotFound,
            EmailTaken,
            TooManyAttempts,
            LocalAccountsUnavailable,
        ),
    ),
    ("DELETE", "/api/auth"): Operation(
        name="deleteAccount",
        summary="Delete the user and everything of theirs",
        caller="user",
        answers={204: Answer("It is deleted.")},
    ),
}
