"""The Hossted API over HTTP: one POST per app. The only importer of httpx.

What an answer means is in ``answers``. Here is how a request gets there and how an answer is read: with the
certificate verified, through the proxy that the environment names, no redirect followed, no cookie kept, and
no more time or memory spent on any answer than its beginning is worth.
"""

import asyncio
import logging
import ssl
from datetime import UTC, datetime
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx

from reconciler.delivery.answers import Again, Answer, Stop, answer_of, may_pass, one_line
from reconciler.delivery.credentials import Credentials
from reconciler.delivery.echo import forms_of, has_echo
from reconciler.delivery.endpoint import endpoint_of
from reconciler.errors import SettingsError
from reconciler.settings import ApiSettings, program_version

MOST_READ = 64 * 1024
"""Bytes of an answer that are read at most: the rest says nothing that we need."""

MOST_SEARCHED = 8 * 1024
"""Characters of an answer that are searched for secrets, and quoted from: a token cut in two is no secret
that could be found, so many more than are quoted."""

CONNECT = 10.0
"""Seconds for the connection, name and TLS included: three packets lost one after the other cost seven."""

WRITE = 10.0
"""Seconds without any progress in sending: a body is a few kB, so the other side has stopped reading."""

READ = 20.0
"""Seconds without a byte of the answer: a receiver has then had time for a slow database, twice."""

TEXT = 5.0
"""Seconds for the text after the status: the status is the answer, the text is only for people."""

_IDLE_ENDED = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
_REQUEST_TIMEOUT = 408


# httpx logs whole URLs at INFO, with whatever somebody has put into the query.
logging.getLogger("httpx").setLevel(logging.WARNING)


class Api:
    """A client of one endpoint. Close it when done."""

    def __init__(self, settings: ApiSettings, credentials: Credentials | None = None) -> None:
        """``credentials``: those of the settings, where they are read already. Raises SettingsError when the
        URL, or a file that is named, cannot be used."""
        self.endpoint = endpoint_of(settings.url)
        try:
            httpx.URL(settings.url)
        except httpx.InvalidURL:
            raise SettingsError("HOSSTED_API_URL is not a URL that can be asked: check its host") from None
        self._settings = settings
        self._credentials = credentials or Credentials(settings)
        self._connect()

    @property
    def notice(self) -> str:
        """What is wrong with a file of the credentials, so that older ones are used; "" when nothing is."""
        return self._credentials.notice

    @property
    def may_renew(self) -> bool:
        """Whether there is anything that ``renew`` could find changed."""
        return self._credentials.in_files

    async def renew(self) -> bool:
        """Read the credentials' files again, where there are any; whether they have changed.

        Not while a push is under way. The API is not contacted.
        """
        if not self.may_renew:
            return False
        trusted = self._credentials.trusted
        changed = await asyncio.to_thread(self._credentials.read_again)
        if self._credentials.trusted is not trusted:
            await self.close()
            self._connect()
        return changed

    async def prepare(self) -> None:
        """It is ready."""

    async def push(self, body: bytes, key: str, timeout: float) -> Answer:  # noqa: ASYNC109 - the timeout is of one request, and is an answer
        """Send one app. ``timeout``: seconds for all of it, connecting and reading included.

        A request that an idle connection took with it when the server closed it is sent again, once, on a
        new one: the same key and bytes, so it does not matter whether the first arrived. Raises nothing but
        cancellation: every failure is an answer.
        """
        seen = _Seen()
        try:
            async with asyncio.timeout(timeout):
                try:
                    await self._ask(self._client, body, key, seen)
                except _IDLE_ENDED:
                    if seen.status or not seen.reused:
                        raise
                if seen.reused and seen.status in (0, _REQUEST_TIMEOUT):
                    seen = _Seen()
                    await self._ask(self._fresh, body, key, seen)
        except TimeoutError:
            if not seen.status:
                return Again(f"no answer within {timeout:.3g} s")
        except httpx.ProxyError as error:
            return self._refused_by_proxy(error)
        except httpx.RequestError as error:
            if not seen.status:
                return Again(f"no answer: {self._reason(error)}")
        # The status is the answer. That the text after it broke off, or came too slowly, changes nothing.
        text = bytes(seen.text[:MOST_READ]).decode("utf-8", errors="replace")
        return answer_of(seen.status, seen.headers, self._quotable(text), datetime.now(UTC))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()
        await self._fresh.aclose()

    def _connect(self) -> None:
        self._client = self._client_with(httpx.Limits())
        # For what must not go over a connection that has been idle.
        self._fresh = self._client_with(httpx.Limits(max_keepalive_connections=0))

    def _client_with(self, limits: httpx.Limits) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # answers are short, and read no further than MOST_READ
                "User-Agent": f"hossted-reconciler/{program_version()}",
            },
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # none is kept, none is sent
            verify=self._credentials.trusted or _public(),
            timeout=httpx.Timeout(READ, connect=CONNECT, write=WRITE, pool=None),
            limits=limits,
            proxy=self._settings.proxy or None,
            trust_env=False,  # settings.py reads the environment
        )

    async def _ask(self, client: httpx.AsyncClient, body: bytes, key: str, seen: "_Seen") -> None:
        request = client.build_request(
            "POST",
            self._settings.url,
            content=body,
            headers={
                "Authorization": f"{self._settings.scheme} {self._credentials.token}",
                "Idempotency-Key": key,
            },
            extensions={"trace": seen.trace},
        )
        response = await client.send(request, stream=True)
        try:
            seen.status, seen.headers = response.status_code, response.headers
            async with asyncio.timeout(TEXT):
                async for chunk in response.aiter_raw(MOST_READ):
                    seen.text += chunk
                    if len(seen.text) >= MOST_READ:
                        return
        finally:
            await response.aclose()

    def _refused_by_proxy(self, error: httpx.ProxyError) -> Answer:
        """A proxy that was asked for a tunnel says ``STATUS REASON``."""
        code = str(error)[:3]
        if not (code.isascii() and code.isdecimal()):
            return Again(f"no answer: the proxy gives none ({self._reason(error)})")
        said = self._quotable(str(error)) or code
        if may_pass(int(code)):
            return Again(f"the proxy answered {said}", int(code))
        advice = "check HTTPS_PROXY, and what the proxy allows"
        return Stop(int(code), f"the proxy answered {said} ({advice})")

    def _reason(self, error: httpx.RequestError) -> str:
        """What the transport says, on one line; the type's name where it says nothing that may be said."""
        match error:
            case httpx.ConnectTimeout():
                return f"no connection within {CONNECT:g} s"
            case httpx.WriteTimeout():
                return f"it takes no data for {WRITE:g} s"
            case httpx.ReadTimeout():
                return f"it says nothing for {READ:g} s"
        return _mistrust(error) or one_line(self._quotable(str(error))) or type(error).__name__

    def _quotable(self, text: str) -> str:
        """A text's beginning; nothing of it when it has the token in it, or another secret that we sent."""
        beginning = one_line(text, MOST_SEARCHED)
        return "" if has_echo(beginning, self._secrets()) else beginning

    def _secrets(self) -> list[str]:
        url, proxy = urlsplit(self._settings.url), urlsplit(self._settings.proxy)
        user, _, password = proxy.netloc.rpartition("@")[0].partition(":")
        return [
            *forms_of(self._credentials.token),
            *(value for _, value in parse_qsl(url.query)),
            url.query,
            unquote(password or user),
        ]


