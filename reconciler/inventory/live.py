"""A live cluster as the source of looks: list everything once, read only the bodies that are new.

An unchanged cluster costs one list per kind, whatever the number of namespaces and releases: releases
and uuid Secrets are listed by metadata only, and their bodies are remembered.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from reconciler.errors import ReconcilerError
from reconciler.inventory.bodies import ReleaseBodies, UuidBodies
from reconciler.inventory.listing import MOST_EXCLUDED, Lister, Listing, Scope, Unseen
from reconciler.inventory.objects import Look, Namespace, StoredRelease, UuidSecret
from reconciler.kube import resources
from reconciler.kube.client import Client
from reconciler.kube.resources import ListedRelease, ListedSecret
from reconciler.model import PolicyInEffect

MAX_REQUESTS = 6
"""Requests of a look at one time: enough to keep a server busy, few enough to leave it for others."""

LISTS_OF_RELEASES = 2
"""How often releases are listed in one look at most: again when one was replaced before it was read."""

KUBE_SYSTEM = "kube-system"


class _Helm(NamedTuple):
    releases: tuple[StoredRelease, ...]
    uuid_secrets: tuple[UuidSecret, ...]
    listings: tuple[Listing[ListedRelease], Listing[ListedRelease], Listing[ListedSecret]]


class LiveSource:
    """A cluster, and what was seen of it so far. One look at a time.

    ``now``: the moment in UTC, also by which what was forbidden is tried again.
    """

    def __init__(self, client: Client, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._client = client
        self._now = now
        self._kube_system_uid = ""
        self._namespaces = Lister(client, resources.NAMESPACES, lambda item: item.name)
        self._secrets = Lister(client, resources.RELEASE_SECRETS, lambda item: item.release.namespace)
        self._configmaps = Lister(client, resources.RELEASE_CONFIGMAPS, lambda item: item.release.namespace)
        self._uuids = Lister(client, resources.UUID_SECRETS, lambda item: item.namespace)
        self._pods = Lister(client, resources.PODS, lambda item: item.meta.namespace)
        self._services = Lister(client, resources.SERVICES, lambda item: item.meta.namespace)
        self._claims = Lister(client, resources.CLAIMS, lambda item: item.meta.namespace)
        self._routes = [
            Lister(client, resource, lambda item: item.meta.namespace) for resource in resources.ROUTES
        ]
        self._workloads = [
            Lister(client, resource, lambda item: item.meta.namespace) for resource in resources.WORKLOADS
        ]
        self._release_bodies = ReleaseBodies(client)
        self._uuid_bodies = UuidBodies(client)

    async def look(self, policy: PolicyInEffect) -> Look:
        """Look at everything that the policy does not deny.

        A kind that cannot be listed is a Gap of the look, with its objects as last seen; nothing that the
        API answers is raised.
        """
        now = self._now()
        slots = asyncio.Semaphore(MAX_REQUESTS)
        everything = Scope(frozenset(), frozenset(), lambda _: False, now)
        namespaces = await self._namespaces.look(everything, slots)
        denied = frozenset(item.name for item in namespaces.items if policy.denies(item.name))
        names = frozenset(item.name for item in namespaces.items)
        scope = Scope(names - denied, denied, policy.denies, now)
        async with asyncio.TaskGroup() as tasks:
            uid = tasks.create_task(self._kube_system(namespaces.items))
            # First: only then their bodies are asked for, which are most of what comes.
            secrets = tasks.create_task(self._secrets.look(scope, slots))
            configmaps = tasks.create_task(self._configmaps.look(scope, slots))
            helm = tasks.create_task(self._helm(scope, slots, secrets, configmaps))
            pods = tasks.create_task(self._pods.look(scope, slots))
            services = tasks.create_task(self._services.look(scope, slots))
            claims = tasks.create_task(self._claims.look(scope, slots))
            routes = [tasks.create_task(lister.look(scope, slots)) for lister in self._routes]
            workloads = [tasks.create_task(lister.look(scope, slots)) for lister in self._workloads]
        listings: list[Unseen] = [namespaces, *helm.result().listings]
        listings += [pods.result(), services.result(), claims.result()]
        listings += [task.result() for task in routes]
        listings += [task.result() for task in workloads]
        return Look(
            taken_at=now,
            kube_system_uid=uid.result(),
            namespaces=tuple(item for item in namespaces.items if item.name in scope.allowed),
            releases=helm.result().releases,
            uuid_secrets=helm.result().uuid_secrets,
            pods=pods.result().items,
            services=services.result().items,
            claims=claims.result().items,
            ingresses=tuple(item for task in routes for item in task.result().items),
            workloads=tuple(item for task in workloads for item in task.result().items),
            gaps=tuple(sorted(gap for listing in listings for gap in listing.gaps)),
            never_listed=tuple(sorted(gap for listing in listings for gap in listing.never_listed)),
        )

    def rest(self) -> None:
        """Nothing goes on between looks."""

    async def _helm(
        self,
        scope: Scope,
        slots: asyncio.Semaphore,
        *first: "asyncio.Task[Listing[ListedRelease]]",
    ) -> _Helm:
        """The releases of both drivers with the bodies of the newest, and the uuid Secrets beside them.

        ``first``: the lists of both.
        """
        without = scope.denied if len(scope.denied) <= MOST_EXCLUDED else None
        for attempt in range(LISTS_OF_RELEASES):
            looks = (lister.look(scope, slots) for lister in (self._secrets, self._configmaps))
            secrets, configmaps = await asyncio.gather(*(looks if attempt else first))
            listed = (*secrets.items, *configmaps.items)
            if await self._release_bodies.read_new(listed, scope.now, slots, without):
                break
        uuids = await self._uuids.look(scope, slots)
        inhabited = {item.release.namespace for item in listed}
        wanted = [item for item in uuids.items if item.namespace in inhabited]
        return _Helm(
            releases=tuple(map(self._release_bodies.complete, listed)),
            uuid_secrets=await self._uuid_bodies.read_new(
                wanted, len(uuids.items), scope.now, slots, without
            ),
            listings=(secrets, configmaps, uuids),
        )

    async def _kube_system(self, namespaces: Iterable[Namespace]) -> str:
        """The UID of kube-system: from the list, else asked for by name, else the last one known."""
        uid = next((item.uid for item in namespaces if item.name == KUBE_SYSTEM), "")
        if not uid and not self._kube_system_uid:
            with suppress(ReconcilerError):
                uid = await self._client.read(
                    resources.NAMESPACES.path(name=KUBE_SYSTEM), resources.object_uid
                )
        self._kube_system_uid = uid or self._kube_system_uid
        return self._kube_system_uid
