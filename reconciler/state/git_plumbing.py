"""Running git on one bare repository: its environment, its time limit, its errors, how it is stopped.

GitPython starts the programs (it finds git and builds the process); every call is a process of its own
that is waited for, or killed with all its children, so nothing stays behind in a long-running program.
"""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TypeVar

import git
from git.exc import GitCommandNotFound

from reconciler.errors import StoreError

_Result = TypeVar("_Result")

TIMEOUT = 600.0
"""Seconds that one git process may take: what a first fetch of a large repository may need."""

_GRACE = 5.0  # seconds that git has to clean up when it is told to end

_SETTINGS = {
    "core.hooksPath": "/dev/null",  # nobody's programs run here
    "gc.auto": "1000",  # loose objects; only git_objects.maintain ever looks
    "gc.autoDetach": "false",
    "protocol.allow": "never",
    "protocol.file.allow": "always",
    "i18n.logOutputEncoding": "UTF-8",
    "log.showSignature": "false",
}

_DURABLE = {"core.fsync": "all"}  # by default git does not wait for loose objects to be on the disk

# What git itself would refuse the process's surroundings to decide: a person's configuration, a repository
# that a hook around us runs in, a question on a terminal.
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_COUNT": "0",
    "GIT_CONFIG_PARAMETERS": "",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
    "GIT_NAMESPACE": "",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
}

_READ_SIZE = 1 << 16


class GitError(StoreError):
    """git ended with an error. ``detail``: the line of its words that says why.

    ``timed_out``: it was we who ended it.
    """

    def __init__(self, message: str, detail: str = "", *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.detail = detail
        self.timed_out = timed_out


class Repository:
    """A bare repository on this machine. Its methods block, but for ``in_thread`` and ``stream``."""

    def __init__(self, path: Path, *, durable: bool = True, timeout: float = TIMEOUT) -> None:
        """``durable``: what is written survives a loss of power. ``timeout``: seconds for one process."""
        self.path = path
        self._settings = {**_SETTINGS, **(_DURABLE if durable else {})}
        self._timeout = timeout
        self._guard = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(self, *arguments: str, stdin: bytes = b"", strict: bool = False) -> bytes:
        """What git prints; GitError (which is a StoreError) when it ends with an error or not in time.

        ``strict``: a warning is an error too.
        """
        with self._guard:
            if self._stopped:
                raise GitError(f"git {arguments[0]} in {self.path} was cancelled")
            process = self._running = self._start(arguments, wants_stdin=True)
        try:
            out, err = process.communicate(stdin, timeout=self._timeout)
        except subprocess.TimeoutExpired as error:
            _kill(process)
            raise GitError(
                f"git {arguments[0]} in {self.path} took more than {self._timeout:g} seconds and was stopped",
                timed_out=True,
            ) from error
        finally:
            with self._guard:
                self._running = None
        if process.returncode != 0:
            raise _failed(arguments, self.path, err, process.returncode)
        if strict and err:
            raise _failed(arguments, self.path, err, 0)
        return out

    def text(self, *arguments: str, strict: bool = False) -> str:
        """What git prints, as text without the last line's end."""
        return self.run(*arguments, strict=strict).decode(errors="replace").removesuffix("\n")

    async def in_thread(self, work: Callable[[], _Result]) -> _Result:
        """Run ``work`` in a thread. Cancelled, it kills the git process that runs and waits for the thread.

        One at a time: the caller holds a lock.
        """
        job = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            self._stop(signal.SIGTERM)
            # Whoever cancels must be able to rely on nothing being written any more.
            while not job.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([job], timeout=_GRACE)
                    if not job.done():
                        self._stop(signal.SIGKILL)
            if not job.cancelled():
                job.exception()  # seen: the cancellation is what happened
            raise
        finally:
            self._stopped = False

    async def stream(self, *arguments: str) -> AsyncGenerator[bytes, None]:
        """What git prints, in pieces as they come; the process ends with the iteration, however that ends."""
        process = self._start(arguments)
        assert process.stdout is not None  # noqa: S101 - started with a pipe
        descriptor = process.stdout.fileno()
        reading: asyncio.Future[bytes] | None = None
        try:
            while True:
                reading = asyncio.ensure_future(asyncio.to_thread(os.read, descriptor, _READ_SIZE))
                piece = await asyncio.shield(reading)
                if not piece:
                    break
                yield piece
            _, complaint = await asyncio.to_thread(process.communicate)
            if process.returncode != 0:
                raise _failed(arguments, self.path, complaint, process.returncode)
        finally:
            _signal(process, signal.SIGTERM)
            # The thread must be done with the descriptor before its number can be used again.
            if reading is not None and not reading.done():
                await asyncio.wait([reading])
            _kill(process)

    def _start(self, arguments: tuple[str, ...], *, wants_stdin: bool = False) -> "subprocess.Popen[bytes]":
        settings = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        try:
            # GIT_DIR is said outright: nothing is searched for upwards, and no surroundings decide.
            started = git.Git(self.path).execute(
                ["git", *settings, *arguments],
                as_process=True,
                istream=subprocess.PIPE if wants_stdin else None,
                env={
                    **_ENVIRONMENT,
                    "GIT_DIR": str(self.path),
                    "GIT_OBJECT_DIRECTORY": str(self.path / "objects"),
                },
                start_new_session=True,
            )
        except GitCommandNotFound as error:
            raise StoreError("the program git is not installed, and state in git needs it") from error
        except OSError as error:
            raise StoreError(f"git cannot be started: {error.strerror}") from error
        process = started.proc
        assert process is not None  # noqa: S101 - just started
        # GitPython would end it once more when this wrapper is collected; from here on it is ours.
        started.proc = None
        return process

    def _stop(self, sign: signal.Signals) -> None:
        with self._guard:
            self._stopped = True
            if self._running is not None:
                _signal(self._running, sign)


def redacted(text: str) -> str:
    """The text without the user information of any URL in it."""
    return re.sub(r"(://)[^/@\s]+@", r"\1", text)


def _failed(arguments: tuple[str, ...], path: Path, stderr: bytes, status: int) -> GitError:
    detail = _why(stderr, status)
    return GitError(f"git {arguments[0]} in {path} failed: {detail}", detail)


def _signal(process: "subprocess.Popen[bytes]", sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, sign)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process and its children, wait for it, and close its pipes."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)  # on which git removes its locks
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _why(stderr: bytes, status: int) -> str:
    """The line of git's that says why; progress and hints come before and after it."""
    if status < 0:
        return f"it was ended by {signal.Signals(-status).name}"
    lines = [line.strip() for line in redacted(stderr.decode(errors="replace")).splitlines() if line.strip()]
    for sign in ("remote: error: ", "! [remote rejected] ", "fatal: ", "error: ", "warning: "):
        for line in lines:
            if line.startswith(sign) and sign.startswith("!"):
                said = [other.removeprefix("remote: ").strip() for other in lines if "remote: " in other]
                return ": ".join([line.rpartition("(")[2].rstrip(")"), *said[:1]])
            if line.startswith(sign):
                return line.removeprefix(sign).rstrip(".")
    return lines[-1] if lines else f"exit status {status}"
