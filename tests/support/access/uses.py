"""All uses of the product, one line each, and their outcomes: the rules of access."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from tests.support.access.callers import ANN, KEY, KEYED, Caller
from tests.support.access.world import QUESTION, THINGS, Thing


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome that a request must have.

    Attributes:
        status: HTTP status of the response.
        code: code of the problem; None: it is none.
        marks: owners whose things the response shows.
        changes: something is stored, changed or deleted.
    """

    status: int
    code: str | None = None
    marks: frozenset[str] = frozenset()
    changes: bool = False


# Placeholders in a path or a body for a thing of one owner.
NAMES_OF_ONE = ("{id}", "{owner}", "{left}")


@dataclass(frozen=True, slots=True)
class Use:
    """One use of an endpoint.

    Attributes:
        name: name of the use.
        method: HTTP method.
        path: with the query. {id} is the thing that the caller asks for, {owner} its owner's word,
            and {left} another thing of the owner, with an answer that a killed function has left.
        rule: the outcome for each caller and thing.
        body: JSON body of the request; None: none.
        writes: the use changes the thing.
        shows: the response shows the thing.
    """

    name: str
    method: str
    path: str
    rule: "Rule"
    body: Mapping[str, object] | None = None
    writes: bool = False
    shows: bool = True

    @property
    def things(self) -> list[Thing]:
        """The things that the use may name; a use that names none is tried once."""
        names_one = any(name in f"{self.path}{self.body}" for name in NAMES_OF_ONE)
        return THINGS if names_one else THINGS[:1]

    def outcome(self, caller: Caller, thing: Thing) -> Outcome:
        """Return the outcome that the use must have."""
        return self.rule(self, caller, thing)

    def done(self, *marks: str, changes: bool | None = None) -> Outcome:
        """Return the outcome of a use that is allowed."""
        changes = self.writes if changes is None else changes
        status = 200 if self.shows else 204
        return Outcome(status, None, frozenset(marks if self.shows else ()), changes)


type Rule = Callable[[Use, Caller, Thing], Outcome]

NOT_FOUND = Outcome(404, "not_found")
UNAUTHENTICATED = Outcome(401, "unauthenticated")


def _let_in(rule: Rule) -> Rule:
    """Refuse a caller with a bad token or account, before the rule applies."""

    def complete_rule(use: Use, caller: Caller, thing: Thing) -> Outcome:
        return Outcome(*caller.refusal) if caller.refusal else rule(use, caller, thing)

    return complete_rule


def _users(rule: Rule) -> Rule:
    """Refuse an anonymous caller too."""

    def complete_rule(use: Use, caller: Caller, thing: Thing) -> Outcome:
        return UNAUTHENTICATED if caller.user_id is None else rule(use, caller, thing)

    return _let_in(complete_rule)


def _is_of(caller: Caller, thing: Thing) -> bool:
    return thing.is_there and thing.owner == caller.owner


@_let_in
def ones_own(use: Use, caller: Caller, thing: Thing) -> Outcome:
    """The owner reaches the thing; others get a 404."""
    return use.done(thing.owner) if _is_of(caller, thing) else NOT_FOUND


@_let_in
def ones_own_or_new(use: Use, caller: Caller, thing: Thing) -> Outcome:
    """The owner reaches the thing; others get a 404, and a missing thing is created."""
    if thing.is_there or (caller.user_id is None and caller.key is not None):
        # A key that was made for another id, or by another program, begins nothing.
        return ones_own(use, caller, thing)
    return use.done(changes=True)


@_let_in
def ones_own_or_nothing(use: Use, caller: Caller, thing: Thing) -> Outcome:
    """The owner reaches the thing; others find nothing to answer."""
    return use.done(thing.owner) if _is_of(caller, thing) else Outcome(422, "nothing_to_answer")


@_let_in
def ones_own_or_silence(use: Use, caller: Caller, thing: Thing) -> Outcome:
    """The owner reaches the thing; others get a 204, as if no answer were being made."""
    return use.done(thing.owner) if _is_of(caller, thing) else Outcome(204)


@_let_in
def silent(_use: Use, _caller: Caller, _thing: Thing) -> Outcome:
    """Every caller gets a 204: no answer is being made."""
    return Outcome(204)


@_users
def all_of_ones_own(use: Use, caller: Caller, _thing: Thing) -> Outcome:
    """A user gets everything that is theirs, and nothing else."""
    return use.done(caller.owner)


