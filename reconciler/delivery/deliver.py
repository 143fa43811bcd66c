"""Telling the API what the plan says: mark, send, write down what was answered, plan again.

A batch is the pending apps of one shard of the ledger: one write marks them all, before any request
leaves, and one write records all their answers. Whatever ends this at whatever point (a crash, a lost
lease, a cancelled task), the marks stand and the next plan finds them: nothing here must be undone or
remembered. Only the breaker and the rate live in memory, and are of the API as a whole.

The ledger's entries have other writers (``Leadership.prepare``), and the lock that keeps them apart is not
held while requests are under way: so an answer counts only where the mark that it is about still stands.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime, timedelta
from itertools import islice
from random import Random
from typing import Protocol

import msgspec

from reconciler.delivery.answers import Acknowledged, Again, Answer, Outdated, Rejected, Stop
from reconciler.delivery.breaker import Breaker
from reconciler.delivery.rate import Rate
from reconciler.differing import differing
from reconciler.errors import ReconcilerError
from reconciler.model import App, AppKey, tells_the_same
from reconciler.policy import protocol
from reconciler.policy.entry import EMPTY, Entry, LedgerView
from reconciler.policy.plan import Plan, Push
from reconciler.policy.protocol import Reason

BATCH = 100
"""Apps that are marked by one write at most: so many bodies fit a shard of the ledger beside each other."""

BATCH_SECONDS = 10
"""How long a batch takes at most where the rate is low, so that it is not marked long before it is sent."""

FRESH = timedelta(seconds=1)
"""How old the plan is at most by which a request leaves: what was denied, stopped or changed since waits."""

AT_ONCE = 8
"""Requests under way at once: enough to hide a round trip, few enough for a small receiver."""

MOST_TRIES = 4
"""Requests for one app in one call. Two are an app_uuid that changes, a third a key that was too old."""

PlanNow = Callable[[LedgerView], Plan]
"""The plan as of now, given the ledger as of now."""


class Ledger(Protocol):
    """What delivery needs of the ledger; ``reconciler.state.ledger.contract`` has the whole of it."""

    async def write(self, entries: Mapping[AppKey, Entry | None], /) -> LedgerView:
        """Durable when it returns; nothing to write: the ledger as it is known, read where it is not. Raises
        LedgerError."""
        ...

    def shard_of(self, key: AppKey) -> str: ...


class Receiver(Protocol):
    """What delivery needs of the API: ``api.Api`` has the whole of it, ``late.LateApi`` when it is needed."""

    @property
    def endpoint(self) -> str: ...

    @property
    def notice(self) -> str: ...

    @property
    def may_renew(self) -> bool: ...

    async def renew(self) -> bool: ...

    async def prepare(self) -> None: ...

    async def push(self, body: bytes, key: str, timeout: float, /) -> Answer: ...  # noqa: ASYNC109 - as Api.push


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
    look at; ``next_try``: when calling again is worth it, None when nothing waits for a time; ``in_doubt``:
    the ledger is suspect, so that an empty plan says nothing.
    """

    plan: Plan
    pushed: tuple[PushResult, ...] = ()
    rejected: tuple[PushResult, ...] = ()
    trouble: str = ""
    stopped: bool = False
    next_try: datetime | None = None
    in_doubt: bool = False

    @property
    def could_be_helped(self) -> bool:
        """Whether something waits that other credentials might get through."""
        rejected = any(held.reason is Reason.REJECTED for held in self.plan.held.values())
        return bool(self.trouble) or rejected


