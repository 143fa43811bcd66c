"""A receiver of pushes: what the Hossted API must do for deliveries to end right, in one file.

    python receiver.py [--port 8080] [--token TOKEN] [--state FILE] [--fail 503:2]

The rules are in ``Receiver.receive``; the rest is HTTP. It needs Python 3.11 and nothing else.
"""

import argparse
import json
import os
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

LARGEST = 10 * 1024 * 1024
"""Bytes that a push may have."""

AppId = tuple[str, str, str]
"""What identifies an app: cluster_uuid, namespace, name. Not app_uuid, which apps may share."""


@dataclass(frozen=True)
class Reply:
    status: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Known:
    """One app: what it is now, and the key of every push that was accepted, with its body's digest."""

    push: dict[str, Any]
    newest: str
    accepted: dict[str, str] = field(default_factory=dict)


class Receiver:
    """What was received. With ``state``, a file that pushes are appended to before they are answered."""

    def __init__(self, state: Path | None = None) -> None:
        self.apps: dict[AppId, Known] = {}
        self.counts: Counter[str] = Counter()
        self.faults: deque[str] = deque()
        self._lock = threading.Lock()
        self._state = state
        if state is not None and state.exists():
            for line in state.read_text().splitlines():
                saved = json.loads(line)
                self._accept(saved["key"], saved["body"], json.loads(saved["body"]))

    def receive(self, key: str, body: bytes) -> Reply:
        """The rules. Every answer but 2xx leaves everything as it was."""
        with self._lock:
            try:
                key = key_of(key)
                text = body.decode()
                push = json.loads(text)
                app = app_id(push)
            except (ValueError, TypeError, KeyError) as error:
                return Reply(400, f"not a push with an Idempotency-Key: {type(error).__name__} {error}")
            known = self.apps.get(app)
            if known is not None and key in known.accepted:
                # Answered as before: the sender has not seen our answer, and must not be told otherwise.
                if known.accepted[key] != sha256(body).hexdigest():
                    return Reply(422, f"the key {key} was accepted with another body")
                self.counts["repeated"] += 1
                return Reply(200, "accepted before")
            if known is not None and key < known.newest:
                # Late, and overtaken: taking it would bring back what is no longer so.
                self.counts["outdated"] += 1
                return Reply(409, "there is a newer push of this app", {"Idempotency-Key": known.newest})
            if self._state is not None:
                with self._state.open("a") as file:
                    file.write(json.dumps({"key": key, "body": text}) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
            self._accept(key, text, push)
            self.counts["accepted"] += 1
            return Reply(200, "accepted")

    def _accept(self, key: str, text: str, push: dict[str, Any]) -> None:
        known = self.apps.setdefault(app_id(push), Known(push, key))
        known.newest = key
        known.accepted[key] = sha256(text.encode()).hexdigest()
        if not ends_another(push, known.push):
            known.push = push

    def fail(self, fault: str) -> None:
        """Make the next requests fail: ``WHAT[:TIMES]``, where WHAT is a status, answered without looking
        at the request; ``away``: the connection is closed instead; ``lost``: it is closed after the
        request was received and accepted.
        """
        what, _, times = fault.partition(":")
        if what not in ("away", "lost") and not (what.isdigit() and 400 <= int(what) < 600):
            raise ValueError(f"{fault!r} is no fault: write a status of 400 to 599, away or lost, and :TIMES")
        with self._lock:
            self.faults.extend([what] * int(times or 1))

    def next_fault(self) -> str:
        with self._lock:
            return self.faults.popleft() if self.faults else ""

    def heal(self) -> None:
        """Forget the faults that have not come yet."""
        with self._lock:
            self.faults.clear()


def key_of(text: str) -> str:
    """A key in the form in which keys compare; ValueError for what is no UUID of version 7."""
    uuid = UUID(text)
    if uuid.version != 7:
        raise ValueError("the key is no UUID of version 7")
    return str(uuid)


def ends_another(push: dict[str, Any], known: dict[str, Any]) -> bool:
    """Whether a push ends its app under an app_uuid that the app does not have any more."""
    if push["app_info"]["helm_info"].get("status") != "uninstalled":
        return False
    ended, current = (one["app_api_info"].get("app_uuid") for one in (push, known))
    return bool(ended != current)


def app_id(push: dict[str, Any]) -> AppId:
    helm = push["app_info"]["helm_info"]
    parts = (push["app_api_info"]["cluster_uuid"], helm["namespace"], helm["name"])
    if not all(isinstance(part, str) and part for part in parts):
        raise ValueError("cluster_uuid, namespace and name must be texts")
    return parts


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Senders are killed, and networks break: there is nobody to answer, and nothing to tell."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(receiver: Receiver, port: int = 0, token: str = "", show: bool = False) -> Iterator[str]:
    """Serve on 127.0.0.1 in a thread; gives the URL. ``port`` 0: any that is free."""
    server = Server(("127.0.0.1", port), handler_for(receiver, token, show))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/apps"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def handler_for(receiver: Receiver, token: str, show: bool) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60
        wbufsize = -1  # an answer leaves whole: sent in parts, the last waits 40 ms for an acknowledgement

        def do_GET(self) -> None:
            """All apps as they are known, for people."""
            self._reply(Reply(200, json.dumps([known.push for known in receiver.apps.values()], indent=2)))

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if length > LARGEST:
                self.close_connection = True
                return self._reply(Reply(413, f"a push has at most {LARGEST} bytes"))
            body = self.rfile.read(length)
            if len(body) < length:  # who sent it is gone
                self.close_connection = True
                return None
            fault = receiver.next_fault()
            if fault.isdigit():
                return self._reply(Reply(int(fault), "as asked for"))
            if token and not self.headers.get("Authorization", "").endswith(f" {token}"):
                return self._reply(Reply(401, "the token is wrong"))
            if fault != "away":
                reply = receiver.receive(self.headers.get("Idempotency-Key", ""), body)
                if show:
                    print(shown(reply, body), flush=True)
                if not fault:
                    return self._reply(reply)
            self.close_connection = True
            return None

        def _reply(self, reply: Reply) -> None:
            content = reply.text.encode()
            self.send_response(reply.status)
            kind = "application/json" if reply.text.startswith(("[", "{")) else "text/plain; charset=utf-8"
            for name, value in {"Content-Type": kind, **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Pushes are shown by ``shown``; the access log would only repeat them."""

    return Handler


def shown(reply: Reply, body: bytes) -> str:
    """A line for people: the answer, and the app if that is what came."""
    try:
        push = json.loads(body)
        helm = push["app_info"]["helm_info"]
        pods = len(push["app_info"]["pod_info"])
        what = f"{helm['namespace']}/{helm['name']} revision {helm['revision']} {helm['status']}, {pods} pods"
    except (ValueError, TypeError, KeyError):
        what = f"{len(body)} bytes that are no push"
    return f"{reply.status}  {what}  ({reply.text})"


def main() -> None:
    parser = argparse.ArgumentParser(description="Receive pushes, show them, and keep what they say.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--token", default="", help="refuse pushes without it")
    parser.add_argument("--state", type=Path, help="a file to keep pushes in; without it they are forgotten")
    parser.add_argument(
        "--fail", action="append", default=[], metavar="WHAT[:TIMES]", help="503:2, away, lost"
    )
    options = parser.parse_args()
    receiver = Receiver(options.state)
    for fault in options.fail:
        try:
            receiver.fail(fault)
        except ValueError as error:
            parser.error(str(error))
    with serving(receiver, options.port, options.token, show=True) as url:
        print(f"receiving at {url}; Ctrl-C stops", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
