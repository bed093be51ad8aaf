"""The client that a request comes from, and keyed hashes of values that must not be stored."""

import hashlib
import hmac
import ipaddress

from starlette.requests import Request

from lib.settings import settings

# An IPv6 client has a whole network, and could take another address for each request.
IPV6_PREFIX = 64


def client_of(request: Request) -> str:
    """Return the network address of a request's client, as the server reports it.

    On Vercel the platform overwrites X-Forwarded-For, and the runtime's uvicorn reads it, from its
    own proxy alone. This function does not read the header.
    """
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))
    return host


def hashed(kind: str, value: str) -> str:
    """Return the keyed hash of a value that is counted but must not be stored.

    The key is made of the deployment's secrets. Without a key, hashing all possible addresses would
    reveal from the database alone which one it was.
    """
    secrets = (settings().database_url, settings().jwt_secret or "", settings().cron_secret or "")
    key = hashlib.sha256("\0".join(secrets).encode()).digest()
    return f"{kind} {hmac.digest(key, f'{kind} {value}'.encode(), 'sha256').hex()}"
