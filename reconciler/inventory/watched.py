"""A live cluster as the source of looks that cost nothing: reflected all the time, folded as it changes.

Every kind is listed once and watched; each event goes into one ``Folding``. A look asks the cluster for
nothing but what cannot be watched: a kind that may not be listed everywhere is listed where it may be, at
most once an interval. A little more often than that everything is compared with fresh lists of versions
(``comparing``), so that nothing that was missed stays so.
"""

import asyncio
import random
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Never

from reconciler.errors import ReconcilerError
from reconciler.inventory.burst import Burst
from reconciler.inventory.comparing import Comparing
from reconciler.inventory.fold import Folding, LiveLook
from reconciler.inventory.held import Held
from reconciler.inventory.index import part_ref
from reconciler.inventory.listing import Scope
from reconciler.inventory.objects import Look, Namespace, Part, Workload
from reconciler.inventory.ownership import Ref, workload_ref
from reconciler.inventory.reading import MAX_REQUESTS, Reading, release_ref
from reconciler.inventory.watched_kind import WatchedKind
from reconciler.kube import resources
from reconciler.kube.client import Client
from reconciler.kube.resources import ListedRelease, ListedSecret, Resource
from reconciler.model import PolicyInEffect
from reconciler.project import Duration

MOST_EXCLUDED = 50
"""Namespaces that the server leaves out by name; beyond, they are left out on arrival (a URL has limits)."""

PACE = 0.9
"""Of an interval, how long it is at most from one comparison to the next: one lies between two looks that are
an interval apart, so that the second does not rest on what the first one saw."""

GATHERED = 1.0
"""Seconds at most that what happens to pods, and to what else an app has, waits for more of it: a rollout is
a hundred events and more. The first of them is told of at once, and what happens to releases always."""

KUBE_SYSTEM = "kube-system"

_GLOB = frozenset("*?[")


