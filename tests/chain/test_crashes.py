"""Killed at any moment and started again: a story of Helm's, killed at each effect that it has, in turn.

Each step begins with a new process, so that the effects of a start are among those at which it is killed.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

from reconciler.policy.entry import Sending
from tests.chain.cluster import Release
from tests.chain.faults import When
from tests.chain.world import World

Step = Callable[[World], None]


def install(world: World) -> None:
    world.cluster.install("shop/web", "ops/db")


def upgrade(world: World) -> None:
    world.cluster.upgrade("shop/web")


def roll_back(world: World) -> None:
    world.cluster.roll_back("shop/web", Release())


def another_app_uuid(world: World) -> None:
    world.cluster.uuid("shop", "0d9771b2")


def uninstall(world: World) -> None:
    world.cluster.uninstall("ops/db")


def reinstall(world: World) -> None:
    world.cluster.install("ops/db")


def all_at_once(*steps: Step) -> Step:
    def step(world: World) -> None:
        for each in steps:
            each(world)

    return step


ONE_BY_ONE: tuple[Step, ...] = (install, upgrade, roll_back, another_app_uuid, uninstall, reinstall)
IN_TWO: tuple[Step, ...] = (install, all_at_once(upgrade, uninstall))
READING = frozenset({"look", "load", "known", "clusters", "tip", "departed", "get", "list"})
"""The effects that change nothing: dying at one of these is dying before or after another."""


class Chapter(NamedTuple):
    """A step as it goes when nobody is killed: where it begins and ends, and its effects."""

    step: Step
    begin: Any
    effects: list[str]
    subjects: list[str]
    knows: Mapping[str, str]


async def told_straight(world: World, story: tuple[Step, ...]) -> list[Chapter]:
    chapters = []
    for step in story:
        begin = world.save()
        step(world)
        await world.start()
        world.faults.names.clear()
        await world.converge()
        effects = list(world.faults.names)
        await world.stop()
        await world.check()
        assert not world.repeated()
        chapters.append(Chapter(step, begin, effects, await world.subjects(), world.knows()))
    return chapters


async def in_doubt(world: World) -> dict[str, Sending]:
    """What the ledger says is being sent, by its key."""
    view = await world.disk.ledger().load()
    return {entry.sending.key: entry.sending for entry in view.entries.values() if entry.sending}


async def survives(world: World, chapter: Chapter, at: int, when: When) -> None:
    """Killed there and started again, the chapter ends as it should."""
    world.restore(chapter.begin)
    chapter.step(world)
    assert await world.until_killed(at, when), "there is such an effect"
    doubted = await in_doubt(world)
    await world.converge()
    await world.stop()
    await world.check()
    assert await world.subjects() == chapter.subjects, "each change is recorded exactly once"
    assert world.knows() == chapter.knows
    bodies = dict(world.receiver.requests)
    for key, sending in doubted.items():
        assert bodies[key] == sending.body.encode(), "what was in doubt was sent again, as it was"
    assert world.repeated() <= set(doubted), "and nothing that was acknowledged"
    last: dict[str, bytes] = {}
    for key, push in world.requests:
        helm = push["app_info"]["helm_info"]
        app = f"{helm['namespace']}/{helm['name']}"
        assert last.get(app) != bodies[key] or key in doubted, "nor under another key"
        last[app] = bodies[key]


async def test_killed_at_any_effect_and_started_again_nothing_is_lost_doubled_or_told_twice(
    in_configmaps: World,
) -> None:
    world, points = in_configmaps, 0
    chapters = await told_straight(world, ONE_BY_ONE)
    for chapter in chapters:
        for at in range(len(chapter.effects)):
            for when in When:
                await survives(world, chapter, at, when)
                points += 1
    assert points == 2 * sum(len(chapter.effects) for chapter in chapters)
    assert points > 300


async def test_killed_at_any_effect_on_a_git_remote_each_change_is_one_commit_and_fsck_is_clean(
    world: World,
) -> None:
    points, world.faults.uncounted = 0, READING
    for chapter in await told_straight(world, IN_TWO):
        for at in range(len(chapter.effects)):
            for when in When:
                await survives(world, chapter, at, when)
                points += 1
    assert points > 20


@pytest.mark.parametrize("step", [install, another_app_uuid], ids=lambda step: step.__name__)
async def test_killed_at_any_two_effects_one_after_the_other_it_ends_the_same(
    step: Step, in_configmaps: World
) -> None:
    world, points = in_configmaps, 0
    world.faults.uncounted = READING | {"write", "settle", "append"}  # their requests are counted instead
    before = ONE_BY_ONE[: ONE_BY_ONE.index(step)]
    *_, chapter = await told_straight(world, (*before, step))
    for first in range(len(chapter.effects)):
        for second in range(len(chapter.effects) + 1):
            world.restore(chapter.begin)
            chapter.step(world)
            assert await world.until_killed(first, When.BEFORE)
            if not await world.until_killed(second, When.AFTER):
                break
            await world.converge()
            await world.stop()
            await world.check()
            assert await world.subjects() == chapter.subjects
            assert world.knows() == chapter.knows
            points += 1
    assert points > 30, points
