"""The dialect Chat Completions: its requests, its streams, and what goes back to the provider."""
