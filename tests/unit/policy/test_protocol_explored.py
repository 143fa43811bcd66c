"""Every state of the delivery protocol, explored breadth first on the functions that the program runs.

The world: an app's live value changes; a look records it (or it leaves the snapshot without proof that it
is gone); the process may die at any step; a request may be lost, processed with its answer lost, delayed
and arrive after newer ones, or be rejected by something in between; the ledger may be lost, or be an older
one, with the clock ahead of the last key or behind it. The receiver is the one of the contract: it knows an
app by namespace and name, remembers the keys that it accepted, answers those as before, and answers what
is older than its newest key with that key (409).

Checked:
- where nothing is left to do, the receiver has the live value (or was told uninstalled, or nothing ever);
- one key never carries two bodies;
- uninstalled is told only where a look proved that the app is gone, or of a former app_uuid;
- the receiver never goes from one live app_uuid to another without an uninstall in between;
- once faults end, every state comes to rest (no livelock).
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import pytest

from reconciler.model import App, AppKey, PolicyInEffect, tells_the_same
from reconciler.policy import plan as planning
from reconciler.policy import protocol
from reconciler.policy.entry import EMPTY, Entry, Sending
from tests.builders import make_app

NOW = datetime(2026, 11, 21, tzinfo=UTC)
NOT_AGAIN, AGAIN = NOW, datetime.max.replace(tzinfo=UTC)
"""When a rejection is tried again: not yet, or now."""

Message = tuple[str, int]
"""A key and a body, as its number."""

NO_MESSAGE: Message = ("", -1)


class Side(NamedTuple):
    """One app: in the cluster, in the store, in the ledger, on the wire, and at the receiver.

    Values, entries and bodies are told by their numbers in the explorer's lists: states are many, and
    must be small and quick to compare.
    """

    live: int = 0  # 0: the cluster does not have it
    recorded: int = 0
    gone: bool = True  # what the last look proved
    history: int = 0  # the last value other than 0 that the store has seen
    entry: int = 0
    copy: int = -1  # a copy of the ledger that is put back one day
    in_flight: frozenset[Message] = frozenset()
    received: Message = NO_MESSAGE
    accepted: frozenset[Message] = frozenset()
    step: str = ""  # "": not in a batch; send, lost, acknowledged, rejected; or the receiver's newest key


class State(NamedTuple):
    sides: tuple[Side, ...]
    changes: int = 0
    crashes: int = 0
    losses: int = 0
    ledgers_lost: int = 0


@dataclass(frozen=True)
class Bounds:
    """How often each may happen on one path."""

    changes: int
    crashes: int
    losses: int
    ledgers_lost: int = 0
    unproven: bool = False  # apps may leave the snapshot without proof that they are gone


@dataclass(frozen=True)
class Rules:
    """The protocol as the program has it. A variant leaves one rule out, to show what it is for."""

    seen: Callable[[Entry], Entry] = lambda entry: entry
    resumes: Callable[[Entry, App], bool] = protocol.resumes
    reject: Callable[[Entry, int, datetime], Entry] = protocol.reject
    in_doubt: Callable[[Entry, App | None, str, str], Entry] = protocol.in_doubt
    is_gone: Callable[[Side], bool] = lambda side: side.gone
    drops_older: bool = True
    acknowledges_the_batch: bool = False


class BadEndError(Exception):
    """The message has the path to it."""


class Explorer:
    """``values[i]``: what app i may be, apart from not being there."""

    def __init__(self, values: tuple[tuple[App, ...], ...], bounds: Bounds, rules: Rules) -> None:
        self.keys: tuple[AppKey, ...] = tuple(apps[0].key for apps in values)
        self.values: tuple[tuple[App | None, ...], ...] = tuple((None, *apps) for apps in values)
        self.bounds = bounds
        self.rules = rules
        self.entries: list[Entry] = [EMPTY]
        self._entry_numbers: dict[Entry, int] = {EMPTY: 0}
        self.bodies: list[App] = []  # the app that each body tells of
        self._body_numbers: dict[str, int] = {}
        self._memory: dict[tuple[object, ...], tuple[App | None, ...]] = {}
        self._marks: dict[tuple[int, App, str], int] = {}
        self.came_from: dict[State, State | None] = {}

    def explore(self) -> int:
        """The number of states; BadEndError on the first state that should not be."""
        start = State(tuple(Side() for _ in self.keys))
        self.came_from = {start: None}
        queue = deque([start])
        resting: set[State] = set()
        while queue:
            state = queue.popleft()
            nexts = list(self.successors(state))
            if self.at_rest(state):
                self.check_rest(state)
                resting.add(state)
            for following in nexts:
                if following not in self.came_from:
                    self.came_from[following] = state
                    queue.append(following)
        self.check_progress(resting)
        return len(self.came_from)

    def successors(self, s: State) -> Iterator[State]:
        for i in range(len(s.sides)):
            yield from self.world_moves(s, i)
            yield from self.request_moves(s, i)
        busy = any(side.step for side in s.sides)
        if busy and s.crashes < self.bounds.crashes:
            yield self.stopped(s)._replace(crashes=s.crashes + 1)
        if busy and all(side.step != "send" for side in s.sides):
            yield self.written(s)
        if not busy:
            yield from self.batches(s)
            if s.ledgers_lost < self.bounds.ledgers_lost:
                yield from self.ledger_losses(s)

    # The cluster, the store and the wire.

    def world_moves(self, s: State, i: int) -> Iterator[State]:
        side = s.sides[i]
        if s.changes < self.bounds.changes:
            for value in range(len(self.values[i])):
                if value != side.live:
                    yield put(s, i, side._replace(live=value))._replace(changes=s.changes + 1)
            if self.bounds.unproven and side.recorded and side.live:
                unproven = side._replace(recorded=0, gone=False)
                yield put(s, i, unproven)._replace(changes=s.changes + 1)
        if (looked := self.looked(side)) != side:
            yield put(s, i, looked)
        for message in side.in_flight:
            arrived, _ = self.receive(side, message)
            yield put(s, i, arrived._replace(in_flight=side.in_flight - {message}))

    @staticmethod
    def looked(side: Side) -> Side:
        history = side.live or side.history
        return side._replace(recorded=side.live, gone=not side.live, history=history)

    def receive(self, side: Side, message: Message) -> tuple[Side, str]:
        """The receiver of the contract: what it has then, and its answer as a step."""
        key, body = message
        for known, before in side.accepted:
            if known == key:
                if before != body:
                    raise BadEndError(f"the key {key} came with two bodies")
                return side, "acknowledged"
        if key < side.received[0] and self.rules.drops_older:
            return side, side.received[0]
        had = self.bodies[side.received[1]] if side.received != NO_MESSAGE else None
        has = self.bodies[body]
        if (
            not self.bounds.ledgers_lost
            and had is not None
            and had.app_uuid != has.app_uuid
            and not (had.is_uninstalled or has.is_uninstalled)
        ):
            raise BadEndError(f"{has.app_uuid} came while {had.app_uuid} was live")
        newest = max(key, side.received[0])
        return side._replace(received=(newest, body), accepted=side.accepted | {message}), "acknowledged"

    # The program, as delivery drives it: plan, mark, send, write what was answered.

    def batches(self, s: State) -> Iterator[State]:
        again = any(self.entries[side.entry].rejected for side in s.sides)
        for retry in (NOT_AGAIN, AGAIN) if again else (NOT_AGAIN,):
            wants = self.planned(s.sides, retry)
            if any(wants):
                yield s._replace(
                    sides=tuple(
                        side if want is None else self.marked(side, want, s.ledgers_lost)
                        for side, want in zip(s.sides, wants, strict=True)
                    )
                )

    def planned(self, sides: tuple[Side, ...], retry: datetime) -> tuple[App | None, ...]:
        facts = (retry, *((side.entry, side.recorded, side.gone) for side in sides))
        if facts not in self._memory:
            live = dict(zip(self.keys, sides, strict=True))
            told = {key: self.rules.seen(self.entries[side.entry]) for key, side in live.items()}
            plan = planning.plan(
                {
                    k: app
                    for i, (k, side) in enumerate(live.items())
                    if (app := self.values[i][side.recorded])
                },
                told,
                policy=PolicyInEffect(),
                is_gone=lambda key: self.rules.is_gone(live[key]),
                worth=lambda before, after: "it differs",
                unsettled={},
                retry_rejected_before=retry,
            )
            pushes = {push.key: push.app for push in plan.pushes}
            for key, app in pushes.items():
                recorded = self.values[self.keys.index(key)][live[key].recorded]
                former = recorded is not None and recorded.app_uuid != app.app_uuid
                if app.is_uninstalled and not live[key].gone and not former:
                    raise BadEndError(f"{key} is told uninstalled without proof")
            self._memory[facts] = tuple(pushes.get(key) for key in self.keys)
        return self._memory[facts]

    def marked(self, side: Side, want: App, epoch: int) -> Side:
        entry = self.entries[side.entry]
        if self.rules.resumes(entry, want):
            return side._replace(step="send")
        key = greater(entry.last_key, epoch)
        fact = (side.entry, want, key)
        if fact not in self._marks:
            self._marks[fact] = self.number(protocol.mark(entry, want, key, protocol.body_of(want, "")))
        return side._replace(entry=self._marks[fact], step="send")

    def request_moves(self, s: State, i: int) -> Iterator[State]:
        side = s.sides[i]
        if side.step != "send":
            return
        message = self.message(side)
        processed, answer = self.receive(side, message)
        yield put(s, i, processed._replace(step=answer))
        if s.losses < self.bounds.losses:
            less = s._replace(losses=s.losses + 1)
            yield put(less, i, side._replace(step="lost"))
            yield put(less, i, processed._replace(step="lost"))
            yield put(less, i, side._replace(step="lost", in_flight=side.in_flight | {message}))
            yield put(less, i, side._replace(step="rejected"))

    def message(self, side: Side) -> Message:
        sending = self.entries[side.entry].sending
        assert sending is not None
        if sending.body not in self._body_numbers:
            self._body_numbers[sending.body] = len(self.bodies)
            self.bodies.append(sending.app)
        return sending.key, self._body_numbers[sending.body]

    def written(self, s: State) -> State:
        return s._replace(sides=tuple(self.answered(side) if side.step else side for side in s.sides))

    def answered(self, side: Side) -> Side:
        entry = self.entries[side.entry]
        match side.step:
            case "lost" if not self.rules.acknowledges_the_batch:
                after = entry
            case "acknowledged" | "lost":
                after = protocol.acknowledge(entry, NOW)
            case "rejected":
                after = self.rules.reject(entry, 400, NOW)
            case newest:
                after = protocol.outdated(entry, newest)
        return side._replace(entry=self.number(after), step="")

    @staticmethod
    def stopped(s: State) -> State:
        return s._replace(sides=tuple(side._replace(step="") for side in s.sides))

    def ledger_losses(self, s: State) -> Iterator[State]:
        """The ledger is copied; or it is lost or replaced by the copy, which the program knows."""
        if all(side.copy < 0 for side in s.sides):
            yield s._replace(sides=tuple(side._replace(copy=side.entry) for side in s.sides))
        lost = s._replace(ledgers_lost=s.ledgers_lost + 1)
        for back in (False, True) if s.sides[0].copy >= 0 else (False,):
            # A clock that is behind is no match for requests that are still on their way.
            for ahead in (True, False) if not any(side.in_flight for side in s.sides) else (True,):
                yield lost._replace(
                    sides=tuple(self.doubted(i, side, back, ahead, s) for i, side in enumerate(s.sides))
                )

    def doubted(self, i: int, side: Side, back: bool, ahead: bool, s: State) -> Side:
        entry = self.entries[side.copy] if back else EMPTY
        clock = self.entries[side.entry].last_key if ahead else entry.last_key
        key = greater(clock, s.ledgers_lost + 1)
        known = self.values[i][side.history]
        return side._replace(entry=self.number(self.rules.in_doubt(entry, known, key, "")), copy=-1)

    def number(self, entry: Entry) -> int:
        known = self._entry_numbers.setdefault(entry, len(self.entries))
        if known == len(self.entries):
            self.entries.append(entry)
        return known

    # What must hold.

    def at_rest(self, s: State) -> bool:
        return (
            all(not side.step and not side.in_flight and self.looked(side) == side for side in s.sides)
        ) and not any(self.planned(s.sides, NOT_AGAIN))

    def check_rest(self, s: State) -> None:
        for i, side in enumerate(s.sides):
            live = self.values[i][side.live]
            has = self.bodies[side.received[1]] if side.received != NO_MESSAGE else None
            told_nothing = has is None or has.is_uninstalled
            right = told_nothing if live is None else has is not None and tells_the_same(has, live)
            if not right and not self.held(i, side):
                raise BadEndError(f"the receiver has {has}, the cluster {live}\n{self.path(s)}")

    def held(self, i: int, side: Side) -> bool:
        """Whether it is just what is to be told next that the receiver refused."""
        rejected, live = self.entries[side.entry].rejected, self.values[i][side.live]
        ends = [app.as_uninstalled() for app in self.values[i] if app is not None]
        next_ones = ends if live is None else [live, *(end for end in ends if end.app_uuid != live.app_uuid)]
        return rejected is not None and rejected.digest in map(protocol.told_digest, next_ones)

    def check_progress(self, resting: set[State]) -> None:
        """From every state, without further faults, a state at rest is reached."""
        good = set(resting)
        for start in self.came_from:
            state, walked = start, set[State]()
            while state not in good:
                if state in walked:
                    raise BadEndError(f"it does not come to rest\n{self.path(start)}")
                walked.add(state)
                state = self.healthy(state)
            good |= walked

    def healthy(self, s: State) -> State:
        """The next state when nothing goes wrong any more."""
        for i, side in enumerate(s.sides):
            for message in side.in_flight:
                return put(
                    s, i, self.receive(side, message)[0]._replace(in_flight=side.in_flight - {message})
                )
            if self.looked(side) != side:
                return put(s, i, self.looked(side))
            if side.step == "send":
                processed, answer = self.receive(side, self.message(side))
                return put(s, i, processed._replace(step=answer))
        if any(side.step for side in s.sides):
            return self.written(s)
        return next(self.batches(s))

    def path(self, s: State | None) -> str:
        steps = []
        while s is not None:
            steps.append(s)
            s = self.came_from.get(s)
        return "\n".join(str(step) for step in reversed(steps))


def put(s: State, i: int, side: Side) -> State:
    return s._replace(sides=(*s.sides[:i], side, *s.sides[i + 1 :]))


def greater(last_key: str, epoch: int) -> str:
    """A greater key, as ``keys.draw`` gives, but small. Those drawn after a lost ledger are others."""
    return f"{int(last_key[:2] or 0) + 1:02}.{epoch}"


def value(revision: int, app_uuid: str = "A-1", name: str = "x") -> App:
    return make_app(name=name, revision=revision, app_uuid=app_uuid, pods=0, ports=())


A, B = value(1), value(2)
A_ELSEWHERE, B_ELSEWHERE = value(1, "A-2"), value(2, "A-2")
ONE_APP = ((A, B),)
CHANGING_UUID = ((A, B, B_ELSEWHERE),)
SHARING_A_UUID = ((A,), (value(1, name="y"),))
SHARING_AND_CHANGING = ((A, A_ELSEWHERE), (value(1, name="y"), value(1, "A-2", name="y")))

Values = tuple[tuple[App, ...], ...]


@pytest.mark.parametrize(
    ("values", "bounds", "at_least"),
    [
        pytest.param(ONE_APP, Bounds(3, 2, 2), 35_000, id="one app, as the model bounds it"),
        pytest.param(ONE_APP, Bounds(3, 1, 2, unproven=True), 21_000, id="leaving without proof"),
        pytest.param(CHANGING_UUID, Bounds(3, 1, 1), 19_000, id="a changing app_uuid"),
        pytest.param(SHARING_A_UUID, Bounds(3, 1, 2), 19_000, id="two apps that share an app_uuid"),
        pytest.param(SHARING_AND_CHANGING, Bounds(3, 0, 1), 14_000, id="two that share and change it"),
        pytest.param(ONE_APP, Bounds(2, 1, 2, ledgers_lost=1), 36_000, id="the ledger lost, or older"),
        pytest.param(((A,),), Bounds(2, 1, 1, ledgers_lost=2), 18_000, id="the ledger lost twice"),
        pytest.param(((A, A_ELSEWHERE),), Bounds(2, 1, 1, 1), 17_000, id="both at once"),
    ],
)
def test_whatever_happens_the_receiver_ends_with_what_the_cluster_has(
    values: Values, bounds: Bounds, at_least: int
) -> None:
    assert Explorer(values, bounds, Rules()).explore() >= at_least


def clears_the_mark(entry: Entry, status: int, at: datetime) -> Entry:
    return msgspec.structs.replace(protocol.reject(entry, status, at), sending=None)


def keeps_the_marked_key(entry: Entry, known: App | None, key: str, email_id: str) -> Entry:
    return entry if entry.sending is not None else protocol.in_doubt(entry, known, key, email_id)


def ignores_newer_keys(entry: Entry, app: App) -> bool:
    return entry.sending is not None and tells_the_same(entry.sending.app, app)


@pytest.mark.parametrize(
    ("rules", "values", "bounds", "end"),
    [
        pytest.param(
            Rules(seen=lambda entry: msgspec.structs.replace(entry, sending=None)),
            ONE_APP,
            Bounds(3, 2, 2),
            "the receiver has",
            id="no mark",
        ),
        pytest.param(
            Rules(drops_older=False),
            ONE_APP,
            Bounds(3, 2, 2),
            "the receiver has",
            id="a receiver that takes older keys",
        ),
        pytest.param(
            Rules(reject=clears_the_mark),
            ONE_APP,
            Bounds(3, 2, 2),
            "the receiver has",
            id="a rejection clears the mark",
        ),
        pytest.param(
            Rules(is_gone=lambda side: not side.recorded),
            ONE_APP,
            Bounds(3, 1, 1, unproven=True),
            "without proof",
            id="absence without proof",
        ),
        pytest.param(
            Rules(acknowledges_the_batch=True),
            SHARING_A_UUID,
            Bounds(3, 1, 1),
            "the receiver has",
            id="a batch acknowledged as a whole",
        ),
        pytest.param(
            Rules(in_doubt=lambda entry, known, key, email_id: entry),
            ONE_APP,
            Bounds(2, 1, 1, ledgers_lost=1),
            "the receiver has",
            id="a lost ledger believed",
        ),
        pytest.param(
            Rules(in_doubt=keeps_the_marked_key),
            ((A,),),
            Bounds(3, 0, 1, ledgers_lost=1),
            "the receiver has",
            id="an old mark's key believed",
        ),
        pytest.param(
            Rules(resumes=ignores_newer_keys),
            ONE_APP,
            Bounds(2, 1, 1, ledgers_lost=1),
            "does not come to rest",
            id="no greater key after 409",
        ),
    ],
)
def test_each_rule_left_out_gives_a_bad_end(rules: Rules, values: Values, bounds: Bounds, end: str) -> None:
    with pytest.raises(BadEndError, match=end):
        Explorer(values, bounds, rules).explore()


def test_without_telling_the_old_app_uuid_uninstalled_two_are_live_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "_told_under_another_uuid", lambda entry, app_uuid: None)
    with pytest.raises(BadEndError, match="A-2 came while A-1 was live"):
        Explorer(CHANGING_UUID, Bounds(3, 1, 1), Rules()).explore()


def test_a_key_used_for_two_contents_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def same_key(entry: Entry, app: App, key: str, body: str) -> Entry:
        return msgspec.structs.replace(entry, sending=Sending("01.0", app, body), last_key="01.0")

    monkeypatch.setattr(protocol, "mark", same_key)
    with pytest.raises(BadEndError, match="two bodies"):
        Explorer(ONE_APP, Bounds(2, 1, 1), Rules()).explore()
