"""Watches what every program that is started can be seen to have: its arguments and its environment."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Each writes down what /proc says of it, as any other process of the same user could read it, and goes on.
_WRAPPER = """#!/bin/sh
cat /proc/$$/cmdline /proc/$$/environ > "{folder}/{name}.$$"
exec "{program}" "$@"
"""


class Watch:
    """``path``: a PATH that finds our wrappers first. ``seen``: all that could be read, ever."""

    def __init__(self, folder: Path) -> None:
        self._wrappers, self._dumps = folder / "bin", folder / "dumps"
        for made in (self._wrappers, self._dumps):
            made.mkdir(parents=True)
        for name in ("git", "ssh", "env"):
            wrapper = self._wrappers / name
            wrapper.write_text(_WRAPPER.format(folder=self._dumps, name=name, program=shutil.which(name)))
            wrapper.chmod(0o755)
        self.path = f"{self._wrappers}:{os.environ['PATH']}"
        self._polled: set[bytes] = set()
        self._ended = threading.Event()

    @property
    def programs(self) -> set[str]:
        """The wrapped ones that ran."""
        return {dump.name.partition(".")[0] for dump in self._dumps.iterdir()}

    @property
    def seen(self) -> bytes:
        return b"\0".join([*(dump.read_bytes() for dump in self._dumps.iterdir()), *self._polled])

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Meanwhile look at all processes, again and again: also at those that git starts by itself."""
        thread = threading.Thread(target=self._look_on)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def look(self) -> None:
        ourselves = str(os.getpid())
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and process.name != ourselves:
                for name in ("cmdline", "environ"):
                    try:
                        self._polled.add((process / name).read_bytes())
                    except OSError:
                        continue  # ended while we looked

    def _look_on(self) -> None:
        while not self._ended.wait(0.01):
            self.look()
