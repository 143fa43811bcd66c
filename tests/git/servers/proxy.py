"""A proxy that opens tunnels (HTTP CONNECT), and listeners that never answer."""

import base64
import selectors
import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType

from tests.git.servers.hosting import Login

_CHUNK = 1 << 16


@dataclass
class Tunnel:
    """What was asked of the proxy: ``target`` is ``host:port``; ``headers`` with lower-case names."""

    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    opened: bool = False


class ConnectProxy:
    """Serves from entering to leaving. ``login``: who may use it, or None: anybody.

    ``routes``: where a target that does not exist (``git.example:443``) really is: a port of 127.0.0.1.
    """

    def __init__(self, login: Login | None = None) -> None:
        self.login = login
        self.routes: dict[str, int] = {}
        self.tunnels: list[Tunnel] = []
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Without credentials."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "ConnectProxy":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, owner: ConnectProxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner

    def handle_error(self, request: object, client_address: object) -> None:
        """Either end may hang up at any time."""


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        owner = self.server.owner
        method, target, *_ = self.rfile.readline().decode().split()
        headers = {}
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        tunnel = Tunnel(target if method == "CONNECT" else f"{method} {target}", headers)
        owner.tunnels.append(tunnel)
        if method != "CONNECT":
            self._say("405 Only Tunnels", "Allow: CONNECT")
        elif owner.login is not None and headers.get("proxy-authorization") != _basic(owner.login):
            self._say("407 Proxy Authentication Required", 'Proxy-Authenticate: Basic realm="proxy"')
        else:
            host, _, port = target.rpartition(":")
            place = ("127.0.0.1", owner.routes[target]) if target in owner.routes else (host, int(port))
            try:
                far = socket.create_connection(place)
            except OSError:
                self._say("502 Bad Gateway")
                return
            with far:
                tunnel.opened = True
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _join(self.connection, far)

    def _say(self, status: str, *headers: str) -> None:
        lines = (f"HTTP/1.1 {status}", *headers, "Content-Length: 0", "Connection: close", "", "")
        self.wfile.write("\r\n".join(lines).encode())


def _basic(login: Login) -> str:
    return "Basic " + base64.b64encode(f"{login.user}:{login.password}".encode()).decode()


def _join(near: socket.socket, far: socket.socket) -> None:
    """Pass bytes both ways until one end has no more."""
    with selectors.DefaultSelector() as selector:
        selector.register(near, selectors.EVENT_READ, far)
        selector.register(far, selectors.EVENT_READ, near)
        while True:
            for key, _ in selector.select():
                source, target = key.fileobj, key.data
                assert isinstance(source, socket.socket)
                if not (piece := source.recv(_CHUNK)):
                    return
                target.sendall(piece)


@contextmanager
def silence() -> Iterator[int]:
    """The port of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:  # the kernel accepts in our stead
        yield listener.getsockname()[1]
