"""A real HTTP server on 127.0.0.1 that answers as a test says, and a client for it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from reconciler.kube.client import Client


@dataclass(frozen=True)
class Request:
    method: str
    uri: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.uri).path

    @property
    def query(self) -> dict[str, str]:
        return {key: values[-1] for key, values in parse_qs(urlsplit(self.uri).query).items()}


@dataclass(frozen=True)
class Reply:
    """`body` that is a list is streamed, bytes as they are and all else line by line; `hang` then keeps the
    answer open."""

    status: int = 200
    body: object = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False
    hang: bool = False


Answerer = Callable[[Request], Reply]


class Server:
    """`requests` are those that came so far."""

    def __init__(self, folder: Path, answer: Answerer) -> None:
        self.requests: list[Request] = []
        self.folder = folder
        self.ended = threading.Event()
        self.answer = answer
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.ended.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def kubeconfig(self, **user: object) -> Path:
        path = self.folder / "kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path.write_text(json.dumps(config))
        return path

    def client(self, page_size: int | None = None) -> Client:
        return Client.connect(kubeconfig=self.kubeconfig(token="t0ken"), page_size=page_size)


def status(code: int, message: str = "", **more: object) -> Reply:
    """An error as the API server words it."""
    return Reply(code, {"kind": "Status", "code": code, "message": message, **more})


def in_turn(*replies: Reply) -> Answerer:
    """These replies, one after the other."""
    waiting = iter(replies)
    return lambda _: next(waiting)


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer leaves whole: sent in parts, the last waits 40 ms for an acknowledgement

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:
                self.close_connection = True

        def answer(self) -> None:
            length = int(self.headers.get("content-length", 0))
            headers = {key.lower(): value for key, value in self.headers.items()}
            body = self.rfile.read(length)
            writes = self.command in ("POST", "PUT", "PATCH")
            if len(body) < length or (writes and not body):  # whoever sent it has died meanwhile
                self.close_connection = True
                return
            request = Request(self.command, self.path, headers, body)
            server.requests.append(request)
            reply = server.answer(request)
            if reply.reset:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.send_response(reply.status)
            for key, value in reply.headers.items():
                self.send_header(key, value)
            if isinstance(reply.body, list):
                self.send_header("connection", "close")
                self.end_headers()
                for line in reply.body:
                    piece = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
                    self.wfile.write(piece)
                    self.wfile.flush()
                if reply.hang:
                    self.wfile.flush()
                    server.ended.wait()
                self.close_connection = True
                return
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the requests are kept."""

    return Handler
