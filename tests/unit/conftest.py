"""A server per test, with a client that is closed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.kube.server import Answerer, Server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Answerer], Server]]:
    """Starts servers that answer as they are told."""
    started: list[Server] = []

    def start(answer: Answerer) -> Server:
        started.append(Server(tmp_path, answer))
        return started[-1]

    yield start
    for server in started:
        server.close()
