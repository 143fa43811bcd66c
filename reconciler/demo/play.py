"""Plays a story: the real reconciler, store, ledger and delivery, look by look, in the recordings' time.

Between two looks the clock goes on to where the operator's loop would look or push again, so nothing is
waited for. Whatever is drawn is drawn from a seed: the same story ends in the same commits.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from reconciler.changes.change import AppChange, Changeset, Operation
from reconciler.changes.diff import diff
from reconciler.delivery.deliver import Delivered, PushResult
from reconciler.demo.parts import RecordedCluster, Request, VirtualClock
from reconciler.demo.process import Process
from reconciler.demo.story import Seen, Step, recorded_at
from reconciler.model import AppKey, snapshot_of
from reconciler.operator.result import Result
from reconciler.policy.entry import EMPTY
from reconciler.policy.rules import rules_of
from reconciler.project import Project
from reconciler.state.store import Revision

if TYPE_CHECKING:
    from examples.receiver.receiver import Receiver

MOST_LOOKS = 100
"""Looks that one recording may take; with more something never comes to rest."""

SHORTEST = 0.05
"""Seconds between two looks at least, as in the operator's loop."""

RESTART = 1.0
"""Seconds from the end of one process to the first look of the next."""


class Happened(msgspec.Struct, frozen=True):
    """The cluster looks otherwise from here on."""

    at: datetime
    seen: Seen


class Waiting(msgspec.Struct, frozen=True):
    """Apps that are held out of the record, and why."""

    at: datetime
    apps: Mapping[AppKey, str]


class Deferred(msgspec.Struct, frozen=True):
    """What differs from the record and makes no commit; nothing, when that has passed."""

    at: datetime
    changes: tuple[AppChange, ...]


class Committed(msgspec.Struct, frozen=True):
    """A revision. ``untold``: the apps in it of which the API is not told, and why."""

    at: datetime
    revision: Revision
    changes: Changeset
    untold: Mapping[AppKey, str]


class Told(msgspec.Struct, frozen=True):
    """What one delivery sent. ``pushed``: what was acknowledged; ``repeated``: how many of these the
    receiver knew already; ``trouble``: why the rest waits, "" when nothing does."""

    at: datetime
    requests: tuple[Request, ...]
    pushed: Mapping[AppKey, PushResult]
    repeated: int
    trouble: str


class Killed(msgspec.Struct, frozen=True):
    """The process ended after a request, before its answer was written down."""

    at: datetime
    requests: tuple[Request, ...]


Event = Happened | Waiting | Deferred | Committed | Told | Killed


