"""What users have besides conversations: accounts and tasks."""
