"""The process that is killed: the program as it is started, on a cluster that is played, until its script
ends or it dies.

Started once as a parent that has everything imported; each life is a fork of that, and what one that comes to
its end has imported besides, the next ones find there. A life's words are lines of JSON: ``point``,
``recorded``, ``unregistered``, and questions that it waits for an answer to (``step``, ``race``).
"""

import asyncio
import ctypes
import gc
import importlib
import json
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from reconciler.cli import main as main_module
from reconciler.cli import once as once_module
from reconciler.cli import run as run_module
from reconciler.delivery import api as api_module
from reconciler.kube.client import Client
from reconciler.kube.lease import Lease
from reconciler.kube.package import part
from reconciler.kube.projects import Projects
from reconciler.operator.loop import Loop
from reconciler.operator.reporter import Reporter
from tests.chain.cluster import StandInSource
from tests.crash import broken
from tests.crash.clock import LifeClock
from tests.crash.edges import Edges, put
from tests.crash.points import Mode, Points, Target
from tests.crash.script import Played, script
from tests.crash.trouble import Trouble

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2): what a life leaves behind becomes the parent's


class Life(msgspec.Struct, frozen=True):
    """What a life is to be. ``way``: ``run`` or ``once``; it plays its script's steps from ``step`` to before
    ``end``, ``step`` having happened already when ``resumes``. ``seconds``: that pass between two steps;
    ``settled``: and at the end. ``passed``: what its clock shows at first, wrong by ``error``, and after the
    first step by ``later_error``. ``broken``: what is wrong with the program; ``trouble``: around it, during
    the first step."""

    way: str
    script: str
    step: int
    end: int
    folder: str
    environment: dict[str, str]
    kubeconfig: str = ""
    passed: float = 0.0
    error: float = 0.0
    later_error: float = 0.0
    seconds: float = 75.0
    settled: float = 75.0
    target: tuple[str, int, str] | None = None
    die_at_event: int = 0
    orphans_live: bool = False
    broken: str = ""
    trouble: str = ""


class Words:
    """Both ends of the talk with the outside."""

    def __init__(self) -> None:
        self._out, self._in = os.dup(1), os.dup(0)
        self._asking = threading.Lock()
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(2, 1)

    def say(self, **what: object) -> None:
        os.write(self._out, json.dumps(what).encode() + b"\n")  # whole: shorter than PIPE_BUF

    def ask(self, **what: object) -> str:
        with self._asking:  # two threads would each get a part of the other's answer
            self.say(**what)
            return _line(self._in)

    def order(self) -> str:
        """The next life; an answer that comes before it was for one that died asking."""
        while not (line := _line(self._in)).startswith("{"):
            pass
        return line


def _line(descriptor: int) -> str:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            os._exit(0)  # the outside is gone
        line += byte
    return line.decode()


