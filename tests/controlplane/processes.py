"""Processes that do not outlive the test run, with their logs at hand."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

TAIL = 30  # lines of a log that say enough about a failure


class ProcessError(Exception):
    """A process ended that should have gone on; the message has the end of its log."""


@dataclass
class Process:
    """A running program and its log."""

    name: str
    log: Path
    handle: subprocess.Popen[bytes]

    def check(self) -> None:
        """Raises when the process has ended."""
        if self.handle.poll() is not None:
            status = self.handle.returncode
            raise ProcessError(f"{self.name} ended with status {status}:\n{self.tail()}")

    def tail(self) -> str:
        """The end of the log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-TAIL:])


@dataclass
class Processes:
    """A folder, and processes that log into it; `stop` ends and removes all of it.

    Everything ends by SIGKILL: nothing of it is ever used again, and a polite shutdown of an API
    server takes seconds. `environment`: what each has besides a home and the PATH.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="controlplane-")))
    running: list[Process] = field(default_factory=list)
    _reaper: subprocess.Popen[str] | None = None

    def start(self, name: str, program: Path, *arguments: str) -> Process:
        """Starts a program; its output goes to `<name>.log` in the folder."""
        log = self.folder / f"{name}.log"
        reaper = self._reaper or self._start_reaper()
        with log.open("ab") as output:
            handle = subprocess.Popen(
                [str(program), *arguments],
                cwd=self.folder,
                env={
                    "HOME": str(self.folder),
                    "PATH": os.environ.get("PATH", os.defpath),
                    **self.environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for us, we stop it in order
            )
        self._tell(reaper, f"+{handle.pid}")
        process = Process(name, log, handle)
        self.running.append(process)
        return process

    def check(self) -> None:
        """Raises when any of the processes has ended."""
        for process in self.running:
            process.check()

    def end(self, name: str) -> None:
        """Ends one process; its log stays."""
        (process,) = (one for one in self.running if one.name == name)
        self.running.remove(process)
        self._end(process)

    def end_all(self) -> None:
        """Ends all processes, last started first; their logs stay."""
        while self.running:
            self._end(self.running.pop())

    def stop(self) -> None:
        """Ends all processes and removes the folder."""
        self.end_all()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._reaper:
            with contextlib.suppress(BrokenPipeError):
                self._reaper.communicate()  # closes its input, which is its sign to end
            self._reaper = None

    def _end(self, process: Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.handle.pid, signal.SIGKILL)
        process.handle.wait()
        if self._reaper:
            self._tell(self._reaper, f"-{process.handle.pid}")

    def _start_reaper(self) -> subprocess.Popen[str]:
        script = Path(__file__).with_name("reaper.py")
        self._reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script)],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._tell(self._reaper, f"folder {self.folder}")
        return self._reaper

    @staticmethod
    def _tell(reaper: subprocess.Popen[str], line: str) -> None:
        assert reaper.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            reaper.stdin.write(f"{line}\n")
            reaper.stdin.flush()


def free_ports(count: int) -> list[int]:
    """Ports on the loopback interface that were free just now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
