"""A world where people approve what is told, and what its tests look at."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.policy.protocol import Reason
from tests.chain.approvers import REQUIRED, Approver, ReviewedDisk
from tests.chain.world import World
from tests.web.world import RecordingReceiver

__all__ = ("approver", "held", "message", "new", "required", "world")


@pytest.fixture
async def new(served: tuple[RecordingReceiver, str], tmp_path: Path) -> AsyncIterator[World]:
    """Nothing has happened yet, and nobody need approve."""
    world = World(ReviewedDisk(tmp_path), *served)
    yield world
    await world.stop()


@pytest.fixture
async def world(new: World) -> World:
    """Three apps, recorded and told; from now on people approve."""
    new.cluster.install("shop/web", "shop/db", "ops/other")
    await new.converge()
    new.spec(push=REQUIRED)
    await new.converge()
    new.receiver.requests.clear()
    return new


@pytest.fixture
def approver(world: World) -> Approver:
    return Approver(world)


async def held(world: World) -> dict[str, Reason]:
    """What is held back, and why."""
    assert world.process is not None
    plan = world.process.reconciler.plan(await world.disk.ledger().load())
    return {str(key): one.reason for key, one in plan.held.items()}


async def required(world: World) -> str | None:
    """From where on approvals count, by the ledger."""
    return (await world.disk.ledger().load()).facts.required


def message(world: World) -> str:
    return world.conditions["Delivered"].message
