"""The URL of a Postgres database: checked as far as that is possible without a network.

libpq itself reads it, because it knows more spellings than a parser for the web: several hosts,
`host`, `hostaddr` and `ssl` in the query, and escapes. Its parameters: PostgreSQL, "Parameter Key
Words". No text of an error here repeats a part of the URL that may belong to a password.
"""

import os
import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote

EXAMPLE = "must be a URL like postgresql://user:password@host/database"
ESCAPES = (
    f"{EXAMPLE}, in which % @ : / of a password are written %25 %40 %3A %2F, and # ? are %23 %3F"
)
SCHEMES = ("postgres://", "postgresql://")
# Parameters that tell other programs how to pool and to prepare (Prisma, node-postgres, SQLAlchemy,
# Rails, Supabase's integration for Vercel). Parley has settings of its own for that.
FOREIGN = frozenset(
    {
        *("pgbouncer", "connection_limit", "pool_timeout", "socket_timeout", "pool_size", "pool"),
        *("max_idle_connection_lifetime", "max_connection_lifetime", "statement_cache_size"),
        *("prepared_statements", "statement_cache_capacity", "default_query_exec_mode"),
        *("uselibpqcompat", "supa", "workaround"),
    }
)
# Parameters of other programs that change what is reached, or how safely; and what to write.
CURES = {
    "schema": "remove it: Parley's own schema is named by the variable PARLEY_SCHEMA",
    "ssl": "write sslmode=require",
    "sslaccept": "write sslmode=verify-full&sslrootcert=system, or sslmode=require",
    "sslidentity": "write sslcert and sslkey",
    "search_path": "remove it: Parley's own schema is named by the variable PARLEY_SCHEMA",
}
CURES["currentSchema"] = CURES["search_path"]
# What a server takes in `options` (PostgreSQL, "postgres": -c name=value, --name=value), and
# Neon's word for clients that do not name their host in TLS.
OPTION = re.compile(r"(-c\s*|--)[\w.-]+=(\\.|\S)*|(endpoint|project)=\S+")
# Read at the first connect only, where one that is no number ends it.
NUMBERS = (
    *("connect_timeout", "tcp_user_timeout"),
    *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
)
# Found by libpq, but only when it connects to that host.
FILES = ("sslcert", "sslkey", "sslrootcert", "sslcrl")
NO_TLS = {"disable"}
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """A URL that libpq can connect to.

    Attributes:
        text: the URL without the parameters that libpq does not know.
        parameters: libpq's parameters, by name.
        ignored: the names of the parameters that were left out.
    """

    text: str
    parameters: dict[str, str]
    ignored: tuple[str, ...]

    def overrides(self) -> dict[str, str]:
        """Return the parameters that libpq needs in place of the URL's own.

        `sslrootcert=system` stands for the certificates of the machine. psycopg's package has an
        OpenSSL of its own, which looks for them where no machine has any.
        """
        # The environment would also count for the OpenSSL of the package.
        if self.parameters.get("sslrootcert") != "system" or os.environ.get("SSL_CERT_FILE"):
            return {}
        bundle = next((path for path in BUNDLES if Path(path).exists()), None)
        # As strict as libpq is with `system`.
        return {"sslrootcert": bundle, "sslmode": "verify-full"} if bundle else {}


def read_postgres_url(value: str) -> PostgresUrl:
    """Read the URL of a database, and refuse one that could never connect.

    Raises:
        ValueError: with the fault and its cure, without the password.
    """
    _check_beginning(value)
    if _has_bare_character(value):
        raise ValueError(ESCAPES)
    text, ignored = _without_foreign(value)
    parameters = _read_by_libpq(text)
    _check_places(parameters)
    _check_use(parameters)
    _check_by_libpq(parameters)
    return PostgresUrl(text, parameters, ignored)


def _check_beginning(value: str) -> None:
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", value)
    if value.startswith(SCHEMES):
        return
    if value[:1] in {"'", '"'}:
        fault = "it begins with a quotation mark"
    elif value.startswith("psql "):
        fault = "leave out the command psql and the quotation marks"
    elif scheme is None:
        fault = "it does not begin with postgresql://"
    elif scheme[1].startswith("prisma"):
        fault = f"{scheme[1]}:// is Prisma's own; use the URL of the database itself"
    elif scheme[1].startswith(("postgres+", "postgresql+")):
        fault = "leave out the driver that stands behind the + in its scheme"
    else:
        fault = "its scheme is another"
    message = f"{EXAMPLE}: {fault}"
    raise ValueError(message)


def _has_bare_character(value: str) -> bool:
    """Tell whether a password seems to hold a character that ends it for libpq.

    libpq ends user and password at the first @, and looks for that before the first / or ?.
    """
    rest = value.partition("://")[2]
    authority, path, query = re.fullmatch(r"([^/?]*)(/[^?]*)?(\?.*)?", rest, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess] (it fits any text)
    if "@" in authority:
        return "@" in authority.partition("@")[2]
    # No user, or a cut one: an @ in the name of a database is as good as unknown; one in the query
    # belongs to the value of a parameter, unless no port stands before it.
    port = authority.partition(":")[2]
    cut = bool(port) and not re.fullmatch(r"[\d,]*", port.rpartition("]:")[2] or port)
    return "@" in (path or "") or ("@" in (query or "") and (cut or "=" not in (query or "")))


