"""HTTP/1.1 and the watches of Kubernetes in pieces, as somebody in the middle sees them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator

# Of a Status in protobuf: a varint of two bytes, field 6.
_CODE = re.compile(rb"\x30([\x80-\xff][\x01-\x07])")


async def chunks(upstream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The chunks of an answer."""
    while size := int(await upstream.readuntil(b"\r\n"), 16):
        yield (await upstream.readexactly(size + 2))[:-2]
    await upstream.readuntil(b"\r\n")


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The events of a watch in JSON."""
    pending = b""
    async for data in chunks:
        *complete, pending = (pending + data).split(b"\n")
        for line in complete:
            yield line + b"\n"


async def frames(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The events of a watch in protobuf, each with its length before it."""
    pending = b""
    async for data in chunks:
        pending += data
        while len(pending) >= 4 and len(pending) >= (size := 4 + int.from_bytes(pending[:4], "big")):
            yield pending[:size]
            pending = pending[size:]


def code_of(event: bytes) -> int:
    """The code of an ERROR of a watch; what is not JSON has it as a varint, field 6 of a Status, of two
    bytes."""
    if event.startswith(b"{"):
        return int(json.loads(event)["object"]["code"])
    found = _CODE.search(event)
    return found[1][0] & 0x7F | found[1][1] << 7 if found else 0


def headers_of(head: bytes) -> list[tuple[str, str]]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    parted = [line.partition(":") for line in lines if line]
    return [(name.lower(), value.strip()) for name, _, value in parted]
