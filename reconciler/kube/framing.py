"""A watch's answer, cut into its events as they come.

In JSON an event is a line. In protobuf it is a frame: four bytes of length, the highest first, and so many
bytes. The answer's Content-Type says which.
"""

from collections.abc import Iterator
from typing import Protocol

LONGEST = 16 << 20
"""Bytes of an event at most, as the official client has it: ten times what etcd takes of an object. Whoever
says that there are more to come is broken, or wants our memory."""

_PROTOBUF = "application/vnd.kubernetes.protobuf"
_HEADER = 4


class Framing(Protocol):
    """Keeps what is not complete yet."""

    def cut(self, data: bytes) -> Iterator[bytes]:
        """The events that are complete with this, in order; ValueError for one that is too long."""
        ...


def framing_of(content_type: str) -> Framing:
    """How an answer of this Content-Type is cut."""
    return Frames() if content_type.startswith(_PROTOBUF) else Lines()


class Lines:
    """Lines without their ends; empty ones say nothing."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def cut(self, data: bytes) -> Iterator[bytes]:
        if self._pending:
            searched = len(self._pending)
            self._pending += data
            if (end := self._pending.find(b"\n", searched)) < 0:
                _refuse(len(self._pending))
                return
            yield bytes(self._pending[:end])
            data = bytes(self._pending[end + 1 :])
            self._pending.clear()
        *complete, rest = data.split(b"\n")
        self._pending += rest
        yield from (line for line in complete if line)


class Frames:
    """What frames have in them."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def cut(self, data: bytes) -> Iterator[bytes]:
        pending = self._pending
        pending += data
        at = 0
        while (begin := at + _HEADER) <= len(pending):
            length = int.from_bytes(pending[at:begin], "big")
            _refuse(length)
            if begin + length > len(pending):
                break
            at = begin + length
            yield bytes(pending[begin:at])
        del pending[:at]


def _refuse(length: int) -> None:
    if length > LONGEST:
        raise ValueError(f"an event of {length} bytes or more; {LONGEST} are the most that is read")
