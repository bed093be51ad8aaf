"""Sealed states: with REASONING=hide a provider's state is stored encrypted.

Some providers want the model's thoughts back in clear (DeepSeek's `reasoning_content`), so their
state is as readable as the thoughts themselves. The key is made of the deployment's secrets: after
a change of one of them, a state that was sealed before is lost, as that of another model is.
"""

import json
import secrets
from base64 import b64decode, b64encode
from typing import Any

from lib.identity.clients import keyed

NONCE_BYTES = 12


def sealed(states: list[Any]) -> str:
    """Return states as a text that only this deployment reads: AES-256-GCM, in base64."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    # Half a surrogate pair is escaped.
    return b64encode(nonce + _cipher().encrypt(nonce, json.dumps(states).encode(), None)).decode()


def opened(text: str) -> list[Any]:
    """Return the states in a sealed text; none if another key has sealed it."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 (as in _cipher)

    content = b64decode(text)
    try:
        return json.loads(_cipher().decrypt(content[:NONCE_BYTES], content[NONCE_BYTES:], None))
    except InvalidTag:
        return []


def _cipher() -> Any:  # noqa: ANN401 (its type would be the import)
    # Late: a process without hidden thoughts does not need it.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    return AESGCM(keyed("provider_state"))
