"""A way to the API server that counts the bytes: in a process of its own, which understands nothing."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import c_longlong
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from typing import NamedTuple
from urllib.parse import urlsplit


class Counted(NamedTuple):
    """``url``: of the way; ``bytes``: that came from the server so far, encrypted as they are."""

    url: str
    counter: "Synchronized[int]"

    @property
    def bytes(self) -> int:
        return int(self.counter.value)


@contextmanager
def counting(server: str) -> Iterator[Counted]:
    """A way to the server's URL."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    counter = context.Value(c_longlong, 0)
    process = context.Process(target=_serve, args=(theirs, counter, urlsplit(server).port), daemon=True)
    process.start()
    try:
        yield Counted(f"https://127.0.0.1:{ours.recv()}", counter)
    finally:
        process.terminate()
        process.join()


def _serve(port: Connection, counter: "Synchronized[int]", to: int) -> None:
    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: bool) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(1 << 18):
                if count:
                    counter.value += len(chunk)
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection("127.0.0.1", to)
        await asyncio.gather(forward(reader, downstream, False), forward(upstream, writer, True))

    async def serve() -> None:
        server = await asyncio.start_server(one, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())
