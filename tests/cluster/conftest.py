"""A cluster in which the operator is installed, and its chain: for the tests of everything together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.cluster.chain import DEFAULT, SYSTEM, Chain, NewChain
from tests.cluster.commands import hossted
from tests.controlplane.plane import ControlPlane
from tests.web.world import receiving

__all__ = ("hossted",)


@pytest.fixture(scope="session")
def installed_once(controlplane: ControlPlane) -> Iterator[ControlPlane]:
    """A second cluster beside the run's, with `config/default`: others must not find that in theirs.

    The Deployment is taken away, since the tests are the operator; its rights are what they run with.
    """
    with controlplane.fork() as plane:
        plane.kubectl("apply", "-k", DEFAULT)
        plane.kubectl("delete", "deployment", "--all", "-n", SYSTEM, "--cascade=foreground")
        plane.kinds_served()
        plane.apply({"apiVersion": "hossted.com/v1", "kind": "Hosstedproject", "metadata": {"name": "first"}})
        plane.kubectl("delete", "hosstedproject", "first")  # the first of a new kind takes seconds
        plane.rolled_out(SYSTEM)
        plane.remember()
        yield plane


@pytest.fixture
def operated(installed_once: ControlPlane) -> ControlPlane:
    """That cluster, put back as it was after the installation."""
    installed_once.reset()
    return installed_once


@pytest.fixture
async def new_chain(operated: ControlPlane, tmp_path: Path) -> AsyncIterator[NewChain]:
    """Starts a chain on the cluster; the last state that it saw must agree with `helm list`."""
    chains: list[Chain] = []
    async with AsyncExitStack() as stack:

        async def start(**options: object) -> Chain:
            receiver, url = stack.enter_context(receiving())
            chain = Chain(operated, tmp_path / str(len(chains)), receiver, url, **options)  # type: ignore[arg-type] # of the Chain's own types
            stack.push_async_callback(chain.close)
            await chain.start()
            chains.append(chain)
            return chain

        yield start
        for chain in chains:
            await chain.assert_agrees_with_helm()


@pytest.fixture
async def chain(new_chain: NewChain) -> Chain:
    """A chain with its record in git, which has recorded the cluster without any release."""
    return await new_chain()
