"""A list in protobuf that is read as it comes, so that of a large page no more is held than one object."""

from collections.abc import Iterable

_NO_LIST = "it is no list in protobuf"


class Flow:
    """What the pieces of an answer have, in order. ``at``: bytes that were taken so far.

    ValueError when it ends too early.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._piece = b""
        self._next = 0
        self.at = 0

    def take(self, length: int) -> bytes:
        """So many bytes."""
        self.at += length
        end = self._next + length
        if end <= len(self._piece):
            found = self._piece[self._next : end]
            self._next = end
            return found
        parts = [self._piece[self._next :]]
        wanted = length - len(parts[0])
        while wanted > 0:
            self._piece = next(self._pieces, b"")
            if not self._piece:
                raise ValueError("it ends too early")
            self._next = min(wanted, len(self._piece))
            parts.append(self._piece[: self._next])
            wanted -= self._next
        return b"".join(parts)

    def head(self) -> tuple[int, int]:
        """The number (1 to 15) of the next field, which must be one that has a length, and that length."""
        (tag,) = self.take(1)
        if tag & 135 != 2:
            raise ValueError(_NO_LIST)
        length = shift = 0
        while True:
            (byte,) = self.take(1)
            length |= (byte & 127) << shift
            if byte < 128:
                return tag >> 3, length
            shift += 7

    def end(self) -> None:
        """Let whatever is left pass."""
        self._piece, self._next = b"", 0
        for _ in self._pieces:
            pass
