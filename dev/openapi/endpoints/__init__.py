"""What each address offers, by tag: the only place that names statuses and problems of each."""

from dev.openapi.endpoints import accounts, chat, conversations, operators, tasks
from dev.openapi.operations import Operation

# By tag: what it is about, and its operations by method and address.
ENDPOINTS: dict[str, tuple[str, dict[tuple[str, str], Operation]]] = {
    "Chat": ("Messages and their answers.", chat.OPERATIONS),
    "Conversations": ("What was said, and what becomes of it.", conversations.OPERATIONS),
    "Tasks": ("Tasks, which the assistant can work on too.", tasks.OPERATIONS),
    "Accounts": ("Users of Parley's own, and the end of any.", accounts.OPERATIONS),
    "Operation": ("For who runs it.", operators.OPERATIONS),
}
