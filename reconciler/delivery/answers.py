"""What each answer of the API means. Pure: ``answer_of`` is the table, what to do about it is delivery's.

Messages quote a little of what the API says, for people; ``echo`` sees to it that no secret is in it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from reconciler.policy import keys

MOST_QUOTED = 200
"""Characters of an answer that a message quotes at most."""

LONGEST_WAIT = 3600.0
"""Seconds that a Retry-After is honoured for at most: a mistyped one must not silence us for ever."""

_RETRIED = frozenset({408, 409, 425, 429})
_REJECTED = frozenset({400, 413, 422})


class Acknowledged(msgspec.Struct, frozen=True):
    """The API has it."""

    status: int


class Rejected(msgspec.Struct, frozen=True):
    """The API refuses this content; other apps go on."""

    status: int
    what: str


class Outdated(msgspec.Struct, frozen=True):
    """The API has accepted a greater key for this app (409 with its Idempotency-Key)."""

    newest_key: str


class Again(msgspec.Struct, frozen=True):
    """It may pass. ``after``: seconds that the API asks to wait (``Retry-After``), if it does.

    ``status``: 0 when there was no answer.
    """

    what: str
    status: int = 0
    after: float | None = None


class Stop(msgspec.Struct, frozen=True):
    """No app will get through until a person changes something, here or there."""

    status: int
    what: str


Answer = Acknowledged | Rejected | Outdated | Again | Stop


def answer_of(status: int, headers: Mapping[str, str], text: str, now: datetime) -> Answer:
    """What an answer means. ``headers``: by names in lower case; ``text``: the beginning of its body, ""
    when it must not be quoted."""
    said = _said(headers, text)
    if 200 <= status < 300:
        if _media_type(headers) == "text/html":
            return Stop(status, f"{status} with a web page: this is a portal, not the Hossted API")
        return Acknowledged(status)
    if status == 409 and (newest := keys.parse(headers.get("idempotency-key", ""))) is not None:
        return Outdated(newest)
    if may_pass(status):
        return Again(f"answered {status}{said}", status, _retry_after(headers, now))
    if status in _REJECTED:
        return Rejected(status, f"answered {status}{said}")
    return Stop(status, f"answered {status}{_advice(status)}{said}")


def may_pass(status: int) -> bool:
    """Whether the same request may get another answer later, without anybody doing anything."""
    return status in _RETRIED or 500 <= status < 600


def one_line(text: str, most: int = MOST_QUOTED) -> str:
    """The text as a message can quote it: printable, on one line, cut to so many characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line[:most]


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _said(headers: Mapping[str, str], text: str) -> str:
    """What the API says about it, on one line; nothing of web pages and of what is not text."""
    media_type = _media_type(headers)
    if not (media_type == "text/plain" or media_type.endswith("json")):
        return ""
    line = one_line(text)
    return f": {line}" if line else ""


def _advice(status: int) -> str:
    if status in (401, 403):
        return " (check HOSSTED_AUTH_TOKEN and HOSSTED_AUTH_SCHEME)"
    if status == 407:
        return " (a proxy wants other credentials: check HTTPS_PROXY or HTTP_PROXY)"
    if status in (404, 405) or 300 <= status < 400:
        return " (check HOSSTED_API_URL; redirects are not followed)"
    return ""


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait: RFC 9110, section 10.2.3, a number of seconds or a date."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), LONGEST_WAIT)
