"""HTTP to the API server: configuration, credentials, connections; blocking, for use in threads.

The ``kubernetes`` package finds the configuration (in-cluster, or a kubeconfig with its contexts, exec
plugins and certificates) and refreshes tokens; its urllib3 pool carries our own requests, because the
package's typed models cost fifty times what decoding the needed fields does. What is used of it is imported
when a connection is made (``package``), so that commands without a cluster do not pay.
"""

import logging
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit, urlunsplit

import msgspec
import urllib3
from urllib3.exceptions import (
    HTTPError,
    LocationValueError,
    NewConnectionError,
    SSLError,
)
from urllib3.exceptions import (
    TimeoutError as Urllib3TimeoutError,
)
from urllib3.util.ssl_ import create_urllib3_context

from reconciler.errors import SettingsError
from reconciler.kube.package import part
from reconciler.settings import kubeconfigs, program_version

CONNECT_TIMEOUT = 5.0
"""Seconds to connect; an API server that is there answers in milliseconds."""

READ_TIMEOUT = 30.0
"""Seconds without a byte before a request is given up."""

_PIECE = 65_536
"""Bytes of a chunk that are waited for at most."""

POOL_SIZE = 32
"""Connections kept open; more than are ever used at once (a watch of each kind, and the requests beside
them), so that none is made anew."""


# It warns with a traceback of a head that broke off, which then fails as any answer that is not whole does.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)


T = TypeVar("T")


class Answer(msgspec.Struct, frozen=True):
    """What came back. ``retry_after``: the header's text, "" when there was none."""

    status: int
    body: bytes
    retry_after: str = ""


class Unanswered(Exception):  # noqa: N818 - not an error of ours: it becomes a KubernetesError
    """No answer. ``sent``: the request may have reached the server; ``reset``: trying again may help."""

    def __init__(self, message: str, *, sent: bool, reset: bool) -> None:
        super().__init__(message)
        self.sent = sent
        self.reset = reset


class _Connection(NamedTuple):
    """Where the server is, how to reach it, and what to say who we are (a header's value, or "")."""

    host: str
    pool: urllib3.PoolManager
    authorization: Callable[[], str]


class Transport:
    """One API server, as one user. All methods block; all may be called from any thread."""

    def __init__(self, context: str | None = None, kubeconfig: Path | None = None) -> None:
        self._context = context
        self._kubeconfig = kubeconfig
        self._lock = threading.Lock()
        self._connection = _load(context, kubeconfig)
        self._user_agent = f"hossted-reconciler/{program_version()}"

    @property
    def server(self) -> str:
        """The API server's URL, without credentials."""
        parts = urlsplit(self._connection.host)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """One request and its whole answer, whatever its status; Unanswered when there is none.

        An expired credential (401) is loaded again once: the server has not acted on such a request.
        """
        used = self._connection
        answer = self._send(used, method, path, headers, body)
        if answer.status == 401:
            answer = self._send(self._renewed(used), method, path, headers, body)
        return answer

    def open(self, path: str, headers: Mapping[str, str], read_timeout: float) -> urllib3.BaseHTTPResponse:
        """A GET whose answer is read as it comes; the caller closes it. Unanswered when there is none.

        An expired credential is loaded again once, as in ``send``.
        """
        used = self._connection
        response = self._open(used, path, headers, read_timeout)
        if response.status == 401:
            response.close()
            response = self._open(self._renewed(used), path, headers, read_timeout)
        return response

    def flow(
        self, path: str, headers: Mapping[str, str], read: Callable[[Iterator[bytes]], T]
    ) -> tuple[Answer, T | None]:
        """A GET, and what ``read`` makes of the pieces of its answer (200) while they come; it has them all.

        As ``send`` in everything else; what ``read`` raises is raised.
        """
        with self.open(path, headers, READ_TIMEOUT) as response:
            retry_after = response.headers.get("retry-after", "")
            try:
                if response.status == 200:
                    return Answer(200, b"", retry_after), read(pieces(response))
                return Answer(response.status, _whole(response), retry_after), None
            except (HTTPError, OSError) as error:
                raise self.unanswered(error) from error

    def close(self) -> None:
        """Close the idle connections."""
        self._connection.pool.clear()

    def unanswered(self, error: Exception) -> Unanswered:
        """What a failure on the way means, in a sentence that holds no credential."""
        if isinstance(error, NewConnectionError):
            return Unanswered(f"cannot connect to {self.server}", sent=False, reset=True)
        if isinstance(error, SSLError):
            return Unanswered(f"TLS with {self.server} failed: {error}", sent=False, reset=False)
        if isinstance(error, Urllib3TimeoutError):
            return Unanswered(f"{self.server} did not answer in time", sent=True, reset=False)
        if isinstance(error, LocationValueError):
            return Unanswered(f"{self.server} is not a usable address", sent=False, reset=False)
        return Unanswered(f"the connection to {self.server} broke", sent=True, reset=True)

    def _renewed(self, used: _Connection) -> _Connection:
        """Configuration and credentials read again, once for all threads that were refused."""
        with self._lock:
            if self._connection is used:
                self._connection = _load(self._context, self._kubeconfig)
            return self._connection

    def _send(
        self, connection: _Connection, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        try:
            response = connection.pool.urlopen(
                method,
                connection.host + path,
                body=body,
                headers=self._headers(connection, headers),
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
                preload_content=False,
                retries=False,
                redirect=False,
            )
            data = _whole(response)
        except (HTTPError, OSError) as error:
            raise self.unanswered(error) from error
        return Answer(response.status, data, response.headers.get("retry-after", ""))

    def _open(
        self, connection: _Connection, path: str, headers: Mapping[str, str], read_timeout: float
    ) -> urllib3.BaseHTTPResponse:
        try:
            return connection.pool.urlopen(
                "GET",
                connection.host + path,
                headers=self._headers(connection, headers),
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=read_timeout),
                preload_content=False,
                retries=False,
                redirect=False,
            )
        except (HTTPError, OSError) as error:
            raise self.unanswered(error) from error

    def _headers(self, connection: _Connection, headers: Mapping[str, str]) -> dict[str, str]:
        # It may run a plugin or read the token's file: one thread at a time.
        with self._lock:
            value = connection.authorization()
        credentials = {"authorization": value} if value else {}
        return {"user-agent": self._user_agent, **headers, **credentials}


