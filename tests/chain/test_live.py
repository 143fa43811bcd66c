"""The loop where the source of looks tells that something happened: at once, in passing, and at a pace."""

import asyncio
import re

import msgspec
import pytest

from reconciler.changes import diff
from reconciler.inventory.objects import Look
from reconciler.model import PolicyInEffect
from reconciler.operator.pace import LONGEST
from tests.chain.cluster import StandInSource
from tests.chain.operating import Operator
from tests.chain.world import ConfigMapDisk, GitDisk, World

INTERVAL = 600.0
OF_THE_LEDGER = {"known", "write"}
"""Whose requests follow them, or none."""


@pytest.fixture
def operator(world: World) -> Operator:
    operator = Operator(world)
    operator.moved = asyncio.Event()
    return operator


async def moves(operator: Operator) -> list[str]:
    """Something happens in the cluster; the effects that come of it."""
    assert operator.moved is not None
    operator.world.faults.names.clear()
    operator.moved.set()
    await operator.idle()
    return list(operator.world.faults.names)


async def test_what_happens_is_recorded_and_told_without_any_time_passing(operator: Operator) -> None:
    operator.world.cluster.install("shop/web")
    async with operator.running():
        await operator.apply()
        operator.world.cluster.upgrade("shop/web")
        now = operator.clock.monotonic()
        assert "push" in await moves(operator)
        assert operator.clock.monotonic() == now
    assert operator.world.told == ["shop/web 1 deployed", "shop/web 2 deployed"]


async def test_what_the_first_upgrade_needs_is_imported_before_it_once(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    monkeypatch.setattr(diff, "prepare", lambda: looks.append(operator.looks()))
    operator.world.cluster.install("shop/web")
    async with operator.running():
        assert looks == []
        await operator.apply()
        operator.world.cluster.upgrade("shop/web")
        await moves(operator)
    assert looks == [1]


async def test_what_changes_nothing_asks_neither_store_nor_ledger(operator: Operator) -> None:
    operator.world.cluster.install("shop/web")
    async with operator.running():
        await operator.apply()
        assert await moves(operator) == ["look"]
        operator.world.cluster.change("shop/web", phase="Failed")  # of a pod, which is deferred
        assert await moves(operator) == ["look"]
        assert operator.server.said("hossted", "Ready") == "True UpToDate"
    assert len(await operator.world.revisions()) == 1


async def test_a_result_says_how_many_changes_were_missed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = StandInSource.look

    async def after_losses(source: StandInSource, policy: PolicyInEffect) -> Look:
        return msgspec.structs.replace(await look(source, policy), differences=3)

    monkeypatch.setattr(StandInSource, "look", after_losses)
    world.cluster.install("shop/web")
    assert [(await world.look()).differences for _ in range(2)] == [3, 3]


async def test_what_an_upgrade_asks_of_store_and_ledger(either: World) -> None:
    operator = Operator(either)
    operator.moved = asyncio.Event()
    operator.world.cluster.install("shop/web")
    async with operator.running():
        await operator.apply()
        await operator.passes(15)
        patches = len(operator.server.patches)
        operator.world.cluster.upgrade("shop/web")
        asked = [name for name in await moves(operator) if name not in OF_THE_LEDGER]
        await operator.passes(15)
    parts, head, facts, mark, told = ["create"] * 2, ["replace"], ["replace"], ["replace"], ["replace"]
    in_configmaps = ["look", "append", *parts, *head, *facts, *mark, "push", *told]
    in_git = ["look", "append", "push"]
    assert asked == (in_git if isinstance(either.disk, GitDisk) else in_configmaps)
    assert len(operator.server.patches) == patches + 1, "of the status"


@pytest.mark.parametrize(
    "part",
    ["hossted-state-[0-9a-f]+", "hossted-ledger", "hossted-ledger-shard"],
    ids=["head", "facts", "shard"],
)
async def test_what_others_wrote_meanwhile_is_read_and_not_written_over(
    part: str, in_configmaps: World
) -> None:
    world, operator = in_configmaps, Operator(in_configmaps)
    assert isinstance(world.disk, ConfigMapDisk)
    operator.moved = asyncio.Event()
    world.cluster.install("shop/web")
    async with operator.running():
        await operator.apply()
        await operator.passes(15)
        written = [item for (_, name), item in world.disk.items.items.items() if re.fullmatch(part, name)]
        assert len(written) == 1
        world.disk.items.put(written[0])
        world.cluster.upgrade("shop/web")
        await moves(operator)
        await operator.passes(15)
        assert "list" in world.faults.names
        assert operator.server.said("hossted", "Ready") == "True UpToDate"
    assert world.told == ["shop/web 1 deployed", "shop/web 2 deployed"]
    await world.check()


async def test_a_whole_round_comes_once_an_interval_and_with_each_change_of_the_project(
    operator: Operator,
) -> None:
    operator.world.cluster.install("shop/web")
    async with operator.running():
        await operator.apply()
        assert await moves(operator) == ["look"]
        operator.world.faults.names.clear()
        await operator.apply(clusterName="prod")
        assert "append" in operator.world.faults.names
        await operator.passes(1.1 * INTERVAL)
        operator.world.faults.names.clear()
        await operator.passes(1.1 * INTERVAL)
        assert "tip" in operator.world.faults.names


async def test_looks_that_take_long_are_followed_by_a_rest_unless_the_project_changes(
    operator: Operator,
) -> None:
    operator.spent = 0.4
    operator.world.cluster.install("shop/web")
    async with operator.running():
        await operator.apply()
        assert await moves(operator) == ["look"], "a whole round counts for nothing"
        assert await moves(operator) == ["look"], "nor does a look that comes alone"
        assert await moves(operator) == [], "it rests"
        await operator.passes(LONGEST - 0.1)
        assert operator.world.faults.names == []
        await operator.passes(0.2)
        assert operator.world.faults.names == ["look"]
        assert await moves(operator) == []
        await operator.apply(clusterName="prod")
        assert "append" in operator.world.faults.names


async def test_without_a_project_nothing_that_happens_is_looked_at(operator: Operator) -> None:
    operator.world.cluster.install("shop/web")
    async with operator.running():
        assert await moves(operator) == []
        await operator.apply()
        await operator.server.delete("hossted")
        await operator.idle()
        assert await moves(operator) == []