@_users
def matches_in_ones_own(use: Use, caller: Caller, thing: Thing) -> Outcome:
    """A user gets the matches among their own things."""
    return use.done(*([thing.owner] if _is_of(caller, thing) else []))


@_users
def claimed(use: Use, caller: Caller, thing: Thing) -> Outcome:
    """A user may claim an anonymous thing by its key; claiming an own thing changes nothing."""
    if caller.key is None:
        return Outcome(403, "conversation_key_required")
    if thing.owner == KEYED and caller.key == KEY:
        return use.done(KEYED, changes=True)
    return ones_own(use, caller, thing)


@_users
def brought(use: Use, caller: Caller, thing: Thing) -> Outcome:
    """A user has a thing already, or gets one of the same content with an id of its own."""
    return use.done(changes=not _is_of(caller, thing))


@_users
def numbers_of_ones_own(use: Use, _caller: Caller, _thing: Thing) -> Outcome:
    """A user gets numbers, in which no thing shows."""
    return use.done()


@_users
def added(_use: Use, _caller: Caller, _thing: Thing) -> Outcome:
    """A user may add a thing."""
    return Outcome(201, changes=True)


def begun(_use: Use, caller: Caller, _thing: Thing) -> Outcome:
    """Every caller whose token is valid gets an id; no account is looked at."""
    is_refused = caller.refusal is not None and caller.refusal[0] == UNAUTHENTICATED.status
    return UNAUTHENTICATED if is_refused else Outcome(201)


def listed(use: Use, caller: Caller, _thing: Thing) -> Outcome:
    """Every caller whose token is valid gets the operator's list; no account is looked at."""
    is_refused = caller.refusal is not None and caller.refusal[0] == UNAUTHENTICATED.status
    return UNAUTHENTICATED if is_refused else use.done()


@_let_in
def nothing_there(_use: Use, _caller: Caller, _thing: Thing) -> Outcome:
    """Every caller that is let in gets a 404: there is no such file."""
    return NOT_FOUND


def not_understood(_use: Use, caller: Caller, _thing: Thing) -> Outcome:
    """Every caller whose token is valid gets a 422; no account is looked at."""
    is_refused = caller.refusal is not None and caller.refusal[0] == UNAUTHENTICATED.status
    return UNAUTHENTICATED if is_refused else Outcome(422, "invalid_request")


@_users
def anns_alone(use: Use, caller: Caller, _thing: Thing) -> Outcome:
    """Ann reaches the thing; others get a 404."""
    return use.done(ANN) if caller.owner == ANN else NOT_FOUND


def nobodys(_use: Use, _caller: Caller, _thing: Thing) -> Outcome:
    """No caller is let in."""
    return UNAUTHENTICATED


def everybodys(use: Use, _caller: Caller, _thing: Thing) -> Outcome:
    """Every caller is let in, even with a bad token: the response is about no caller."""
    return use.done()


def switched_off(_use: Use, _caller: Caller, _thing: Thing) -> Outcome:
    """The deployment does not have this endpoint."""
    return NOT_FOUND


def sdk(trigger: str, message_id: str, *texts: str) -> dict[str, object]:
    """Return the body that useChat sends: user messages with these texts."""
    messages = [
        {"id": "question-2", "role": "user", "parts": [{"type": "text", "text": text}]}
        for text in texts
    ]
    return {"id": "{id}", "messages": messages, "trigger": trigger, "messageId": message_id}


CHAT, MANY = "/api/chat", "/api/conversations"
STREAM, LEFT_STREAM = f"{CHAT}/{{id}}/stream", f"{CHAT}/{{left}}/stream"
TASK, MISTAKES = "/api/tasks?id={anns_task}", "/api/messages?is_mistake=true"
MARK = "/api/messages?id=answer-2&conversation_id={id}"
ONE = f"{MANY}?id={{id}}"
HISTORY = "/api/history?conversation_id={id}"
SENT_BEFORE = {"message": QUESTION, "message_id": "question-2", "conversation_id": "{id}"}
REGENERATE = "regenerate-message"
SIGN_OUT = {"action": "sign_out_everywhere"}
# Of the local account that was deleted; of a user it is not read.
PROOF = {"password": "a long password"}
INSTRUCTIONS = {"instructions": "Be brief."}
CREDENTIALS = {"email": "{owner}@example.com", "password": "a long password"}

