"""A live cluster as the source of looks that cost nothing: reflected all the time, folded as it changes.

Every kind is listed once and watched; each event goes into one ``Folding``. A look asks the cluster for
nothing but what cannot be watched: a kind that may not be listed everywhere is listed where it may be, at
most once an interval. Once an interval everything is listed afresh and compared with what is held, so that
nothing that was missed stays so.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Never

from reconciler.errors import ForbiddenError, ReconcilerError
from reconciler.inventory.fold import Folding, LiveLook
from reconciler.inventory.held import Held
from reconciler.inventory.index import part_ref
from reconciler.inventory.listing import Lister, Scope
from reconciler.inventory.objects import Gap, Look, Namespace, Part, Workload
from reconciler.inventory.ownership import Ref, workload_ref
from reconciler.inventory.reading import MAX_REQUESTS, Reading
from reconciler.kube import resources
from reconciler.kube.client import Client
from reconciler.kube.reflector import Reflector
from reconciler.kube.resources import ListedRelease, ListedSecret, Resource
from reconciler.model import PolicyInEffect
from reconciler.project import Duration

MOST_EXCLUDED = 50
"""Namespaces that the server leaves out by name; beyond, they are left out on arrival (a URL has limits)."""

KUBE_SYSTEM = "kube-system"

_GLOB = frozenset("*?[")


class WatchedKind:
    """One kind: what is held of it, and how it is listed where it may not be reflected."""

    def __init__(self, client: Client, resource: Resource[Any], held: Held[Any]) -> None:
        self.resource = resource
        self.held = held
        self.gaps: tuple[Gap, ...] = ()
        self.listed_at: datetime | None = None
        self._checked: ReconcilerError | None = None
        self._lister: Lister[Any] = Lister(client, resource, lambda item: held.place(item).namespace)

    async def check(self, scope: Scope, interval: Duration, slots: asyncio.Semaphore) -> None:
        """Where the kind is forbidden as a whole, list it where it may be."""
        self._checked = self.held.error
        if not isinstance(self._checked, ForbiddenError):
            return
        is_done = all(gap.forbidden for gap in self.gaps)  # what failed is listed again
        if is_done and self.listed_at is not None and self.listed_at <= scope.now < self.listed_at + interval:
            return
        listing = await self._lister.look(scope, slots)
        if not isinstance(self.held.error, ForbiddenError):
            return  # it is reflected meanwhile, and what is held is newer than what was listed
        self.listed_at, self.gaps = scope.now, listing.gaps
        hidden = {gap.namespace for gap in listing.gaps}
        listed = {self.held.place(item) for item in listing.items}
        as_last_seen = [
            item
            for ref, item in self.held.items.items()
            if ref not in listed and not hidden.isdisjoint(("", ref.namespace))
        ]
        self.held.replace([*as_last_seen, *listing.items])

    def find_gaps(self) -> tuple[Gap, ...]:
        """What of it cannot be seen now."""
        error = self.held.error
        if error is None:
            self.listed_at, self.gaps = None, ()
            return ()
        if isinstance(error, ForbiddenError):
            if self.listed_at is not None:
                return self.gaps
            error = self._checked  # it is forbidden only since then
            if error is None:
                return ()
        return (Gap(self.resource.kind, forbidden=isinstance(error, ForbiddenError), message=str(error)),)


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
        self._afresh: datetime | None = None
        self._again = asyncio.Event()
        self._running: list[asyncio.Task[Never]] = []
        self._kube_system_uid = ""
        self._slots = asyncio.Semaphore(MAX_REQUESTS)
        self._folding = Folding()
        self._reading = Reading(client, self._folding, now, self.changed.set, self._left_out)
        self._namespaces = Held[Namespace](
            lambda one: Ref(resources.NAMESPACES.kind, "", one.name),
            lambda _: self.changed.set(),
            lambda *_: self.changed.set(),
            turned=self.changed.set,
        )
        self._kinds = [
            WatchedKind(client, resources.NAMESPACES, self._namespaces),
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
            while True:
                self._again.clear()
                self._running = [tasks.create_task(one.run()) for one in self._reflectors()]
                await self._again.wait()

    async def look(self, policy: PolicyInEffect) -> Look:
        """What the cluster has now, as far as it is known, of everything that the policy does not deny.

        The first one waits until every kind was listed, or could not be. Nothing that the API answers is
        raised: a kind that cannot be seen is a Gap, with its objects as last seen.
        """
        now, interval = self._now(), Duration.parse(policy.interval)
        self._follow(policy, now, interval)
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
        )

    def rest(self) -> None:
        """Nothing is to be seen until the next look: the watches end, and what was seen is forgotten."""
        self._policy = None
        self._start_over()
        for kind in self._kinds:
            kind.held.replace(())

    def _follow(self, policy: PolicyInEffect, now: datetime, interval: Duration) -> None:
        """See what this policy lets us see, from now on; and once an interval all of it afresh, whatever
        was heard meanwhile."""
        before, self._policy = self._policy, policy
        same = before is not None and before.denyNamespaces == policy.denyNamespaces
        if same and self._afresh is not None and self._afresh <= now < self._afresh + interval:
            return
        self._afresh = now
        exact = tuple(name for name in policy.denyNamespaces if not _GLOB & set(name))
        self._excluded = exact if len(exact) <= MOST_EXCLUDED else ()
        self._start_over()
        for kind in self._kinds:
            kind.held.sift()

    def _start_over(self) -> None:
        """List everything again; nothing that was asked before may still answer."""
        for each in self._running:
            each.cancel()
        for kind in self._kinds:
            kind.held.begin()
        self._again.set()

    def _reflectors(self) -> list[Reflector[Any]]:
        if self._policy is None:
            return []
        return [
            Reflector(
                self._client,
                kind.resource,
                kind.held,
                without=() if kind.held is self._namespaces else self._excluded,
            )
            for kind in self._kinds
        ]

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
            lambda one: Ref(resource.kind, one.release.namespace, one.release.object_name),
            self._reading.put_release,
            self._reading.drop_release,
            self._wants,
            self.changed.set,
        )
        return WatchedKind(self._client, resource, held)

    def _secrets(self) -> WatchedKind:
        held = Held[ListedSecret](
            lambda one: Ref(resources.UUID_SECRETS.kind, one.namespace, one.name),
            self._reading.put_secret,
            lambda ref, _: self._reading.drop_secret(ref.namespace),
            self._wants,
            self.changed.set,
        )
        return WatchedKind(self._client, resources.UUID_SECRETS, held)

    def _parts(self, resource: Resource[Any]) -> WatchedKind:
        def put(part: Part) -> None:
            self._folding.index.put(part)
            self._heard()

        def drop(ref: Ref, _: Part) -> None:
            self._folding.index.drop(ref)
            self._heard()

        held = Held[Part](part_ref, put, drop, self._wants, self.changed.set)
        return WatchedKind(self._client, resource, held)

    def _workloads(self, resource: Resource[Workload]) -> WatchedKind:
        def put(workload: Workload) -> None:
            self._folding.index.put_workload(workload)
            self._heard()

        def drop(ref: Ref, _: Workload) -> None:
            self._folding.index.drop_workload(ref)
            self._heard()

        held = Held[Workload](workload_ref, put, drop, self._wants, self.changed.set)
        return WatchedKind(self._client, resource, held)

    def _heard(self) -> None:
        if self._folding.is_touched:
            self.changed.set()
