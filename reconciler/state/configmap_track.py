"""One cluster's track in ConfigMaps: what is read and written when. The layout is in ``configmap_documents``.

An append creates the parts of the new revision, then moves the head by compare-and-swap: before that
nothing has happened, after it everything has. A reader that finds a part gone starts again from the head.
"""

import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

import msgspec

from reconciler.changes.change import Changeset, Operation
from reconciler.errors import (
    ConflictError,
    KubernetesError,
    LostRaceError,
    NotFoundError,
    StoreError,
    UsageError,
)
from reconciler.kube.configmaps import ConfigMap
from reconciler.model import FORMAT, App, AppKey, Snapshot, digest_of
from reconciler.state import configmap_documents as documents
from reconciler.state.configmap_access import CLUSTER, ConfigMapAccess, labels, selector, unpack
from reconciler.state.configmap_documents import Entry, Head, PackRef, Part, ShardRef
from reconciler.state.store import Message, Recorded, Revision

T = TypeVar("T")

RESTARTS: Final = 5
"""How often a reader starts again from the head: each time, somebody must have appended twice meanwhile."""

_log = logging.getLogger(__name__)


class _Found(msgspec.Struct, frozen=True):
    """The head as it was read."""

    at: ConfigMap
    head: Head


class _Tip(msgspec.Struct, frozen=True):
    """The newest revision as it was read, and the changesets beside its own."""

    uid: str
    resource_version: str
    recorded: Recorded
    entries: tuple[Entry, ...]
    oldest: int


class _GoneError(Exception):
    """A part that a head named is not there (any more)."""