class Outcome:
    """What a step came to. ``failures``: what must not happen, in sentences."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.failures: list[str] = []
        self._waiting: Mapping[AppKey, str] = {}
        self._deferred: tuple[AppChange, ...] = ()

    @property
    def commits(self) -> list[Committed]:
        return [event for event in self.events if isinstance(event, Committed)]

    @property
    def pushed(self) -> list[AppKey]:
        return [key for event in self.events if isinstance(event, Told) for key in event.pushed]

    @property
    def requests(self) -> list[Request]:
        return [
            request for event in self.events if isinstance(event, Told | Killed) for request in event.requests
        ]

    def wait(self, at: datetime, apps: Mapping[AppKey, str]) -> None:
        """These wait; an event when the look before did not find the same."""
        if apps and apps != self._waiting:
            self.events.append(Waiting(at, apps))
        self._waiting = apps

    def defer(self, at: datetime, changes: tuple[AppChange, ...], *, recorded: bool) -> None:
        """These make no commit; an event when that is new, or has passed without being ``recorded``."""
        if changes != self._deferred and not (recorded and not changes):
            self.events.append(Deferred(at, changes))
        self._deferred = changes


class Player:
    """Plays one step after the other. ``recordings``: the folder with them; ``start``: a new process."""

    def __init__(
        self,
        project: Project,
        recordings: Path,
        *,
        cluster: RecordedCluster,
        clock: VirtualClock,
        receiver: "Receiver",
        start: Callable[[], Process],
    ) -> None:
        self.project = project
        self.process = start()
        self.clock = clock
        self._recordings, self._cluster = recordings, cluster
        self._receiver, self._start = receiver, start

    async def play(self, step: Step) -> Outcome:
        """The step, and then a look long after, which must bring nothing new."""
        outcome = Outcome()
        if step.api:
            self._receiver.fail(step.api)
        if step.deny:
            spec = self.project.spec
            spec = msgspec.structs.replace(spec, deny_namespaces=(*spec.deny_namespaces, *step.deny))
            self.project = msgspec.structs.replace(self.project, spec=spec)
        self.process.wire.break_off = step.killed
        for seen, following in zip_longest(step.looks, step.looks[1:]):
            await self._look_at(seen, following, outcome)
        before = len(outcome.events)
        self.clock.wait(self.project.spec.settle.total_seconds() + 1)
        await self._once(outcome)
        if len(outcome.events) > before:
            outcome.failures.append("a look long after everything had settled brought something new")
        return outcome

    async def _look_at(self, seen: Seen, following: Seen | None, outcome: Outcome) -> None:
        """Look as often as the operator would, until nothing waits, or the cluster looks otherwise."""
        recording = self._cluster.recording = self._recordings / seen.recording
        until = recorded_at(self._recordings / following.recording) if following is not None else None
        self.clock.reach(recorded_at(recording))
        outcome.events.append(Happened(self.clock.now(), seen))
        for _ in range(MOST_LOOKS):
            wait = await self._once(outcome)
            if wait is None or (until is not None and until <= self.clock.now() + timedelta(seconds=wait)):
                return
            self.clock.wait(wait)
        outcome.failures.append(f"{recording.name} did not come to rest in {MOST_LOOKS} looks")

    async def _once(self, outcome: Outcome) -> float | None:
        """One look and one delivery; in how many seconds the next is worth it, None for not at all."""
        result = await self.process.reconciler.reconcile(self.project)
        if result.failure is not None:
            outcome.failures.append(result.failure.message)
            return None
        wire, now = self.process.wire, self.clock.now()
        sent, repeated = len(wire.requests), self._receiver.counts["repeated"]
        delivered = await self._deliver()
        requests = tuple(sorted(wire.requests[sent:], key=lambda request: request.app))
        repeated = self._receiver.counts["repeated"] - repeated
        comes_to_more = result.next_look is not None
        outcome.wait(now, result.waiting if comes_to_more else {})
        if result.changes is not None and result.recorded is not None:
            untold = await self._untold(result.changes, {request.app for request in requests})
            outcome.events.append(Committed(now, result.recorded.revision, result.changes, untold))
        if delivered is None:
            outcome.events.append(Killed(now, requests))
            await self.process.end()
            self.process = self._start()
            return RESTART
        if requests:
            pushed = {push.key: push for push in sorted(delivered.pushed, key=lambda push: push.key)}
            outcome.events.append(Told(now, requests, pushed, repeated, delivered.trouble))
        if not comes_to_more:
            outcome.defer(now, _deferred(result), recorded=result.changes is not None)
        waits = [] if result.next_look is None else [result.next_look]
        if delivered.next_try is not None:
            waits.append((delivered.next_try - now).total_seconds())
        return max(min(waits), SHORTEST) if waits else None

    async def _deliver(self) -> Delivered | None:
        """Tell what is to be told; None when the process was killed over it."""
        process = self.process
        work = asyncio.create_task(process.reconciler.deliver(process.delivery))
        answered = asyncio.create_task(process.wire.answered.wait())
        await asyncio.wait((work, answered), return_when=asyncio.FIRST_COMPLETED)
        answered.cancel()
        if process.wire.answered.is_set():
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
            return None
        return await work

    async def _untold(self, changes: Changeset, sent: Collection[AppKey]) -> dict[AppKey, str]:
        view = await self.process.ledger.load()
        policy = changes.cluster_after.policy
        found = {}
        for change in changes:
            if policy.denies(change.key.namespace):
                found[change.key] = f"the namespace {change.key.namespace} is denied"
            elif change.key not in sent:
                acked = view.entries.get(change.key, EMPTY).acked
                known = acked.app if acked is not None else None
                found[change.key] = rules_of(policy).worth_pushing(known, change.after).because
        return found


def _deferred(result: Result) -> tuple[AppChange, ...]:
    """How the cluster differs from its record when nothing is worth a commit."""
    if result.recorded is None or result.inventory is None:
        return ()
    recorded = result.recorded.snapshot
    live = snapshot_of(recorded.cluster_uuid, recorded.cluster, result.inventory.apps.values())
    return tuple(change for change in diff(recorded, live) if change.operation is Operation.CHANGE)
