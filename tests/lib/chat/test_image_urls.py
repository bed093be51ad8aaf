"""URLs of images: what the provider may be asked to fetch."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lib.settings
from lib.chat._image_urls import check_image_url


@pytest.fixture(autouse=True)
def settings_without_a_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the one variable that Parley needs."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.delenv("IMAGE_HOSTS", raising=False)
    lib.settings.settings.cache_clear()
    yield
    lib.settings.settings.cache_clear()


def allow(monkeypatch: pytest.MonkeyPatch, hosts: str) -> None:
    """Set IMAGE_HOSTS."""
    monkeypatch.setenv("IMAGE_HOSTS", hosts)
    lib.settings.settings.cache_clear()


PUBLIC = [
    "https://example.com",
    "https://example.com/",
    "https://example.com/cat.png",
    "https://example.com:443/cat.png",
    "https://images.example.co.uk/a/b.png?width=100&sign=a%2Fb@c#top",
    "https://example.com/b\u00e4r.png",
    "https://example.com/http://localhost/",
    "https://xn--br-via.example.com/cat.png",
    "https://cat.xn--p1ai/cat.png",
    "https://1and1.com/cat.png",
    "https://10.example.com/cat.png",
    "https://my-bucket--x.s3.eu-central-1.amazonaws.com/cat.png",
    "https://local.example.com/cat.png",
    "https://localhost.example.com/cat.png",
    "https://8.8.8.8/cat.png",
    "https://[2606:4700:4700::1111]/cat.png",
    f"https://{'a' * 63}.com/",
    "https://example.com/" + "a" * 2028,
]
NO_HOST = [
    "",
    "cat.png",
    "https:",
    "https://",
    "https:///cat.png",
    "https:/example.com/cat.png",
    "https:example.com/cat.png",
    "//example.com/cat.png",
    "http://example.com/cat.png",
    "HTTPS://example.com/cat.png",
    "https ://example.com/cat.png",
    " https://example.com/cat.png",
    "https://example.com/cat.png ",
    "https://example.com/cat.png\n",
    "https://example.com/a b.png",
    "https://example.com/a\tb.png",
    "https://example.com/a\\b.png",
    "https://example.com\\@localhost/",
    "https:\\\\example.com/",
    "https://exa\tmple.com/",
    "https://exa\nmple.com/",
    "https://exa\u00admple.com/",
    "https://exa\u200bmple.com/",
    "https://ex%61mple.com/",
    "https://example.com%2f@localhost/",
    "https://example.com%00.localhost/",
    "https://EXAMPLE.com/",
    "https://example.com./",
    "https://example..com/",
    "https://.example.com/",
    "https://-example.com/",
    "https://example-.com/",
    "https://exa_mple.com/",
    "https://*.example.com/",
    "https://b\u00e4r.example.com/",
    "https://\uff45xample.com/",
    "https://example\u3002com/",
    "https://ann@example.com/",
    "https://ann:secret@example.com/",
    "https://@example.com/",
    "https://:@example.com/",
    "https://example.com@localhost/",
    "https://example.com:80/",
    "https://example.com:8443/",
    "https://example.com:0443/",
    "https://example.com:/",
    "https://example.com:443@localhost/",
    "https://example.com?x=1",
    "https://example.com#@localhost/",
    "https://example.com;localhost/",
    "https://example.com,localhost/",
    "https://xn--.example.com/",
    "https://xn--a.example.com/",
    "https://xn--\u00e4.example.com/",
    # Full-width digits and letters in Punycode.
    "https://"
    + ".".join(["xn--" + c.encode("punycode").decode() for c in ("\uff11\uff12\uff17",)])
    + ".0.0.1/",
    "https://xn--" + "\uff4c\uff4f\uff43\uff41\uff4c".encode("punycode").decode() + "/",
    f"https://{'a' * 64}.com/",
    "https://" + "a." * 126 + "com/",
    "https://example.com/" + "a" * 2029,
    "https://[]/",
    "https://[::1/",
    "https://::1/",
    "https://[::FFFF:127.0.0.1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[fe80::1%25eth0]/",
    "https://[v1.localhost]/",
    "ftp://example.com/cat.png",
    "file:///etc/passwd",
    "blob:https://example.com/1",
    "javascript:alert(1)",
    "gopher://example.com/",
]
PRIVATE = [
    # IPv4
    "127.0.0.1", "127.255.255.254", "10.0.0.5", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "100.100.100.200", "0.0.0.1", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255", "192.0.0.192", "192.0.2.1", "198.51.100.1", "203.0.113.1",
    "198.18.0.1", "192.88.99.1", "168.63.129.16",
    # IPv4, spelled as only some parsers read it
    "2130706433", "017700000001", "0x7f000001", "0x7f.1", "0x7f.0.0.0x1", "127.1", "127.0.1",
    "0177.0.0.1", "127.0.0.01", "0x8.0x8.0x8.0x8", "134744072", "8.8.2056", "08.8.8.8", "1.2.3.4.5",
    "256.256.256.256", "0", "0x", "example.1", "example.0x7f", "127.0.0.1.0",
    # IPv6
    "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[fe80::1]", "[fec0::1]", "[fc00::1]", "[fd00:ec2::254]",
    "[ff02::1]", "[::7f00:1]", "[::ffff:7f00:1]", "[::ffff:808:808]", "[::ffff:0:7f00:1]",
    "[64:ff9b::7f00:1]", "[64:ff9b::808:808]", "[64:ff9b:1::1]", "[2002:7f00:1::]",
    "[2002:808:808::1]", "[2001::1]", "[2001:db8::1]", "[3fff::1]", "[100::1]", "[5f00::1]",
    "[4000::1]", "[1:2]", "[1::2::3]", "[:]",
    # names
    "localhost", "a.localhost", "cat", "intranet", "metadata", "router.local", "a.b.local",
    "metadata.google.internal", "ip-10-0-0-5.ec2.internal", "host.docker.internal",
    "nas.home.arpa", "home.arpa", "1.0.0.127.in-addr.arpa", "localhost.localdomain",
    "wiki.corp", "nas.lan", "nas.home", "wiki.intranet", "db.private", "api.default.svc",
    "api.default.svc.cluster.local", "a.test", "a.invalid", "a.onion", "a.example",
]  # fmt: skip


@pytest.mark.parametrize("url", PUBLIC)
def test_a_plain_https_url_of_a_public_host_is_accepted(url: str) -> None:
    check_image_url(url)


@pytest.mark.parametrize("url", NO_HOST, ids=ascii)
def test_a_url_that_parsers_may_read_differently_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be https:// and one host in small letters"):
        check_image_url(url)


@pytest.mark.parametrize("ending", ["", "/", "/cat.png", ":443/cat.png"])
@pytest.mark.parametrize("host", PRIVATE)
def test_a_host_that_is_not_on_the_public_internet_is_refused(host: str, ending: str) -> None:
    with pytest.raises(ValueError, match="must have a host on the public internet"):
        check_image_url(f"https://{host}{ending}")


@pytest.mark.parametrize("host", [host for host in PRIVATE if not host.startswith("[")])
def test_a_private_host_with_a_dot_at_its_end_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="must be https:// and one host"):
        check_image_url(f"https://{host}./")


@settings(max_examples=500)
@given(st.text(st.sampled_from("https:/example.com10[]@%\\#?xn-. \u00e4\uff11\x00"), max_size=40))
def test_any_text_is_accepted_or_refused_and_breaks_nothing(text: str) -> None:
    for url in (text, f"https://{text}", f"https://xn--{text}"):
        try:
            check_image_url(url)
        except ValueError as error:
            assert str(error).startswith("url must ")  # noqa: PT017 (both outcomes are right)


@settings(max_examples=500)
@given(st.ip_addresses(v=4).filter(lambda address: not address.is_global))
def test_no_address_within_a_network_passes_in_any_spelling(address: object) -> None:
    parts = [int(part) for part in str(address).split(".")]
    number = int.from_bytes(bytes(parts))
    spellings = [
        str(address), str(number), hex(number), f"0{number:o}",
        ".".join(hex(part) for part in parts), ".".join(f"0{part:o}" for part in parts),
        f"{parts[0]}.{number % 2**24}", f"[::ffff:{number >> 16:x}:{number % 2**16:x}]",
        f"[2002:{number >> 16:x}:{number % 2**16:x}::1]",
        f"[64:ff9b::{number >> 16:x}:{number % 2**16:x}]",
    ]  # fmt: skip

    for spelling in spellings:
        with pytest.raises(ValueError, match="url must"):
            check_image_url(f"https://{spelling}/cat.png")


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("images.example.app", True),
        ("a.example.com", True),
        ("a.b.example.com", True),
        ("example.com", False),
        ("badexample.com", False),
        ("example.com.evil.com", False),
        ("example.app", False),
        ("a.images.example.app", False),
        ("8.8.8.8", False),
        ("[2606:4700:4700::1111]", False),
        ("localhost", False),
        ("2130706433", False),
    ],
)
def test_image_hosts_are_the_only_hosts_where_they_are_set(
    monkeypatch: pytest.MonkeyPatch, host: str, *, is_allowed: bool
) -> None:
    allow(monkeypatch, "images.example.app, *.example.com")

    if is_allowed:
        check_image_url(f"https://{host}/cat.png")
        return
    with pytest.raises(ValueError, match=r"allows: images\.example\.app, \*\.example\.com"):
        check_image_url(f"https://{host}/cat.png")


def test_the_operator_may_open_a_host_of_their_own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, "files.internal")

    check_image_url("https://files.internal/cat.png")
    with pytest.raises(ValueError, match="allows"):
        check_image_url("https://metadata.internal/cat.png")
