"""Users' data besides conversations: accounts and tasks."""
