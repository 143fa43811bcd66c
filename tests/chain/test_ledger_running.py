"""A ledger that is lost or restored under a running process: nothing is told by it, and nobody is told that
all is told, until a whole round has worked out again what the API may have. That round comes at once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.chain.operating import Operator
from tests.chain.weather import FAULTS
from tests.chain.world import ConfigMapDisk, World

SHARDS = "hossted-ledger-shard"
SOON = 30.0
"""Seconds; an interval is twenty times as long."""


async def changes(operator: Operator, image: str) -> None:
    """It is changed by hand, and what comes of that is done."""
    assert operator.moved is not None
    operator.world.cluster.change("shop/web", image=image)
    operator.moved.set()
    await operator.idle()


@pytest.fixture
async def set_back(in_configmaps: World) -> AsyncIterator[Operator]:
    """A was told, then B; the shard that knows of B is replaced by that which knows of A; A is recorded
    again, and the mark for telling it is the first that meets the other shard."""
    world, disk, operator = in_configmaps, in_configmaps.disk, Operator(in_configmaps)
    assert isinstance(disk, ConfigMapDisk)
    operator.moved = asyncio.Event()
    world.cluster.install("shop/web", image="web:a")
    async with operator.running():
        await operator.apply(push={"on": "AnyChange"})
        backup = disk.save()
        await changes(operator, "web:b")
        await operator.passes(SOON)
        assert images(world) == ["web:a", "web:b"]
        disk.restore_ledger(backup, SHARDS)
        await changes(operator, "web:a")
        assert operator.server.said("hossted", "Delivered") == "False Pending"
        yield operator


async def test_an_app_whose_uuid_changes_when_the_ledger_is_lost_ends_under_the_former(
    in_configmaps: World,
) -> None:
    """Only the record has the former one then, and only until the app is recorded under the other."""
    world, operator = in_configmaps, Operator(in_configmaps)
    operator.moved = asyncio.Event()
    world.cluster.install("shop/web")
    world.cluster.uuid("shop", "first")
    async with operator.running():
        await operator.apply()
        await operator.passes(SOON)
        world.disk.lose_ledger()
        world.cluster.uuid("shop", "second")
        operator.moved.set()
        await operator.passes(SOON)
    told = [
        (push["app_api_info"]["app_uuid"], push["app_info"]["helm_info"]["status"])
        for _, push in world.requests
    ]
    assert told == [("A-first", "deployed"), ("A-first", "uninstalled"), ("A-second", "deployed")]
    await world.check()


def images(world: World) -> list[str]:
    return [push["app_info"]["pod_info"][0]["image"] for _, push in world.requests]


async def test_what_it_says_was_acknowledged_is_told_again_at_once(set_back: Operator) -> None:
    world = set_back.world
    set_back.server.patches.clear()
    await set_back.passes(SOON)
    assert images(world) == ["web:a", "web:b", "web:a"]
    assert set_back.server.said("hossted", "Delivered") == "True UpToDate"
    await world.check()


async def test_while_the_store_is_away_nothing_is_told_and_the_condition_says_so(set_back: Operator) -> None:
    world = set_back.world
    world.faults.errors |= FAULTS["the store is away"]
    looks = set_back.looks()
    await set_back.passes(SOON)
    assert set_back.server.said("hossted", "Delivered") == "False LedgerInDoubt"
    assert set_back.server.said("hossted", "Ready").startswith("False")
    assert 1 <= set_back.looks() - looks <= 8, "at once, and then ever later"
    assert len(images(world)) == 2
    world.faults.errors.clear()
    await set_back.passes(2 * SOON)
    assert images(world) == ["web:a", "web:b", "web:a"]
    assert set_back.server.said("hossted", "Ready") == "True UpToDate"
    await world.check()


async def test_a_project_that_is_stopped_stays_so_and_it_is_told_when_it_goes_on(set_back: Operator) -> None:
    world = set_back.world
    await set_back.apply(push={"on": "AnyChange"}, stop=True)
    before = len(world.faults.names)
    await set_back.passes(SOON)
    assert len(world.faults.names) - before < 20
    assert set_back.server.said("hossted", "Delivered") == "False Stopped"
    assert len(images(world)) == 2
    await set_back.apply(push={"on": "AnyChange"})
    await set_back.passes(SOON)
    assert images(world) == ["web:a", "web:b", "web:a"]
    await world.check()
