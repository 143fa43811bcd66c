"""The bodies of what is reflected by metadata alone: of newest revisions, and of Secrets named ``uuid``.

Each is read once, as soon as it is known that there is one to read. A release goes into the folding with
its body: until that is there, the folding has the release as it was before.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Never

from reconciler.inventory.bodies import ReleaseBodies, UuidBodies
from reconciler.inventory.fold import Folding
from reconciler.inventory.helm import newest
from reconciler.inventory.ownership import Ref
from reconciler.kube.client import Client
from reconciler.kube.resources import ListedRelease, ListedSecret
from reconciler.model import AppKey

MAX_REQUESTS = 6
"""Bodies that are read at one time."""


class Reading:
    """Reads while ``run`` runs. ``changed`` is called when the folding has something new."""

    def __init__(
        self, client: Client, folding: Folding, now: Callable[[], datetime], changed: Callable[[], None]
    ) -> None:
        self._folding = folding
        self._now = now
        self._changed = changed
        self._slots = asyncio.Semaphore(MAX_REQUESTS)
        self._bodies = ReleaseBodies(client)
        self._values = UuidBodies(client)
        self._releases: dict[AppKey, dict[Ref, ListedRelease]] = {}
        self._secrets: dict[str, ListedSecret] = {}
        self._folded: dict[AppKey, set[Ref]] = {}
        self._due: set[AppKey] = set()
        self._again: set[AppKey] = set()
        self._secrets_due = False
        self._wake = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []

    def put_release(self, one: ListedRelease) -> None:
        """A revision that came, or is as it is now."""
        release = one.release
        if not release.name:
            self._folding.put_release(release)
            self._changed()
            return
        key = AppKey(release.namespace, release.name)
        self._secrets_due |= key not in self._releases
        self._releases.setdefault(key, {})[_ref(one)] = one
        self._is_due(key)

    def drop_release(self, ref: Ref, one: ListedRelease) -> None:
        """A revision that is gone, as it was last."""
        key = AppKey(ref.namespace, one.release.name)
        self._bodies.forget(one.release.uid)
        group = self._releases.get(key, {})
        if group.pop(ref, None) is None:
            self._folding.drop_release(ref)
            self._changed()
            return
        if not group:
            del self._releases[key]
        self._is_due(key)

    def put_secret(self, one: ListedSecret) -> None:
        """A Secret named ``uuid`` that came, or has changed."""
        self._secrets[one.namespace] = one
        self._secrets_due = True
        self._wake.set()

    def drop_secret(self, namespace: str) -> None:
        """A Secret named ``uuid`` that is gone."""
        self._secrets.pop(namespace, None)
        self._secrets_due = True
        self._wake.set()

    async def caught_up(self) -> None:
        """Wait until everything that is known of now was read, or could not be; that is tried again."""
        self._due |= self._again
        self._again = set()
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._wake.set()
        await done

    async def run(self) -> Never:
        """Read whatever there is to read, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting = self._waiting, []
            due, self._due = self._due, set()
            secrets_due, self._secrets_due = self._secrets_due, False
            try:
                await asyncio.gather(*map(self._read, due))
                if secrets_due:
                    await self._read_secrets()
            except asyncio.CancelledError:  # it begins again where it was
                self._due |= due
                self._secrets_due |= secrets_due
                self._waiting += waiting
                raise
            if due or secrets_due:
                self._changed()
            for each in waiting:
                if not each.done():
                    each.set_result(None)

    def _is_due(self, key: AppKey) -> None:
        self._due.add(key)
        self._wake.set()

    async def _read(self, key: AppKey) -> None:
        if latest := self._latest(key):
            await self._bodies.read(latest, self._now(), self._slots)
        group, latest = self._releases.get(key, {}), self._latest(key)
        if latest is not None and key in self._due:
            return  # something happened to it meanwhile, and will be read now
        if latest is not None and not self._bodies.is_settled(latest, self._now()):
            self._again.add(key)
        for ref in self._folded.pop(key, set()) - group.keys():
            self._folding.drop_release(ref)
        for one in group.values():
            self._folding.put_release(self._bodies.complete(one))
        if group:
            self._folded[key] = set(group)

    def _latest(self, key: AppKey) -> ListedRelease | None:
        by_uid = {one.release.uid: one for one in self._releases.get(key, {}).values()}
        return by_uid[newest(one.release for one in by_uid.values()).uid] if by_uid else None

    async def _read_secrets(self) -> None:
        """Those of the namespaces that have releases."""
        inhabited = {key.namespace for key in self._releases}
        wanted = [one for name, one in self._secrets.items() if name in inhabited]
        found = await self._values.read_new(wanted, self._now(), self._slots)
        self._folding.know_secrets(found)


def _ref(one: ListedRelease) -> Ref:
    return Ref(one.release.driver, one.release.namespace, one.release.object_name)
