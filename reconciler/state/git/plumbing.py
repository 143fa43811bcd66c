"""Running git on one bare repository: its environment, its time limit, its errors, how it is stopped.

GitPython starts the programs (it finds git and builds the process); every call is a process of its own
that is waited for, or killed with all its children, so nothing stays behind in a long-running program.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import ClassVar, TypeVar

import git
import msgspec
from git.exc import GitCommandNotFound

from reconciler.errors import DiskFullError, StoreError
from reconciler.settings import SECRET_VARIABLES
from reconciler.state.git.network.answers import no_room, read_only
from reconciler.state.git.network.url import redacted

_Result = TypeVar("_Result")

TIMEOUT = 600.0
"""Seconds that one git process may take: what a first fetch of a large repository may need."""

_GRACE = 5.0  # seconds that git has to clean up when it is told to end

_SETTINGS = {
    "core.hooksPath": "/dev/null",  # nobody's programs run here
    "gc.auto": "0",  # ``maintenance`` packs
    "protocol.allow": "never",  # but for the one that a remote is spoken to in: see ``Around``
    "i18n.logOutputEncoding": "UTF-8",
    "log.showSignature": "false",
}

_DURABLE = {"core.fsync": "all"}  # by default git does not wait for loose objects to be on the disk

# All that git and its children have besides the PATH. What surrounds us decides nothing and is given to
# nobody: a person's configuration, a repository that a hook around us runs in, an ssh agent, a token.
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
}

_READ_SIZE = 1 << 16

_SAID_SIZE = 1 << 16  # bytes of git's words that are kept


class GitError(StoreError):
    """git ended with an error. ``detail``: the line of its words that says why; ``said``: all of them.

    ``timed_out``: it was we who ended it. ``disk``: this machine's disk is full or cannot be written.
    """

    disk: ClassVar[bool] = False

    def __init__(self, message: str, detail: str = "", *, said: str = "", timed_out: bool = False) -> None:
        super().__init__(message)
        self.detail = detail
        self.said = said
        self.timed_out = timed_out


class GitDiskError(GitError):
    """This machine's disk takes nothing."""

    disk = True


class GitFullError(GitDiskError, DiskFullError):
    """It has no room left."""


class Around(msgspec.Struct, frozen=True):
    """What one git process has besides the usual: ``environment`` and ``settings`` are seen by others.

    ``timeout``: seconds, None for the repository's own; ``scrub`` takes out of git's words what is secret.
    """

    environment: Mapping[str, str] = {}
    settings: Mapping[str, str] = {}
    timeout: float | None = None
    scrub: Callable[[str], str] = str


_NOTHING = Around()


