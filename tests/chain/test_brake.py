"""The safety brake through the whole chain: what is held, what goes on, and what releases it.

In each, ten apps of a namespace that is still there are gone from one look to the next.
"""

from collections.abc import Iterable
from datetime import timedelta

import pytest

from reconciler.errors import StoreError
from reconciler.inventory.objects import Gap, Kind
from reconciler.model import AppKey
from reconciler.operator.loop import JITTER
from reconciler.policy.brake import Course
from reconciler.project import Brake, Duration
from tests.chain.faults import When
from tests.chain.operating import Operator
from tests.chain.test_crashes import READING
from tests.chain.test_people import lose
from tests.chain.world import World

INTERVAL = 600.0
TEN = tuple(f"shop/app-{number}" for number in range(10))
GONE = sorted(f"{name} 1 uninstalled" for name in TEN)


def recorded(apps: Iterable[AppKey]) -> int:
    """How many of the ten there are."""
    return sum(key.namespace == "shop" for key in apps)


@pytest.fixture
async def running(either: World) -> World:
    """The ten, and two more elsewhere, recorded and told."""
    either.cluster.empty |= {"shop", "ops"}
    either.cluster.install(*TEN, "ops/one", "ops/two")
    await either.converge()
    either.receiver.requests.clear()
    return either


async def empty(world: World) -> None:
    """A step in which the ten are gone."""
    world.cluster.uninstall(*TEN)
    await world.step()


async def held(world: World) -> None:
    """Nothing is told of them, and they stay recorded; people are told so."""
    assert [told for told in world.told if told.startswith("shop/")] == []
    assert recorded((await world.tip()).snapshot.apps) == 10
    assert world.said("Recorded") == world.said("Ready") == "True RemovalsHeld"


async def released(world: World) -> None:
    """All of them are told uninstalled, once."""
    await world.converge()
    assert sorted(told for told in world.told if told.startswith("shop/")) == GONE
    assert world.said("Ready") == "True UpToDate"
    assert (await world.disk.ledger().load()).facts.removals == ""
    await world.check()


async def test_removals_are_held_and_everything_else_goes_on(running: World) -> None:
    running.cluster.upgrade("ops/one")
    running.cluster.uninstall("ops/two")
    await empty(running)
    running.cluster.install("ops/three")
    await running.step()
    await held(running)
    assert running.told == ["ops/one 2 deployed", "ops/three 1 deployed"], "and ops/two is one of eleven"
    assert running.conditions["Delivered"].status == "True"
    assert "11 of 12 apps are gone at once" in running.conditions["Recorded"].message


async def test_a_second_look_an_interval_later_releases_them(running: World) -> None:
    await empty(running)
    for seconds in (5, 300, INTERVAL - 310):
        running.clock.advance(seconds)
        await running.step()
        await held(running)
    running.clock.advance(10)
    await released(running)
    assert (await running.subjects())[-1] == "10 apps uninstalled in shop"


async def test_one_look_that_saw_nothing_costs_nothing(running: World) -> None:
    revisions = await running.revisions()
    there = dict(running.cluster.releases)
    running.cluster.releases.clear()
    await running.step()
    await held(running)
    running.cluster.releases.update(there)
    for seconds in (5, INTERVAL):
        running.clock.advance(seconds)
        await running.converge()
    assert running.told == []
    assert await running.revisions() == revisions
    assert running.said("Ready") == "True UpToDate"
    await running.check()


async def test_a_person_releases_them_by_the_digest_of_what_would_be_left(running: World) -> None:
    await empty(running)
    wanted = running.result.braking.left
    assert f"hossted.com/confirm-removals={wanted} " in running.conditions["Recorded"].message
    running.annotate(confirm_removals="0" * 64)
    await running.step()
    await held(running)
    running.annotate(confirm_removals=wanted)
    await released(running)
    assert (await running.tip()).snapshot.digest == wanted


async def test_what_is_confirmed_is_what_the_newest_message_says(running: World) -> None:
    await empty(running)
    earlier = running.result.braking.left
    running.cluster.upgrade("ops/one")
    await running.step()
    wanted = running.result.braking.left
    assert wanted != earlier
    running.annotate(confirm_removals=earlier)
    await running.step()
    await held(running)
    running.annotate(confirm_removals=wanted)
    await released(running)


async def test_a_confirmation_is_of_one_time(running: World) -> None:
    """What is left when the same happens again may be the same: the old confirmation is not of that."""
    await empty(running)
    running.annotate(confirm_removals=running.result.braking.left)
    await released(running)
    running.cluster.install(*TEN)
    await running.converge()
    running.receiver.requests.clear()
    await empty(running)
    await running.step()
    await held(running)
    assert "take it away" in running.conditions["Recorded"].message
    wanted = running.result.braking.left
    running.annotate()
    await running.step()
    running.annotate(confirm_removals=wanted)
    await released(running)


