"""Many apps: an outage of a day, a rate, changes meanwhile. Time passes when the test says so."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

import msgspec
import pytest

from reconciler.delivery.api import Api
from reconciler.delivery.breaker import MOST_TRIES
from reconciler.delivery.deliver import AT_ONCE, Delivery
from reconciler.delivery.rate import Rate
from reconciler.model import App, AppKey, EmittedApp, PolicyInEffect
from reconciler.policy import keys
from reconciler.policy.entry import Entry, LedgerFacts, LedgerView
from reconciler.policy.plan import Plan, Push
from reconciler.settings import ApiSettings
from reconciler.state.ledger.file import FileLedger
from tests.builders import make_app
from tests.web.wire import Behaviour, Request, Wire, answer, wire
from tests.web.world import START, TOKEN, World

DAY = timedelta(days=1)
PLENTY = 5_000


def many(count: int) -> list[App]:
    return [make_app(name=f"app-{number:04}") for number in range(count)]


def told(request: Request) -> tuple[str, int]:
    """The name and the revision that a push is of."""
    helm = msgspec.json.decode(request.body, type=EmittedApp).app_info.helm_info
    return helm.name, helm.revision


class MemoryLedger:
    """A stand-in for a ledger, that a day's outage costs nothing."""

    def __init__(self) -> None:
        self.view = LedgerView(LedgerFacts(), {})

    async def write(self, entries: Mapping[AppKey, Entry | None], /) -> LedgerView:
        kept = {key: entry for key, entry in entries.items() if entry is not None}
        self.view = LedgerView(self.view.facts, {**self.view.entries, **kept})
        return self.view

    def shard_of(self, key: AppKey) -> str:
        return ""


class Outage:
    """A delivery of 5,000 apps that are all pending, and when each request of it came."""

    def __init__(self, api: Wire, behaviours: list[Behaviour]) -> None:
        self.now = START
        self.came: list[datetime] = []
        self._behaviours = behaviours
        self._api = Api(ApiSettings(url=api.url, token=TOKEN))
        self._plan = Plan(tuple(Push(app.key, app, "it is new") for app in many(PLENTY)), {})
        random = Random(7)
        self.delivery = Delivery(
            self._api,
            MemoryLedger(),
            email_id="",
            draw=keys.source(lambda: self.now, random.randbytes),
            now=lambda: self.now,
            timeout=lambda: 30.0,
            random=random,
        )
        api.answers = [self._answer]

    async def _answer(self, _: Request, writer: asyncio.StreamWriter) -> None:
        self.came.append(self.now)
        behaviour = self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
        assert isinstance(behaviour, bytes)
        writer.write(behaviour)

    async def lasts(self, until: datetime, looks: timedelta) -> None:
        """Deliver whenever it is worth trying, and after each look, as the loop does."""
        look = self.now + looks
        while self.now < until:
            delivered = await self.delivery.deliver(lambda _: self._plan)
            assert delivered.next_try is not None
            assert len(delivered.plan.pushes) == PLENTY
            self.now = max(self.now, min(delivered.next_try, look))
            if self.now >= look:
                look += looks
        await self._api.close()


def most_within(times: list[datetime], window: timedelta) -> int:
    return max(sum(first <= each < first + window for each in times) for first in times)


@pytest.mark.parametrize(
    ("behaviours", "first", "in_all"),
    [
        pytest.param([answer(503)], MOST_TRIES, 24 * 60, id="it is away from the beginning"),
        pytest.param([answer(200), answer(503)], 1 + AT_ONCE + MOST_TRIES, 24 * 60, id="it goes away"),
        pytest.param([answer(401)], 1, 30, id="it does not let us in"),
        pytest.param([answer(503, Retry_After="1800")], 1, 50, id="it asks for half an hour"),
    ],
)
async def test_an_outage_of_a_day_with_5000_apps_pending_sees_a_handful_of_requests_a_minute(
    behaviours: list[Behaviour], first: int, in_all: int
) -> None:
    async with wire(answer(503)) as api:
        outage = Outage(api, list(behaviours))
        await outage.lasts(START + DAY, looks=timedelta(minutes=10))
    assert len([at for at in outage.came if at < START + timedelta(minutes=1)]) <= first
    later = [at for at in outage.came if at >= START + timedelta(minutes=1)]
    assert most_within(later, timedelta(minutes=1)) <= MOST_TRIES
    assert len(outage.came) <= in_all


