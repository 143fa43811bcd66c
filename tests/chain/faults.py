"""Every effect of a process, counted, and made to fail or to be its last.

An effect can fail before it happens; after it happened, its answer lost; and the process can die at either
moment. Wrapped are the looks, the store, the ledger and the pushes: nothing else leaves a process.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from datetime import datetime
from enum import Enum
from typing import TypeVar

from reconciler.changes.change import Changeset
from reconciler.delivery.answers import Answer
from reconciler.delivery.api import Api
from reconciler.inventory.objects import Look
from reconciler.kube.configmaps import ConfigMap
from reconciler.model import App, AppKey, PolicyInEffect, Snapshot
from reconciler.operator.reconcile import Source
from reconciler.policy.approval import Approval
from reconciler.policy.entry import Acked, Entry, LedgerFacts, LedgerView
from reconciler.settings import ApiSettings
from reconciler.state.configmap.access import ConfigMapAccess
from reconciler.state.ledger.contract import Ledger
from reconciler.state.store import (
    ApprovedTrack,
    ClusterDirectory,
    DeliveredBranch,
    Message,
    Recorded,
    Revision,
    Store,
    Track,
)

T = TypeVar("T")


class Crash(BaseException):
    """The process dies here: nothing of it handles this."""


class When(Enum):
    BEFORE = "before"
    AFTER = "after"


class Faults:
    """What becomes of effects. ``names``: those that there were, in order, since it was last emptied.

    ``crash_at``: the number (from 0) of the effect at which the process dies, ``crash_on``: the name of it;
    ``errors``: by the name of an effect, what it raises, and when, until it is taken away again;
    ``uncounted``: names that get no number, and are left out of ``names``. ``seen``: is told the name of
    each effect that happened, and what came of it, whether the process learns of it or not; and of each
    ``request`` (key and body) that leaves.

    ``dead``: the process died, and has no effects any more, until what is left of it has ended.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.uncounted: frozenset[str] = frozenset()
        self.crash_at: tuple[int, When] | None = None
        self.crash_on: tuple[str, When] | None = None
        self.dead = False
        self.seen: Callable[[str, object], None] = lambda name, done: None
        self.errors: dict[str, tuple[When, Exception]] = {}

    async def effect(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        if self.dead:
            raise Crash(f"dead before {name}")
        number = -1
        if name not in self.uncounted:
            number = len(self.names)
            self.names.append(name)
        self._end(number, name, When.BEFORE)
        done = await work()
        self.seen(name, done)
        self._end(number, name, When.AFTER)
        return done

    def _end(self, number: int, name: str, when: When) -> None:
        if self.crash_at == (number, when) or self.crash_on == (name, when):
            self.dead = True
            raise Crash(f"{when.value} {name}, effect {number}")
        if name in self.errors and self.errors[name][0] is when:
            raise self.errors[name][1]


class FaultySource:
    def __init__(self, inner: Source, faults: Faults) -> None:
        self._inner, self._faults = inner, faults

    async def look(self, policy: PolicyInEffect) -> Look:
        return await self._faults.effect("look", lambda: self._inner.look(policy))

    def rest(self) -> None:
        self._inner.rest()


class FaultyLedger:
    def __init__(self, inner: Ledger, faults: Faults) -> None:
        self._inner, self._faults = inner, faults

    @property
    def location(self) -> str:
        return self._inner.location

    @property
    def known(self) -> LedgerView | None:
        return self._inner.known

    async def load(self) -> LedgerView:
        return await self._faults.effect("load", self._inner.load)

    async def write(
        self, entries: Mapping[AppKey, Entry | None], facts: LedgerFacts | None = None
    ) -> LedgerView:
        # A write of nothing asks for the view.
        name = "write" if entries or facts is not None else "known"
        return await self._faults.effect(name, lambda: self._inner.write(entries, facts))

    async def settle_suspicion(self) -> LedgerView:
        return await self._faults.effect("settle", self._inner.settle_suspicion)

    def shard_of(self, key: AppKey) -> str:
        return self._inner.shard_of(key)

    async def close(self) -> None:
        await self._inner.close()


class FaultyApi(Api):
    def __init__(self, settings: ApiSettings, faults: Faults) -> None:
        super().__init__(settings)
        self._faults = faults

    async def push(self, body: bytes, key: str, timeout: float) -> Answer:  # noqa: ASYNC109 - as Api.push
        def leave() -> Awaitable[Answer]:
            self._faults.seen("request", (key, body))
            return super(FaultyApi, self).push(body, key, timeout)

        return await self._faults.effect("push", leave)


class FaultyTrack:
    def __init__(self, inner: Track, faults: Faults) -> None:
        self._inner, self._faults = inner, faults

    async def tip(self) -> Recorded | None:
        return await self._faults.effect("tip", self._inner.tip)

    async def append(
        self,
        snapshot: Snapshot,
        changes: Changeset,
        message: Message,
        *,
        on: Recorded | None,
        happened: datetime,
        recorded: datetime,
    ) -> Recorded:
        return await self._faults.effect(
            "append",
            lambda: self._inner.append(
                snapshot, changes, message, on=on, happened=happened, recorded=recorded
            ),
        )

    @property
    def notices(self) -> tuple[str, ...]:
        return self._inner.notices

    async def rescue(self) -> None:
        await self._faults.effect("rescue", self._inner.rescue)

    async def protest(self, instance: str, against: str) -> None:
        await self._faults.effect("protest", lambda: self._inner.protest(instance, against))

    async def withdraw(self, instance: str = "") -> None:
        await self._faults.effect("withdraw", lambda: self._inner.withdraw(instance))

    def history(self, app: AppKey | None = None) -> AsyncIterator[Revision]:
        return self._inner.history(app)

    async def at(self, revision: str) -> Recorded:
        return await self._inner.at(revision)

    async def departed(self, since: datetime) -> tuple[App, ...]:
        return await self._faults.effect("departed", lambda: self._inner.departed(since))

    async def before(self, revision: str) -> Recorded | None:
        return await self._inner.before(revision)


class FaultyStore:
    def __init__(self, inner: Store, faults: Faults) -> None:
        self._inner, self._faults = inner, faults
        self._tracks: dict[str, FaultyTrack] = {}
        self._approved: dict[str, FaultyApproved] = {}

    @property
    def location(self) -> str:
        return self._inner.location

    @property
    def signing_key(self) -> str:
        return self._inner.signing_key

    async def clusters(self) -> tuple[ClusterDirectory, ...]:
        return await self._faults.effect("clusters", self._inner.clusters)

    def track(self, cluster_uuid: str) -> Track:
        return self._tracks.setdefault(
            cluster_uuid, FaultyTrack(self._inner.track(cluster_uuid), self._faults)
        )

    def delivered(self, cluster_uuid: str, endpoint: str) -> DeliveredBranch | None:
        inner = self._inner.delivered(cluster_uuid, endpoint)
        return None if inner is None else FaultyDelivered(inner, self._faults)

    def approved(self, cluster_uuid: str) -> ApprovedTrack | None:
        inner = self._inner.approved(cluster_uuid)
        if inner is None:
            return None
        return self._approved.setdefault(cluster_uuid, FaultyApproved(inner, self._faults))

    async def close(self) -> None:
        await self._inner.close()


class FaultyApproved:
    def __init__(self, inner: ApprovedTrack, faults: Faults) -> None:
        self._inner, self._faults = inner, faults

    @property
    def name(self) -> str:
        return self._inner.name

    async def tip(self) -> str:
        return await self._faults.effect("approved tip", self._inner.tip)

    async def read(self, since: str, observed: Recorded | None) -> Approval:
        return await self._faults.effect("approved", lambda: self._inner.read(since, observed))


class FaultyDelivered:
    def __init__(self, inner: DeliveredBranch, faults: Faults) -> None:
        self._inner, self._faults = inner, faults

    async def keys(self) -> Mapping[AppKey, str]:
        return await self._faults.effect("keys", self._inner.keys)

    async def app(self, key: AppKey) -> App | None:
        return await self._inner.app(key)

    async def follow(
        self, changed: Mapping[AppKey, Acked], known: Collection[AppKey], *, instance: str, at: datetime
    ) -> None:
        await self._faults.effect(
            "follow", lambda: self._inner.follow(changed, known, instance=instance, at=at)
        )


class FaultyAccess:
    """Each request for ConfigMaps is an effect too: a write of the ledger, an append, is several."""

    def __init__(self, inner: ConfigMapAccess, faults: Faults) -> None:
        self._inner, self._faults = inner, faults

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap | None:
        return await self._faults.effect("get", lambda: self._inner.get_config_map(namespace, name))

    async def list_config_maps(self, namespace: str, label_selector: str) -> list[ConfigMap]:
        return await self._faults.effect(
            "list", lambda: self._inner.list_config_maps(namespace, label_selector)
        )

    async def list_config_map_metadata(self, namespace: str, label_selector: str) -> list[ConfigMap]:
        return await self._faults.effect(
            "list", lambda: self._inner.list_config_map_metadata(namespace, label_selector)
        )

    async def create_config_map(self, wanted: ConfigMap) -> ConfigMap:
        return await self._faults.effect("create", lambda: self._inner.create_config_map(wanted))

    async def replace_config_map(self, wanted: ConfigMap) -> ConfigMap:
        return await self._faults.effect("replace", lambda: self._inner.replace_config_map(wanted))

    async def delete_config_map(self, namespace: str, name: str, uid: str = "") -> None:
        await self._faults.effect("delete", lambda: self._inner.delete_config_map(namespace, name, uid))
