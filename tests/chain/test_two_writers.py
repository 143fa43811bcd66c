"""Two reconcilers, or three, on one store by mistake: a cluster was cloned from a backup, its ledger with it.

Whoever meets the other's commit stops and says so, and leaves word for the other, who goes on and says so
too. Nothing is corrupted, nothing restored over and over, and nothing told that is not recorded.
"""

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from reconciler.errors import StoreError
from reconciler.operator import report
from reconciler.operator.conditions import ATTENTION
from reconciler.project import GitState
from reconciler.state.configmap.store import ConfigMapStore
from reconciler.state.ledger.contract import INSTANCES_KEPT
from reconciler.state.store import Store
from tests.chain.faults import FaultyAccess, When
from tests.chain.world import NAMESPACE, ConfigMapDisk, Disk, GitDisk, World
from tests.git.actions import is_clean
from tests.git.factory import git
from tests.web.world import receiving

STALLED = "False SecondWriter"


class SharedConfigMaps(ConfigMapDisk):
    """The record is in another one's ConfigMaps, the ledger in ConfigMaps of its own."""

    def __init__(self, other: ConfigMapDisk) -> None:
        super().__init__()
        self._record = FaultyAccess(other.items, self.faults)
        for place, item in other.items.items.items():
            if item.name.startswith("hossted-ledger"):
                self.items.items[place] = item

    def store(self) -> Store:
        return ConfigMapStore(self._record, NAMESPACE, self.state.name, self.state.history)


def cloned(disk: Disk, folder: Path) -> Disk:
    """A disk that has a ledger like this one's, and shares its store."""
    if isinstance(disk, ConfigMapDisk):
        return SharedConfigMaps(disk)
    assert isinstance(disk, GitDisk)
    folder.mkdir()
    other = GitDisk(folder)
    other.state = GitState(url=f"file://{disk.remote}")
    shutil.copy(disk.file, other.file)
    return other


Clone = Callable[[], Awaitable[World]]


@pytest.fixture
async def clone(either: World, tmp_path: Path) -> AsyncIterator[Clone]:
    """Makes clones of a world that has recorded two apps: each with a receiver of its own."""
    number = itertools.count(1)
    async with AsyncExitStack() as stack:
        either.cluster.install("shop/web", "shop/db")
        await either.converge()
        await either.stop()

        async def make() -> World:
            which = next(number)
            receiver, url = stack.enter_context(receiving())
            world = World(cloned(either.disk, tmp_path / f"clone-{which}"), receiver, url)
            world.starts = 100 * which
            world.clock.advance(either.clock.monotonic() + 1)
            world.cluster.releases = dict(either.cluster.releases)
            world.project = either.project
            if isinstance(world.disk, GitDisk):
                world.spec(state=world.disk.state)
            stack.push_async_callback(world.stop)
            return world

        yield make


async def commits(world: World) -> int:
    if isinstance(world.disk, GitDisk):
        url = world.disk.state.url.removeprefix("file://")
        return int(git(Path(url), "rev-list", "--count", "main"))
    return len(await world.revisions())


def check_clean(world: World) -> None:
    if isinstance(world.disk, GitDisk):
        assert is_clean(Path(world.disk.state.url.removeprefix("file://")))


async def check_told_is_recorded(worlds: list[World]) -> None:
    """Everything that any of them told was in some revision."""
    recorded = set()
    store = worlds[0].disk.store()
    track = store.track(worlds[0].cluster_uuid)
    for revision in [each async for each in track.history()]:
        snapshot = (await track.at(revision.id)).snapshot
        recorded |= {f"{key} {app.helm.revision} deployed" for key, app in snapshot.apps.items()}
    await store.close()
    for world in worlds:
        assert {words for words in world.told if not words.endswith("uninstalled")} <= recorded


@pytest.mark.parametrize("first", [0, 1], ids=["the original first", "the clone first"])
async def test_who_comes_second_stops_and_both_say_so(either: World, clone: Clone, first: int) -> None:
    worlds = [either, await clone()]
    one, other = worlds[first], worlds[1 - first]
    one.cluster.upgrade("shop/web")
    other.cluster.upgrade("shop/db")
    await one.converge()
    number, told = await commits(one), len(other.told)
    for _ in range(3):
        await other.step()
        await one.step()
    assert other.said("Recorded") == STALLED
    assert other.said("Stalled") == "True SecondWriter"
    assert f"take-over=instance-{one.starts}" in other.conditions["Stalled"].message
    assert one.said("Recorded") == f"True {ATTENTION}"
    assert f"instance-{other.starts}" in one.conditions["Recorded"].message
    assert len(other.told) == told, "the one that stopped tells nothing"
    assert await commits(one) == number, "looking restores nothing"
    await check_told_is_recorded(worlds)
    check_clean(one)


