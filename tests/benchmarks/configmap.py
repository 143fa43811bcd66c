"""What the record in ConfigMaps costs on a real API server, beside the two plain ways of doing the same.

One ConfigMap for each app, as `kubectl apply` of a folder has it; and one for all of them, packed and
rewritten whole at each change. Neither keeps a history, nor is a reader sure of one whole snapshot in the
first. CPU is this process's; bytes are those of what the ConfigMaps hold.
"""

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from rich.table import Table

from reconciler.changes.diff import diff
from reconciler.kube.client import Client
from reconciler.kube.configmaps import ConfigMap, ConfigMaps
from reconciler.model import App, Snapshot, encode
from reconciler.state.configmap.access import ConfigMapAccess, pack, unpack
from reconciler.state.configmap.documents import decode_apps
from reconciler.state.configmap.store import ConfigMapStore
from reconciler.state.store import Message, Recorded
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.controlplane.plane import ControlPlane
from tests.unit.state.configmap_world import realistic

SIZES = (1_000, 5_000)
CHANGES = 5
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Cost(msgspec.Struct, frozen=True):
    """Requests, bytes sent and received, seconds of CPU."""

    requests: float
    sent: float
    received: float
    cpu: float

    def over(self, times: int) -> "Cost":
        return Cost(self.requests / times, self.sent / times, self.received / times, self.cpu / times)


class Counting:
    """The requests of a ConfigMapAccess, and what went to and fro."""

    def __init__(self, access: ConfigMaps) -> None:
        self._access = access
        self.requests = self.sent = self.received = 0

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap | None:
        item = await self._access.get_config_map(namespace, name)
        self._got([item] if item else [])
        return item

    async def list_config_maps(self, namespace: str, label_selector: str) -> list[ConfigMap]:
        return self._got(await self._access.list_config_maps(namespace, label_selector))

    async def list_config_map_metadata(self, namespace: str, label_selector: str) -> list[ConfigMap]:
        return self._got(await self._access.list_config_map_metadata(namespace, label_selector))

    async def create_config_map(self, wanted: ConfigMap) -> ConfigMap:
        self._put(wanted)
        return await self._access.create_config_map(wanted)

    async def replace_config_map(self, wanted: ConfigMap) -> ConfigMap:
        self._put(wanted)
        return await self._access.replace_config_map(wanted)

    async def delete_config_map(self, namespace: str, name: str, uid: str = "") -> None:
        self.requests += 1
        await self._access.delete_config_map(namespace, name, uid)

    def _got(self, items: list[ConfigMap]) -> list[ConfigMap]:
        self.requests += 1
        self.received += sum(map(size, items))
        return items

    def _put(self, item: ConfigMap) -> None:
        self.requests += 1
        self.sent += size(item)


def size(item: ConfigMap) -> int:
    """Bytes that a ConfigMap holds."""
    return sum(len(text.encode()) for text in item.data.values()) + sum(map(len, item.binary_data.values()))


class Way(Protocol):
    """A way of keeping a snapshot in ConfigMaps."""

    name: str

    async def first(self, access: ConfigMapAccess, namespace: str, snapshot: Snapshot) -> None: ...

    async def change(self, access: ConfigMapAccess, namespace: str, snapshot: Snapshot, app: App) -> None: ...

    async def restart(self, access: ConfigMapAccess, namespace: str) -> int:
        """Read all of it as a program that starts; how many apps there are."""
        ...


class Ours:
    name = "this store"

    def __init__(self) -> None:
        self._tip: Recorded | None = None
        self._store: ConfigMapStore | None = None

    async def first(self, access: ConfigMapAccess, namespace: str, snapshot: Snapshot) -> None:
        self._store = ConfigMapStore(access, namespace)
        await self._append(snapshot)

    async def change(self, access: ConfigMapAccess, namespace: str, snapshot: Snapshot, app: App) -> None:
        assert self._store is not None
        self._tip = await self._store.track(CLUSTER_UUID).tip()
        await self._append(snapshot)

    async def restart(self, access: ConfigMapAccess, namespace: str) -> int:
        tip = await ConfigMapStore(access, namespace).track(CLUSTER_UUID).tip()
        return len(tip.snapshot.apps) if tip else 0

    async def _append(self, snapshot: Snapshot) -> None:
        assert self._store is not None
        changes = diff(self._tip.snapshot if self._tip else None, snapshot)
        track = self._store.track(CLUSTER_UUID)
        message = Message("Record a change")
        self._tip = await track.append(snapshot, changes, message, on=self._tip, happened=NOW, recorded=NOW)


class Each:
    name = "one ConfigMap per app"

    async def first(self, access: ConfigMapAccess, namespace: str, snapshot: Snapshot) -> None:
        for app in snapshot.apps.values():
            await access.create_config_map(self._item(namespace, app))

    async def change(self, access: ConfigMapAccess, namespace: str, snapshot: Snapshot, app: App) -> None:
        there = await access.get_config_map(namespace, self._item(namespace, app).name)
        assert there is not None
        data = self._item(namespace, app).data
        await access.replace_config_map(msgspec.structs.replace(there, data=data))

    async def restart(self, access: ConfigMapAccess, namespace: str) -> int:
        found = await access.list_config_maps(namespace, "kept=each")
        return len([msgspec.json.decode(item.data["app.json"], type=App) for item in found])

    def _item(self, namespace: str, app: App) -> ConfigMap:
        name = f"{app.key.namespace}.{app.key.name}"
        return ConfigMap(name, namespace, data={"app.json": encode(app).decode()}, labels={"kept": "each"})


