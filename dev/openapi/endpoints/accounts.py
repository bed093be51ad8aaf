"""/api/auth."""

from dev.openapi.operations import Answer, Operation, as_json
from lib.problems import (
    AccountInactive,
    LocalAccountsUnavailable,
    NoPassword,
    NotFound,
    SignOutUnavailable,
    TooManyAttempts,
    WrongCredentials,
)

OPERATIONS = {
    ("POST", "/api/auth"): Operation(
        name="signIn",
        summary="Register, log in, change the password, or sign out everywhere",
        text="""
            All but `sign_out_everywhere` is there only with local accounts (`LOCAL_ACCOUNTS`).
            A registration gets the same answer whether the address was free or taken; log in
            afterwards. The token is good for 7 days. `change_password` and `sign_out_everywhere`
            need a token, and end all tokens that were issued before; a token of any kind can sign
            out.
        """,
        caller="guest",
        body="AccountRequest",
        answers={
            200: as_json("SignedIn", "Logged in, or the password changed."),
            202: as_json("Registered", "Registered, unless the address was taken."),
            204: Answer("Signed out everywhere."),
        },
        problems=(
            WrongCredentials,
            AccountInactive,
            NotFound,
            NoPassword,
            SignOutUnavailable,
            TooManyAttempts,
            LocalAccountsUnavailable,
        ),
    ),
    ("GET", "/api/auth"): Operation(
        name="readSettings",
        summary="Read the user's own settings",
        caller="user",
        answers={200: as_json("UserSettings", "The settings.")},
    ),
    ("PATCH", "/api/auth"): Operation(
        name="changeSettings",
        summary="Set the user's own instructions for the model",
        text="""
            The model is told them in each conversation of the user, after the operator's, from the
            next message on. A token of any kind will do.
        """,
        caller="user",
        body="SettingsChange",
        answers={200: as_json("UserSettings", "The settings.")},
    ),
    ("DELETE", "/api/auth"): Operation(
        name="deleteAccount",
        summary="Delete the user and everything of theirs",
        text="""
            A local account needs its password in the body. A user of an identity provider, which
            alone could check a password, sends no body.
        """,
        caller="user",
        body="Confirmation",
        is_body_optional=True,
        answers={204: Answer("It is deleted.")},
        problems=(WrongCredentials, TooManyAttempts, LocalAccountsUnavailable),
    ),
}
