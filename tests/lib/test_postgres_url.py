"""The URL of a database: one that could never connect stops the start, and tells no password."""

import re
from pathlib import Path

import pytest

from lib.postgres_url import BUNDLES, read_postgres_url
from lib.settings import SettingsError, read_settings

HOST = "postgresql://ann:hunter2@localhost/db"
ESCAPED = "of a password are written"
REFUSED = [
    ("postgresql://ann:hun%ter2@localhost/db", ESCAPED),
    ("postgresql://ann:hun/ter2@localhost/db", ESCAPED),
    ("postgresql://ann:hun?ter2@localhost/db", ESCAPED),
    ("postgresql://ann:hun@ter2@localhost/db", ESCAPED),
    ("postgresql://ann:12/hunter2@localhost/db", ESCAPED),
    ("postgresql://ann:12?hunter2=@localhost/db", ESCAPED),
    ("postgresql://ann:hunter2%00@localhost/db", ESCAPED),
    ("mysql://ann:hunter2@localhost/db", "its scheme is another"),
    ("jdbc:postgresql://ann:hunter2@localhost/db", "its scheme is another"),
    ("postgresql+asyncpg://ann:hunter2@localhost/db", "leave out the driver"),
    ("postgres+psycopg2://ann:hunter2@localhost/db", "leave out the driver"),
    ("prisma://accelerate.example/?api_key=hunter2", "is Prisma's own"),
    ("prisma+postgres://accelerate.example/?api_key=hunter2", "is Prisma's own"),
    (f"'{HOST}'", "begins with a quotation mark"),
    (f"psql '{HOST}'", "leave out the command psql"),
    ("ann:hunter2@localhost/db", "must be a URL like"),
    ("postgresql://ann:[YOUR-PASSWORD]@localhost/db", "where YOUR-PASSWORD stands"),
    ("postgresql://ann:hunter2@/db", "it names no host"),
    ("postgresql://ann:hunter2@${HOST}/db", "its host is no name"),
    ("postgresql://localhost:0/db", "its port is not between 1 and 65535"),
    ("postgresql://localhost:65536/db", "its port is not between 1 and 65535"),
    ("postgresql://localhost,b:1,c:2/db?port=1,2", "another number of ports"),
    (f"{HOST}?hostaddr=here", "its hostaddr is not an IP address"),
    (f"{HOST}?hostaddr=127.0.0.1,127.0.0.2", "another number of hosts"),
    (f"{HOST}?schema=app", "PARLEY_SCHEMA"),
    (f"{HOST}?sslmod=require", 'does not know its parameter "sslmod"'),
    (f"{HOST}?sslaccept=strict", "sslmode=verify-full"),
    (f"{HOST}?ssl=require", "write sslmode=require"),
    (f"{HOST}?sslmode", 'its parameter "sslmode" has no value'),
    (f"{HOST}?sslmode=foo", 'invalid sslmode value: "foo"'),
    (f"{HOST}?sslrootcert=system&sslmode=require", 'weak sslmode "require"'),
    (f"{HOST}?channel_binding=x", "invalid channel_binding value"),
    (f"{HOST}?gssencmode=foo", "gssencmode"),
    (f"{HOST}?require_auth=foo", 'invalid require_auth value: "foo"'),
    (f"{HOST}?ssl_min_protocol_version=9", "ssl_min_protocol_version"),
    (f"{HOST}?service=nowhere", 'service "nowhere" not found'),
    (f"{HOST}?sslcert=/not/there", "the file that sslcert names is not there"),
    (f"{HOST}?sslrootcert=/not/there&sslmode=verify-full", "sslrootcert names is not there"),
    (f"{HOST}?options=-c%20foo", "its options must be like"),
    (f"{HOST}?replication=database", "remove replication"),
    (f"{HOST}?target_session_attrs=standby", "Parley also writes"),
    (f"{HOST}?target_session_attrs=foo", "invalid target_session_attrs value"),
    (f"{HOST}?connect_timeout=soon", "must be whole numbers"),
]
TAKEN: list[tuple[str, tuple[str, ...]]] = [
    (f"{HOST}?pgbouncer=true", ("pgbouncer",)),
    (f"{HOST}?pgbouncer", ("pgbouncer",)),
    (f"{HOST}?schema=public&sslmode=require", ("schema",)),
    (
        f"{HOST}?pgbouncer=true&connection_limit=1&pool_timeout=0&sslmode=require",
        ("pgbouncer", "connection_limit", "pool_timeout"),
    ),
    (f"{HOST}?sslmode=require&supa=base-pooler.x", ("supa",)),
    (f"{HOST}?sslmode=require&channel_binding=require", ()),
    (f"{HOST}?options=endpoint%3Dep-cool-night", ()),
    (f"{HOST}?options=-c%20a%3Db%20--work-mem%3D1MB", ()),
    (f"{HOST}?sslrootcert=system", ()),
    ("postgresql://ann:hun%25ter%2F%3F%40%23%3A@localhost/db", ()),
    ("postgresql://ann:hun#ter2@localhost/db", ()),
    ("postgresql://localhost:5432/db?user=a@b", ()),
    ("postgresql://localhost:5432?sslmode=require", ()),
    ("postgresql://ann:hunter2@[::1]:5432/db", ()),
    ("postgresql://parley@/parley?host=%2Fhome%2Fann%2FMy%20%7Bnew%7D%20chat%2Fpostgres", ()),
]


@pytest.mark.parametrize(("url", "why"), REFUSED)
def test_a_url_that_cannot_connect_stops_the_start_and_tells_its_fault(url: str, why: str) -> None:
    with pytest.raises(SettingsError) as told:
        read_settings({"DATABASE_URL": url, "ALLOW_INSECURE_NETWORK": "true"})

    assert why in str(told.value)
    assert not re.search("hunter2|ter2|hun", str(told.value))


@pytest.mark.parametrize(("url", "ignored"), TAKEN)
def test_a_url_of_other_programs_is_taken_without_their_parameters(
    url: str, ignored: tuple[str, ...]
) -> None:
    read = read_postgres_url(url)

    assert read.ignored == ignored
    assert not any(f"{name}=" in read.text for name in ignored)
    # Hashes are keyed with it.
    assert read_settings({"DATABASE_URL": url}).database_url == url


def test_the_certificates_of_the_machine_are_found_where_it_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    overrides = read_postgres_url(f"{HOST}?sslrootcert=system").overrides()

    has_bundle = any(Path(path).exists() for path in BUNDLES)
    assert bool(overrides) == has_bundle
    assert overrides.get("sslmode", "verify-full") == "verify-full"
    assert read_postgres_url(f"{HOST}?sslmode=require").overrides() == {}
