from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.web.world import RecordingReceiver, World, receiving


@pytest.fixture
def served() -> Iterator[tuple[RecordingReceiver, str]]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def receiver(served: tuple[RecordingReceiver, str]) -> RecordingReceiver:
    return served[0]


@pytest.fixture
async def world(served: tuple[RecordingReceiver, str], tmp_path: Path) -> AsyncIterator[World]:
    world = World(served[1], tmp_path)
    yield world
    await world.api.close()