def main() -> None:
    ctypes.CDLL(None).prctl(_SUBREAPER, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    api_module._public()  # reads all certificates: once is enough
    for late in ("client.configuration", "client.rest", "config.kube_config"):  # when a connection is made
        part(late)
    main_module._parser = cache(main_module._parser)
    main_module._parser()
    words = Words()
    words.say(ready=True)
    while True:
        life = msgspec.json.decode(words.order(), type=Life)
        told, telling = os.pipe()
        gc.freeze()  # or a life that looks for what can go would write to all of it, and so copy it
        pid = os.fork()
        if pid == 0:
            _live(life, words, telling)
        os.close(telling)
        with os.fdopen(told) as names:
            modules = names.read().split()
        _, status = os.waitpid(pid, 0)
        orphans = 0
        while True:
            try:
                os.waitpid(-1, 0)  # a git that goes on without us does so before the next life begins
            except ChildProcessError:
                break
            orphans += 1
        for module in modules:
            importlib.import_module(module)
        words.say(ended=os.waitstatus_to_exitcode(status), orphans=orphans)


def _live(life: Life, words: Words, telling: int) -> None:
    imported = set(sys.modules)
    try:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(life.environment)
        target = None if life.target is None else Target(*life.target[:2], Mode(life.target[2]))
        points = Points(words.say, target, life.die_at_event, orphans_live=life.orphans_live)
        clock = LifeClock(life.error, run_module.run)
        clock.advance(life.passed)
        remote = Path(life.folder) / "remote.git"
        Edges(points, words.say, lambda: bool(words.ask(race=True)), remote).install()
        broken.install(life.broken)
        trouble = Trouble(life.trouble, points)
        trouble.install()
        sys.addaudithook(points.hook)
        work = {"run": _run, "once": _once}[life.way]

        def first_step_over() -> None:
            trouble.end()
            clock.error = life.later_error

        asyncio.run(_watched(points, lambda: work(life, words, clock, first_step_over)))
        points.active = False
        points.last_breath()
        os.write(telling, "\n".join(name for name in sys.modules if name not in imported).encode())
        words.say(done=points.events, passed=clock.monotonic())
    except BaseException as error:
        logging.getLogger(__name__).exception("a life ended badly")
        words.say(failed=f"{type(error).__name__}: {error}"[:3000])
        os._exit(1)
    os._exit(0)


async def _watched(points: Points, work: Callable[[], Awaitable[None]]) -> None:
    points.active = True  # the event loop is up
    await work()


class _Unwatched(StandInSource):
    """Looks at a stand-in, of which nobody tells when something happens: steps are taken by the clock."""

    changed = None

    async def run(self) -> None:
        await asyncio.Event().wait()


async def _run(life: Life, words: Words, clock: LifeClock, first_step_over: Callable[[], None]) -> None:
    """``run``: the operator, step after step, and stopped at the end."""
    played, news = Played(script(life.script)), asyncio.Event()
    put(run_module, "WatchedSource", lambda _: _Unwatched(played.cluster, clock))
    put(run_module, "SystemClock", lambda: clock)
    put(run_module, "Projects", lambda client: _Watched(client, news, clock))
    for kind in (Loop, Reporter):
        kind.__init__.__kwdefaults__["wait"] = clock.wait  # type: ignore[index] # it has some
    Lease.__init__.__kwdefaults__.update(now=clock.now, monotonic=clock.monotonic, sleep=clock.sleep)  # type: ignore[union-attr] # likewise
    words_of_it = ["run", "--kubeconfig", life.kubeconfig, "--identity", "pod"]
    arguments = main_module._parser().parse_args(words_of_it)
    work: asyncio.Task[int] | None = None
    for step in range(life.step, life.end):
        words.ask(step=step, passed=clock.monotonic())
        played.play_to(step + 1)
        news.set()
        if work is None:
            work = asyncio.create_task(run_module.run(arguments))
        await clock.pass_by(life.settled if step == life.end - 1 else life.seconds)
        first_step_over()
    assert work is not None
    if not work.done():
        signal.raise_signal(signal.SIGTERM)
    await work


class _Watched:
    """The projects of a client, and a watch that tells of the steps."""

    def __init__(self, client: Client, news: asyncio.Event, clock: LifeClock) -> None:
        self._real, self._news, self._clock = _PROJECTS(client), news, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def changes(self) -> "_Watched":
        return self

    def __aiter__(self) -> "_Watched":
        return self

    async def __anext__(self) -> None:
        await self._clock.wait(self._news, None)
        self._news.clear()


_PROJECTS = Projects


async def _once(life: Life, words: Words, clock: LifeClock, first_step_over: Callable[[], None]) -> None:
    """``once --from``: until everything is recorded and told, as a CronJob does it."""
    played = Played(script(life.script))
    put(once_module, "RecordedSource", lambda _: StandInSource(played.cluster, clock))
    put(once_module, "SystemClock", lambda: clock)
    words_of_it = ["once", "--from", "recording", "--project", f"{life.folder}/project.json", "-o", "json"]
    arguments = main_module._parser().parse_args(words_of_it)
    for step in range(life.step, life.end):
        words.ask(step=step, passed=clock.monotonic())
        played.play_to(step + 1)
        for _ in range(5):
            clock.advance(life.seconds)
            if await once_module.run(arguments) == 0:
                break
        else:
            words.say(gave_up=step)
        first_step_over()


if __name__ == "__main__":
    main()