class Delivery:
    """Deliveries to one API. Not to be called twice at the same time.

    ``draw``: an idempotency key greater than the one given; ``timeout``: seconds that a push may take, as
    of now, none left when it is not positive; ``random``: for the jitter; ``rate``: None for no limit.
    """

    def __init__(
        self,
        api: Receiver,
        ledger: Ledger,
        *,
        email_id: str,
        draw: Callable[[str], str],
        now: Callable[[], datetime],
        timeout: Callable[[], float],
        random: Random,
        rate: Rate | None = None,
    ) -> None:
        self._api = api
        self._ledger = ledger
        self._email_id = email_id
        self._draw = draw
        self._now = now
        self._timeout = timeout
        self._random = random
        self._breaker = Breaker(random)
        self._rate = rate
        self._most = BATCH if rate is None else min(BATCH, max(1, int(rate.per_second * BATCH_SECONDS)))
        self._failed: Counter[AppKey] = Counter()
        self._known: Mapping[AppKey, Entry] = {}
        self._ended: set[AppKey] = set()  # of those that are known, those whose end was acknowledged
        self.since = now()
        """When these credentials came into use: what was rejected before may be accepted now."""

    @property
    def may_renew(self) -> bool:
        """Whether credentials are in files, so that looking for new ones makes sense."""
        return self._api.may_renew

    async def renew(self) -> bool:
        """Look for new credentials, without contacting the API; whether there are any, so that it is worth
        trying again at once. Not while a delivery is under way."""
        if not await self._api.renew():
            return False
        self.since = self._now()
        self._breaker.half_open(self.since)
        return True

    async def prepare(self) -> None:
        """Have ready what the first push needs, without contacting the API."""
        await self._api.prepare()

    async def deliver(
        self, plan_now: PlanNow, lock: AbstractAsyncContextManager[object] | None = None
    ) -> Delivered:
        """Send what the plan says until it is empty or must wait; only the rate makes it sleep.

        ``lock``: held by whoever writes the ledger's entries, when others do too; it is taken for each
        reading and writing, not while requests are under way. The ledger is not read anew: what is marked
        in an older one than there is cannot be written. A ledger that cannot be written ends the call as
        trouble; one that is not known and cannot be read raises LedgerError, and nothing was sent.
        """
        lock = lock or nullcontext()
        outcome = _Outcome()
        await self.renew()
        async with lock:
            view = await self._forget(await self._ledger.write({}))
            plan = plan_now(view)
        batch: _Batch | None = None
        answers: Mapping[AppKey, Answer] = {}
        try:
            while batch is not None or (plan.pushes and self._breaker.lets_through(self._now())):
                async with lock:
                    view = await self._ledger.write({})  # as it is now: others may have written meanwhile
                    if batch is not None:
                        view = await self._note(batch, answers, view, outcome)
                    plan = plan_now(view)
                    batch = await self._mark(plan, view, outcome.tries)
                if batch is None:  # nothing more, or they have all been tried too often
                    break
                answers = await self._send(batch, plan_now)
                outcome.tries.update(answers.keys())
                self._breaker.learn(list(answers.values()), self._now(), self._api.endpoint)
                await self.renew()
        except ReconcilerError as error:  # of the ledger: what was sent stays marked
            plan = plan_now(view)
            self._breaker.open(Again(str(error)), self._now())
        waits = bool(plan.pushes)
        return Delivered(
            plan,
            tuple(outcome.pushed),
            tuple(outcome.rejected),
            trouble=self._trouble() if waits else "",
            stopped=waits and self._breaker.stopped,
            next_try=self._breaker.until if waits else None,
            in_doubt=view.suspect,
        )

    def _trouble(self) -> str:
        notice = self._api.notice if self._breaker.trouble else ""
        return f"{self._breaker.trouble} ({notice})" if notice else self._breaker.trouble

    async def _forget(self, view: LedgerView) -> LedgerView:
        """Drop the entries that say nothing any more."""
        now = self._now()
        for key in differing(self._known, view.entries):
            entry = view.entries.get(key)
            ended = entry is not None and entry.acked is not None and entry.acked.app is None
            (self._ended.add if ended else self._ended.discard)(key)
        self._known = view.entries
        old = [key for key in sorted(self._ended) if protocol.is_expired(view.entries[key], now)]
        return await self._ledger.write(dict.fromkeys(old)) if old else view

    async def _mark(self, plan: Plan, view: LedgerView, tries: Counter[AppKey]) -> "_Batch | None":
        """The next batch, durably marked; None when nothing is to be sent now."""
        if not plan.pushes or not self._breaker.lets_through(self._now()):
            return None
        batch = self._batch([push for push in plan.pushes if tries.get(push.key, 0) < MOST_TRIES])
        if not batch:
            self._breaker.open(Again("the API keeps asking for other keys"), self._now())
            return None
        marked = {push.key: self._marked(view.entries.get(push.key, EMPTY), push.app) for push in batch}
        marks = {key: entry for key, entry in marked.items() if entry != view.entries.get(key)}
        return _Batch(tuple(batch), marked, await self._write(marks) if marks else view)

    def _batch(self, pushes: list[Push]) -> list[Push]:
        """The pushes of one shard; one alone while it is not known whether any gets through.

        Those that failed least come first, so that none keeps others waiting; the one alone is any of
        those, since the fault may be some apps'.
        """
        if not pushes:
            return []
        fewest = min(self._failed.get(push.key, 0) for push in pushes)
        pushes = [push for push in pushes if self._failed.get(push.key, 0) == fewest]
        if not self._breaker.is_closed:
            return [self._random.choice(pushes)]
        shard = self._ledger.shard_of(pushes[0].key)
        return list(islice((push for push in pushes if self._ledger.shard_of(push.key) == shard), self._most))

    def _marked(self, entry: Entry, app: App) -> Entry:
        if protocol.resumes(entry, app):
            return entry
        key = self._draw(entry.last_key)
        return protocol.mark(entry, app, key, protocol.body_of(app, self._email_id))

    async def _write(self, entries: Mapping[AppKey, Entry | None]) -> LedgerView:
        try:
            return await self._ledger.write(entries)
        except ReconcilerError:
            self._failed.update(entries.keys())
            raise

    async def _note(
        self, batch: "_Batch", answers: Mapping[AppKey, Answer], view: LedgerView, outcome: "_Outcome"
    ) -> LedgerView:
        """Write down what was answered, as far as the marks still stand: another writer of the ledger may
        have put an app in doubt under a greater key, and an answer to the older one does not end that."""
        written: dict[AppKey, Entry | None] = {}
        results: list[tuple[list[PushResult], PushResult]] = []
        now = self._now()
        for push in batch.pushes:
            entry, answer = view.entries.get(push.key, EMPTY), answers.get(push.key)
            if isinstance(answer, Again | Stop):
                self._failed[push.key] += 1
            if entry.sending != batch.marked[push.key].sending:
                continue
            result = PushResult(push.key, push.app, entry.last_key, 0, push.why)
            match answer:
                case Acknowledged(status):
                    written[push.key] = protocol.acknowledge(entry, now, status)
                    results.append((outcome.pushed, msgspec.structs.replace(result, status=status)))
                case Rejected(status, what):
                    written[push.key] = protocol.reject(entry, status, now, what)
                    result = msgspec.structs.replace(result, status=status, what=what)
                    results.append((outcome.rejected, result))
                case Outdated(newest_key):
                    written[push.key] = protocol.outdated(entry, newest_key)
                case _:  # no answer that counts, or not sent: another one's was that sending is no use now
                    pass
        if not written:
            return view
        for key in written:
            del self._failed[key]
        view = await self._write(written)
        for where, result in results:
            where.append(result)
        return view

    async def _send(self, batch: "_Batch", plan_now: PlanNow) -> dict[AppKey, Answer]:
        """Send what is marked, some at once, until an answer says that sending is no use now."""
        answers: dict[AppKey, Answer] = {}
        left = iter(batch.pushes)
        planned, wanted = self._now(), {push.key: push.app for push in batch.pushes}

        def is_wanted(push: Push) -> bool:
            nonlocal planned, wanted
            if not planned <= self._now() < planned + FRESH:
                planned = self._now()
                wanted = {push.key: push.app for push in plan_now(batch.view).pushes}
            return push.key in wanted and tells_the_same(wanted[push.key], push.app)

        async def work() -> None:
            for push in left:
                if self._rate is not None:
                    await self._rate.take()
                if any(isinstance(answer, Again | Stop) for answer in answers.values()):
                    return
                if is_wanted(push):
                    answers[push.key] = await self._push(batch.marked[push.key])

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(batch.pushes))):
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


class _Batch(msgspec.Struct, frozen=True):
    """What is marked and about to be sent. ``view``: the ledger with the marks."""

    pushes: tuple[Push, ...]
    marked: Mapping[AppKey, Entry]
    view: LedgerView


class _Outcome(msgspec.Struct):
    """What one call came to so far. ``tries``: the requests for each app."""

    pushed: list[PushResult] = []
    rejected: list[PushResult] = []
    tries: Counter[AppKey] = msgspec.field(default_factory=Counter)
