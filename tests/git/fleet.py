"""Many clusters that write to one repository at once, each a store with a cache of its own."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from uuid import NAMESPACE_DNS, uuid5

from reconciler.model import Snapshot
from reconciler.state.git.store import GitStore
from reconciler.state.store import Message, Recorded, Track
from tests.builders import make_app, make_snapshot
from tests.git.actions import append
from tests.git.servers.stores import GitNetworkFactory


def cluster_uuid(number: int) -> str:
    """The UUID of the cluster of that number."""
    return f"K-{uuid5(NAMESPACE_DNS, f'cluster-{number}.example')}"


def state_of(cluster: str, revision: int, apps: int = 1) -> Snapshot:
    """A cluster's apps, the first of them at a revision of Helm's."""
    return make_snapshot(
        *(
            make_app(name=f"app-{n}", revision=revision if n == 0 else 1, cluster_uuid=cluster)
            for n in range(apps)
        ),
        cluster_uuid=cluster,
    )


class Fleet:
    """``size`` clusters; all are closed in the end. Threads enough that none waits for another's."""

    def __init__(self, factory: GitNetworkFactory, size: int) -> None:
        self._factory = factory
        self._size = size
        self._stores: list[GitStore] = []

    async def __aenter__(self) -> "Fleet":
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(self._size))
        self._stores = [await self._factory.open() for _ in range(self._size)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for store in self._stores:
            await store.close()

    async def race(self, changes: int) -> Mapping[str, list[Recorded]]:
        """Each cluster records so many changes, one after the other, all clusters at once.

        By cluster UUID, what was recorded, in order.
        """
        names = [cluster_uuid(number) for number in range(self._size)]
        tracks = [store.track(name) for store, name in zip(self._stores, names, strict=True)]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_record(track, name, changes))
                for track, name in zip(tracks, names, strict=True)
            ]
        return {name: task.result() for name, task in zip(names, tasks, strict=True)}


async def _record(track: Track, name: str, changes: int) -> list[Recorded]:
    recorded: list[Recorded] = []
    for revision in range(1, changes + 1):
        message = Message(f"change {revision}", trailers=(("Cluster-UUID", name),))
        on = recorded[-1] if recorded else None
        recorded.append(await append(track, state_of(name, revision), on, message))
    return recorded
