"""The process that all lives are forks of, as the outside sees it."""

import json
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any


class Zygote:
    """The process that all lives are forks of."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-B", "-m", "tests.crash.child"],
            cwd=Path(__file__).absolute().parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._lines: deque[str] = deque(maxlen=100)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self.listen() == {"ready": True}

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.append(line.decode(errors="replace"))

    def say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()

    def listen(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the zygote has ended: {self.said()}"
        return json.loads(line)

    def said(self) -> str:
        """The end of what the lives wrote for people."""
        return "".join(self._lines)

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._process.wait()
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()
