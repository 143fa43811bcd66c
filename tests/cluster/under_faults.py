"""A cluster that is watched on a faulty way while real things happen to it, and what must hold meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from fractions import Fraction
from functools import partial
from typing import Any

from reconciler.inventory.fold import fold
from reconciler.inventory.inventory import Inventory
from reconciler.inventory.live import LiveSource
from reconciler.inventory.objects import Gap, Look
from reconciler.inventory.watched import WatchedSource
from reconciler.kube.client import Client
from reconciler.model import App, AppKey, PolicyInEffect
from tests.builders import CLUSTER_UUID
from tests.cluster.agreement import assert_inventory_agrees_with_helm, instant
from tests.cluster.faulty_way import FaultyWay
from tests.cluster.test_collect import DENY_SYSTEM
from tests.controlplane.cluster import CHARTS
from tests.controlplane.plane import ControlPlane

PATIENCE = 240.0
"""Seconds until the live view must have come to agree. A watch that failed often waits for a minute, and for
another where the connection that it then takes from the pool had a server behind it that was killed since."""


class UnderFaults:
    """``async with UnderFaults(plane, way) as faults:`` looks all the time, by the faulty way.

    ``looks``: how many there were; ``partial``: how many of them had gaps; ``gaps``: those of the last one;
    ``wrongly``: apps that one of them said were gone, and were not; ``comparisons``: with a fresh list, that
    agreed; ``last``: the apps with what is known of them from before; ``meanwhile``: done after each look.
    """

    def __init__(
        self, plane: ControlPlane, way: FaultyWay, *, page_size: int = 500, client: Client | None = None
    ) -> None:
        self.plane, self.way = plane, way
        self.looks = self.partial = self.comparisons = 0
        self.gaps: tuple[Gap, ...] = ()
        self.wrongly: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None
        self._client = client or Client.connect(
            kubeconfig=way.kubeconfig(plane.kubeconfig), page_size=page_size
        )
        self._direct = Client.connect(kubeconfig=plane.kubeconfig)
        self.source = WatchedSource(self._client)
        self._fresh = LiveSource(self._direct)
        self._there: dict[AppKey, Fraction] = {}
        self._known: dict[AppKey, Fraction] = {}
        self.last: dict[AppKey, App] = {}
        self._latest: Inventory | None = None
        self._looked = asyncio.Condition()
        self._looking = asyncio.Lock()  # a source has one look at a time

    async def __aenter__(self) -> UnderFaults:
        self._running = asyncio.create_task(self.source.run())
        self._watching = asyncio.create_task(self._look_all_the_time())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        self._watching.cancel()
        results = await asyncio.gather(self._running, self._watching, return_exceptions=True)
        self._client.close()
        self._direct.close()
        broken = [one for one in results if not isinstance(one, asyncio.CancelledError | None)]
        assert broken == []

    async def install(self, name: str, chart: str = "tiny", namespace: str = "default", *more: str) -> None:
        """``helm install``, while everything goes on; from then on it is there."""
        began = Fraction(time.time_ns(), 10**9)
        await self.do("helm", "install", name, str(CHARTS / chart), *more, namespace=namespace)
        self._there[AppKey(namespace, name)] = began

    async def upgrade(self, name: str, chart: str = "tiny", namespace: str = "default", *more: str) -> None:
        await self.do("helm", "upgrade", name, str(CHARTS / chart), *more, namespace=namespace)

    async def uninstall(self, name: str, namespace: str = "default", *more: str) -> None:
        """``helm uninstall``; when it begins, nobody may rely on the app any more."""
        self._there.pop(AppKey(namespace, name))
        self._known.pop(AppKey(namespace, name), None)
        await self.do("helm", "uninstall", name, *more, namespace=namespace)

    async def do(self, what: str, *arguments: Any, **options: Any) -> None:
        """A method of the control plane that blocks, beside everything."""
        await asyncio.to_thread(getattr(self.plane, what), *arguments, **options)

    async def seen(self, policy: PolicyInEffect = DENY_SYSTEM) -> Inventory:
        """A look by the faulty way, by which no app that is there may be gone."""
        async with self._looking:
            known = dict(self._known)
            look = await self.source.look(policy)
            return self._judged(look, known, policy)

    def _judged(self, look: Look, known: dict[AppKey, Fraction], policy: PolicyInEffect) -> Inventory:
        alone, after = folded(look, policy), folded(look, policy, self.last)
        self.looks += 1
        self.partial += bool(look.gaps)
        self.gaps = look.gaps
        # Whoever was known before the look, and is there after it, was there all the time.
        for key, _ in known.items() & self._known.items():
            if alone.is_gone(key) or after.is_gone(key):
                self.wrongly.append(f"{key} at look {self.looks} with gaps {look.gaps}")
        for key, app in alone.apps.items():
            began = self._there.get(key)
            if began is not None and instant(app.helm.updated) >= began:
                self._known[key] = began
        self.last = {**after.apps}
        return alone

    async def until(self, what: Callable[[Inventory], object]) -> None:
        """Wait until this is true of what is seen; it is asked at every look."""

        def is_so() -> object:
            assert not self._running.done(), self._running.exception()
            assert not self._watching.done(), self._watching.exception()
            return self._latest is not None and what(self._latest)

        async with asyncio.timeout(PATIENCE), self._looked:
            await self._looked.wait_for(is_so)

    async def agreed(self, policy: PolicyInEffect = DENY_SYSTEM) -> Inventory:
        """What is seen when that is what a fresh list says, by the way that is not faulty."""
        deadline = time.monotonic() + PATIENCE
        while True:
            fresh = folded(await self._fresh.look(policy), policy)
            seen = await self.seen(policy)
            if seen == fresh:
                self.comparisons += 1
                return seen
            assert time.monotonic() < deadline, f"{different(seen, fresh)}; gaps {self.gaps}"
            looks = self.looks
            await self.until(partial(self._has_looked_since, looks))  # what is on its way comes

    def _has_looked_since(self, looks: int, _: Inventory) -> bool:
        return self.looks > looks

    async def is_right(self) -> Inventory:
        """That it agrees with a fresh list and with Helm, and that nothing was ever wrongly gone."""
        await self.do("rolled_out", timeout=PATIENCE)
        found = await self.agreed()
        assert_inventory_agrees_with_helm(found, self.plane, DENY_SYSTEM)
        assert set(found.apps) == set(self._there)
        assert self.wrongly == []
        assert self._known.keys() == self._there.keys()  # or nothing was shown of them
        return found

    async def _look_all_the_time(self) -> None:
        while True:
            self.source.changed.clear()
            seen = await self.seen()
            async with self._looked:
                self._latest = seen
                self._looked.notify_all()
            self.meanwhile()
            with suppress(TimeoutError):  # connections come and go without a word
                async with asyncio.timeout(0.1):
                    await self.source.changed.wait()


def folded(look: Look, policy: PolicyInEffect, previous: Mapping[AppKey, App] | None = None) -> Inventory:
    return fold(look, cluster_uuid=CLUSTER_UUID, policy=policy, adopted={}, previous=previous or {})


def different(seen: Inventory, fresh: Inventory) -> str:
    """Where two inventories differ, for a failure's message."""
    found = []
    for name in Inventory.__struct_fields__:
        ours, theirs = getattr(seen, name), getattr(fresh, name)
        if ours != theirs and isinstance(ours, Mapping):
            found.append(f"{name} of {sorted({key for key, _ in ours.items() ^ theirs.items()})}")
        elif ours != theirs:
            found.append(f"{name}: {ours} seen, {theirs} listed")
    return f"differ in {'; '.join(found)}"
