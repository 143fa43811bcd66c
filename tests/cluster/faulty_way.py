"""A bad way to the API server: TLS in the middle, which cuts, stalls, delays, truncates, drops and invents.

It speaks HTTP/1.1 with the client and with the real server, one connection for one, so that it can do to a
chunk of a watch or to the third page of a list what networks, proxies and servers do. A write goes to the
server whole and is waited for even if whoever asked is gone: that it was done, and nobody was told, is what
this is for.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from tests.cluster.pieces import chunks, code_of, frames, headers_of, lines
from tests.controlplane.plane import ControlPlane
from tests.git.servers.certificates import Authority

LIMIT = 1 << 20  # bytes of a head, or of the size of a chunk
BROKEN = (OSError, asyncio.IncompleteReadError)
PROTOBUF = "application/vnd.kubernetes.protobuf"
BEGINNING = 64  # bytes of an event in which its type is
INITIAL_END = b"k8s.io/initial-events-end"  # the mark of a list's end is no bookmark like others


@dataclass(frozen=True)
class Asked:
    """A request, as far as faults are chosen by it."""

    uri: str
    method: str = "GET"

    @property
    def kind(self) -> str:
        """The plural of what is asked for, or an object's name."""
        return self.path.rpartition("/")[2]

    @property
    def path(self) -> str:
        return urlsplit(self.uri).path

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def query(self) -> dict[str, str]:
        return {key: values[-1] for key, values in parse_qs(urlsplit(self.uri).query).items()}

    @property
    def is_watch(self) -> bool:
        return "watch" in self.query

    @property
    def is_next_page(self) -> bool:
        return "continue" in self.query


@dataclass
class Lie:
    """An answer that is not the server's. ``in_watch``: as an event of a watch that began well;
    ``times``: how often, counting down."""

    when: Callable[[Asked], bool]
    code: int
    times: int = 1
    in_watch: bool = False

    def body(self) -> bytes:
        reason = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 410: "Expired"}.get(self.code, "")
        told = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": self.code}
        told |= {"reason": reason, "message": f"a lie of {self.code}"}
        return json.dumps({"type": "ERROR", "object": told} if self.in_watch else told).encode() + b"\n"

    def head(self) -> bytes:
        code = 200 if self.in_watch else self.code
        return (
            f"HTTP/1.1 {code} Lie\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(self.body())}\r\n\r\n"
        ).encode()


@dataclass
class Loss:
    """What becomes of some writes. ``answer``: they are done, and the answer is lost."""

    when: Callable[[Asked], bool]
    answer: bool
    times: int