class Whole:
    name = "one ConfigMap, whole"

    async def first(self, access: ConfigMapAccess, namespace: str, snapshot: Snapshot) -> None:
        await access.create_config_map(self._item(namespace, snapshot))

    async def change(self, access: ConfigMapAccess, namespace: str, snapshot: Snapshot, app: App) -> None:
        there = await access.get_config_map(namespace, "whole")
        assert there is not None
        data = self._item(namespace, snapshot).binary_data
        await access.replace_config_map(msgspec.structs.replace(there, binary_data=data))

    async def restart(self, access: ConfigMapAccess, namespace: str) -> int:
        there = await access.get_config_map(namespace, "whole")
        return len(decode_apps(unpack(there.binary_data["apps"], "whole"))) if there else 0

    def _item(self, namespace: str, snapshot: Snapshot) -> ConfigMap:
        return ConfigMap(
            "whole", namespace, binary_data={"apps": pack(encode(tuple(snapshot.apps.values())))}
        )


@asynccontextmanager
async def cost_of(access: Counting, into: list[Cost]) -> AsyncIterator[None]:
    """What is done in between, appended to ``into``."""
    before = (access.requests, access.sent, access.received, cpu())
    yield
    after = (access.requests, access.sent, access.received, cpu())
    into.append(Cost(*(now - then for now, then in zip(after, before, strict=True))))


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(way: Way, access: Counting, namespace: str, apps: list[App]) -> list[Cost]:
    """The cost of a first write, of one changed app, of a restart."""
    costs: list[Cost] = []
    snapshot = make_snapshot(*apps)
    async with cost_of(access, costs):
        await way.first(access, namespace, snapshot)
    there = dict(snapshot.apps)
    changes: list[Cost] = []
    for number in range(CHANGES):
        key = apps[number * len(apps) // CHANGES].key
        changed = make_app(key.namespace, key.name, 2, pods=5)
        there[key] = changed
        after = Snapshot(CLUSTER_UUID, snapshot.cluster, dict(there))
        async with cost_of(access, changes):
            await way.change(access, namespace, after, changed)
    costs.append(total(changes).over(CHANGES))
    async with cost_of(access, costs):
        assert await way.restart(access, namespace) == len(apps)
    return costs


def total(costs: Iterable[Cost]) -> Cost:
    return Cost(*(sum(column) for column in zip(*map(msgspec.structs.astuple, costs), strict=True)))


async def rows(plane: ControlPlane, add: Callable[..., None]) -> list[str]:
    said = []
    for count in SIZES:
        apps = realistic(count)
        found: dict[str, list[Cost]] = {}
        for way in (Ours(), Each(), Whole()):
            cluster = plane.in_namespace(f"bench-{count}-{way.name.split()[-1]}")
            access = ConfigMaps(Client.connect(kubeconfig=cluster.kubeconfig))
            found[way.name] = await measure(way, Counting(access), cluster.namespace, apps)
            if isinstance(way, Ours):
                kept = await access.list_config_maps(cluster.namespace, "hossted.com/state")
                said.append(sizes(count, kept))
        for step, what in enumerate(("first write", "one changed app", "restart")):
            ours = found[Ours.name][step]
            for name, costs in found.items():
                one = costs[step]
                add(
                    f"{count:,}",
                    what,
                    name,
                    f"{one.requests:,.0f}",
                    f"{one.sent / 1e3:,.1f}",
                    f"{one.received / 1e3:,.1f}",
                    f"{one.cpu * 1e3:,.0f}",
                    f"{one.requests / ours.requests:,.1f}",
                    f"{one.sent / ours.sent:,.1f}" if ours.sent else "",
                    f"{one.cpu / ours.cpu:,.1f}",
                )
    return said


def sizes(count: int, kept: list[ConfigMap]) -> str:
    """What the ConfigMaps of a record hold, after the first write and some changes."""
    parts = {
        part: [size(item) for item in kept if item.labels["hossted.com/state"] == part]
        for part in ("head", "apps", "history")
    }
    texts = [f"{len(some)} {part} of at most {max(some) / 1e3:,.0f} kB" for part, some in parts.items()]
    return f"{count:,} apps: {', '.join(texts)}, garbage of {CHANGES} changes included"


def table() -> Table:
    """Run it all on a control plane of its own."""
    found = Table(
        "apps",
        "what",
        "way",
        "requests",
        "kB sent",
        "kB read",
        "CPU ms",
        "requests ratio",
        "sent ratio",
        "CPU ratio",
    )
    with ControlPlane() as plane:
        found.caption = "\n".join(asyncio.run(rows(plane, found.add_row)))
    return found
