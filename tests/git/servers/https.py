"""git over HTTPS: git's own ``http-backend`` (the smart protocol, the real receive-pack) as a CGI program."""

import base64
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import parse_qs, unquote

from tests.git.servers.hosting import (
    Answer,
    CutError,
    Hosted,
    Hosting,
    Incoming,
    Key,
    Login,
    Request,
    Rules,
    Token,
)

_CHUNK = 1 << 16


class HttpsServer:
    """Serves from entering to leaving; ``port`` is chosen then. Without ``tls`` it is plain HTTP.

    ``strays``: the requests for repositories that are not there.
    """

    def __init__(self, folder: Path, tls: ssl.SSLContext | None) -> None:
        self.hosting = Hosting(folder)
        self.strays: list[Request] = []
        self._scheme = "http" if tls is None else "https"
        self._server = _Server(self, tls)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def repository(self, name: str = "") -> Hosted:
        """A new, empty repository."""
        return self.hosting.add(self.url, name)

    def __enter__(self) -> "HttpsServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hosting.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # of a whole fleet at once
    daemon_threads = True

    def __init__(self, owner: HttpsServer, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner
        self._tls = tls

    def finish_request(self, request: socket.socket | tuple[bytes, socket.socket], address: object) -> None:
        assert isinstance(request, socket.socket)
        if self._tls is None:
            _Handler(request, address, self)
            return
        # Here, in the connection's own thread: a client that never shakes hands holds up nobody.
        with self._tls.wrap_socket(request, server_side=True) as secured:
            _Handler(secured, address, self)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up in the middle, refuse our certificate, are killed: that is what tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:
        """Requests are recorded instead."""

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, headers, query)
        found = self.server.owner.hosting.find(unquote(path))
        if found is None:
            self.server.owner.strays.append(request)
            self._answer(request, Answer(HTTPStatus.NOT_FOUND, text="There is no such repository."))
            return
        hosted, rest = found
        hosted.requests.append(request)
        rules = hosted.rules_for(request)
        if rules.hangs:
            hosted.hang()
            raise CutError
        service = parse_qs(query).get("service", [rest.removeprefix("/")])[0]
        answer = self._refusal(rules, is_push=service == "git-receive-pack", rest=rest, query=query)
        if answer is not None:
            self._answer(request, answer)
            return
        self._run(hosted, rules, request, rest, query)

    def _refusal(self, rules: Rules, *, is_push: bool, rest: str, query: str) -> Answer | None:
        if rules.redirect:
            location = f"{rules.redirect}{rest}{'?' if query else ''}{query}"
            return Answer(HTTPStatus.MOVED_PERMANENTLY, (("Location", location),))
        if rules.answer is not None:
            return rules.answer
        if not rules.accounts:
            return None
        shown = self.headers.get("Authorization", "")
        account = next((one for one in rules.accounts if _is_shown(one, shown)), None)
        if account is None:
            asked = (("WWW-Authenticate", 'Basic realm="git"'),) if rules.challenge else ()
            return Answer(HTTPStatus.UNAUTHORIZED, asked, "Authentication is needed.")
        if is_push and not account.may_push:
            return Answer(HTTPStatus.FORBIDDEN, text="You may read this repository, and not write to it.")
        return None

    def _answer(self, request: Request, answer: Answer) -> None:
        for piece in self._body():  # to its end, so that the connection can be used again
            request.size += len(piece)
        request.status = int(answer.status)
        body = answer.text.encode()
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _run(self, hosted: Hosted, rules: Rules, request: Request, rest: str, query: str) -> None:
        process = subprocess.Popen(
            [*hosted.wrapper, "git", "http-backend"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            user=hosted.user,
            env={
                **self.server.owner.hosting.environment(rules.declines),
                "GIT_PROJECT_ROOT": str(hosted.path),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REMOTE_USER": "somebody",  # without one, http-backend takes no pushes
                "REMOTE_ADDR": "127.0.0.1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": rest,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            },
        )
        assert process.stdin is not None
        assert process.stdout is not None
        incoming = Incoming(request, hosted, rules)
        try:
            self._feed(process.stdin, incoming)
            if incoming.is_cut:
                raise CutError
            self._pass_on(process.stdout, request)
        finally:
            # However it went: git ends when it gets no more, and nothing of it is left behind.
            _close(process.stdin)
            process.stdout.read()
            process.stdout.close()
            process.wait()

    def _feed(self, stdin: IO[bytes], incoming: Incoming) -> None:
        """All of the body first: git reads a request to its end before it answers."""
        for piece in self._body():
            part, is_last = incoming.take(piece)
            with suppress(BrokenPipeError):  # it has seen enough, and will say why
                stdin.write(part)
            if is_last:
                return
        _close(stdin)

    def _body(self) -> Iterator[bytes]:
        """The request's body, still compressed if it is (http-backend inflates it), however it is framed."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                yield self._exactly(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass  # trailers
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self._exactly(min(left, _CHUNK))
            left -= len(piece)
            yield piece

    def _exactly(self, size: int) -> bytes:
        piece = self.rfile.read(size)
        if len(piece) < size:
            raise ConnectionError("the client hung up in the middle of its request")
        return piece

    def _pass_on(self, stdout: IO[bytes], request: Request) -> None:
        """A CGI program's answer: headers, an empty line, the body until it ends."""
        status, headers = HTTPStatus.OK.value, []
        while line := stdout.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            if name.lower() == "status":
                status = int(value.split()[0])
            else:
                headers.append((name, value.strip()))
        request.status = status
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while piece := stdout.read(_CHUNK):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")


def _is_shown(account: Login | Token | Key, authorization: str) -> bool:
    """Whether a request's ``Authorization`` is that of the account."""
    match account:
        case Login(user=user, password=password):
            return authorization == "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        case Token(value=value):
            return authorization == f"Bearer {value}"
        case Key():
            return False


def _close(stdin: IO[bytes]) -> None:
    with suppress(BrokenPipeError):
        stdin.close()