class WatchedSource:
    """A cluster that is reflected while ``run`` runs. One look at a time.

    ``changed`` is set when something happened that an inventory may have. ``now``: the moment in UTC.
    """

    def __init__(self, client: Client, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.changed = asyncio.Event()
        self._client = client
        self._now = now
        self._policy: PolicyInEffect | None = None
        self._excluded: tuple[str, ...] = ()
        self._again = asyncio.Event()
        self._due: list[WatchedKind] = []
        self._comparing = Comparing(client)
        self._paced = asyncio.Event()
        self._kube_system_uid = ""
        self._slots = asyncio.Semaphore(MAX_REQUESTS)
        self._folding = Folding()
        self._heard = Burst(self.changed.set, lambda: self._folding.is_touched, GATHERED).heard
        self._reading = Reading(client, self._folding, now, self.changed.set, self._left_out)
        self._namespaces = Held[Namespace](
            lambda one: Ref(resources.NAMESPACES.kind, "", one.name),
            lambda *_: self.changed.set(),
            lambda *_: self.changed.set(),
            turned=self.changed.set,
        )
        self._kinds = [
            WatchedKind(client, resources.NAMESPACES, self._namespaces, self._begin_anew),
            *(self._releases(one) for one in (resources.RELEASE_SECRETS, resources.RELEASE_CONFIGMAPS)),
            self._secrets(),
            *(self._parts(one) for one in (resources.PODS, resources.SERVICES, resources.CLAIMS)),
            *map(self._parts, resources.ROUTES),
            *map(self._workloads, resources.WORKLOADS),
        ]

    async def run(self) -> Never:
        """Reflect the cluster until cancelled; nothing before the first look, or after ``rest``."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reading.run(), name="bodies")
            tasks.create_task(self._compare_on(), name="comparison")
            while True:
                self._again.clear()
                due, self._due = self._due, []
                for kind in due:
                    kind.reflect(tasks, () if kind.held is self._namespaces else self._excluded)
                await self._again.wait()

    async def look(self, policy: PolicyInEffect) -> Look:
        """What the cluster has now, as far as it is known, of everything that the policy does not deny.

        The first one waits until every kind was listed, or could not be. Nothing that the API answers is
        raised: a kind that cannot be seen is a Gap, with its objects as last seen.
        """
        now, interval = self._now(), Duration.parse(policy.interval)
        self._follow(policy)
        for kind in self._kinds:
            await kind.held.ready()
        scope = Scope(frozenset(), frozenset(), lambda _: False, now)  # of the first kind, the namespaces
        for kind in self._kinds:
            await kind.check(scope, interval, self._slots)
            if kind.held is self._namespaces:
                names = frozenset(ref.name for ref in self._namespaces.items)
                denied = frozenset(name for name in names if policy.denies(name))
                scope = Scope(names - denied, denied, policy.denies, now)
        await self._reading.caught_up()
        self._folding.know_namespaces(self._namespaces.items.values())
        return LiveLook(
            taken_at=now,
            kube_system_uid=await self._find_kube_system(),
            namespaces=tuple(one for one in self._namespaces.items.values() if one.name in scope.allowed),
            releases=tuple(self._folding.releases),
            gaps=tuple(sorted(gap for kind in self._kinds for gap in kind.find_gaps())),
            folding=self._folding,
            differences=self.differences,
        )

    @property
    def differences(self) -> int:
        """As ``Look.differences``."""
        return self._comparing.differences

    async def compare(self) -> None:
        """Compare what is reflected with fresh lists, now; what differs is counted and repaired."""
        await self._comparing.compare(self._kinds)

    def rest(self) -> None:
        """Nothing is to be seen until the next look: the watches end, and what was seen is forgotten."""
        self._policy = None
        self._start_over()
        for kind in self._kinds:
            kind.held.replace(())

    def _follow(self, policy: PolicyInEffect) -> None:
        """See what this policy lets us see, from now on."""
        before, self._policy = self._policy, policy
        if before is None or before.interval != policy.interval:
            self._paced.set()
        if before is not None and before.denyNamespaces == policy.denyNamespaces:
            return
        exact = tuple(name for name in policy.denyNamespaces if not _GLOB & set(name))
        self._excluded = exact if len(exact) <= MOST_EXCLUDED else ()
        self._start_over()
        for kind in self._kinds:
            kind.held.sift()

    def _start_over(self) -> None:
        """List everything again; nothing that was asked before may still answer."""
        for kind in self._kinds:
            kind.held.begin()
            self._begin_anew(kind)

    def _begin_anew(self, kind: WatchedKind) -> None:
        """List and watch a kind anew, if anything is to be seen; what is held of it stands until then."""
        kind.end()
        if kind in self._due:
            self._due.remove(kind)
        if self._policy is not None:
            self._due.append(kind)
            self._again.set()

    async def _compare_on(self) -> Never:
        """Compare for ever, as often as the newest policy's interval says."""
        while True:
            self._paced.clear()
            seconds: float | None = None
            if self._policy is not None:
                interval = Duration.parse(self._policy.interval).total_seconds()
                seconds = interval * PACE * random.uniform(0.95, 1.0)  # noqa: S311 - a fleet's get out of step
            try:
                async with asyncio.timeout(seconds):
                    await self._paced.wait()
            except TimeoutError:
                await self.compare()

    def _wants(self, namespace: str) -> bool:
        return self._policy is not None and not self._policy.denies(namespace)

    async def _left_out(self) -> Collection[str] | None:
        """The namespaces that are denied; None when they are not known, or are too many to be named."""
        await self._namespaces.ready()
        if self._policy is None or self._namespaces.error is not None:
            return None
        denied = [ref.name for ref in self._namespaces.items if self._policy.denies(ref.name)]
        return denied if len(denied) <= MOST_EXCLUDED else None

    async def _find_kube_system(self) -> str:
        """The UID of kube-system: as reflected, else asked for by name, else the last one known."""
        found = self._namespaces.items.get(Ref(resources.NAMESPACES.kind, "", KUBE_SYSTEM))
        uid = found.uid if found is not None else ""
        if not uid and not self._kube_system_uid:
            with suppress(ReconcilerError):
                path = resources.NAMESPACES.path(name=KUBE_SYSTEM)
                uid = await self._client.read(path, resources.object_uid)
        self._kube_system_uid = uid or self._kube_system_uid
        return self._kube_system_uid

    def _releases(self, resource: Resource[ListedRelease]) -> WatchedKind:
        held = Held[ListedRelease](
            release_ref,
            self._reading.put_release,
            self._reading.drop_release,
            self._wants,
            self.changed.set,
        )
        return WatchedKind(self._client, resource, held, self._begin_anew)

    def _secrets(self) -> WatchedKind:
        held = Held[ListedSecret](
            lambda one: Ref(resources.UUID_SECRETS.kind, one.namespace, one.name),
            lambda _, secret: self._reading.put_secret(secret),
            lambda ref, _: self._reading.drop_secret(ref.namespace),
            self._wants,
            self.changed.set,
        )
        return WatchedKind(self._client, resources.UUID_SECRETS, held, self._begin_anew)

    def _parts(self, resource: Resource[Any]) -> WatchedKind:
        def put(ref: Ref, part: Part) -> None:
            self._folding.index.put(part, ref)
            self._heard()

        def drop(ref: Ref, _: Part) -> None:
            self._folding.index.drop(ref)
            self._heard()

        held = Held[Part](part_ref, put, drop, self._wants, self.changed.set)
        return WatchedKind(self._client, resource, held, self._begin_anew)

    def _workloads(self, resource: Resource[Workload]) -> WatchedKind:
        def put(ref: Ref, workload: Workload) -> None:
            self._folding.index.put_workload(workload, ref)
            self._heard()

        def drop(ref: Ref, _: Workload) -> None:
            self._folding.index.drop_workload(ref)
            self._heard()

        held = Held[Workload](workload_ref, put, drop, self._wants, self.changed.set)
        return WatchedKind(self._client, resource, held, self._begin_anew)
