"""The API as a long run meets it: the example's receiver behind a socket, on good days and bad ones.

Beside ``gateway``, which closes after each answer, it keeps connections, as most do, and it tells who
listens what came and what was answered.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from enum import Enum

from examples.receiver.receiver import Receiver, Reply
from tests.chain.gateway import read
from tests.web.world import TOKEN

PORTAL = "<html>Welcome to the guest network</html>"


class Mode(Enum):
    """What it does to a request. The first three do what a right receiver does with it."""

    OPEN = "answers"
    LOST = "takes it, and closes the connection"
    SILENT = "takes it, and says nothing"
    AWAY = "closes the connection"
    REFUSING = "refuses connections"
    UNAVAILABLE = "503"
    BUSY = "429"
    FORBIDDEN = "401"
    PORTAL = "is a portal"


TAKEN = frozenset({Mode.LOST, Mode.SILENT})
"""The modes in which what was sent has arrived although nobody said so."""
INSTEAD: Mapping[Mode, Reply | None] = {
    Mode.AWAY: None,
    Mode.REFUSING: None,
    Mode.UNAVAILABLE: Reply(503, "come back later"),
    Mode.FORBIDDEN: Reply(401, "who are you"),
    Mode.PORTAL: Reply(200, PORTAL),
}
"""What is answered whatever was sent."""


class Endpoint:
    """``arrived`` is told the key and the body of each request, and whether it is acknowledged, before that
    is answered; ``refuses``: the status (400, 413, 422) that a body is refused with, 0 when it is not."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.mode = Mode.OPEN
        self.retry_after = 120
        self.token = TOKEN
        self.arrived: Callable[[str, bytes, bool], None] = lambda key, body, acknowledged: None
        self.refuses: Callable[[bytes], int] = lambda body: 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/apps"

    async def set(self, mode: Mode) -> None:
        self.mode = mode
        if mode is Mode.REFUSING:
            await self.close()
        elif self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client is gone
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection goes on."""
        request = await read(reader)
        mode = self.mode
        reply = self._reply(request.key, request.body, request.headers["authorization"], mode)
        acknowledged = reply is not None and reply.status == 200 and reply.text != PORTAL
        self.arrived(request.key, request.body, acknowledged)
        if reply is None:
            if mode is Mode.SILENT:
                await reader.read()  # until the client has had enough
            return False
        content = reply.text.encode()
        kind = "text/html" if reply.text == PORTAL else "text/plain"
        headers = {"Content-Type": kind, "Content-Length": str(len(content)), **reply.headers}
        lines = [
            f"HTTP/1.1 {reply.status} Whatever",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        return True

    def _reply(self, key: str, body: bytes, authorization: str, mode: Mode) -> Reply | None:
        if mode in INSTEAD:
            return INSTEAD[mode]
        if mode is Mode.BUSY:
            return Reply(429, "slowly", {"Retry-After": str(self.retry_after)})
        if not authorization.endswith(f" {self.token}"):
            return Reply(401, "the token is wrong")
        if refused := self.refuses(body):
            return Reply(refused, "not this one")
        reply = self.receiver.receive(key, body)
        return None if mode in TAKEN else reply


@asynccontextmanager
async def endpoint(receiver: Receiver) -> AsyncIterator[Endpoint]:
    """An open one, until the end of the block."""
    site = Endpoint(receiver)
    await site.set(Mode.OPEN)
    try:
        yield site
    finally:
        await site.close()
