"""The Hossted API: one POST per app, and what each answer means. The only importer of httpx.

What the receiver's status means is a table in ``answer_of``; what to do about it is delivery's. Messages
quote a little of the answer's text, for people, and never one that has our token in it.
"""

import asyncio
import logging
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from urllib.parse import urlsplit

import httpx
import msgspec

from reconciler.errors import SettingsError
from reconciler.policy import keys
from reconciler.settings import ApiSettings, program_version

MOST_READ = 64 * 1024
"""Bytes of an answer that are read at most: the rest says nothing that we need."""

MOST_QUOTED = 200
"""Characters of an answer that a message quotes at most."""

LONGEST_WAIT = 3600.0
"""Seconds that a Retry-After is honoured for at most: a mistyped one must not silence us for ever."""

_RETRIED = frozenset({408, 409, 425, 429})
_REJECTED = frozenset({400, 413, 422})


# httpx logs whole URLs at INFO, with whatever somebody has put into the query.
logging.getLogger("httpx").setLevel(logging.WARNING)


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


class Api:
    """A client of one endpoint. Close it when done."""

    def __init__(self, settings: ApiSettings) -> None:
        """Raises SettingsError when the URL cannot be used."""
        self.endpoint = endpoint_of(settings.url)
        self._url = settings.url
        self._token = settings.token
        self._client = httpx.AsyncClient(
            headers={
                "Authorization": f"{settings.scheme} {settings.token}",
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # answers are short, and read no further than MOST_READ
                "User-Agent": f"hossted-reconciler/{program_version()}",
            },
            verify=_trusted(),
            timeout=None,  # noqa: S113 - each push has a timeout for all of it
            # A proxy of the environment is for the outside; what listens on this machine is reached as it is.
            mounts={f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")},
        )

    async def push(self, body: bytes, key: str, timeout: float) -> Answer:  # noqa: ASYNC109 - the timeout is of one request, and is an answer
        """Send one app. ``timeout``: seconds for all of it, connecting and reading included.

        Raises nothing but cancellation: every failure is an answer.
        """
        response: httpx.Response | None = None
        text = ""
        request = self._client.build_request(
            "POST", self._url, content=body, headers={"Idempotency-Key": key}
        )
        try:
            async with asyncio.timeout(timeout):
                response = await self._client.send(request, stream=True)
                text = await _beginning(response)
        except TimeoutError:
            if response is None:
                return Again(f"no answer within {timeout:.3g} s")
        except httpx.RequestError as error:
            if response is None:
                return Again(f"no answer: {_reason(error)}")
        finally:
            if response is not None:
                await response.aclose()
        # The status is the answer. That the text after it broke off, or came too slowly, changes nothing.
        quotable = "" if self._token in text.replace("\\", "") else text
        return answer_of(response.status_code, response.headers, quotable, datetime.now(UTC))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()


def answer_of(status: int, headers: httpx.Headers, text: str, now: datetime) -> Answer:
    """What an answer means. ``text``: the beginning of its body, "" when it must not be quoted."""
    said = _said(headers, text)
    if 200 <= status < 300:
        if _media_type(headers) == "text/html":
            return Stop(status, f"{status} with a web page: this is a portal, not the Hossted API")
        return Acknowledged(status)
    if status == 409 and (newest := keys.parse(headers.get("idempotency-key", ""))) is not None:
        return Outdated(newest)
    if status in _RETRIED or 500 <= status < 600:
        return Again(f"answered {status}{said}", status, _retry_after(headers, now))
    if status in _REJECTED:
        return Rejected(status, f"answered {status}{said}")
    return Stop(status, f"answered {status}{_advice(status)}{said}")


def endpoint_of(url: str) -> str:
    """Scheme, host, port and path of a URL: what may be shown, and what a ledger is about.

    Raises SettingsError for what is not http(s), has no host, or carries credentials.
    """
    try:
        parts = urlsplit(url)
        host, port, scheme = parts.hostname, parts.port, parts.scheme
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        raise SettingsError("HOSSTED_API_URL is not a URL: write https://HOST/PATH") from None
    if scheme not in ("http", "https") or not host:
        raise SettingsError("HOSSTED_API_URL must be of the form https://HOST/PATH")
    if "@" in parts.netloc:
        raise SettingsError("HOSSTED_API_URL has credentials in it: put the token into HOSSTED_AUTH_TOKEN")
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[scheme]
    return f"{scheme}://{host}{'' if port in (None, usual) else f':{port}'}{parts.path or '/'}"


@cache
def _trusted() -> ssl.SSLContext:
    """Whose certificates are believed. Reading them takes longer than anything else about a client."""
    return httpx.create_ssl_context()


async def _beginning(response: httpx.Response) -> str:
    read = b""
    async for chunk in response.aiter_raw():
        read += chunk
        if len(read) >= MOST_READ:
            break
    return read[:MOST_READ].decode("utf-8", errors="replace")


def _media_type(headers: httpx.Headers) -> str:
    value: str = headers.get("content-type", "")
    return value.partition(";")[0].strip().lower()


def _said(headers: httpx.Headers, text: str) -> str:
    """What the API says about it, on one line; nothing of web pages and of what is not text."""
    media_type = _media_type(headers)
    if not (media_type == "text/plain" or media_type.endswith("json")):
        return ""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f": {line[:MOST_QUOTED]}" if line else ""


def _advice(status: int) -> str:
    if status in (401, 403):
        return " (check HOSSTED_AUTH_TOKEN and HOSSTED_AUTH_SCHEME)"
    if status in (404, 405, 407) or 300 <= status < 400:
        return " (check HOSSTED_API_URL; redirects are not followed)"
    return ""


def _retry_after(headers: httpx.Headers, now: datetime) -> float | None:
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


def _reason(error: httpx.RequestError) -> str:
    """What the transport says, on one line; the type's name where it says nothing."""
    return " ".join(str(error).split())[:MOST_QUOTED] or type(error).__name__