async def test_the_time_goes_on_over_restarts(running: World) -> None:
    await empty(running)
    for seconds in (200, 300, INTERVAL - 510):
        await running.start()
        running.clock.advance(seconds)
        await running.step()
        await held(running)
    await running.start()
    running.clock.advance(10)
    await running.step()
    await released(running)


async def test_one_more_and_the_time_begins_anew(running: World) -> None:
    await empty(running)
    running.clock.advance(INTERVAL - 1)
    running.cluster.uninstall("ops/two")
    await running.step()
    running.clock.advance(10)
    await running.step()
    await held(running)
    running.clock.advance(INTERVAL)
    await running.converge()
    assert sorted(running.told) == ["ops/two 1 uninstalled", *GONE]


async def test_a_look_with_gaps_neither_agrees_nor_ends_it(running: World) -> None:
    await empty(running)
    running.clock.advance(INTERVAL)
    for kind in (Kind.PODS, Kind.RELEASE_SECRETS, Kind.NAMESPACES):
        running.cluster.gaps = (Gap(kind, message="the API answered 500"),)
        await running.step()
        await held(running)
    running.cluster.gaps = ()
    await released(running)


async def test_what_may_never_be_read_holds_nothing_for_ever(running: World) -> None:
    running.cluster.gaps = (Gap(Kind.PODS, forbidden=True),)
    await running.converge()
    await empty(running)
    running.clock.advance(INTERVAL)
    await running.converge()
    assert sorted(running.told) == GONE


@pytest.mark.parametrize("how", ["being deleted", "deleted"])
async def test_a_namespace_that_is_deleted_takes_its_apps_along_at_once(how: str, running: World) -> None:
    running.cluster.empty.discard("shop")
    if how == "being deleted":
        running.cluster.empty.add("shop")
        running.cluster.ending.add("shop")
    running.cluster.uninstall(*TEN)
    await released(running)


async def test_a_namespace_that_is_denied_leaves_at_once_and_is_not_told(running: World) -> None:
    running.spec(deny_namespaces=("shop",))
    await running.converge()
    assert running.told == []
    assert recorded((await running.tip()).snapshot.apps) == 0
    assert running.said("Ready") == "True UpToDate"


async def test_what_came_and_went_unseen_is_held_when_its_namespace_is_allowed_again(running: World) -> None:
    """The record has nothing of it then; the API has."""
    running.spec(deny_namespaces=("shop",))
    await running.converge()
    running.spec(deny_namespaces=())
    there = dict(running.cluster.releases)
    await empty(running)
    await held(running)
    running.cluster.releases = there
    running.clock.advance(5)
    await running.converge()
    assert running.told == []
    await running.check()


@pytest.mark.parametrize("ends", ["they are back", "they are gone"])
async def test_with_the_store_lost_as_well_nothing_is_told_gone(ends: str, running: World) -> None:
    there = dict(running.cluster.releases)
    running.disk.lose_store()
    await running.start()
    await empty(running)
    await held(running)
    if ends == "they are back":
        running.cluster.releases = there
        running.clock.advance(5)
        await running.converge()
        assert running.told == []
        await running.check()
    else:
        running.clock.advance(INTERVAL)
        await released(running)


async def test_what_the_store_lost_in_part_is_held_like_what_it_has(in_configmaps: World) -> None:
    world = in_configmaps
    world.cluster.empty.add("shop")
    world.cluster.install(*TEN)
    await world.converge()
    world.receiver.requests.clear()
    there = dict(world.cluster.releases)
    lose(world)
    await world.start()
    await empty(world)
    await held(world)
    world.cluster.releases = there
    world.clock.advance(5)
    await world.converge()
    assert world.told == []
    await world.check()


async def test_a_ledger_that_was_lost_begins_the_time_anew(running: World) -> None:
    await empty(running)
    running.disk.lose_ledger()
    await running.start()
    running.clock.advance(INTERVAL)
    await running.look()
    assert running.result.braking.course is Course.BEGUN
    running.clock.advance(INTERVAL)
    await running.converge()
    assert {told for told in running.told if told.startswith("shop/")} == set(GONE)


async def test_while_it_is_stopped_nothing_ends_and_the_look_that_resumes_is_a_second_one(
    running: World,
) -> None:
    await empty(running)
    running.spec(stop=True)
    await running.step()
    running.clock.advance(INTERVAL)
    await running.step()
    assert running.told == []
    assert running.said("Ready") == "True Stopped"
    running.spec(stop=False)
    await released(running)


async def test_removals_first_seen_when_a_stop_ends_are_held(running: World) -> None:
    running.spec(stop=True)
    await running.step()
    running.clock.advance(INTERVAL)
    running.spec(stop=False)
    await empty(running)
    await held(running)
    assert (await running.subjects())[-1].startswith("resume")
    running.clock.advance(INTERVAL)
    await released(running)


