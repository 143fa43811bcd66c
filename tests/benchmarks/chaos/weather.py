"""What becomes of the ways: to the API server, to the receiver, to the git server; drawn."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random

from examples.receiver.receiver import Reply
from tests.benchmarks.chaos.witness import Witness
from tests.cluster.chain import SYSTEM
from tests.cluster.faulty_way import Asked, FaultyWay
from tests.git.servers.hosting import Answer, Cut, Fault, Hosted, Request, Rules
from tests.web.world import RecordingReceiver

LONGEST = 8.0  # seconds that a stall or an outage lasts
SLOW = 3.0  # seconds
REFUSALS = (401, 403, 404, 410, 429, 500, 502, 503, 504)
BUSY = (429, 500, 502, 503, 504)  # what a server says that has done nothing


class BadReceiver(RecordingReceiver):
    """The example's receiver, which also fails. ``done``: how often how."""

    def __init__(self, witness: Witness) -> None:
        super().__init__()
        self.done: Counter[str] = Counter()
        self._witness = witness
        self._never = threading.Event()

    def slow(self, times: int) -> None:
        """Take the next requests only after some seconds."""
        self.faults.extend(["slow"] * times)

    def next_fault(self) -> str:
        fault = super().next_fault()
        if fault:
            self.done[_RECEIVER.get(fault, f"{fault} by the receiver")] += 1
        if fault == "slow":
            self._never.wait(SLOW)
            return ""
        return fault

    def receive(self, key: str, body: bytes) -> Reply:
        self._witness.arrived(key, body)
        return super().receive(key, body)


class Weather:
    """``between``: seconds between two faults on average; ``rotate``: replaces the operator's token.

    Faults are drawn like cards: each comes once before any comes again.
    """

    def __init__(
        self,
        way: FaultyWay,
        receiver: BadReceiver,
        hosted: Hosted | None,
        random: Random,
        *,
        between: float,
        rotate: Callable[[], object],
    ) -> None:
        self._way = way
        self._receiver = receiver
        self._hosted = hosted
        self._random = random
        self._between = between
        self._faults: list[Callable[[], object]] = [
            lambda: way.cut(random.random()),
            way.truncate,
            way.silence,
            rotate,
            self._stall,
            self._go_out,
            self._change,
            self._change,
            lambda: way.lie(_a_next_page, 500, times=random.randrange(1, 5)),
            lambda: way.lie(_a_next_page, 410, times=random.randrange(1, 5)),
            lambda: way.lie(_a_look, self._draw(REFUSALS), times=random.randrange(1, 10)),
            lambda: way.lie(_a_watch, 410, times=random.randrange(1, 8)),
            lambda: way.lie(_a_watch, self._draw(REFUSALS), times=random.randrange(1, 8), in_watch=True),
            lambda: way.lie(_a_write, self._draw(BUSY), times=random.randrange(1, 4)),
            lambda: way.lose(_a_write, answer=True, times=random.randrange(1, 4)),
            lambda: way.lose(_a_write, answer=False, times=random.randrange(1, 4)),
            lambda: receiver.fail(f"{self._draw((429, 500, 503))}:{random.randrange(1, 4)}"),
            lambda: receiver.fail(f"{random.choice(['lost', 'away'])}:{random.randrange(1, 4)}"),
            lambda: receiver.slow(random.randrange(1, 3)),
        ]
        if hosted is not None:
            self._faults += [partial(self._break_git, hosted, *fault) for fault in _OF_GIT]
        self._left: list[Callable[[], object]] = []

    async def blow(self) -> None:
        """One fault after the other, until cancelled."""
        while True:
            if not self._left:
                self._left = self._random.sample(self._faults, len(self._faults))
            self._left.pop()()
            await asyncio.sleep(self._random.expovariate(1 / self._between))

    def clear(self) -> None:
        """Nothing bad happens to what comes from now on, but for the faults of the git server that have not
        come yet: there are pushes to do them to when much can be recorded again."""
        self._way.honest()
        self._receiver.heal()

    def mend(self) -> None:
        """Nor by the git server."""
        if self._hosted is not None:
            self._hosted.faults.clear()

    def _draw(self, codes: tuple[int, ...]) -> int:
        return self._random.choice(codes)

    def _later(self, what: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(self._random.random() * LONGEST, what)

    def _stall(self) -> None:
        self._way.stall()
        self._later(self._way.flow)

    def _go_out(self) -> None:
        self._way.out()
        self._later(self._way.back)

    def _change(self) -> None:
        """Be another bad way than before, for what is asked from now on; for some seconds one on which little
        comes through."""
        self._way.delay = self._random.choice([0.0, 0.0, 0.1])
        self._way.bookmarks = self._random.random() < 0.5
        self._way.breaking = self._random.choice([0, 0, 2_000, 50_000])
        self._later(self._change_back)

    def _change_back(self) -> None:
        self._way.delay, self._way.breaking = 0.0, 0

    def _break_git(self, hosted: Hosted, name: str, rules: Rules, when: Callable[[Request], bool]) -> None:
        # git itself asks twice where a connection breaks, and waits long where one hangs.
        times = 1 if rules.hangs else self._random.randrange(1, 5)
        hosted.faults += [Fault(f"git server: {name}", rules, when)] * times


_OF_GIT: tuple[tuple[str, Rules, Callable[[Request], bool]], ...] = (
    ("500", Rules(answer=Answer(500)), lambda _: True),
    ("503", Rules(answer=Answer(503, text="Back soon.")), lambda _: True),
    ("429", Rules(answer=Answer(429, (("Retry-After", "2"),))), lambda _: True),
    ("403 for a push", Rules(answer=Answer(403, text="Not you.")), lambda asked: asked.is_push),
    ("push declined by a hook", Rules(declines="Not now."), lambda asked: asked.is_push),
    ("hangs", Rules(hangs=True), lambda asked: not asked.is_push),
    ("hangs in a push", Rules(hangs=True), lambda asked: asked.is_push),
    ("push cut in its middle", Rules(cut=Cut.BEFORE), lambda asked: asked.is_push),
    ("push taken, and its answer lost", Rules(cut=Cut.AFTER), lambda asked: asked.is_push),
)
_RECEIVER = {
    "lost": "answer of the receiver lost",
    "away": "receiver breaks the connection",
    "slow": f"receiver takes {SLOW:g} s",
}


def _a_next_page(asked: Asked) -> bool:
    return asked.is_next_page


def _a_watch(asked: Asked) -> bool:
    return asked.is_watch


def _a_write(asked: Asked) -> bool:
    return asked.is_write


def _a_look(asked: Asked) -> bool:
    """Not at an object of the operator's own: that it is not there would be a word like any other."""
    return not asked.is_write and f"/namespaces/{SYSTEM}/" not in asked.path
