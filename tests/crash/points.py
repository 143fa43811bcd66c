"""Every effect of a process, as the interpreter itself tells of it, and where the process is killed.

Python raises an audit event before each effect that it can have: a program started, a file opened for
writing or renamed, a socket connected. Here each of them must be known. One inside an *edge* (a git process,
a request to the Kubernetes API, a push) belongs to that edge, which has a name and is a place to be killed
at. A change of a file outside of the edges is such a place by itself, named by the function that makes it: so
no list has to be kept of them, and none can be forgotten. What cannot be an effect is in ``HARMLESS``, with
the reason. Everything else is reported as unregistered, and fails the run.

Runs in the process that is to be killed.
"""

import os
import resource
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn


class Mode(Enum):
    """When of an effect the process dies. ``DURING``: some bytes into what is written. ``PREPARED`` and
    ``COMMITTED``: while the repository that is pushed to holds the locks of its refs, and when it has just
    moved them."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"
    PREPARED = "prepared"
    COMMITTED = "committed"


class Target(NamedTuple):
    """Where to die: at the so-manieth (from 0) effect of that name."""

    name: str
    occurrence: int
    mode: Mode

    def __str__(self) -> str:
        return f"{self.mode.value} {self.name} #{self.occurrence}"


SOME_BYTES = 40
"""How much of a file is written by a process that dies ``DURING``: less than any of ours has."""

HARMLESS = {
    # The interpreter's own: nothing outside of the process notices.
    "import", "compile", "exec", "code.__new__", "function.__new__", "marshal.loads", "marshal.load",
    "object.__setattr__", "object.__delattr__", "builtins.id", "sys._getframe",
    "sys._current_frames", "sys._getframemodulename", "sys.set_asyncgen_hook_firstiter",
    "sys.set_asyncgen_hook_finalizer", "sys.unraisablehook", "sys.excepthook", "gc.get_objects",
    "gc.get_referrers", "_thread.start_new_thread", "_thread.start_joinable_thread", "time.sleep",
    "pickle.find_class", "re.compile", "array.__new__", "signal.pthread_kill", "cpython.run_command",
    "setopencodehook", "ctypes.dlopen", "ctypes.dlsym", "ctypes.call_function",
    # Only read: a file system, a name, an address.
    "os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.getxattr", "os.listxattr", "glob.glob",
    "glob.glob/2", "pathlib.Path.glob", "pathlib.Path.rglob", "socket.gethostname", "socket.getaddrinfo",
    "socket.gethostbyname", "mmap.__new__",
    # Descriptors and locks, which end with the process; what is sent over a socket comes after a connect.
    "socket.__new__", "fcntl.flock", "fcntl.fcntl", "fcntl.lockf", "fcntl.ioctl",
    # What the process is to its own children, inside of the edges and when one of these is stopped.
    "os.kill", "os.killpg", "os.putenv", "os.unsetenv", "resource.setrlimit", "resource.prlimit",
}  # fmt: skip

NOT_MOMENTS = {"object.__getattr__"}
"""Nothing has happened since the event before: the clock looks at what tasks wait for, more often on a slower
machine."""

FILES = {
    "open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink",
    "os.chmod", "os.chown", "os.utime", "os.setxattr", "os.removexattr", "os.mkfifo", "os.mknod",
}  # fmt: skip
"""Changes of files: each is a place to die at."""

MADE_OF_FILES = ("shutil.", "tempfile.")
"""Prefixes of events that announce some of ``FILES``."""

IN_EDGES = {
    "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.system", "os.spawn",
    "os.startfile", "pty.spawn", "socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind",
    "http.client.connect", "http.client.send", "urllib.Request", "sqlite3.connect", "ssl.wrap",
}  # fmt: skip
"""What reaches other programs and machines: nowhere but inside an edge."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_inside: ContextVar[str] = ContextVar("inside", default="")


