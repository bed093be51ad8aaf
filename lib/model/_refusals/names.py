"""The names in a refusal that the log may have: a code, a field of the request, and an id.

A provider writes there as it likes, and some repeat the request or the key. So a code and a field
are logged if they consist of words that providers are known to use, and an id if no word of it was
sent to the provider.
"""

import re

# Of codes and fields, as the providers of tests/zoo and OpenAI's description write them.
WORDS = (
    "above|account|active|additional|ai|all|allowed|api|argument|arguments|array|"
    "audio|auth|authentication|bad|balance|billing|blocked|body|boolean|call|calls|"
    "cancelled|capacity|chat|choice|code|completion|completions|connection|content|"
    "context|conversation|credentials|credit|data|decommissioned|denied|deployment|"
    "deprecated|description|disabled|disallowed|discriminator|duplicate|effort|empty|"
    "encrypted|enum|error|exceed|exceeded|exceeding|exception|exhausted|exist|"
    "expected|expired|extra|failed|field|file|filter|flagged|forbidden|format|"
    "found|function|functions|gateway|generation|generic|greater|hard|harmful|high|"
    "id|image|images|include|incorrect|input|inspection|instructions|insufficient|"
    "integer|internal|invalid|item|items|json|key|large|length|less|limit|limited|"
    "limits|literal|loading|location|long|malformed|many|max|media|message|"
    "messages|method|min|missing|model|moderation|name|not|null|number|object|"
    "option|options|order|organization|output|overloaded|parameter|parameters|parse|"
    "part|parts|payload|payment|pending|permission|policy|prediction|previous|"
    "processing|prohibited|project|prompt|properties|property|quota|range|rate|"
    "reached|reasoning|refused|regex|region|request|requests|required|resource|"
    "response|responses|responsible|result|role|safety|schema|seed|server|service|"
    "signature|size|specified|state|status|store|stream|strict|string|suspended|"
    "system|temperature|text|thinking|thought|throttling|timed|timeout|token|tokens|"
    "too|tool|tools|top|truncated|type|unauthenticated|unauthorized|unavailable|"
    "unknown|unprocessable|unsupported|url|usage|use|user|validation|value|values|"
    "verbosity|violation|vision|window"
)
KNOWN = re.compile(rf"(?:{WORDS})+|[a-z]{{0,2}}|\d{{1,3}}")
SEPARATORS = re.compile(r"[_.\[\]]")
# In place of a name that is not known.
OTHER = "other"
ID = re.compile(r"[A-Za-z0-9._:-]{8,100}")
# Of an id; shorter ones are in any long text by chance.
RUN = re.compile(r"[a-z0-9]{4,}")


def known_name(name: str) -> str:
    """Return a code, or the path of a field, if all its words are known; else `other`.

    Args:
        name: in small letters; '' if the refusal names none, which stays ''.
    """
    return name if all(map(KNOWN.fullmatch, SEPARATORS.split(name))) else OTHER


def safe_id(text: str, sent: str) -> str:
    """Return the provider's id of a request, or '' if it may repeat the request or the key.

    Args:
        text: the header, as it came.
        sent: all that the provider got: the request and the key.
    """
    lowered = sent.lower()
    is_echo = any(run in lowered for run in RUN.findall(text.lower()))
    return text if ID.fullmatch(text) and not is_echo else ""