def _whole(response: urllib3.BaseHTTPResponse) -> bytes:
    """An answer: by its chunks, which are joined once, where ``data`` would join and copy them again."""
    if response.chunked:
        return b"".join(response.read_chunked(decode_content=True))
    return response.data


def pieces(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """An answer as it comes: by its chunks, since each event of a watch ends one, at half the cost of asking
    what is there at each moment; where it has none, what is there."""
    if response.chunked:
        yield from response.read_chunked(_PIECE)
    else:
        while piece := response.read1():
            yield piece


def _load(context: str | None, kubeconfig: Path | None) -> _Connection:
    """The configuration in force: a kubeconfig when one is asked for or there, else the pod's own."""
    configuration = part("client.configuration").Configuration()
    configuration.connection_pool_maxsize = POOL_SIZE
    configuration.keep_alive = True
    # Not the environment's, which is for git and the Hossted API. A kubeconfig may still name one of its own.
    configuration.proxy = None
    try:
        files = kubeconfigs() if kubeconfig is None else str(kubeconfig)
        if context is None and kubeconfig is None and not _any_exists(files):
            part("config.incluster_config").load_incluster_config(configuration)
        else:
            # Nothing is written back: the file belongs to the person.
            part("config.kube_config").load_kube_config(
                config_file=files, context=context, client_configuration=configuration, persist_config=False
            )
        pool = part("client.rest").RESTClientObject(configuration).pool_manager
        if configuration.host.startswith("https") and not (
            configuration.ssl_ca_cert or configuration.ca_cert_data
        ):
            _read_authorities_once(pool.connection_pool_kw)
    except Exception as error:  # whatever the loader and its parsers make of a person's file
        raise SettingsError(_no_configuration(context, kubeconfig, error)) from error

    def authorization() -> str:
        settings = configuration.auth_settings()
        return str(settings["BearerToken"]["value"]).strip() if "BearerToken" in settings else ""

    return _Connection(configuration.host, pool, authorization)


def _read_authorities_once(options: dict[str, Any]) -> None:
    """Have the connections of a pool share one context.

    Each would read the machine's authorities for itself, which takes 40 ms and 0.6 MB, even where none is
    asked for. A cluster's own authority is read by each: it takes a millisecond, and may be replaced.
    """
    context = create_urllib3_context(cert_reqs=options["cert_reqs"])
    if context.verify_mode is not ssl.CERT_NONE:
        context.load_default_certs()
    if options["cert_file"]:
        context.load_cert_chain(options["cert_file"], options["key_file"])
    options.update(ssl_context=context, cert_file=None, key_file=None)


def _any_exists(files: str) -> bool:
    return any(Path(file).expanduser().is_file() for file in files.split(":") if file)


def _no_configuration(context: str | None, kubeconfig: Path | None, error: Exception) -> str:
    if kubeconfig is not None:
        return f"the kubeconfig {kubeconfig} cannot be used ({_brief(error)}): give the path of a valid one"
    if context is not None:
        return f"no cluster for the context {context} ({_brief(error)}): see `kubectl config get-contexts`"
    return f"no cluster to connect to ({_brief(error)}): set KUBECONFIG, or run inside a cluster"


def _brief(error: Exception) -> str:
    # A parser's error quotes the file, which may hold a token: only the loader's own words are shown, and
    # of those nothing from a brace on, since it names an entry by its whole content.
    if type(error).__name__ == "ConfigException":
        return " ".join(str(error).partition("{")[0].split())[:200].rstrip(" ./")
    return type(error).__name__
