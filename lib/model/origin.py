"""The origin of an answer: its state goes back to the model that it came from, and to no other."""

from urllib.parse import urlsplit, urlunsplit

from lib.models import Model


def origin(model: Model) -> dict[str, str]:
    """Return where the answers of a model come from.

    A provider refuses the state of another one, or of another of its models; and the same fields
    mean other things in another dialect.

    Returns:
        `model`, the name that requests carry; `base_url`, without secrets, because this is stored;
        `api`, the dialect.
    """
    return {
        "model": model.model,
        "base_url": _without_secrets(model.base_url),
        "api": model.dialect,
    }


def _without_secrets(url: str) -> str:
    """Return a URL without credentials, query and fragment: any of them may hold a key."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
