"""The client that a request comes from, and the deployment's key for values not stored in clear."""

import hashlib
import hmac
import ipaddress
from functools import cache

from starlette.requests import Request

from lib.settings import settings

# An IPv6 client has a whole network, and could take another address for each request.
IPV6_PREFIX = 64
# A customer of a provider has up to 65,536 such networks: RIPE-690 recommends a /48 for each.
SITE_PREFIX = 48
# A network from which a local account was used is known for so long after the last log-in.
KNOWN_NETWORK_DAYS = 90


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


def site_of(client: str) -> str | None:
    """Return the network of a whole site, to which an IPv6 client belongs; None: not IPv6.

    Args:
        client: see `client_of`.
    """
    # An address of IPv4, or none, and the module `ipaddress` need not look.
    if ":" not in client:
        return None
    try:
        network = ipaddress.IPv6Network(client)
    except ValueError:
        return None
    return str(network.supernet(new_prefix=SITE_PREFIX))


def hashed(kind: str, value: str) -> str:
    """Return the keyed hash of a value that is counted but must not be stored.

    Without a key, hashing all possible addresses would reveal from the database alone which one it
    was. A new secret makes other hashes, so the counters of the day begin again.
    """
    return f"{kind} {keyed(f'{kind} {value}').hex()}"


def keyed(value: str) -> bytes:
    """Return 32 bytes that only a process with the deployment's secrets can make of a value.

    The key is made of all secrets. The database's URL alone is not enough of a key: it is stored
    beside some backups, and a database on the same machine needs no password.
    """
    configuration = settings()
    key = _key(
        configuration.database_url,
        configuration.openai_api_key,
        configuration.jwt_secret,
        configuration.cron_secret,
    )
    return hmac.digest(key, value.encode(), "sha256")


@cache
def _key(*secrets: str | None) -> bytes:
    return hashlib.sha256("\0".join(secret or "" for secret in secrets).encode()).digest()
