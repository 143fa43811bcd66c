"""The bodies of what is reflected by metadata alone: of newest revisions, and of Secrets named ``uuid``.

Each is read once, as soon as it is known that there is one to read. A release goes into the folding with
its body: until that is there, the folding has the release as it was before.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import datetime
from typing import Never

from reconciler.inventory.bodies import FEWEST_LISTED, ReleaseBodies, UuidBodies
from reconciler.inventory.fold import Folding
from reconciler.inventory.helm import newest
from reconciler.inventory.objects import UuidSecret
from reconciler.inventory.ownership import Ref
from reconciler.kube.client import Client
from reconciler.kube.resources import ListedRelease, ListedSecret
from reconciler.kube.watch import backoff
from reconciler.model import AppKey

MAX_REQUESTS = 6
"""Bodies that are read at one time."""


class Reading:
    """Reads while ``run`` runs. ``changed`` is called when the folding has something new.

    ``left_out``: the namespaces of which nothing may be read; None when they cannot all be named.
    """

    def __init__(
        self,
        client: Client,
        folding: Folding,
        now: Callable[[], datetime],
        changed: Callable[[], None],
        left_out: Callable[[], Awaitable[Collection[str] | None]],
    ) -> None:
        self._folding = folding
        self._now = now
        self._changed = changed
        self._left_out = left_out
        self._slots = asyncio.Semaphore(MAX_REQUESTS)
        self._bodies = ReleaseBodies(client)
        self._values = UuidBodies(client)
        self._releases: dict[AppKey, dict[Ref, ListedRelease]] = {}
        self._keys: dict[Ref, AppKey] = {}
        self._secrets: dict[str, ListedSecret] = {}
        self._read_values: dict[str, UuidSecret] = {}
        self._folded: dict[AppKey, set[Ref]] = {}
        self._due: set[AppKey] = set()
        self._again: set[AppKey] = set()
        self._secrets_due = False
        self._secrets_again = False
        self._failures = 0
        self._wake = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []

    def put_release(self, ref: Ref, one: ListedRelease) -> None:
        """A revision that came, or is as it is now."""
        release = one.release
        key = AppKey(release.namespace, release.name)
        former = self._keys.get(ref)
        if former is not None:
            known = self._releases[former][ref]
            if known.release.uid != release.uid:
                self._bodies.forget(known.release.uid)
            if former != key:  # labels can be rewritten
                self._leave(former, ref)
                self._folded[former].discard(ref)  # it is folded where it is now
        if not release.name:
            self._folding.put_release(release)
            self._changed()
            return
        self._secrets_due |= key not in self._releases
        self._releases.setdefault(key, {})[ref] = one
        self._keys[ref] = key
        self._folded.setdefault(key, set()).add(ref)
        self._is_due(key)

    def drop_release(self, ref: Ref, one: ListedRelease) -> None:
        """A revision that is gone, as it was last."""
        self._bodies.forget(one.release.uid)
        key = self._keys.get(ref)
        if key is None:
            self._folding.drop_release(ref)
            self._changed()
        else:
            self._leave(key, ref)

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
        self._try_again()
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._wake.set()
        await done

    async def run(self) -> Never:
        """Read whatever there is to read, until cancelled. What could not be read is tried again after a
        while, the longer the more often it failed, and at each look."""
        loop = asyncio.get_running_loop()
        later: asyncio.TimerHandle | None = None
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if later is not None:
                    later.cancel()
                await self._read_what_is_due()
                is_failing = bool(self._again) or self._secrets_again
                self._failures = self._failures + 1 if is_failing else 0
                if is_failing:
                    later = loop.call_later(backoff(self._failures, random.random()), self._try_again)  # noqa: S311
        finally:
            if later is not None:
                later.cancel()

    def _try_again(self) -> None:
        self._due |= self._again
        self._again = set()
        self._secrets_due |= self._secrets_again
        self._wake.set()

    async def _read_what_is_due(self) -> None:
        waiting, self._waiting = self._waiting, []
        due, self._due = self._due, set()
        secrets_due, self._secrets_due = self._secrets_due, False
        try:
            if len(due) >= FEWEST_LISTED:
                await self._read_many(due)
            await asyncio.gather(*map(self._read, due))
            if secrets_due:
                await self._read_secrets()
        except asyncio.CancelledError:  # it begins again where it was
            self._due |= due
            self._secrets_due |= secrets_due
            self._waiting += waiting
            raise
        if (due or secrets_due) and self._folding.is_touched:  # else it was not by what was read
            self._changed()
        for each in waiting:
            if not each.done():
                each.set_result(None)

    def _is_due(self, key: AppKey) -> None:
        self._due.add(key)
        self._wake.set()

    def _leave(self, key: AppKey, ref: Ref) -> None:
        """A revision is none of this release any more."""
        del self._keys[ref]
        del self._releases[key][ref]
        if not self._releases[key]:
            del self._releases[key]
        self._is_due(key)

    async def _read_many(self, keys: Iterable[AppKey]) -> None:
        """Of these releases read by a list what is best read so."""
        without = await self._left_out()
        latest = [one for key in keys if (one := self._latest(key))]
        every = [one for group in self._releases.values() for one in group.values()]
        await self._bodies.read_many(latest, every, self._now(), self._slots, without)
        self._bodies.keep([one.release.uid for group in self._releases.values() for one in group.values()])

    async def _read(self, key: AppKey) -> None:
        if latest := self._latest(key):
            await self._bodies.read(latest, self._now(), self._slots)
        group, latest = self._releases.get(key, {}), self._latest(key)
        if latest is not None and key in self._due:
            return  # something happened to it meanwhile, and will be read now
        if latest is not None and not self._bodies.is_settled(latest):
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
        """Those of the namespaces that have releases. One that is not there when it is read keeps its value
        until it is said to be gone: another may be in its place."""
        inhabited = {key.namespace for key in self._releases}
        wanted = {name: one for name, one in self._secrets.items() if name in inhabited}
        without = await self._left_out() if len(wanted) >= FEWEST_LISTED else None
        stored = len(self._secrets)
        found = await self._values.read_new(wanted.values(), stored, self._now(), self._slots, without)
        self._secrets_again = not all(map(self._values.is_settled, wanted.values()))
        before = {name: one for name, one in self._read_values.items() if name in wanted}
        self._read_values = {**before, **{one.namespace: one for one in found}}
        self._folding.know_secrets(self._read_values.values())


def release_ref(one: ListedRelease) -> Ref:
    """Where a revision is."""
    return Ref(one.release.driver, one.release.namespace, one.release.object_name)