@dataclass(eq=False)
class Passage:
    """One connection of a client. ``left``: bytes until it breaks, if it does."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    task: asyncio.Task[None] = field(init=False)
    left: float = float("inf")
    watching: bool = False
    silent: bool = False
    truncating: bool = False

    def cut(self) -> None:
        """Reset it, whatever is on its way."""
        self.writer.transport.abort()
        self.task.cancel()


class FaultyWay:
    """``async with FaultyWay(plane, folder) as way:``; at first it does no harm.

    ``delay``: seconds that each piece of an answer takes; ``bookmarks``: whether watches have any;
    ``breaking``: 0, or each answer breaks after so many bytes on average; ``refused``: credentials that are
    answered with 401; ``done``: how often each fault was done; ``codes``: how often the server itself
    answered so, as an HTTP status or in a watch; ``acted`` is told each write that the server has answered
    and what it was answered, before whoever asked; ``unknown``: how many writes the server did not answer.
    """

    def __init__(self, plane: ControlPlane, folder: Path, seed: int = 0) -> None:
        authority = Authority(folder, "The faulty way")
        self._folder = folder
        self._plane = plane
        self._ca_file = authority.file
        self._ours = authority.server("127.0.0.1")
        self._theirs = ssl.create_default_context(cafile=str(plane.ca_file))
        self._random = Random(seed)
        self._flows = asyncio.Event()
        self._flows.set()
        self._passages: set[Passage] = set()
        self._lies: list[Lie] = []
        self._lost: list[Loss] = []
        self._writing: set[asyncio.Task[bytes]] = set()
        self._is_out = False
        self._held: list[tuple[Callable[[Asked], bool], asyncio.Event, asyncio.Event]] = []
        self.delay = 0.0
        self.bookmarks = True
        self.breaking = 0
        self.refused: frozenset[str] = frozenset()
        self.done: Counter[str] = Counter()
        self.codes: Counter[int] = Counter()
        self.acted: Callable[[Asked, bytes, int], None] = lambda asked, body, code: None
        self.unknown = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._ours, limit=LIMIT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._writing)
        await self._server.wait_closed()

    @property
    def watches(self) -> int:
        """How many are open and not silenced."""
        return sum(one.watching and not one.silent for one in self._passages)

    def kubeconfig(self, of: Path) -> Path:
        """The same kubeconfig by this way; written anew when it is asked for again."""
        config = json.loads(of.read_text())
        port = self._server.sockets[0].getsockname()[1]
        config["clusters"][0]["cluster"] = {
            "server": f"https://127.0.0.1:{port}",
            "certificate-authority": str(self._ca_file),
        }
        path = self._folder / f"way-{of.name}"
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(config))
        return new.replace(path)  # at once, as the kubelet does it

    def cut(self, share: float = 1.0) -> int:
        """Reset connections, or this share of them, drawn; how many."""
        chosen = [one for one in self._passages if self._random.random() < share]
        for one in chosen:
            one.cut()
        self.done["cut"] += len(chosen)
        return len(chosen)

    def truncate(self) -> None:
        """Break every connection in the middle of the next chunk that it brings."""
        for one in self._passages:
            one.truncating = True

    def silence(self) -> None:
        """Let the watches of now stay open and bring nothing any more; what comes later is well."""
        self.done["silenced"] += self.watches
        for one in self._passages:
            one.silent = one.watching

    def stall(self) -> None:
        """Let nothing through on any connection, old or new, until ``flow``."""
        self.done["stalled"] += 1
        self._flows.clear()

    def flow(self) -> None:
        """Let through what was held back, and what comes."""
        self._flows.set()

    def lie(
        self, when: Callable[[Asked], bool], code: int, *, times: int = 1, in_watch: bool = False
    ) -> None:
        """Answer the next such requests so, without asking the server."""
        self._lies.append(Lie(when, code, times, in_watch))

    def lose(self, when: Callable[[Asked], bool], *, answer: bool, times: int = 1) -> None:
        """Lose the next such writes, or only the ``answer`` to them once the server has acted; whoever asked
        finds the connection broken and cannot tell which."""
        self._lost.append(Loss(when, answer, times))

    def out(self) -> None:
        """Break every connection there is, and every one that comes, until ``back``: the server is away."""
        self.done["outage"] += 1
        self._is_out = True
        for one in list(self._passages):
            one.cut()

    def back(self) -> None:
        """Be there again."""
        self._is_out = False

    def honest(self) -> None:
        """Do no more harm to what comes from now on."""
        self.delay, self.bookmarks, self.breaking, self.refused = 0.0, True, 0, frozenset()
        self._lies.clear()
        self._lost.clear()
        self.back()
        for one in self._passages:
            one.left, one.truncating = float("inf"), False
        self.flow()

    def hold(self, when: Callable[[Asked], bool]) -> tuple[asyncio.Event, asyncio.Event]:
        """Hold the next such request back; the events say that it has come, and let it go."""
        came, goes = asyncio.Event(), asyncio.Event()
        self._held.append((when, came, goes))
        return came, goes

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passage = Passage(reader, writer)
        task = asyncio.current_task()
        assert task is not None
        passage.task = task
        self._passages.add(passage)
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        # What breaks is what this is for, and a passage that was cut was cancelled.
        with suppress(*BROKEN, asyncio.CancelledError):
            try:
                while not self._is_out:
                    head = await reader.readuntil(b"\r\n\r\n")
                    method, uri = head.split(b" ", 2)[:2]
                    asked = Asked(uri.decode(), method.decode())
                    body = await reader.readexactly(int(dict(headers_of(head)).get("content-length", "0")))
                    await self._waits(asked)
                    if (lie := self._lie_for(asked, head)) is not None:
                        await self._pass(passage, lie.head() + lie.body())
                        continue
                    if asked.is_write:
                        await self._write(passage, asked, head, body)
                        continue
                    upstream = upstream or await self._connect()
                    upstream[1].write(head)
                    await self._answer(passage, asked, upstream[0])
            finally:
                self._passages.discard(passage)
                for each in (writer, upstream[1] if upstream else writer):
                    each.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        port = urlsplit(self._plane.server).port
        return await asyncio.open_connection("127.0.0.1", port, ssl=self._theirs, limit=LIMIT)

    async def _write(self, passage: Passage, asked: Asked, head: bytes, body: bytes) -> None:
        """Bring a write to the server, and its answer back, whole or not."""
        loss = next((one for one in self._lost if one.times > 0 and one.when(asked)), None)
        if loss is not None:
            loss.times -= 1
            self.done["answer to a write lost" if loss.answer else "write lost"] += 1
            if not loss.answer:
                raise ConnectionAbortedError
        task = asyncio.create_task(self._done(asked, head, body))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        answer = await asyncio.shield(task)
        if loss is not None or not answer:
            raise ConnectionAbortedError
        passage.left, passage.watching = self._drawn(), False
        head, end, rest = answer.partition(b"\r\n\r\n")
        await self._pass(passage, head + end)
        await self._pass(passage, rest)

    async def _done(self, asked: Asked, head: bytes, body: bytes) -> bytes:
        """A write and the server's answer to it, over a connection of its own; b"" when there is none."""
        try:
            reader, writer = await self._connect()
        except BROKEN:
            return b""  # it is not there: nothing was done
        try:
            writer.write(head + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            headers = dict(headers_of(answer))
            if headers.get("transfer-encoding") == "chunked":
                async for data in chunks(reader):
                    answer += b"%x\r\n%b\r\n" % (len(data), data)
                answer += b"0\r\n\r\n"
            else:
                answer += await reader.readexactly(int(headers.get("content-length", "0")))
        except BROKEN:
            self.unknown += 1
            return b""
        finally:
            writer.transport.abort()
        code = int(answer.split(b" ", 2)[1])
        self.codes[code] += 1
        self.acted(asked, body, code)
        return answer

    def _drawn(self) -> float:
        """Bytes until an answer breaks."""
        return self._random.expovariate(1 / self.breaking) if self.breaking else float("inf")

    async def _waits(self, asked: Asked) -> None:
        for one in self._held:
            if one[0](asked):
                self._held.remove(one)
                one[1].set()
                await one[2].wait()
                return

    def _lie_for(self, asked: Asked, head: bytes) -> Lie | None:
        if any(f"Bearer {token}".encode() in head for token in self.refused):
            self.done["refused"] += 1
            return Lie(lambda _: True, 401)
        for one in self._lies:
            if one.times > 0 and one.when(asked):
                one.times -= 1
                where = "in a watch" if one.in_watch else "for a write" if asked.is_write else ""
                where = "in the middle of paging" if asked.is_next_page else where
                self.done[f"{one.code} {where}".strip()] += 1
                return one
        return None

    async def _answer(self, passage: Passage, asked: Asked, upstream: asyncio.StreamReader) -> None:
        """Bring one answer through, whole or not."""
        head = await upstream.readuntil(b"\r\n\r\n")
        self.codes[int(head.split(b" ", 2)[1])] += 1
        passage.left = self._drawn()
        passage.watching = asked.is_watch
        headers = dict(headers_of(head))
        await self._pass(passage, head)
        if headers.get("transfer-encoding") != "chunked":
            left = int(headers.get("content-length", "0"))
            while left and (piece := await upstream.read(min(left, 1 << 16))):
                left -= len(piece)
                await self._pass(passage, piece)
            return
        pieces = chunks(upstream)
        if asked.is_watch:
            pieces = frames(pieces) if PROTOBUF in headers.get("content-type", "") else lines(pieces)
        async for data in pieces:
            beginning = data[:BEGINNING] if asked.is_watch else b""
            if b"ERROR" in beginning:
                self.codes[code_of(data)] += 1
            if not self.bookmarks and b"BOOKMARK" in beginning and INITIAL_END not in data:
                self.done["without a bookmark"] += 1
                continue
            await self._pass(passage, b"%x\r\n%b\r\n" % (len(data), data))
        await self._pass(passage, b"0\r\n\r\n")
        passage.watching = False

    async def _pass(self, passage: Passage, data: bytes) -> None:
        """Hand a piece of an answer on, as this way does."""
        if passage.silent:
            return
        if self.delay:
            self.done["delayed"] += 1
            await asyncio.sleep(self.delay * self._random.random() * 2)
        await self._flows.wait()
        if passage.truncating or passage.left < len(data):
            self.done["truncated" if passage.truncating else "broken"] += 1
            passage.writer.write(data[: len(data) // 2 if passage.truncating else int(passage.left)])
            await passage.writer.drain()
            raise ConnectionAbortedError
        if passage.writer.is_closing():  # the client has had enough
            raise ConnectionAbortedError
        passage.left -= len(data)
        passage.writer.write(data)
        await passage.writer.drain()
