"""Files that are only in memory and belong to this process: they have a path, and no name anybody can list.

The path leads through our own process, so that programs we start can open it even after they closed what
they inherited. When the file is closed, or the process is gone however it went, nothing is left.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.errors import StoreError

_SEALS = ("F_SEAL_SEAL", "F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_WRITE")


class MemoryFile:
    """``path``: for the programs that we start; only our own user can open it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.path = f"/proc/{os.getpid()}/fd/{descriptor}"

    def tail(self, size: int) -> str:
        """The last ``size`` bytes as text."""
        length = os.fstat(self._descriptor).st_size
        return os.pread(self._descriptor, size, max(0, length - size)).decode(errors="replace")


@contextmanager
def memory_file(content: str | None = None) -> Iterator[MemoryFile]:
    """A file with that content, which nobody can change; None: an empty one to be written."""
    if not hasattr(os, "memfd_create"):
        raise StoreError("a remote with credentials needs files in memory, which only Linux has: use Linux")
    descriptor = os.memfd_create("hossted", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.fchmod(descriptor, 0o600)  # ssh reads no key that others could
        if content is not None:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(content.encode())
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _seals())
        yield MemoryFile(descriptor)
    finally:
        os.close(descriptor)


def _seals() -> int:
    return sum(int(getattr(fcntl, name)) for name in _SEALS)
