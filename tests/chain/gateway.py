"""A door before the receiver that can be shut, slow, or answer in its place: what an API does on bad days."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.web.wire import Request, answer
from tests.web.world import RecordingReceiver

OPEN, SILENT, SHUT = "open", "silent", "shut"


class Gateway:
    """``mode``: OPEN, SILENT (takes the request and never answers), SHUT (refuses the connection), or the
    whole of an answer. ``asked``: the keys of all requests; ``waiting``: set while one is held in SILENT."""

    def __init__(self, receiver: RecordingReceiver) -> None:
        self.receiver = receiver
        self.mode: str | bytes = OPEN
        self.asked: list[str] = []
        self.waiting = asyncio.Event()
        self._answers = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/apps"

    async def set(self, mode: str | bytes) -> None:
        self.mode = mode
        if mode == SHUT:
            await self.close()
        elif self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def answer_those_waiting(self) -> None:
        """Let go of what SILENT holds; from now on it is OPEN."""
        await self.set(OPEN)
        self._answers.set()

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
            request = await read(reader)
            self.asked.append(request.key)
            if self.mode == SILENT:
                self.waiting.set()
                await self._answers.wait()
            if isinstance(self.mode, bytes):
                writer.write(self.mode)
            else:
                reply = self.receiver.receive(request.key, request.body)
                headers = {name.replace("-", "_"): value for name, value in reply.headers.items()}
                writer.write(answer(reply.status, reply.text, **headers))
            await writer.drain()
        except ConnectionError:
            pass  # the client has had enough
        finally:
            writer.close()


async def read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return Request(head[0], headers, await reader.readexactly(int(headers["content-length"])))


@asynccontextmanager
async def gateway(receiver: RecordingReceiver) -> AsyncIterator[Gateway]:
    """An open one, until the end of the block."""
    door = Gateway(receiver)
    await door.set(OPEN)
    try:
        yield door
    finally:
        await door.close()
