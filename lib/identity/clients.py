"""The client that a request comes from, and the deployment's key for values not stored in clear."""

import hashlib
import hmac
import ipaddress
import re
from functools import cache

from starlette.requests import Request

from lib.runtime.log import log_seldom
from lib.settings import settings

# In it the operator's proxy sends PROXY_SECRET.
PROXY_SECRET_HEADER = "x-proxy-secret"  # noqa: S105 (the header's name)
# An address with the client's port behind it, or of IPv6 within brackets.
WITH_PORT = re.compile(r"\[([0-9a-fA-F:.]+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+")

# An IPv6 client has a whole network, and could take another address for each request.
IPV6_PREFIX = 64
# A customer of a provider has up to 65,536 such networks: RIPE-690 recommends a /48 for each.
SITE_PREFIX = 48
# A network from which a local account was used is known for so long after the last log-in.
KNOWN_NETWORK_DAYS = 90


def client_of(request: Request) -> str:
    """Return the network address of a request's client; of an IPv6 client its network of 64 bits.

    Normally the server reports it: on Vercel the platform overwrites X-Forwarded-For, and the
    runtime's uvicorn reads that, from its own proxy alone. Behind a proxy of the operator's all
    requests have the address of that proxy, so CLIENT_ADDRESS_HEADER names the header in which it
    sends the client's. That header counts only beside the proxy's secret, because the function can
    also be reached without the proxy.
    """
    host = _address_by_proxy(request) or (request.client.host if request.client else "")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))
    return host


def _address_by_proxy(request: Request) -> str | None:
    """Return the address that the operator's proxy reports; None: the server's counts.

    Of several addresses it is the last one, which the proxy itself has added; a client may have
    sent those before.
    """
    header, secrets = settings().client_address_header, settings().proxy_secret
    if header is None:
        return None
    given = request.headers.getlist(PROXY_SECRET_HEADER)
    if not _has_secret(given, secrets):
        log_seldom("client_address_ignored", "wrong secret" if given else "no secret")
        return None
    last = ",".join(request.headers.getlist(header)).rpartition(",")[2].strip()
    if match := WITH_PORT.fullmatch(last):
        last = match[1] or match[2]
    try:
        return str(ipaddress.ip_address(last))
    except ValueError:
        log_seldom("client_address_ignored", "no address in it" if last else "no header")
        return None


def _has_secret(given: list[str], secrets: tuple[str, ...]) -> bool:
    """Tell whether a header is one of the secrets; each is compared in constant time."""
    # As the header's bytes were, because a server reads them as Latin-1.
    sent = given[0].encode("latin-1") if len(given) == 1 else b""
    return any(hmac.compare_digest(sent, secret.encode()) for secret in secrets)


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
        # The newest signs tokens, too.
        next(iter(configuration.jwt_secret), None),
        configuration.cron_secret,
    )
    return hmac.digest(key, value.encode(), "sha256")


@cache
def _key(*secrets: str | None) -> bytes:
    return hashlib.sha256("\0".join(secret or "" for secret in secrets).encode()).digest()