def _without_foreign(value: str) -> tuple[str, tuple[str, ...]]:
    """Return a URL without the parameters of other programs that do not matter here.

    Raises:
        ValueError: a parameter is unknown to libpq, and may matter.
    """
    from psycopg import pq  # noqa: PLC0415 (see _read_by_libpq)

    known = {default.keyword.decode() for default in pq.Conninfo.get_defaults()}
    head, _, query = value.partition("?")
    kept: list[str] = []
    ignored: list[str] = []
    for pair in query.split("&") if query else []:
        name, equals, given = pair.partition("=")
        name = unquote(name)
        if name in FOREIGN or (name, given) == ("schema", "public"):
            ignored.append(name)
        elif name in known or (name, given) == ("ssl", "true"):
            if not equals:
                message = f'{EXAMPLE}: its parameter "{name}" has no value'
                raise ValueError(message)
            kept.append(pair)
        else:
            if "@" in query:
                # Perhaps a piece of a password.
                raise ValueError(ESCAPES)
            shown = f'"{name}"' if re.fullmatch(r"\w{1,40}", name) else "with an odd name"
            cure = CURES.get(name, "remove it")
            message = f"{EXAMPLE}: Postgres does not know its parameter {shown}; {cure}"
            raise ValueError(message)
    return (f"{head}?{'&'.join(kept)}" if kept else head), tuple(ignored)


def _read_by_libpq(text: str) -> dict[str, str]:
    # Late imports: `make dev` and others read settings without a database.
    from psycopg import ProgrammingError  # noqa: PLC0415
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        parameters = conninfo_to_dict(text)
    except ProgrammingError:
        # Its text repeats the URL, which has a password.
        raise ValueError(ESCAPES) from None
    return {name: str(value) for name, value in parameters.items()}


def _check_places(parameters: dict[str, str]) -> None:
    """Check hosts and ports, which are read at the first connect only."""
    ports = [port for port in parameters.get("port", "").split(",") if port]
    if not all(port.isascii() and port.isdigit() for port in ports):
        # Perhaps a piece of a password.
        raise ValueError(ESCAPES)
    has_place = any(map(parameters.get, ("host", "hostaddr", "service")))
    has_default = any(map(os.environ.get, ("PGHOST", "PGHOSTADDR", "PGSERVICE")))
    hosts = parameters.get("host", "").split(",")
    addresses = parameters["hostaddr"].split(",") if "hostaddr" in parameters else []
    fault = None
    if not all(0 < int(port) < 2**16 for port in ports):
        fault = "its port is not between 1 and 65535"
    elif "password" in parameters and not (has_place or has_default):
        fault = "it names no host"
    elif any(re.match(r"[^/@].*[ {]|[ {$]", host) for host in hosts):
        fault = "its host is no name"
    elif not all(map(_is_address, addresses)):
        fault = "its hostaddr is not an IP address"
    elif addresses and parameters.get("host") and len(addresses) != len(hosts):
        fault = "it has another number of hosts than of addresses (hostaddr)"
    elif len(ports) > 1 and len(ports) != max(len(hosts), len(addresses)):
        fault = "it has another number of ports than of hosts"
    elif re.fullmatch(r"\[?YOUR[-_ ]PASSWORD\]?", parameters.get("password", ""), re.IGNORECASE):
        fault = "put the password where YOUR-PASSWORD stands"
    if fault:
        message = f"{EXAMPLE}: {fault}"
        raise ValueError(message)


def _is_address(text: str) -> bool:
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _check_use(parameters: dict[str, str]) -> None:
    """Check parameters that libpq takes as they are, but that no request could live with."""
    fault = None
    if parameters.get("replication", "false").lower() not in {"false", "off", "no", "0"}:
        fault = "remove replication: such a connection takes no statements of Parley's"
    elif parameters.get("target_session_attrs") in {"read-only", "standby"}:
        fault = "remove target_session_attrs: Parley also writes"
    elif (options := parameters.get("options")) and OPTION.sub("", options).strip():
        fault = "its options must be like -c name=value, separated by spaces"
    elif any(not re.fullmatch(r"-?\d+", parameters.get(name, "0")) for name in NUMBERS):
        fault = f"{', '.join(NUMBERS)} must be whole numbers"
    elif parameters.get("sslmode") not in NO_TLS:
        fault = next(
            (
                f"the file that {name} names is not there"
                for name in FILES
                if (file := parameters.get(name))
                and (name, file) != ("sslrootcert", "system")
                and not Path(file).exists()
            ),
            None,
        )
    if fault:
        message = f"{EXAMPLE}: {fault}"
        raise ValueError(message)


def _check_by_libpq(parameters: dict[str, str]) -> None:
    """Let libpq check the values, as it does before it looks for a host."""
    from psycopg import pq  # noqa: PLC0415 (see _read_by_libpq)
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415

    # No such socket: libpq fails before it reaches anything.
    away = {name: value for name, value in parameters.items() if name != "hostaddr"}
    away |= {"host": "/nowhere", "port": "5432", "gssencmode": "disable"}
    wanted = parameters.get("gssencmode", "disable")
    fault = None if wanted in {"disable", "prefer", "require"} else f'gssencmode="{wanted}"'
    connection = pq.PGconn.connect_start(make_conninfo("", **away).encode())
    words = connection.error_message.decode(errors="replace").strip()
    connection.finish()
    if fault is None and words and not words.startswith("connection to server"):
        fault = words.splitlines()[0]
    if fault:
        message = f"{EXAMPLE}; libpq refuses its parameters: {fault}"
        raise ValueError(message)
