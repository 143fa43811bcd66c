"""The repositories of a server: where they are, who may do what, what goes wrong, and what was asked.

Rules are frozen: a test sets ``repository.rules`` as a whole, at any time, and the next request heeds them.
"""

import os
import shlex
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import msgspec

from tests.git.factory import BRANCH, git

NOBODY = 65534

_BEGINNING = 1 << 20  # bytes of a push in which its pack has begun
_HEADER = 12  # of a pack: its name, its version, the number of its objects


class Login(msgspec.Struct, frozen=True):
    """A user of HTTPS with a password (on forges, often a token in its place)."""

    user: str
    password: str
    may_push: bool = True


class Token(msgspec.Struct, frozen=True):
    """A bearer token."""

    value: str
    may_push: bool = True


class Key(msgspec.Struct, frozen=True):
    """A user's public key, as OpenSSH writes it on one line. Its comment does not matter."""

    public: str
    may_push: bool = True


class Answer(msgspec.Struct, frozen=True):
    """What HTTPS answers in git's stead. ``text`` is shown to the pusher by git, as a forge's words are."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    text: str = ""


class Cut(Enum):
    """When a connection is cut while a push is under way. BEFORE: in the middle of the pack, so that
    nothing is taken. AFTER: when all is done, and before the answer, so that nobody is told.
    """

    BEFORE = "before"
    AFTER = "after"


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What a repository's server does. The default: everything, for everybody.

    ``accounts``: who may come in; none: anybody, and write. ``challenge``: whether a 401 says how to log in
    (``WWW-Authenticate``). ``answer``: HTTPS says this to every request. ``redirect``: HTTPS sends every
    request to the same place below this URL. ``hangs``: nothing is ever answered. ``cut``: pushes only.
    ``declines``: over HTTPS, what a hook says that takes no push.
    """

    accounts: tuple[Login | Token | Key, ...] = ()
    challenge: bool = True
    answer: Answer | None = None
    redirect: str = ""
    hangs: bool = False
    cut: Cut | None = None
    declines: str = ""


@dataclass
class Request:
    """One request, as it came. ``headers``: lower-case names. ``query``: of the URL. ``size``: bytes of the
    body, as sent; ``objects``: in the pack of a push. ``status``: 0 until it was answered.

    Over SSH ``method`` is empty, ``path`` is the command, and ``headers`` its environment.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    query: str = ""
    size: int = 0
    objects: int = 0
    status: int = 0

    @property
    def is_push(self) -> bool:
        """Whether it brought a pack (and did not only ask what is there)."""
        return self.path.endswith("/git-receive-pack") or self.path.startswith("git-receive-pack ")


class Fault(msgspec.Struct, frozen=True):
    """What a server does to the next request ``when`` is true of, and only to that, in place of its rules."""

    name: str
    rules: Rules
    when: Callable[[Request], bool]


@dataclass
class Hosted:
    """A bare repository on a server. ``url``: without credentials.

    ``before_push`` is called when a push's pack begins to arrive: what it commits came first.
    ``wrapper``, ``user``: how the server runs git on it (see ``states``). ``faults``: those that are still to
    come; ``done``: how often each was.
    """

    name: str
    path: Path
    url: str
    rules: Rules = field(default_factory=Rules)
    faults: list[Fault] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    requests: list[Request] = field(default_factory=list)
    before_push: Callable[[], None] | None = None
    wrapper: Sequence[str] = ()
    user: int | None = None
    arrived: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def rules_for(self, request: Request) -> Rules:
        """What is done to a request; a fault is used up by it."""
        for fault in tuple(self.faults):
            if fault.when(request):
                with suppress(ValueError):  # another request was quicker, or it was taken back
                    self.faults.remove(fault)
                    self.done[fault.name] += 1
                    return fault.rules
        return self.rules

    def hang(self) -> None:
        """Wait until somebody lets go; ``arrived`` tells that somebody waits."""
        self.arrived.set()
        self.released.wait()

    @property
    def attempts(self) -> int:
        """How many pushes were begun; one that learns at once that it is too late brings no pack."""
        return sum(
            request.query == "service=git-receive-pack" or (not request.method and request.is_push)
            for request in self.requests
        )

    @property
    def pushes(self) -> list[Request]:
        """Those that brought a pack."""
        return [request for request in self.requests if request.is_push]

    def close(self) -> None:
        """Let go of whoever hangs on it."""
        self.released.set()


class Hosting:
    """A folder of bare repositories, each with a name of its own: ``team/<name>.git``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._repositories: dict[str, Hosted] = {}

    def add(self, url: str, name: str = "") -> Hosted:
        """A new, empty repository. ``url``: what comes before its path."""
        name = name or f"state-{len(self._repositories)}"
        place = f"team/{name}.git"
        path = self.folder / place
        path.parent.mkdir(exist_ok=True)
        git(self.folder, "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(path))
        hosted = Hosted(name=name, path=path, url=f"{url}/{place}")
        self._repositories[f"/{place}"] = hosted
        return hosted

    def find(self, path: str) -> tuple[Hosted, str] | None:
        """The repository that a path begins with, and the rest of the path."""
        before, dot_git, rest = path.partition(".git")
        hosted = self._repositories.get(before + dot_git)
        return None if hosted is None else (hosted, rest)

    def __iter__(self) -> Iterator[Hosted]:
        return iter(tuple(self._repositories.values()))

    def close(self) -> None:
        for hosted in self._repositories.values():
            hosted.close()

    def environment(self, declines: str = "") -> dict[str, str]:
        """Of git on the server's side: nobody's configuration but the repository's. ``declines``: what a hook
        says that takes no push, "" for no such hook."""
        settings = {"safe.directory": "*", "receive.autoGC": "false"}
        if declines:
            hook = self.folder / "declining" / "pre-receive"
            hook.parent.mkdir(exist_ok=True)
            hook.touch(mode=0o755)
            hook.write_text(f"#!/bin/sh\necho {shlex.quote(declines)} >&2\nexit 1\n")
            settings["core.hooksPath"] = str(hook.parent)
        environment = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_COUNT": str(len(settings)),
        }
        for number, (name, value) in enumerate(settings.items()):
            environment |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        return environment


class CutError(ConnectionError):
    """The connection ends here, on purpose."""


class Incoming:
    """A request's body on its way to git; what it measures goes into ``request``."""

    def __init__(self, request: Request, hosted: Hosted, rules: Rules) -> None:
        self.has_pack = False
        self._request = request
        self._hosted = hosted
        self._cut = rules.cut if request.is_push else None
        self._beginning = b""

    @property
    def is_cut(self) -> bool:
        """Whether the client is to hear no more."""
        return self._cut is not None and self.has_pack

    def take(self, piece: bytes) -> tuple[bytes, bool]:
        """What of the piece git is to have, and whether that was all that it is to have."""
        self._request.size += len(piece)
        if not self._request.is_push or self.has_pack or len(self._beginning) > _BEGINNING:
            return piece, False
        self._beginning += piece
        start = self._beginning.find(b"PACK\0\0\0\x02")
        if start < 0 or len(self._beginning) < start + _HEADER:
            return piece, False
        self.has_pack = True
        self._request.objects = int.from_bytes(self._beginning[start + 8 : start + _HEADER], "big")
        if self._hosted.before_push is not None:
            self._hosted.before_push()
        if self._cut is not Cut.BEFORE:
            return piece, False
        before = len(self._beginning) - len(piece)
        return piece[: max(0, start + _HEADER + 1 - before)], True