class _Job:
    """The git process that a piece of work waits for, and whether the work is to end."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.running: subprocess.Popen[bytes] | None = None
        self.stopped = False


class Repository:
    """A bare repository on this machine. Its methods block, but for ``in_thread`` and ``stream``."""

    def __init__(self, path: Path, *, durable: bool = True, timeout: float = TIMEOUT) -> None:
        """``durable``: what is written survives a loss of power. ``timeout``: seconds for one process."""
        self.path = path
        self._settings = {**_SETTINGS, **(_DURABLE if durable else {})}
        self._timeout = timeout
        self._job = _Job()

    def beside(self, path: Path) -> "Repository":
        """Another repository, made for one piece of work on this one: who cancels that stops its git, too."""
        other = Repository(path, durable=False, timeout=self._timeout)
        other._job = self._job
        return other

    def run(
        self, *arguments: str, stdin: bytes = b"", strict: bool = False, around: Around = _NOTHING
    ) -> bytes:
        """What git prints; GitError (which is a StoreError) when it ends with an error or not in time.

        ``strict``: a warning is an error too. GitDiskError when it is this machine's disk.
        """
        timeout = self._timeout if around.timeout is None else min(around.timeout, self._timeout)
        job = self._job
        with job.guard:
            if job.stopped:
                raise self._cancelled(arguments)
            process = job.running = self._start(arguments, around, wants_stdin=True)
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            _kill(process)
            raise GitError(
                f"git {arguments[0]} in {self.path} took more than {timeout:g} seconds and was stopped",
                timed_out=True,
            ) from error
        finally:
            with job.guard:
                job.running = None
        if process.returncode != 0 and job.stopped:
            raise self._cancelled(arguments)
        if process.returncode != 0:
            raise _failed(arguments, self.path, around.scrub(_words(err)), process.returncode)
        if strict and err:
            raise _failed(arguments, self.path, around.scrub(_words(err)), 0)
        return out

    def text(self, *arguments: str, strict: bool = False, around: Around = _NOTHING) -> str:
        """What git prints, as text without the last line's end."""
        return self.run(*arguments, strict=strict, around=around).decode(errors="replace").removesuffix("\n")

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
            self._job.stopped = False

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
                raise _failed(arguments, self.path, _words(complaint), process.returncode)
        finally:
            _signal(process, signal.SIGTERM)
            # The thread must be done with the descriptor before its number can be used again.
            if reading is not None and not reading.done():
                await asyncio.wait([reading])
            _kill(process)

    def _start(
        self, arguments: tuple[str, ...], around: Around = _NOTHING, *, wants_stdin: bool = False
    ) -> "subprocess.Popen[bytes]":
        program, cleaner = shutil.which("git"), shutil.which("env")
        if program is None or cleaner is None:
            raise StoreError("the program git is not installed, and state in git needs it")
        # GIT_DIR is said outright: nothing is searched for upwards, and no surroundings decide.
        environment = {
            **_ENVIRONMENT,
            "PATH": os.pathsep.join(os.get_exec_path()),
            "GIT_DIR": str(self.path),
            "GIT_OBJECT_DIRECTORY": str(self.path / "objects"),
            **around.environment,
        }
        settings = {**self._settings, **around.settings}
        try:
            # GitPython hands its own environment on: ``env`` becomes git with the one above instead.
            started = git.Git(self.path).execute(
                [
                    cleaner,
                    "-i",
                    *(f"{name}={value}" for name, value in environment.items()),
                    program,
                    *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
                    *arguments,
                ],
                as_process=True,
                istream=subprocess.PIPE if wants_stdin else None,
                env=dict.fromkeys(SECRET_VARIABLES, ""),
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

    def _cancelled(self, arguments: tuple[str, ...]) -> GitError:
        return GitError(f"git {arguments[0]} in {self.path} was cancelled", timed_out=True)

    def _stop(self, sign: signal.Signals) -> None:
        with self._job.guard:
            self._job.stopped = True
            if self._job.running is not None:
                _signal(self._job.running, sign)


def _words(stderr: bytes) -> str:
    # Progress and ssh end lines with a carriage return.
    return redacted(stderr[-_SAID_SIZE:].decode(errors="replace").replace("\r", "\n"))


def _failed(arguments: tuple[str, ...], path: Path, said: str, status: int) -> GitError:
    if message := no_room(said, path):
        return GitFullError(message, said=said)
    if message := read_only(said, path):
        return GitDiskError(message, said=said)
    detail = _why(said, status)
    return GitError(f"git {arguments[0]} in {path} failed: {detail}", detail, said=said)


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


def _why(said: str, status: int) -> str:
    """The line of git's that says why; progress and hints come before and after it."""
    if status < 0:
        return f"it was ended by {signal.Signals(-status).name}"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for sign in ("remote: error: ", "! [remote rejected] ", "fatal: ", "error: ", "warning: "):
        for line in lines:
            if line.startswith(sign) and sign.startswith("!"):
                theirs = [other.removeprefix("remote: ").strip() for other in lines if "remote: " in other]
                return ": ".join([line.rpartition("(")[2].rstrip(")"), *theirs[:1]])
            if line.startswith(sign):
                return line.removeprefix(sign).rstrip(".")
    return lines[-1] if lines else f"exit status {status}"
