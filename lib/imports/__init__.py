"""Conversations that a user brings along: of Parley's own export, of ChatGPT's, of open-webui's."""
