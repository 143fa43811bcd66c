"""Puts the harness around the edges of the program: git, the Kubernetes API, the pushes, the appends.

The program knows nothing of it. Runs in the process that is to be killed.
"""

import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reconciler.delivery.answers import Answer
from reconciler.delivery.api import Api
from reconciler.kube import transport
from reconciler.state.configmap.track import ConfigMapTrack
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.track import GitTrack
from reconciler.state.store import Recorded
from tests.crash.points import Mode, Points

READING = {
    "cat-file", "diff-tree", "for-each-ref", "fsck", "log", "ls-remote", "ls-tree", "merge-base", "rev-list",
    "rev-parse", "show", "version", "count-objects",
}  # fmt: skip
"""What git only reads with: dying at these is dying before or after another. An unknown word is an effect."""

RENEWING = "PUT leases"
"""Renewing the Lease, which time alone does again and again: all but the first are left out."""


class Edges:
    """``race``: called before each push of git's, in case somebody else is to be quicker. ``remote``: the
    repository that is pushed to, whose hook ends us when its file ``crash`` says so."""

    def __init__(
        self, points: Points, report: Callable[..., None], race: Callable[[], object], remote: Path
    ) -> None:
        self._points = points
        self._remote = remote
        self._report = report
        self._race = race
        self._now = threading.local()
        self._leased = False

    def install(self) -> None:
        self._git()
        self._kubernetes()
        self._pushes()
        self._appends()

    def _git(self) -> None:
        points, now = self._points, self._now
        start, run = Repository._start, Repository.run

        def started(
            repository: Repository, arguments: tuple[str, ...], *more: Any, **options: Any
        ) -> "subprocess.Popen[bytes]":
            name = f"git {arguments[0]}"
            now.mode = None
            points.last_breath()
            if arguments[0] not in READING:
                if arguments[0] == "push":
                    with points.unwatched():
                        self._race()
                now.mode = points.reached(name)
            with points.edge(name):
                if now.mode is Mode.DURING:
                    points.limit_files()
                if now.mode in (Mode.PREPARED, Mode.COMMITTED):
                    (self._remote / "crash").write_text(f"{now.mode.value} {os.getpid()}\n")
                process = start(repository, arguments, *more, **options)
                points.unlimit_files()
            points.running.add(process.pid)
            return process

        def ran(repository: Repository, *arguments: str, **options: Any) -> bytes:
            now.mode = None
            try:
                return run(repository, *arguments, **options)
            finally:
                points.running.clear()  # one at a time, but for those that only read
                if now.mode is not None:
                    points.die()

        put(Repository, "_start", started)
        put(Repository, "run", ran)

    def _kubernetes(self) -> None:
        points, send = self._points, transport.Transport.send

        def sent(
            self_: transport.Transport,
            method: str,
            path: str,
            headers: Mapping[str, str],
            body: bytes | None = None,
        ) -> transport.Answer:
            name, mode = _request(method, path), None
            again, self._leased = name == RENEWING and self._leased, self._leased or name == RENEWING
            if method != "GET" and not again:
                mode = points.reached(name)
            with points.edge(name):
                answer = send(self_, method, path, headers, body)
            if mode is not None:
                points.die()
            return answer

        put(transport.Transport, "send", sent)

    def _pushes(self) -> None:
        points, push = self._points, Api.push

        async def pushed(self: Api, body: bytes, key: str, timeout: float) -> Answer:  # noqa: ASYNC109 - as Api.push
            mode = points.reached("push")
            with points.edge("push"):
                answer = await push(self, body, key, timeout)
            if mode is not None:
                points.die()
            return answer

        put(Api, "push", pushed)

    def _appends(self) -> None:
        """Not an effect by itself: what the process knows to be recorded, so that nobody may lose it."""
        for kind in (GitTrack, ConfigMapTrack):
            append = kind.append

            async def appended(
                self: Any, *args: Any, _append: Any = append, _report: Any = self._report, **options: Any
            ) -> Recorded:
                recorded: Recorded = await _append(self, *args, **options)
                _report(recorded=recorded.revision.id, digest=recorded.snapshot.digest)
                return recorded

            put(kind, "append", appended)


def put(module: object, name: str, stand_in: object) -> None:
    """Put another thing in the place of one that is there."""
    assert hasattr(module, name), f"{module} has no {name} any more"
    setattr(module, name, stand_in)


def _request(method: str, path: str) -> str:
    """``PUT configmaps``, ``PATCH hosstedprojects/status``."""
    parts = path.partition("?")[0].strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]  # /api/v1/…, /apis/GROUP/VERSION/…
    if parts[:1] == ["namespaces"]:
        parts = parts[2:]
    return f"{method} {'/'.join(parts[::2])}"