async def test_a_store_that_fails_changes_neither_the_time_nor_what_is_said(running: World) -> None:
    await empty(running)
    running.faults.errors["tip"] = (When.BEFORE, StoreError("it is away"))
    running.clock.advance(INTERVAL)
    await running.look()
    assert running.result.braking.course is Course.HELD
    assert running.said("Recorded") == "False StoreUnavailable"
    running.faults.errors.clear()
    await released(running)


@pytest.mark.parametrize("percent", [84, 100])
async def test_the_share_is_what_the_project_says(percent: int, running: World) -> None:
    """Ten of twelve are 83.3 per cent."""
    running.spec(brake=Brake(percent=percent))
    running.cluster.uninstall(*TEN)
    await released(running)


async def test_apps_that_do_not_settle_are_held_all_the_same(running: World) -> None:
    """Gone for less than ``settle`` counts as gone; the brake is not one settling later."""
    running.spec(settle=Duration(seconds=30))
    await running.converge()
    await empty(running)
    await held(running)
    running.clock.advance(INTERVAL)
    await released(running)


@pytest.mark.parametrize("by", ["time", "confirmation"])
async def test_dying_at_any_effect_of_the_release_loses_and_repeats_nothing(
    by: str, in_configmaps: World
) -> None:
    world = in_configmaps
    world.cluster.empty.add("shop")
    world.cluster.install(*TEN)
    await world.converge()
    world.receiver.requests.clear()
    await empty(world)
    if by == "time":
        world.clock.advance(INTERVAL)
    else:
        world.annotate(confirm_removals=world.result.braking.left)
    await world.stop()
    world.faults.uncounted = READING
    saved, deaths = world.save(), 0
    while await world.until_killed(deaths, When.AFTER):
        deaths += 1
        await world.converge()
        await world.stop()
        assert set(world.told) == set(GONE)
        assert (await world.subjects())[1:] == ["10 apps uninstalled in shop"]
        await world.check()
        world.restore(saved)
    assert deaths > 10
    assert sorted(world.told) == GONE


class TestBesideTheLoop:
    @pytest.fixture
    def operator(self, in_configmaps: World) -> Operator:
        in_configmaps.cluster.empty |= {"shop", "ops"}
        in_configmaps.cluster.install(*TEN, "ops/one", "ops/two")
        return Operator(in_configmaps)

    async def test_the_second_look_comes_by_itself_and_events_tell_of_both(self, operator: Operator) -> None:
        world = operator.world
        async with operator.running():
            await operator.apply()
            world.cluster.uninstall(*TEN)
            await operator.passes(INTERVAL * (1 + JITTER))
            assert operator.server.said("hossted", "Ready") == "True RemovalsHeld"
            began = world.clock.now()
            await operator.passes(INTERVAL * (1 + JITTER))
            assert operator.server.said("hossted", "Ready") == "True UpToDate"
            assert sorted(told for told in world.told if "uninstalled" in told) == GONE
            (uninstalled, *_) = [one async for one in world.disk.store().track(self.uuid(operator)).history()]
            assert uninstalled.recorded - began <= timedelta(seconds=INTERVAL)
        assert [(reason, kind) for reason, kind, _ in operator.server.events] == [
            ("Recorded", "Normal"),
            ("RemovalsHeld", "Warning"),
            ("Recorded", "Normal"),
            ("RemovalsReleased", "Normal"),
        ]
        assert operator.server.events[-1][2] == "10 removals are recorded: a second complete look agrees"

    async def test_an_annotation_releases_them_at_once(self, operator: Operator) -> None:
        async with operator.running():
            await operator.apply()
            operator.world.cluster.uninstall(*TEN)
            await operator.passes(INTERVAL * (1 + JITTER))
            _, _, rest = operator.server.message("hossted", "Ready").partition("confirm-removals=")
            await operator.server.apply("hossted", {}, confirm_removals=rest.split()[0])
            await operator.idle()
            assert sorted(told for told in operator.world.told if "uninstalled" in told) == GONE
        assert operator.server.events[-1] == (
            "RemovalsReleased",
            "Normal",
            "10 removals are recorded: they were confirmed",
        )

    async def test_a_look_that_saw_nothing_is_over_with_the_next(self, operator: Operator) -> None:
        async with operator.running():
            await operator.apply()
            there = dict(operator.world.cluster.releases)
            operator.world.cluster.releases.clear()
            await operator.server.noticed()
            await operator.idle()
            operator.world.cluster.releases.update(there)
            await operator.passes(INTERVAL * (1 + JITTER))
            assert operator.server.said("hossted", "Ready") == "True UpToDate"
        assert [reason for reason, *_ in operator.server.events] == [
            "Recorded",
            "RemovalsHeld",
            "RemovalsReleased",
        ]

    def uuid(self, operator: Operator) -> str:
        uuid: str = operator.server.status("hossted")["clusterUUID"]
        return uuid