class _Seen:
    """What has been seen of an answer so far. ``status``: 0 before it began; ``reused``: whether the request
    went over a connection that was there already."""

    def __init__(self) -> None:
        self.status = 0
        self.headers = httpx.Headers()
        self.text = bytearray()
        self.reused = False
        self._connected = False

    async def trace(self, event: str, _: object) -> None:
        """httpcore's events of one request."""
        if event == "connection.connect_tcp.started":
            self._connected = True
        elif event == "http11.send_request_headers.started":
            self.reused = not self._connected


@cache
def _public() -> ssl.SSLContext:
    """The public authorities, or those of SSL_CERT_FILE. Reading them takes longer than all else here."""
    return httpx.create_ssl_context()


def _mistrust(error: BaseException) -> str:
    """Why a server was not believed to be the one, in words; "" when it was not about that."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        what = _CERTIFICATE.get(cause.verify_code, "its certificate is not accepted: check HOSSTED_CA_FILE")
        return f"{what} ({one_line(cause.verify_message)})"
    if isinstance(cause, ssl.SSLError):
        return f"no TLS can be spoken with it: check HOSSTED_API_URL ({cause.reason or 'broken off'})"
    return ""


_UNKNOWN_AUTHORITY = (
    "its certificate is of an authority that is not trusted: give that one's in HOSSTED_CA_FILE"
)
_OTHER_HOST = "its certificate is for another host: check HOSSTED_API_URL"
_CERTIFICATE = {
    9: "its certificate is not valid yet: check the clocks",
    10: "its certificate has expired: it needs a new one",
    18: _UNKNOWN_AUTHORITY,
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
    62: _OTHER_HOST,
    64: _OTHER_HOST,
}
"""By OpenSSL's X509_V_ERR codes."""
