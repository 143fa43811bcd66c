"""A server that answers as it is told, byte for byte, and remembers what came."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers["idempotency-key"]


Behaviour = bytes | Callable[[Request, asyncio.StreamWriter], Awaitable[None]]
"""What to write before the connection is closed, or who writes it."""


@dataclass
class Wire:
    """``answers``: taken in turn, the last one for ever."""

    answers: list[Behaviour]
    port: int = 0
    scheme: str = "http"
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/apps"


@asynccontextmanager
async def wire(*answers: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """Serve on a free port of 127.0.0.1 until the end of the block."""
    served = Wire(list(answers), scheme="http" if tls is None else "https")
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _request(reader)
            served.requests.append(request)
            answer = served.answers.pop(0) if len(served.answers) > 1 else served.answers[0]
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(request, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has had enough, which is what some tests are about
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(one(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def answer(status: int, text: str = "", **headers: str) -> bytes:
    """A whole answer; header names with underscores for hyphens."""
    body = text.encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def silence(request: Request, writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def _request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    return Request(head[0], headers, await reader.readexactly(int(headers.get("content-length", 0))))
