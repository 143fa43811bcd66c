"""A week of an operator's life, in minutes: what happens, in an order that a seed draws, and what it came to.

The loop, the reconciler, store and ledger, delivery and its sockets are the real ones. What happens in the
cluster is looked at in passing, at once, as with live watches. The process dies at effects of every kind,
and another one goes on. Every day ends with a calm time, after which nothing is owed; after the last one
everything is compared.
"""

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from random import Random

from reconciler.model import AppKey
from tests.chain import expected
from tests.chain.approvers import ReviewedDisk
from tests.chain.audit import Audit
from tests.chain.decisions import EVERYTHING, Decisions
from tests.chain.endpoint import Endpoint
from tests.chain.expected import Policy, app_of
from tests.chain.faults import Crash, When
from tests.chain.life import Life
from tests.chain.operating import Operator
from tests.chain.people import People
from tests.chain.weather import LYING, REFUSALS, Weather
from tests.chain.world import EMAIL, World

HOUR, DAY = 3600.0, 86_400.0
CALM = 2 * HOUR
ANSWERING = f", and {REFUSALS}"

Deed = Callable[[], Awaitable[None]]
Point = tuple[str, When]


class Week:
    """``changes``: how many, ``crashes``: how many at least; ``effects``: those to die at. ``folder``: for
    what is not state."""

    def __init__(
        self,
        world: World,
        site: Endpoint,
        folder: Path,
        *,
        seed: int,
        changes: int,
        crashes: int,
        effects: Iterable[str],
        apps: int = 200,
        days: int = 7,
    ) -> None:
        self.random, self._chance = Random(seed), Random(seed)
        self.world, self.site, self.operator = world, site, Operator(world)
        self.moved = self.operator.moved = asyncio.Event()
        world.token_file = folder / "token"
        self.life = Life(world.cluster, self.random, apps)
        self.weather = Weather(world, site, self.random)
        self.audit = Audit(world.clock, EMAIL)
        self.people = People(world, self.audit, self.random) if isinstance(world.disk, ReviewedDisk) else None
        self.project = Decisions(self.operator, self.audit, self.people, self.random)
        self.apps, self.days = apps, days
        self.crashed: Counter[Point] = Counter({(effect, when): 0 for effect in effects for when in When})
        self.owed: list[AppKey] = []
        self._per_day = (changes - apps) // days, crashes // days + 1
        self._events: list[tuple[float, int, Deed]] = []
        self._order = itertools.count()
        self._restart = False
        self._listen()

    def _listen(self) -> None:
        audit, weather, cluster = self.audit, self.weather, self.world.cluster
        self.world.faults.seen = audit.seen
        self.site.arrived = audit.arrived
        self.site.refuses = lambda body: weather.refusing.get(app_of(body), 0)
        audit.troubles = lambda: self._troubles
        audit.refused = weather.refusing.__contains__
        audit.hidden = lambda key: cluster.lies and key in cluster.releases

    @property
    def _troubles(self) -> set[str]:
        """What fails; an API that refuses some apps answers, so that others are tried again at once."""
        now = self.weather.now - {REFUSALS}
        return {f"{what}{ANSWERING}" for what in now} if REFUSALS in self.weather.now else now

    async def run(self) -> None:
        """All of it."""
        self.life.begin(self.apps)
        await self.weather.token_is_known()
        self.project.decide(Policy(on="AnyChange"))
        for day in range(self.days):
            for when, deed in self._day(day * DAY):
                self._at(when, deed)
        self._at(self.days * DAY + HOUR, self._tell_all)
        self._at(self.days * DAY + 2 * HOUR, self._day_ends)
        while self._events:
            try:
                async with self.operator.running():
                    await self._live()
            except* Crash:
                self._died()

    # What is planned

    def _at(self, when: float, deed: Deed) -> None:
        heapq.heappush(self._events, (when, next(self._order), deed))

    def _day(self, begin: float) -> Iterator[tuple[float, Deed]]:
        """What happens in a day, and when; not in the order of time."""
        first, last = begin + HOUR, begin + DAY - CALM

        def at(before: float = 0) -> float:
            return self.random.uniform(first, last - before)

        left, crashes = self._per_day
        while left > 0:
            some = min(left, self.random.randint(1, 30))
            left -= some
            yield at(), self._changes(some)
        yield from ((at(HOUR), self._arm) for _ in range(crashes))
        yield from ((at(HOUR), self._decide) for _ in range(10))
        for begins, ends, spells in (
            (self.weather.api_fails, self.weather.api_is_well, 5),
            (self.weather.something_fails, self.weather.everything_is_well, 6),
        ):
            slot = (last - first) / spells
            for number in range(spells):
                since = first + number * slot + self.random.uniform(0, slot / 2)
                yield since, begins
                yield since + self.random.uniform(120, slot / 2), ends
        for begins, ends, times, shortest, longest in (
            (self._slow_change, self._slow_end, 5, 10, 1200),
            (self.weather.apps_are_refused, self.weather.apps_are_taken, 1, HOUR, 5 * HOUR),
            (self.weather.token_changes, self.weather.token_is_known, 1, 600, HOUR),
            (self._looks_lie, self._looks_are_true, 1, 60, 600),
        ):
            for _ in range(times):
                since = at(longest)
                yield since, begins
                yield since + self.random.uniform(shortest, longest), ends
        if self.random.random() < 0.5:
            yield at(6 * HOUR), self._many_leave
        if self.people is not None:
            yield from ((at(), self._approve) for _ in range(30))
        yield last, self._calm_begins
        yield begin + DAY, self._day_ends

    # What happens

    def _changes(self, some: int) -> Deed:
        async def happen() -> None:
            for _ in range(some):
                self.life.happen()
            await self._seen()

        return happen

    async def _slow_change(self) -> None:
        self.life.begin_slowly()
        await self._seen()

    async def _slow_end(self) -> None:
        self.life.end()
        await self._seen()

    async def _many_leave(self) -> None:
        self.life.leave(len(self.world.cluster.releases) * 4 // 10)
        await self._seen()

    async def _seen(self) -> None:
        """The watches tell of what happened."""
        self.moved.set()
        await self.operator.idle()

    async def _looks_lie(self) -> None:
        self.weather.begins(LYING)
        self.world.cluster.lies = True
        await self.operator.notice()

    async def _looks_are_true(self) -> None:
        self.weather.now.discard(LYING)
        self.world.cluster.lies = False
        await self.operator.notice()

    async def _arm(self) -> None:
        """The process dies at the next effect of a kind, which is likely one at which it died seldom; if
        there is one before it is to die at another."""
        (point,) = self._chance.choices(
            list(self.crashed), [(1 + times) ** -3 for times in self.crashed.values()]
        )
        self.world.faults.crash_on = point
        self._restart = point[0] in ("clusters", "withdraw", "keys")

    async def _approve(self) -> None:
        assert self.people is not None
        if self.project.policy.required and not self.weather.now and self.random.random() < 0.8:
            self.people.act()

    async def _decide(self) -> None:
        def later(deed: Deed) -> None:
            self._at(self.world.clock.monotonic() + self.random.uniform(600, 2 * HOUR), deed)

        await self.project.change(self.life.namespaces, later)

    # Days

    async def _calm_begins(self) -> None:
        """What people approve still counts; everything else is well again."""
        self.world.faults.crash_on = None
        await self.weather.api_is_well()
        await self.weather.everything_is_well()
        self.life.end()
        on = self.random.choice(["HelmUpdate", "AnyChange"])
        self.project.decide(
            Policy(on=on, rules=self.project.policy.rules, required=self.project.policy.required)
        )
        await self.operator.notice()
        self._restart = True  # what was rejected is tried again

    async def _day_ends(self) -> None:
        assert self.operator.server.said("hossted", "Stalled") == ""
        assert self.operator.server.said("hossted", "Recorded") == "True UpToDate"
        self.owed += self.audit.owing()
        self.operator.server.patches.clear()
        self.operator.server.events.clear()
        self.world.faults.names.clear()
        self.world.clock.waits.clear()

    async def _tell_all(self) -> None:
        """Every difference that is left, whatever it was worth until now."""
        await self.project.end_approval()
        self.project.decide(Policy(on="AnyChange", rules=EVERYTHING))
        await self.operator.notice()

    # How it goes

    async def _live(self) -> None:
        clock = self.world.clock
        while self._events and not self._restart:
            when = self._events[0][0]
            if when > clock.monotonic():
                await self.operator.passes(when - clock.monotonic())
            await heapq.heappop(self._events)[2]()
        self._restart = False

    def _died(self) -> None:
        faults = self.world.faults
        assert faults.crash_on is not None
        self.crashed[faults.crash_on] += 1
        faults.crash_on, self._restart = None, False
        self.world.clock.advance(self._chance.choice([0, 5, 60, 900]))

    # What it came to

    @property
    def worst_minutes(self) -> dict[str, int]:
        """By what failed, the most requests that there were in a minute meanwhile."""
        return {what: max(times.values()) for what, times in sorted(self.audit.counts.minutes.items())}

    @property
    def per_needed(self) -> float:
        return self.audit.counts.outside / max(1, len(self.audit.counts.needed))

    def check(self) -> None:
        """That the end is right: what there is is recorded, and what is recorded is what the API has."""
        assert self.audit.recorded.keys() == self.world.cluster.releases.keys()
        for key, release in self.world.cluster.releases.items():
            assert expected.shown(self.audit.recorded[key]) == expected.shown_of(release)
        assert not expected.differing(self.audit.known, self.audit.recorded)
        assert self.audit.known == expected.present(self.site.receiver)

    def summary(self) -> str:
        """The figures, on a line."""
        counts, weather, crashed = self.audit.counts, self.weather.seen, self.crashed
        approvals = sum(self.people.acted.values()) if self.people is not None else 0
        outages = [
            requests
            for what, requests in self.worst_minutes.items()
            if what.startswith("API") and not what.endswith(ANSWERING)
        ]
        return "; ".join(
            (
                f"{self.life.changes} changes of {self.apps} apps in {self.days} days",
                f"{counts.revisions} revisions, {counts.looks} looks, {counts.whole} of them whole rounds",
                f"{self.project.denials} denials, {approvals} decisions on approval",
                f"{sum(weather.values())} outages of {len(weather)} kinds",
                f"{sum(crashed.values())} crashes at {len(crashed)} points, {min(crashed.values())} to "
                f"{max(crashed.values())} at each",
                f"{counts.requests} requests, {counts.outside} of them while nothing failed, for "
                f"{len(counts.needed)} needed pushes: {self.per_needed:.3f} for each",
                f"at most {max(outages, default=0)} in a minute of an outage of the API",
                f"lost {len(self.owed)}",
                f"violations {sum(counts.wrong.values())}",
            )
        )
