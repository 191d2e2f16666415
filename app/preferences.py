"""Three request headers: Prefer (RFC 7240), Idempotency-Key, If-None-Match (RFC 9110, section 13.1.2).

What a client prefers and what it has are hints: a value that is not well formed counts as not sent. An Idempotency-Key is a
demand, so a bad one is an error.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.datastructures import Headers

from app.errors import InvalidHeader

RESPOND_ASYNC = "respond-async"
MAX_KEY_LENGTH = 255
MAX_WAIT_DIGITS = 9  # some thirty years; int() refuses to read thousands of digits

# Quantifiers that could give back much are possessive, and a quote that is never closed takes all that follows: so matching
# is linear in the header's length.
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_WORD = rf"(?:{_TOKEN}|{_QUOTED})"
_PARAMETER = rf"{_TOKEN}(?:[ \t]*=[ \t]*{_WORD})?"
_PREFERENCE = re.compile(rf"({_TOKEN})(?:[ \t]*=[ \t]*({_WORD})?)?(?:[ \t]*;(?:[ \t]*{_PARAMETER})?)*[ \t]*", re.DOTALL)
_PREFERENCES = re.compile(rf'(?:{_QUOTED}|[^",]|".*+)++', re.DOTALL)  # between commas that are not quoted
_ENTITY_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_ENTITY_TAGS = re.compile(r'(?:"[^"]*+"|[^",]|".*+)++', re.DOTALL)  # a tag may hold commas; it knows no escapes
_KEY = re.compile(rf"[\x20-\x7e]{{1,{MAX_KEY_LENGTH}}}")


@dataclass(frozen=True)
class Preferences:
    """What a client prefers: an answer at once with a job, and how many seconds it waits for a result at most."""

    respond_async: bool = False
    wait_seconds: float | None = None


def preferences(headers: Headers) -> Preferences:
    """Those of the Prefer headers that are known here. Of several with one name the first counts, as RFC 7240 says."""
    stated: dict[str, str] = {}
    for name, value in _stated(", ".join(headers.getlist("Prefer"))):
        stated.setdefault(name, value)
    return Preferences(stated.get(RESPOND_ASYNC) == "", _seconds(stated.get("wait", "")))


def _stated(header: str) -> Iterator[tuple[str, str]]:
    """Name in lower case and value, unquoted, of each well-formed preference; no value and an empty one are the same."""
    for element in _PREFERENCES.findall(header):
        if match := _PREFERENCE.fullmatch(element.strip(" \t")):
            name, value = match[1].lower(), match[2] or ""
            yield name, re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL) if value.startswith('"') else value


def _seconds(value: str) -> float | None:
    """`delta-seconds` of RFC 9110: ASCII digits and nothing else."""
    if not re.fullmatch(r"[0-9]+", value):
        return None
    digits = value.lstrip("0")
    return float(digits or 0) if len(digits) <= MAX_WAIT_DIGITS else 10.0**MAX_WAIT_DIGITS


def idempotency_key(headers: Headers) -> str | None:
    """The Idempotency-Key, or None without one; raises InvalidHeader for one that is not 1 to 255 printable ASCII characters."""
    keys = headers.getlist("Idempotency-Key")
    if not keys:
        return None
    if len(keys) > 1:
        raise InvalidHeader(f"Idempotency-Key: expected one, found {len(keys)}")
    if not _KEY.fullmatch(keys[0]):
        raise InvalidHeader(f"Idempotency-Key: expected 1 to {MAX_KEY_LENGTH} printable ASCII characters, found others or more")
    return keys[0]


def has_current(headers: Headers, etag: str) -> bool:
    """Whether If-None-Match says that the client has what `etag` (opaque part, unquoted) names. Weak tags compare as strong."""
    header = ", ".join(headers.getlist("If-None-Match"))
    if header.strip(" \t") == "*":
        return True
    tags = (_ENTITY_TAG.fullmatch(element.strip(" \t")) for element in _ENTITY_TAGS.findall(header))
    return any(tag is not None and tag[1] == etag for tag in tags)
