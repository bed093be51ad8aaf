"""URLs of images: https, one host that all URL parsers agree on, and a host on the public internet.

Parley fetches no image: the provider does, which may stand in the operator's own network. So a URL
must not name an address that only such a network reaches. Which address a public name resolves to
is known to the provider alone; IMAGE_HOSTS closes that.
"""

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Network, ip_address, ip_network

from lib.settings import settings

MAX_URL_CHARS = 2048
MAX_HOST_CHARS = 253
LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
# No user, no port but 443, no capital letter, no %, no backslash, no dot at the end; and a slash
# behind the host. Parsers disagree about each of these.
URL = re.compile(
    rf"https://(?P<host>{LABEL}(?:\.{LABEL})*|\[[0-9a-f:]+\])(?::443)?(?:/[^\s\\\x00-\x20\x7f]*)?"
)
# The last label makes it an IPv4 address to browsers: url.spec.whatwg.org, "ends in a number".
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Last labels that no public name has: RFC 6761, 6762, 7686, 8375 (home.arpa), ICANN's reservation
# of .internal (2024), and names in use inside networks.
PRIVATE_DOMAINS = {
    *("localhost", "local", "internal", "arpa", "test", "invalid", "example", "onion", "alt"),
    *("localdomain", "lan", "home", "corp", "intranet", "private", "svc", "cluster"),
}
# Global unicast: other addresses lead into this network, or to IPv4 (mapped, NAT64).
GLOBAL_IPV6 = IPv6Network("2000::/3")
# Addresses that Python counts as global: protocols with Teredo, 6to4 and its relays, documentation;
# and Azure's 168.63.129.16, which serves a machine about itself.
SPECIAL_NETWORKS = tuple(
    ip_network(each)
    for each in (
        *("2001::/23", "2002::/16", "3fff::/20"),
        *("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"),
    )
)


def check_image_url(url: str) -> None:
    """Check that a URL may be handed to the provider as an image's.

    Raises:
        ValueError: when it may not; says why.
    """
    match = URL.fullmatch(url)
    if len(url) > MAX_URL_CHARS or match is None or not _is_plain(match["host"]):
        message = (
            f"url must be https:// and one host in small letters, without a user or a port, of at "
            f"most {MAX_URL_CHARS} characters"
        )
        raise ValueError(message)
    host, allowed = match["host"], settings().image_hosts
    if allowed and not any(_covers(pattern, host) for pattern in allowed):
        message = (
            f"url must have one of the hosts that this application allows: {', '.join(allowed)}"
        )
        raise ValueError(message)
    if not allowed and not _is_public(host):
        message = "url must have a host on the public internet"
        raise ValueError(message)


def _is_plain(host: str) -> bool:
    """Tell whether a host is not too long, and its international labels have one reading.

    A label in Punycode may hide characters that IDNA maps to others, such as full-width digits.
    """
    return len(host) <= MAX_HOST_CHARS and all(
        _has_one_reading(label) for label in host.split(".") if label.startswith("xn--")
    )


def _has_one_reading(label: str) -> bool:
    try:
        text = label.removeprefix("xn--").encode().decode("punycode")
    except ValueError:
        return False
    is_plain = text.isprintable() and not text.isascii()
    return is_plain and unicodedata.normalize("NFKC", text).lower() == text


def _covers(pattern: str, host: str) -> bool:
    """Tell whether a host of IMAGE_HOSTS is this one; `*.` stands for each subdomain."""
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _is_public(host: str) -> bool:
    if host.startswith("["):
        return _is_public_address(host[1:-1])
    labels = host.split(".")
    if NUMBER.fullmatch(labels[-1]):
        return _is_public_address(host)
    return len(labels) > 1 and labels[-1] not in PRIVATE_DOMAINS


def _is_public_address(text: str) -> bool:
    """Tell whether a text is a public address, in the usual spelling."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return (
        address.is_global
        and not address.is_multicast
        and (isinstance(address, IPv4Address) or address in GLOBAL_IPV6)
        and not any(address in network for network in SPECIAL_NETWORKS)
    )
