"""Telling the API what the plan says: mark, send, write down what was answered, plan again.

A batch is the pending apps of one shard of the ledger: one write marks them all, before any request
leaves, and one write records all their answers. Whatever ends this at whatever point (a crash, a lost
lease, a cancelled task), the marks stand and the next plan finds them: nothing here must be undone or
remembered. Only the backoff lives in memory, and is of the API as a whole.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Protocol

import msgspec

from reconciler.delivery.api import Acknowledged, Again, Answer, Api, Outdated, Rejected, Stop
from reconciler.errors import ReconcilerError
from reconciler.model import App, AppKey
from reconciler.policy import protocol
from reconciler.policy.entry import EMPTY, Entry, LedgerView
from reconciler.policy.plan import Plan, Push

BATCH = 100
"""Apps that are marked by one write at most: so many bodies fit a shard of the ledger beside each other."""

AT_ONCE = 8
"""Requests under way at once: enough to hide a round trip, few enough for a small receiver."""

MOST_TRIES = 4
"""Requests for one app in one call. Two are an app_uuid that changes, a third a key that was too old."""

BASE, CAP = timedelta(seconds=1), timedelta(minutes=5)
"""Full jitter: a random part of 1 s, 2 s, 4 s … 5 min, after what Retry-After asks for."""

STOPPED_FIRST, STOPPED_CAP = timedelta(minutes=10), timedelta(hours=1)
"""How long pushing stops as a whole: 10 min, doubled up to an hour. New credentials are a new process."""


class Ledger(Protocol):
    """What delivery needs of the ledger; ``reconciler.state.ledger.contract`` has the whole of it."""

    async def load(self) -> LedgerView: ...

    async def write(self, entries: Mapping[AppKey, Entry | None], /) -> LedgerView:
        """Durable when it returns; raises LedgerError."""
        ...

    def shard_of(self, key: AppKey) -> str: ...


class PushResult(msgspec.Struct, frozen=True):
    """One push that was answered for good. ``what``: what the API said when it refused it, else ""."""

    key: AppKey
    app: App
    idempotency_key: str
    status: int
    why: str
    what: str = ""


class Delivered(msgspec.Struct, frozen=True):
    """What one call came to. ``plan``: what is left, by the newest plan.

    ``trouble``: why it waits, one sentence, "" when it does not; ``stopped``: it is one that a person must
    look at; ``next_try``: when calling again is worth it, None when nothing waits for a time.
    """

    plan: Plan
    pushed: tuple[PushResult, ...] = ()
    rejected: tuple[PushResult, ...] = ()
    trouble: str = ""
    stopped: bool = False
    next_try: datetime | None = None


class Delivery:
    """Deliveries to one API with one set of credentials. Not to be called twice at the same time.

    ``draw``: an idempotency key greater than the one given; ``timeout``: seconds that a push may take, as
    of now, none left when it is not positive; ``random``: for the jitter.
    """

    def __init__(
        self,
        api: Api,
        ledger: Ledger,
        *,
        email_id: str,
        draw: Callable[[str], str],
        now: Callable[[], datetime],
        timeout: Callable[[], float],
        random: Random,
    ) -> None:
        self._api = api
        self._ledger = ledger
        self._email_id = email_id
        self._draw = draw
        self._now = now
        self._timeout = timeout
        self._pause = Pause(random)
        self._failed: Counter[AppKey] = Counter()

    async def deliver(self, plan_now: Callable[[LedgerView], Plan]) -> Delivered:
        """Send what the plan says until it is empty or must wait. Never sleeps.

        ``plan_now``: the plan as of now, asked again after each batch. A ledger that cannot be written ends
        the call as trouble; one that cannot be read raises LedgerError, and nothing was sent.
        """
        view = await self._forget(await self._ledger.load())
        pushed: list[PushResult] = []
        rejected: list[PushResult] = []
        tries: Counter[AppKey] = Counter()
        while (plan := plan_now(view)).pushes and self._pause.is_over(self._now()):
            batch = self._batch([push for push in plan.pushes if tries[push.key] < MOST_TRIES])
            if not batch:
                self._pause.extend(Again("the API keeps asking for other keys"), self._now())
                break
            tries.update(push.key for push in batch)
            try:
                view = await self._tell(batch, view, pushed, rejected)
            except ReconcilerError as error:  # of the ledger: what was sent stays marked
                self._failed.update(push.key for push in batch)
                self._pause.extend(Again(str(error)), self._now())
                break
        waits = bool(plan.pushes)
        return Delivered(
            plan,
            tuple(pushed),
            tuple(rejected),
            trouble=self._pause.trouble if waits else "",
            stopped=waits and self._pause.stopped,
            next_try=self._pause.until if waits else None,
        )

    async def _forget(self, view: LedgerView) -> LedgerView:
        """Drop the entries that say nothing any more."""
        now = self._now()
        old = [key for key, entry in view.entries.items() if protocol.is_expired(entry, now)]
        return await self._ledger.write(dict.fromkeys(old)) if old else view

    def _batch(self, pushes: list[Push]) -> list[Push]:
        """The pushes of one shard. Those that failed least come first, so that none keeps others waiting."""
        pushes = sorted(pushes, key=lambda push: (self._failed[push.key], push.key))
        shard = self._ledger.shard_of(pushes[0].key) if pushes else ""
        return [push for push in pushes if self._ledger.shard_of(push.key) == shard][:BATCH]

    async def _tell(
        self, batch: list[Push], view: LedgerView, pushed: list[PushResult], rejected: list[PushResult]
    ) -> LedgerView:
        marked = {push.key: self._marked(view.entries.get(push.key, EMPTY), push.app) for push in batch}
        marks = {key: entry for key, entry in marked.items() if entry != view.entries.get(key)}
        if marks:
            view = await self._ledger.write(marks)
        answers = await self._send(marked)
        written: dict[AppKey, Entry | None] = {}
        results: list[tuple[list[PushResult], PushResult]] = []
        now = self._now()
        for push in batch:
            entry, answer = marked[push.key], answers.get(push.key)
            result = PushResult(push.key, push.app, entry.last_key, 0, push.why)
            match answer:
                case Acknowledged(status):
                    written[push.key] = protocol.acknowledge(entry, now, status)
                    results.append((pushed, msgspec.structs.replace(result, status=status)))
                case Rejected(status, what):
                    written[push.key] = protocol.reject(entry, status, now)
                    results.append((rejected, msgspec.structs.replace(result, status=status, what=what)))
                case Outdated(newest_key):
                    written[push.key] = protocol.outdated(entry, newest_key)
                case Again() | Stop():
                    self._failed[push.key] += 1
                case None:  # not sent: another one's answer was that sending is no use now
                    pass
            if push.key in written:
                del self._failed[push.key]
        self._pause.learn(list(answers.values()), now, self._api.endpoint)
        if written:
            view = await self._ledger.write(written)
        for where, result in results:
            where.append(result)
        return view

    def _marked(self, entry: Entry, app: App) -> Entry:
        if protocol.resumes(entry, app):
            return entry
        key = self._draw(entry.last_key)
        return protocol.mark(entry, app, key, protocol.body_of(app, self._email_id))

    async def _send(self, marked: Mapping[AppKey, Entry]) -> dict[AppKey, Answer]:
        """Send what is marked, some at once, until an answer says that sending is no use now."""
        answers: dict[AppKey, Answer] = {}
        left = iter(marked.items())

        async def work() -> None:
            for key, entry in left:
                answers[key] = await self._push(entry)
                if any(isinstance(answer, Again | Stop) for answer in answers.values()):
                    return

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(marked))):
                group.create_task(work())
        return answers

    async def _push(self, entry: Entry) -> Answer:
        sending = entry.sending
        assert sending is not None, "only marked entries are sent"  # noqa: S101 - for the type checker
        timeout = self._timeout()
        if timeout <= 0:
            return Again("the lease ends too soon to wait for an answer")
        answer = await self._api.push(sending.body.encode(), sending.key, timeout)
        if isinstance(answer, Outdated) and answer.newest_key <= sending.key:
            return Again("answered 409 with a key that is not newer", 409)
        return answer


class Pause:
    """How long not to bother the API, for all apps alike."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._from: datetime | None = None
        self.until: datetime | None = None
        self.trouble = ""
        self.stopped = False
        self._failures = 0

    def is_over(self, now: datetime) -> bool:
        """A clock that was set back does not make the wait longer."""
        return self.until is None or self._from is None or not self._from <= now < self.until

    def learn(self, answers: list[Answer], now: datetime, endpoint: str) -> None:
        """What a batch's answers mean for all: the longest wait that any of them asks for."""
        bad = [answer for answer in answers if isinstance(answer, Again | Stop)]
        if len(bad) < len(answers):  # it does answer
            self._failures = 0
        if not bad:
            self.until, self.trouble, self.stopped = None, "", False
            return
        worst = max(bad, key=lambda answer: (isinstance(answer, Stop), getattr(answer, "after", None) or 0))
        self.extend(msgspec.structs.replace(worst, what=f"{endpoint}: {worst.what}"), now)

    def extend(self, answer: Again | Stop, now: datetime) -> None:
        """Wait, longer each time."""
        if self.stopped != isinstance(answer, Stop):
            self._failures = 0
        self._failures += 1
        self.trouble, self.stopped = answer.what, isinstance(answer, Stop)
        doublings = min(self._failures - 1, 10)
        if isinstance(answer, Stop):
            wait = min(STOPPED_FIRST * 2**doublings, STOPPED_CAP)
        else:
            wait = min(BASE * 2**doublings, CAP) * self._random.random()
            wait += timedelta(seconds=answer.after or 0)
        self._from, self.until = now, now + wait