class ConfigMapTrack:
    """The observed track of one cluster."""

    def __init__(
        self, access: ConfigMapAccess, namespace: str, name: str, history: int, cluster_uuid: str
    ) -> None:
        self._access = access
        self._namespace = namespace
        self._history = history
        self._cluster_uuid = cluster_uuid
        self._head_name = documents.head_name(name, cluster_uuid)
        self._labels = {CLUSTER: documents.cluster_hash(cluster_uuid)}
        self._tip: _Tip | None = None
        self._clean = False

    async def tip(self) -> Recorded | None:
        """The newest revision, or None before the first; one small request when it is known already."""
        tip = await self._from_head(self._read_tip)
        return None if tip is None else tip.recorded

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
        """As ``Track.append``. What is stored is ``on`` with ``changes`` applied.

        ValueError for changes that change nothing.
        """
        found = await self._find()
        if not _is_tip(on, found):
            raise LostRaceError(f"{self._where}: another revision was recorded in between")
        last = await self._tip_of(found) if found else None
        head = found.head if found else None
        number = head.revision + 1 if head else 1

        before = on.snapshot.apps if on else {}
        if not changes:
            raise ValueError(f"{self._where}: the changes change nothing")
        stored = Snapshot(self._cluster_uuid, changes.cluster_after, documents.apply(before, changes))
        entry = Entry(
            number=number,
            message=message,
            happened=happened,
            recorded=recorded,
            digest=stored.digest,
            cluster=stored.cluster,
            apps=documents.undos(before, changes),
        )
        shards = documents.shards(self._head_name, number, stored)
        together, pack, pack_part = documents.newest_pack(
            self._head_name, last.entries if last else (), entry
        )
        packs = head.history if head else ()
        packs = documents.trim((*(packs[:-1] if together else packs), pack), self._history)
        wanted = Head(
            format=FORMAT,
            cluster_uuid=self._cluster_uuid,
            kube_system_uid=stored.cluster.kube_system_uid,
            created=head.created if head else recorded,
            revision=number,
            subject=message.subject,
            recorded=recorded,
            digest=stored.digest,
            shards=tuple(ref for ref, _ in shards),
            history=packs,
            dropped=packs[0].first - 1,
        )
        if head:
            waiting = await self._sweep(head, recorded)
            new = [*head.names, *await self._orphans(head)]
            wanted = msgspec.structs.replace(
                wanted, garbage=documents.discard(waiting, new, wanted.names, recorded)
            )
        self._clean = False
        for part in (*(part for _, part in shards), pack_part):
            await self._create(part)
        moved = await self._move(found, wanted)
        self._clean = True
        result = Recorded(entry.revision, stored)
        entries = (*last.entries, entry) if together and last else (entry,)
        self._tip = self._tip_at(moved, wanted, result, entries)
        return result

    @property
    def notices(self) -> tuple[str, ...]:
        return ()

    async def protest(self, instance: str, against: str) -> None:
        pass

    async def withdraw(self) -> None:
        pass

    async def history(self, app: AppKey | None = None) -> AsyncIterator[Revision]:
        """Revisions, newest first, as far back as they are kept."""
        async for entry in self._entries():
            if app is None or any(change.key == app for change in entry.apps):
                yield entry.revision

    async def at(self, revision: str) -> Recorded:
        """The revision of that id; UsageError if there is none, or it is not kept any more."""
        tip = await self._some_tip()
        return await self._rebuild(tip, self._number(tip, revision))

    async def departed(self, since: datetime) -> tuple[App, ...]:
        """As ``Track.departed``, as far back as the history is kept."""
        found: dict[AppKey, App] = {}
        async for entry in self._entries():
            if entry.recorded <= since:
                break
            for change in entry.apps:
                if change.operation in (Operation.UNINSTALL, Operation.DENY) and change.before is not None:
                    found.setdefault(change.key, change.before)
        return tuple(app for _, app in sorted(found.items()))

    async def before(self, revision: str) -> Recorded | None:
        """The revision before, None for the first; UsageError if either is not kept any more."""
        tip = await self._some_tip()
        number = self._number(tip, revision)
        return None if number == 1 else await self._rebuild(tip, number - 1)

    # Reading

    @property
    def _where(self) -> str:
        return f"ConfigMap {self._namespace}/{self._head_name}"

    async def _find(self) -> _Found | None:
        async with store_errors(self._where):
            item = await self._access.get_config_map(self._namespace, self._head_name)
        if item is None:
            return None
        head = documents.decode_head(item.data.get(documents.HEAD_KEY, ""), self._where)
        return _Found(item, head)

    async def _from_head(self, read: Callable[[_Found], Coroutine[None, None, T]]) -> T | None:
        """What ``read`` makes of the head; from the start again when a part is gone. None: no head."""
        for _ in range(RESTARTS):
            found = await self._find()
            if found is None:
                return None
            try:
                return await read(found)
            except _GoneError as error:
                gone = str(error)
        raise StoreError(
            f"{gone} is gone, and {self._where} needs it: restore it from a backup,"
            " or delete the latter to begin anew"
        )

    async def _read_tip(self, found: _Found) -> _Tip:
        at, head = found.at, found.head
        known = self._tip
        if known and (known.uid, known.resource_version) == (at.uid, at.resource_version):
            return known
        apps: list[App] = []
        for ref in head.shards:
            apps += documents.decode_apps(await self._plain(ref, "apps"))
        entries = await self._pack(head.history[-1])
        newest = entries[-1]
        snapshot = Snapshot(
            self._cluster_uuid,
            newest.cluster,
            {app.key: app for app in sorted(apps, key=lambda app: app.key)},
        )
        self._verify(snapshot, newest)
        self._tip = self._tip_at(at, head, Recorded(newest.revision, snapshot), entries)
        return self._tip

    def _tip_at(self, at: ConfigMap, head: Head, recorded: Recorded, entries: tuple[Entry, ...]) -> _Tip:
        return _Tip(at.uid, at.resource_version, recorded, entries, self._oldest(head))

    async def _tip_of(self, found: _Found) -> _Tip:
        try:
            return await self._read_tip(found)
        except _GoneError as error:
            raise StoreError(f"{error} is gone: another revision was recorded, or it was deleted") from error

    def _oldest(self, head: Head) -> int:
        """The number of the oldest revision that is kept."""
        return max(head.dropped, head.revision - self._history) + 1

    async def _entries(self) -> AsyncIterator[Entry]:
        """The changesets that are kept, newest first, each once, whoever appends meanwhile."""
        below: int | None = None
        while True:
            step = await self._from_head(partial(self._older, below=below))
            if not step:
                return
            for entry in reversed(step):
                yield entry
            below = step[0].number

    async def _older(self, found: _Found, *, below: int | None) -> tuple[Entry, ...]:
        """The changesets of the newest pack that has some before revision ``below``, oldest first."""
        oldest = self._oldest(found.head)
        for ref in reversed(found.head.history):
            if ref.last >= oldest and (below is None or ref.first < below):
                entries = await self._pack(ref)
                return tuple(e for e in entries if e.number >= oldest and (below is None or e.number < below))
        return ()

    async def _some_tip(self) -> _Tip:
        tip = await self._from_head(self._read_tip)
        if tip is None:
            raise UsageError(f"{self._where} is not there: no revision was recorded yet")
        return tip

    def _number(self, tip: _Tip, revision: str) -> int:
        """The number in a revision's id. Its beginning would be the id of another one."""
        newest = tip.entries[-1].number
        number = next((number for number in range(1, newest + 1) if revision == f"r{number}"), None)
        if number is None:
            raise UsageError(f"{self._where} has no revision {revision!r}: it has r{tip.oldest} to r{newest}")
        return number

    async def _rebuild(self, tip: _Tip, number: int) -> Recorded:
        newest = tip.entries[-1].number
        apps = dict(tip.recorded.snapshot.apps)
        async for entry in self._entries():
            if entry.number > newest:  # appended since
                continue
            if entry.number == number:
                snapshot = Snapshot(self._cluster_uuid, entry.cluster, dict(sorted(apps.items())))
                self._verify(snapshot, entry)
                return Recorded(entry.revision, snapshot)
            if not entry.complete:
                raise UsageError(
                    f"revision r{number} cannot be rebuilt: r{entry.number} was too large to be kept whole"
                )
            documents.undo(apps, entry)
        raise UsageError(f"revision r{number} is not kept any more: the oldest is r{tip.oldest}")

    async def _pack(self, ref: PackRef) -> tuple[Entry, ...]:
        return documents.decode_entries(await self._plain(ref, "history"))

    async def _plain(self, ref: ShardRef | PackRef, kind: str) -> bytes:
        where = f"ConfigMap {self._namespace}/{ref.name}"
        async with store_errors(where):
            item = await self._access.get_config_map(self._namespace, ref.name)
        if item is None:
            raise _GoneError(where)
        plain = unpack(item.binary_data.get(documents.PART_KEYS[kind], b""), where)
        if digest_of(plain) != ref.digest:
            raise StoreError(f"{where} is damaged: not what the head's digest says; restore it from a backup")
        return plain

    def _verify(self, snapshot: Snapshot, entry: Entry) -> None:
        if snapshot.digest != entry.digest:
            raise StoreError(
                f"{self._where} is damaged: revision r{entry.number} is not what its digest says"
            )

    # Writing

    async def _create(self, part: Part) -> None:
        wanted = ConfigMap(
            name=part.name,
            namespace=self._namespace,
            binary_data={documents.PART_KEYS[part.kind]: part.packed},
            labels=labels(part.kind) | self._labels,
            immutable=True,
        )
        where = f"ConfigMap {self._namespace}/{part.name}"
        async with store_errors(where):
            try:
                there = await self._access.create_config_map(wanted)
            except ConflictError:
                # Of an attempt that went no further. The name tells the content, and we look all the same.
                there = await self._access.get_config_map(self._namespace, part.name) or wanted
        content = there.binary_data.get(documents.PART_KEYS[part.kind], b"")
        if digest_of(unpack(content, where)) != part.digest:
            raise StoreError(f"{where} is in the way and not ours: delete it")

    async def _move(self, found: _Found | None, head: Head) -> ConfigMap:
        wanted = ConfigMap(
            name=self._head_name,
            namespace=self._namespace,
            uid=found.at.uid if found else "",
            resource_version=found.at.resource_version if found else "",
            data={documents.HEAD_KEY: documents.encode_head(head)},
            labels=labels("head") | self._labels,
        )
        async with store_errors(self._where):
            try:
                if found:
                    return await self._access.replace_config_map(wanted)
                return await self._access.create_config_map(wanted)
            except (ConflictError, NotFoundError) as error:
                raise LostRaceError(f"{self._where}: another revision was recorded in between") from error

    async def _orphans(self, head: Head) -> list[str]:
        """Parts of attempts that went no further, or will not, once the head has moved from here.

        Looked for after a start and after a failure.
        """
        if self._clean:
            return []
        found = []
        for kind in documents.PART_KEYS:
            chosen = selector(state=kind, cluster=self._labels[CLUSTER])
            async with store_errors(self._where):
                found += await self._access.list_config_maps(self._namespace, chosen)
        numbers = {item.name: documents.made_for(item.name, self._head_name) for item in found}
        return [
            name for name, number in numbers.items() if number is not None and number <= head.revision + 1
        ]

    async def _sweep(self, head: Head, now: datetime) -> tuple[documents.Garbage, ...]:
        """Delete the garbage whose time has come; what is left is returned."""
        kept = []
        for item in head.garbage:
            if now - item.since >= documents.GRACE:
                try:
                    await self._access.delete_config_map(self._namespace, item.name)
                except KubernetesError as error:
                    _log.warning(
                        "ConfigMap %s/%s cannot be deleted yet: %s", self._namespace, item.name, error
                    )
                else:
                    continue
            kept.append(item)
        return tuple(kept)


def _is_tip(on: Recorded | None, found: _Found | None) -> bool:
    if on is None or found is None:
        return on is None and found is None
    head = found.head
    there = (f"r{head.revision}", head.digest, head.recorded, head.subject)
    return there == (on.revision.id, on.snapshot.digest, on.revision.recorded, on.revision.message.subject)


@asynccontextmanager
async def store_errors(where: str) -> AsyncIterator[None]:
    """Turn what the Kubernetes API raises into what a store raises."""
    try:
        yield
    except KubernetesError as error:
        raise StoreError(f"{where}: {error}") from error
