"""The kinds of store that the contract suite runs against."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack

import pytest

from reconciler.state.store import Store
from tests.contract.configmap_factory import ConfigMapFactory
from tests.contract.factories import StoreFactory
from tests.git.factory import GitFactory, GitRemoteFactory
from tests.git.servers.fixtures import (
    authority,
    https_repository,
    https_server,
    servers_folder,
    ssh_repository,
    ssh_server,
)
from tests.git.servers.stores import https_factory, ssh_factory

__all__ = ("authority", "https_repository", "https_server", "servers_folder", "ssh_repository", "ssh_server")


def _https(request: pytest.FixtureRequest) -> StoreFactory:
    given = request.getfixturevalue
    return https_factory(given("tmp_path"), given("https_repository"), given("authority"))


def _ssh(request: pytest.FixtureRequest) -> StoreFactory:
    given = request.getfixturevalue
    return ssh_factory(given("tmp_path"), given("ssh_repository"), given("ssh_server"))


FACTORIES: Mapping[str, Callable[[pytest.FixtureRequest], StoreFactory]] = {
    "git": lambda request: GitFactory(request.getfixturevalue("tmp_path")),
    "git with a remote": lambda request: GitRemoteFactory(request.getfixturevalue("tmp_path")),
    "git over https": _https,
    "git over ssh": _ssh,
    "ConfigMaps": lambda request: ConfigMapFactory(request.getfixturevalue("cluster")),
}


ON_THE_CONTROL_PLANE = {"ConfigMaps"}


@pytest.fixture(
    params=[
        pytest.param(kind, marks=pytest.mark.cluster) if kind in ON_THE_CONTROL_PLANE else kind
        for kind in FACTORIES
    ]
)
def store_factory(request: pytest.FixtureRequest) -> StoreFactory:
    """An empty place for a store, of each kind in turn."""
    return FACTORIES[request.param](request)


@pytest.fixture
async def stores(store_factory: StoreFactory) -> AsyncIterator["Opener"]:
    """Opens stores on the same place, and closes them after the test."""
    async with AsyncExitStack() as stack:
        yield Opener(store_factory, stack)


class Opener:
    def __init__(self, factory: StoreFactory, stack: AsyncExitStack) -> None:
        self._factory = factory
        self._stack = stack

    async def __call__(self) -> Store:
        store = await self._factory.open()
        self._stack.push_async_callback(store.close)
        return store
