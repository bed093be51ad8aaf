"""Which client a request comes from, and names for what is counted but must not be stored."""

import hashlib
import hmac
import ipaddress

from starlette.requests import Request

from lib.settings import settings

# An IPv6 client has a network of its own, not an address: it could take another one each time.
IPV6_PREFIX = 64


def client_of(request: Request) -> str:
    """Return the network address of a request's client, as the server tells it.

    On Vercel the platform sets X-Forwarded-For, whatever a client sends, and the runtime's uvicorn
    reads it, from its own proxy alone. Nothing of it is read here.
    """
    given = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(given)
    except ValueError:
        return given
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))
    return given


def hashed(kind: str, value: str) -> str:
    """Return a name for something that is counted and must not be stored: its keyed hash.

    The key is whatever the deployment keeps secret: without it nobody can tell, from the database
    alone, which of the few addresses there are it was.
    """
    chosen = settings()
    secrets = (chosen.database_url, chosen.jwt_secret or "", chosen.cron_secret or "")
    key = hashlib.sha256("\0".join(secrets).encode()).digest()
    return f"{kind} {hmac.digest(key, f'{kind} {value}'.encode(), 'sha256').hex()}"
