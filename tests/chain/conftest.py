"""A world, on both kinds of disk."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.chain.gateway import Gateway, gateway
from tests.chain.world import ConfigMapDisk, GitDisk, World
from tests.web.world import RecordingReceiver, receiving


@pytest.fixture
def served() -> Iterator[tuple[RecordingReceiver, str]]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
async def world(served: tuple[RecordingReceiver, str], tmp_path: Path) -> AsyncIterator[World]:
    """State in git, the ledger in a file."""
    world = World(GitDisk(tmp_path), *served)
    yield world
    await world.stop()


@pytest.fixture
async def in_configmaps(served: tuple[RecordingReceiver, str]) -> AsyncIterator[World]:
    """State and ledger in ConfigMaps."""
    world = World(ConfigMapDisk(), *served)
    yield world
    await world.stop()


@pytest.fixture(params=["git", "ConfigMaps"])
def either(request: pytest.FixtureRequest) -> World:
    """Each of the two in turn."""
    world: World = request.getfixturevalue({"git": "world", "ConfigMaps": "in_configmaps"}[request.param])
    return world


@pytest.fixture
async def door(served: tuple[RecordingReceiver, str]) -> AsyncIterator[Gateway]:
    async with gateway(served[0]) as door:
        yield door


@pytest.fixture
def through(in_configmaps: World, door: Gateway) -> World:
    """A world whose pushes go through the door."""
    in_configmaps.url = door.url
    return in_configmaps
