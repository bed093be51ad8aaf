"""The dialect Responses: its requests and its streams."""