# A conversation of another account, or of this one.
LINE = {
    "type": "conversation",
    "id": "{id}",
    "title": "New",
    "updated_at": datetime.now(UTC).isoformat(),
}
USES = [
    Use("a history", "GET", HISTORY, ones_own),
    Use("a complete history", "GET", f"{HISTORY}&include=all", ones_own),
    Use("from a place", "GET", f"{HISTORY}&before={{place_in_anns_history}}", ones_own),
    Use("the list", "GET", MANY, all_of_ones_own),
    Use("the list from a place", "GET", f"{MANY}?cursor={{place_in_anns_list}}", all_of_ones_own),
    Use("a search for a mark", "GET", f"{MANY}?q={{owner}}", matches_in_ones_own),
    Use("a search for what all say", "GET", f"{MANY}?q=answered&status=all", all_of_ones_own),
    Use("the export", "GET", f"{MANY}?export=true", all_of_ones_own),
    Use("one", "GET", ONE, ones_own),
    Use("a new one", "POST", MANY, begun),
    Use("an import", "POST", f"{MANY}?import=parley", brought, LINE, writes=True),
    Use("renaming", "PATCH", ONE, ones_own, {"title": "New"}, writes=True),
    Use("archiving", "PATCH", ONE, ones_own, {"status": "archived"}, writes=True),
    Use("claiming", "PATCH", ONE, claimed, {"claim": True}),
    Use("claiming and renaming", "PATCH", ONE, claimed, {"claim": True, "title": "New"}, True),
    Use("deleting one", "DELETE", ONE, ones_own, writes=True, shows=False),
    Use("deleting all", "DELETE", f"{MANY}?all=true", all_of_ones_own, writes=True, shows=False),
    Use("saying", "POST", CHAT, ones_own_or_new, {"message": "Hi", "session_id": "{id}"}, True),
    Use("saying it again", "POST", CHAT, ones_own_or_new, SENT_BEFORE),
    Use("editing", "POST", CHAT, ones_own_or_new, sdk("submit-message", "question-2", "Hi"), True),
    Use("asking again", "POST", CHAT, ones_own_or_new, sdk(REGENERATE, "answer-2", QUESTION), True),
    Use("another answer", "POST", CHAT, ones_own_or_nothing, sdk(REGENERATE, "answer-2"), True),
    Use("coming back", "GET", STREAM, ones_own_or_silence),
    Use("coming back in the middle", "GET", f"{STREAM}?startIndex=1", ones_own_or_silence),
    Use("coming back to what was left", "GET", LEFT_STREAM, ones_own_or_silence, writes=True),
    Use("stopping", "DELETE", LEFT_STREAM, ones_own_or_silence, writes=True, shows=False),
    Use("stopping what has ended", "DELETE", STREAM, silent, shows=False),
    Use("a file that is not there", "GET", f"/api/files?id={UUID(int=0)}", nothing_there),
    Use("an upload of nothing", "POST", "/api/files", not_understood),
    Use("the tasks", "GET", "/api/tasks", all_of_ones_own),
    Use("adding a task", "POST", "/api/tasks", added, {"title": "New"}, writes=True),
    Use("changing a task", "PATCH", TASK, anns_alone, {"completed": True}, writes=True),
    Use("deleting a task", "DELETE", TASK, anns_alone, writes=True, shows=False),
    Use("the mistakes", "GET", MISTAKES, all_of_ones_own),
    Use("mistakes to learn from", "GET", f"{MISTAKES}&format=jsonl", all_of_ones_own),
    Use("the usage", "GET", "/api/messages?usage=true", numbers_of_ones_own),
    Use("no mistake after all", "PATCH", MARK, ones_own, {"is_mistake": False}, writes=True),
    Use("logging in", "POST", "/api/auth", switched_off, {"action": "login"} | CREDENTIALS),
    Use("registering", "POST", "/api/auth", switched_off, {"action": "register"} | CREDENTIALS),
    Use("the own settings", "GET", "/api/auth", numbers_of_ones_own),
    Use("own instructions", "PATCH", "/api/auth", numbers_of_ones_own, INSTRUCTIONS, True),
    Use("instructing", "PATCH", ONE, ones_own, INSTRUCTIONS, writes=True),
    Use("signing out", "POST", "/api/auth", all_of_ones_own, SIGN_OUT, writes=True, shows=False),
    Use("leaving", "DELETE", "/api/auth", all_of_ones_own, PROOF, writes=True, shows=False),
    Use("the models", "GET", "/api/models", listed),
    Use("the health", "GET", "/api/health", everybodys),
    Use("the liveness", "GET", "/api/health?live", everybodys),
    Use("the metrics", "GET", "/api/metrics", switched_off),
    Use("the cron", "GET", "/api/cron/cleanup", nobodys),
]
