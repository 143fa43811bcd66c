"""The parts that tests run against, each started once per run."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.controlplane.cluster import Cluster
from tests.controlplane.plane import ControlPlane

# Nothing is timed in tests: a machine that is busy must not fail a property.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


_PLANES = pytest.StashKey[list[ControlPlane]]()
_WITHOUT = pytest.StashKey[set[pytest.Item]]()


@pytest.hookimpl(trylast=True)  # when it is settled which tests are run, and in which order
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Marks what talks to the real control plane, so that `-m cluster` finds it.

    A test that asks for it only as it runs has to have the mark by itself.
    """
    last = -1
    for number, item in enumerate(items):
        if "controlplane" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)
        if item.get_closest_marker("cluster"):
            last = number
    session.stash[_WITHOUT] = set(items[last + 1 :])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Stops the control plane when no test will need it any more: it works also when nobody asks it to."""
    planes = item.session.stash.get(_PLANES, [])
    while planes and item in item.session.stash[_WITHOUT]:
        planes.pop().stop()


AMPLE = 400
"""What the planes' programs may let their memory grow by, in percent: there are two planes a worker, and what
collecting less saves is what the suite waits for."""


@pytest.fixture(scope="session")
def controlplane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """The run's control plane. Others use it too: prefer `cluster` or `fresh_cluster`."""
    with ControlPlane(gogc=AMPLE) as plane:
        request.session.stash[_PLANES] = [plane]
        yield plane


@pytest.fixture
def cluster(controlplane: ControlPlane) -> Cluster:
    """A namespace of one's own in the run's cluster; kubectl and helm start there.

    It stays until the cluster is put back, or ends: to empty a namespace keeps the controllers busy.
    """
    return controlplane.in_namespace(f"test-{secrets.token_hex(4)}")


@pytest.fixture
def fresh_cluster(controlplane: ControlPlane) -> ControlPlane:
    """The run's cluster, put back as it was at its start, for tests that look at all of it."""
    controlplane.reset()
    return controlplane


@pytest.fixture
def another_cluster(controlplane: ControlPlane) -> Iterator[ControlPlane]:
    """A second cluster at the same time: its own API server, UIDs, users. It costs 4 seconds."""
    with controlplane.fork() as plane:
        yield plane