class Points:
    """The effects of one life. ``report``: tells the outside. ``target``: where to die; ``die_at_event``: at
    which audit event, counted from 1, whatever it is (0: at none)."""

    def __init__(
        self, report: Callable[..., None], target: Target | None, die_at_event: int, *, orphans_live: bool
    ) -> None:
        self._report = report
        self._target = target
        self._die_at_event = die_at_event
        self._orphans_live = orphans_live
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._last_breath = False
        self.room = resource.RLIM_INFINITY
        self.running: set[int] = set()
        self.events = 0
        self.active = False

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        """For ``sys.addaudithook``."""
        if not self.active or _inside.get() == "harness" or event in NOT_MOMENTS:
            return
        self.events += 1
        if self.events == self._die_at_event:
            self.die()
        if event in HARMLESS or event.startswith(MADE_OF_FILES):
            return
        if event == "open" and not _writes(*args):
            return
        if event == "os.mkdir" and os.path.isdir(args[0]):  # noqa: PTH112 - a Path would cost an event more
            return
        if _inside.get():
            return
        with self.unwatched():
            self._effect(event)

    def _effect(self, event: str) -> None:
        where, line = _whose()
        if event not in FILES:
            self._report(unregistered=event, at=line)
            return
        mode = self.reached(f"{event} {where}")
        if mode is Mode.DURING:
            self.limit_files()
            self._last_breath = True

    def last_breath(self) -> None:
        """Die, if it was to be during a write that turned out to be too short to be cut."""
        if self._last_breath:
            self.die()

    def reached(self, name: str) -> Mode | None:
        """An effect is about to happen; when of it the process is to die, after the moment before it."""
        with self.unwatched():
            self.last_breath()
            with self._lock:
                occurrence = self._seen[name]
                self._seen[name] += 1
            self._report(point=name, occurrence=occurrence)
            target = self._target
            if target is None or (target.name, target.occurrence) != (name, occurrence):
                return None
            if target.mode is Mode.BEFORE:
                self.die()
            return target.mode

    @contextmanager
    def edge(self, name: str) -> Iterator[None]:
        """What happens in here is one thing of that name to the outside."""
        token = _inside.set(name)
        try:
            yield
        finally:
            _inside.reset(token)

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """What happens in here is the harness's own."""
        with self.edge("harness"):
            yield

    @staticmethod
    def limit_files() -> None:
        """Whoever writes more to a file is ended by SIGXFSZ, in the midst of it; so are children."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (SOME_BYTES, resource.RLIM_INFINITY))

    def unlimit_files(self) -> None:
        """Again as large as there is ``room``."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.room, resource.RLIM_INFINITY))

    def die(self) -> NoReturn:
        """By SIGKILL; what git processes there are die too, unless they are to go on without us."""
        self.active = False
        if not self._orphans_live:
            for process in list(self.running):
                try:
                    os.killpg(process, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()
        raise AssertionError("SIGKILL cannot be survived")


def _writes(path: object, mode: object, flags: object) -> bool:
    if isinstance(path, int):
        return False  # whatever gave the descriptor was an event of its own
    if str(path) == os.devnull:
        return False
    return bool(isinstance(flags, int) and flags & _WRITING)


def _whose() -> tuple[str, str]:
    """The innermost function of the program's (or, without one, of nobody's library) as ``file:function``,
    and its place as ``file:line``."""
    frame: FrameType | None = sys._getframe(2)  # of the hook
    fallback = ("", "")
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        parts = path.parts
        ours = "reconciler" in parts and "site-packages" not in parts
        if ours or path.name == "broken.py":
            named = "/".join(parts[parts.index("reconciler") + 1 :]) if ours else path.name
            return f"{named}:{frame.f_code.co_name}", f"{path}:{frame.f_lineno}"
        if not fallback[0] and path.name != "points.py" and "contextlib" not in path.name:
            fallback = (f"{path.name}:{frame.f_code.co_name}", f"{path}:{frame.f_lineno}")
        frame = frame.f_back
    return fallback
