"""The origins of pages that may read responses, as ALLOWED_ORIGIN names them.

An origin is a scheme, a host and a port, which a browser sends with each request of a page to
another origin (RFC 6454). A `*` in a host stands for one or more letters, digits and hyphens within
its label: never for a dot, and never in a name that is registered.
"""

import re

WEB_ORIGIN = re.compile(
    r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9*-]+(?:\.[a-z0-9*-]+)*)(?::(\d{1,5}|\*))?",
    re.IGNORECASE,
)
# Of an app or of an extension: `capacitor://localhost`, `chrome-extension://abcdefgh`.
APP_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://[A-Za-z0-9._-]+(?::\d{1,5})?")
# Pages of these have no origin of their own: a browser sends `null`, as any page may.
WITHOUT_ORIGIN = {"about", "blob", "data", "file", "ftp", "javascript", "ws", "wss"}
DEFAULT_PORTS = {"http": "80", "https": "443"}
THIS_MACHINE = {"localhost", "127.0.0.1", "[::1]"}
# Where anybody gets a name. Not the whole list (https://publicsuffix.org), which has 10,000 names.
SHARED = (
    *("vercel.app", "now.sh", "vercel.dev", "netlify.app", "pages.dev", "workers.dev", "web.app"),
    *("firebaseapp.com", "github.io", "gitlab.io", "github.dev", "app.github.dev", "surge.sh"),
    *("herokuapp.com", "onrender.com", "fly.dev", "railway.app", "up.railway.app", "deno.dev"),
    *("appspot.com", "azurestaticapps.net", "cloudfront.net", "amplifyapp.com", "loca.lt"),
    *("ondigitalocean.app", "ngrok.app", "ngrok.dev", "ngrok-free.app", "ngrok-free.dev"),
    *("trycloudflare.com", "replit.app", "replit.dev", "repl.co", "stackblitz.io", "glitch.me"),
    *("webcontainer.io", "csb.app", "lovable.app", "bolt.host", "hf.space", "streamlit.app"),
)
# Likewise, with the name of a region or of a product in between.
SHARED_BY_REGION = (
    *("amazonaws.com", "awsapprunner.com", "azurewebsites.net", "azurecontainerapps.io"),
    *("cloudapp.azure.com", "run.app", "ngrok.io"),
)
# The second labels under which countries sell names: co.uk, com.br, or.jp.
OF_COUNTRIES = {"ac", "co", "com", "edu", "gob", "gouv", "gov", "mil", "ne", "net", "or", "org"}
# Letters and digits beside a `*`, where anybody gets a name.
LEAST_OWN_CHARS = 4


def origins(value: str) -> tuple[str, ...]:
    """Read a comma-separated list of origins and patterns, each as a browser writes it.

    Raises:
        ValueError: when no page has such an origin, or strangers have it; names the entry.
    """
    parts = [part.strip().rstrip("/") for part in value.split(",")]
    return tuple(dict.fromkeys(_read(part) for part in parts if part))


def pattern_of(listed: tuple[str, ...]) -> str | None:
    """Return one regular expression for all entries with a `*`; None: no entry has one."""
    patterns: list[str] = []
    for origin in listed:
        if "*" in origin:
            host, port = origin.removesuffix(":*"), "(:[0-9]+)?" if origin.endswith(":*") else ""
            patterns.append(re.escape(host).replace(r"\*", "[a-z0-9-]+") + port)
    return "|".join(patterns) or None


def _read(text: str) -> str:
    """Return an origin in small letters, and without the port that its scheme has anyway."""
    web = WEB_ORIGIN.fullmatch(text)
    if web is None:
        return _app_origin(text)
    scheme, host, port = (part.lower() if part else "" for part in web.groups())
    fault = None
    if port == "*" and host not in THIS_MACHINE:
        fault = "a port may be * on this machine alone, as in http://localhost:*"
    elif "*" in host:
        fault = _fault_of_pattern(host)
    if fault:
        message = f"has {text!r}: {fault}"
        raise ValueError(message)
    return f"{scheme}://{host}" + ("" if port in {"", DEFAULT_PORTS[scheme]} else f":{port}")


def _app_origin(text: str) -> str:
    scheme = match[1] if (match := APP_ORIGIN.fullmatch(text)) else None
    if scheme in WITHOUT_ORIGIN or text == "null":
        message = f"must not have {text!r}: such a page sends the origin null, as any page may"
    elif scheme in {"http", "https", None}:
        message = (
            "must be origins like https://example.app or capacitor://localhost, without a path, "
            f"separated by commas, not {text!r}"
        )
        if not text.isascii():
            message += "; write the host as a browser does, with xn--"
    else:
        return text
    raise ValueError(message)


def _fault_of_pattern(host: str) -> str | None:
    """Return why a host with a `*` would let strangers in; None: it would not."""
    labels = host.split(".")
    shared = max(
        (each for each in SHARED + SHARED_BY_REGION if host.endswith(f".{each}")),
        key=len,
        default=None,
    )
    registered = 1 if labels[-1] == "localhost" else 2
    if len(labels[-1]) == len("uk") and labels[-2:-1] and labels[-2] in OF_COUNTRIES:
        registered = 3
    if len(labels) <= registered or any("*" in label for label in labels[-registered:]):
        return "a * may stand only before a name of your own, as in https://*.example.app"
    if shared is None:
        return None
    chosen = labels[: -len(shared.split("."))]
    if shared not in SHARED_BY_REGION:
        chosen = chosen[-1:]
    if all("*" not in label or sum(map(str.isalnum, label)) >= LEAST_OWN_CHARS for label in chosen):
        return None
    return (
        f"anybody can have a name under {shared}, so at least {LEAST_OWN_CHARS} letters or digits "
        f"must stand beside the *, as in https://myapp-*-team.{shared}"
    )