async def test_after_an_outage_one_request_shows_whether_the_others_may_follow(tmp_path: Path) -> None:
    under_way = most_before_it_answered = 0
    well = False

    async def serve(_: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most_before_it_answered, well
        under_way += 1
        await asyncio.sleep(0)  # whoever else is there comes now
        if not well:
            most_before_it_answered = max(most_before_it_answered, under_way)
            well = True
        writer.write(answer(200))
        under_way -= 1

    async with wire(answer(503)) as api:
        world = World(api.url, tmp_path)
        world.cluster_has(*many(50))
        delivered = await world.deliver()
        api.answers = [serve]
        assert delivered.next_try is not None
        world.now = delivered.next_try
        assert len((await world.deliver()).pushed) == 50
        await world.api.close()
    assert most_before_it_answered == 1


class Slow(World):
    """A world whose time is what the rate takes."""

    def at_rate(self, per_second: float) -> None:
        def monotonic() -> float:
            return self.now.timestamp()

        async def sleep(seconds: float) -> None:
            until = self.now + timedelta(seconds=seconds)
            await asyncio.sleep(0)
            self.now = max(self.now, until)

        self.came: list[datetime] = []
        self.delivery = Delivery(
            self.api,
            self.ledger,
            email_id="",
            draw=self.draw,
            now=lambda: self.now,
            timeout=lambda: 30.0,
            random=self.random,
            rate=Rate(per_second, monotonic, sleep),
        )


async def test_a_rate_is_kept_by_all_of_the_requests_together(tmp_path: Path) -> None:
    async with wire(answer(200)) as api:
        world = Slow(api.url, tmp_path)
        world.at_rate(20)

        async def serve(_: Request, writer: asyncio.StreamWriter) -> None:
            world.came.append(world.now)
            writer.write(answer(200))

        api.answers = [serve]
        world.cluster_has(*many(300))
        assert len((await world.deliver()).pushed) == 300
        await world.api.close()
    assert world.now - START >= timedelta(seconds=(300 - 20) / 20 - 0.01)
    assert world.now - START <= timedelta(seconds=300 / 20)
    assert most_within(world.came, timedelta(seconds=1)) <= 20 + 20 + AT_ONCE


@pytest.mark.parametrize(("rate", "most"), [(0.5, 5), (2, 20), (20, 100)])
async def test_no_more_is_marked_at_once_than_is_sent_soon(rate: float, most: int, tmp_path: Path) -> None:
    async with wire(answer(200)) as api:
        world = Slow(api.url, tmp_path)
        world.at_rate(rate)
        marked: list[int] = []

        async def serve(_: Request, writer: asyncio.StreamWriter) -> None:
            view = await FileLedger(world.path).load()
            marked.append(sum(entry.sending is not None for entry in view.entries.values()))
            writer.write(answer(200))

        api.answers = [serve]
        world.cluster_has(*many(2 * most + 1))
        await world.deliver()
        await world.api.close()
    assert max(marked) == most


async def test_a_change_during_a_long_delivery_is_sent_once_in_its_newest_state(tmp_path: Path) -> None:
    """Of apps that are not marked yet, and of some that are and wait for their turn."""
    apps = {app.key.name: app for app in many(400)}
    changed = [*(f"app-{number:04}" for number in range(80, 400, 40))]

    async with wire(answer(200)) as api:
        world = Slow(api.url, tmp_path)
        world.at_rate(20)

        async def serve(_: Request, writer: asyncio.StreamWriter) -> None:
            if len(api.requests) in (10, 15):
                for name in changed:
                    revision = apps[name].helm.revision + 1
                    apps[name] = make_app(name=name, revision=revision)
                world.cluster_has(*apps.values())
            writer.write(answer(200))

        api.answers = [serve]
        world.cluster_has(*apps.values())
        await world.deliver()
        await world.api.close()
    requests = [told(request) for request in api.requests]
    assert sorted(requests) == sorted((app.key.name, app.helm.revision) for app in apps.values())
    assert {revision for name, revision in requests if name in changed} == {3}


@pytest.mark.parametrize(
    "policy",
    [PolicyInEffect(stop=True), PolicyInEffect(denyNamespaces=("default",))],
    ids=["stopped", "denied"],
)
async def test_what_may_not_be_told_any_more_is_not_sent_a_second_later(
    policy: PolicyInEffect, tmp_path: Path
) -> None:
    async with wire(answer(200)) as api:
        world = Slow(api.url, tmp_path)
        world.at_rate(20)
        stopped_at = START

        async def serve(_: Request, writer: asyncio.StreamWriter) -> None:
            nonlocal stopped_at
            world.came.append(world.now)
            if len(world.came) == 30:
                world.policy, stopped_at = policy, world.now
            writer.write(answer(200))

        api.answers = [serve]
        world.cluster_has(*many(300))
        delivered = await world.deliver()
        await world.api.close()
    assert delivered.plan.pushes == ()
    assert max(world.came) <= stopped_at + timedelta(seconds=1.1)
    assert all(earlier <= later for earlier, later in pairwise(world.came))
