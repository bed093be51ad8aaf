"""The operations of each address, by tag, with their statuses and problems."""

from dev.openapi.endpoints import accounts, chat, conversations, files, operators, tasks
from dev.openapi.operations import Operation

# By tag: a description, and the operations by method and address.
ENDPOINTS: dict[str, tuple[str, dict[tuple[str, str], Operation]]] = {
    "Chat": ("Messages and their answers.", chat.OPERATIONS),
    "Conversations": (
        "Conversations and their messages: read, search, change, delete.",
        conversations.OPERATIONS,
    ),
    "Files": ("Files of messages.", files.OPERATIONS),
    "Tasks": ("Tasks, which the assistant can work on too.", tasks.OPERATIONS),
    "Accounts": ("Local accounts; the deletion of any user.", accounts.OPERATIONS),
    "Operation": ("For operators.", operators.OPERATIONS),
}