async def test_at_the_same_moment_one_of_them_goes_on(either: World, clone: Clone) -> None:
    worlds = [either, await clone()]
    for number, world in enumerate(worlds):
        await world.start()
        world.cluster.upgrade("shop/web" if number else "shop/db")
    await asyncio.gather(*(world.step() for world in worlds))
    for _ in range(3):
        await asyncio.gather(*(world.step() for world in worlds))
    said = sorted(world.said("Recorded") for world in worlds)
    assert said == [STALLED, f"True {ATTENTION}"]
    assert await commits(either) == 2
    await check_told_is_recorded(worlds)
    check_clean(either)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_of_three_one_goes_on(either: World, clone: Clone, order: tuple[int, ...]) -> None:
    worlds = [either, await clone(), await clone()]
    for turn in range(3):
        for which in order:
            worlds[which].cluster.upgrade("shop/web")
            await worlds[which].step()
        assert await commits(either) == turn + 2, "only one of them writes"
    said = [worlds[which].said("Recorded") for which in order]
    assert said == [f"True {ATTENTION}", STALLED, STALLED]
    message = worlds[order[0]].conditions["Recorded"].message
    assert message.count("another reconciler") == 2
    await check_told_is_recorded(worlds)
    check_clean(either)


async def test_a_restart_of_either_changes_nothing(either: World, clone: Clone) -> None:
    other = await clone()
    either.cluster.upgrade("shop/web")
    await either.converge()
    await other.step()
    number = await commits(either)
    for _ in range(3):
        await other.start()
        await other.step()
        await either.start()
        await either.step()
    assert other.said("Recorded") == STALLED
    assert either.said("Recorded") == f"True {ATTENTION}"
    assert await commits(either) == number
    assert either.conditions["Recorded"].message.count("another reconciler") == 1, "not one for each start"


async def test_after_a_take_over_the_other_one_stops_and_the_word_is_taken_back(
    either: World, clone: Clone
) -> None:
    other = await clone()
    either.cluster.upgrade("shop/web")
    await either.converge()
    await other.step()
    assert other.said("Recorded") == STALLED
    other.annotate(take_over=f"instance-{either.starts}")
    other.cluster.upgrade("shop/db")
    await other.converge()
    assert other.said("Recorded") == "True UpToDate", "nobody has protested yet"
    await either.step()
    assert either.said("Recorded") == STALLED, "it is the other one now"
    await other.step()
    assert other.said("Recorded") == f"True {ATTENTION}"
    assert f"instance-{either.starts}" in other.conditions["Recorded"].message
    assert f"(Instance instance-{other.starts})" not in other.conditions["Recorded"].message
    await check_told_is_recorded([either, other])
    check_clean(either)


async def test_a_protest_is_taken_back_by_a_later_process_too(either: World, clone: Clone) -> None:
    other = await clone()
    either.cluster.upgrade("shop/web")
    await either.converge()
    other.cluster.upgrade("shop/web")
    await other.step()
    assert other.said("Recorded") == STALLED
    await either.stop()
    other.annotate(take_over=f"instance-{either.starts}")
    await other.start()
    other.cluster.releases = dict(either.cluster.releases)
    await other.converge()
    assert other.said("Recorded") == "True UpToDate"
    assert (await other.disk.ledger().load()).facts.protest == ""
    check_clean(either)


async def test_the_one_that_goes_on_has_one_event_of_it(either: World, clone: Clone) -> None:
    other = await clone()
    either.cluster.upgrade("shop/web")
    await either.converge()
    await other.step()
    before = len(either.results)
    for _ in range(3):
        await either.look()
    pairs = zip(either.results[before - 1 :], either.results[before:], strict=False)
    events = [notice for was, now in pairs for notice in report.notices(was, now)]
    assert [(event.reason, event.warning) for event in events] == [(ATTENTION, True)]


async def test_word_that_cannot_be_left_yet_is_left_later(either: World, clone: Clone) -> None:
    other = await clone()
    either.cluster.upgrade("shop/web")
    await either.converge()
    other.disk.faults.errors["protest"] = (When.BEFORE, StoreError("no"))
    await other.step()
    assert other.said("Recorded") == STALLED, "what it is about comes first"
    await either.step()
    assert either.said("Recorded") == "True UpToDate"
    other.disk.faults.errors.clear()
    await other.step()
    await either.step()
    assert either.said("Recorded") == f"True {ATTENTION}"
    other.disk.faults.names.clear()
    await other.step()
    assert "protest" not in other.disk.faults.names, "once"


async def test_however_often_it_starts_while_nothing_happens_its_record_is_its_own(either: World) -> None:
    either.cluster.install("shop/web")
    await either.converge()
    for _ in range(INSTANCES_KEPT + 2):
        await either.start()
        assert (await either.look()).failure is None
