"""Reads what one cluster has in ConfigMaps: at any moment one whole snapshot, and what is wrong with it.

A look is one request for the head and one for the metadata of all parts. A part that is there under the
UID that the head knows is what was written, since it is immutable: it is fetched only if its apps are not
in memory. Anything else is fetched and checked by its digest; and before anything is said to be wrong, the
head is read again: if it moved, the difference may be the work of whoever moved it, and the look begins
anew. A request that fails is a StoreError, and never taken for a loss.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Final

import msgspec

from reconciler.errors import StoreError
from reconciler.kube.client import FIELD_MANAGER
from reconciler.kube.configmaps import ConfigMap
from reconciler.model import App, AppKey, Cluster, Snapshot
from reconciler.state.configmap import documents, repairs, shards
from reconciler.state.configmap import history as packs
from reconciler.state.configmap.documents import Entry, Head, PackRef, Ref, ShardRef
from reconciler.state.configmap.parts import GoneError, Parts, each
from reconciler.state.store import Message, Recorded, Repair, Revision

RESTARTS: Final = 5
"""How often a look begins anew: each time, somebody must have moved the head meanwhile."""


class View(msgspec.Struct, frozen=True):
    """What is there, as of one look.

    ``at``: the head's ConfigMap, whatever is in it. ``head``: what counts, from there or from elsewhere,
    with all UIDs; None if nothing was recorded, or nothing of it can be read. ``held``: the apps of each
    shard by its name; a shard that is missing here is lost. ``unsound``: parts that must be written anew,
    or are lost. ``newest``: the newest changeset; ``entries``: its pack, if another can be added to it;
    ``next_number``: of the revision after this one; ``strays``: parts that the head does not name;
    ``begun_anew``: that nothing can be read of what there was.
    """

    at: ConfigMap | None
    head: Head | None = None
    recorded: Recorded | None = None
    held: Mapping[str, tuple[App, ...]] = {}
    unsound: frozenset[str] = frozenset()
    newest: Entry | None = None
    entries: tuple[Entry, ...] = ()
    next_number: int = 1
    strays: tuple[str, ...] = ()
    begun_anew: str = ""

    @property
    def lost(self) -> tuple[ShardRef, ...]:
        """The shards whose apps are not known."""
        return tuple(ref for ref in self.head.shards if ref.name not in self.held) if self.head else ()

    def is_at(self, at: ConfigMap | None) -> bool:
        """Whether the head's ConfigMap has not changed since."""
        return _version(self.at) == _version(at)


class _Found(msgspec.Struct, frozen=True):
    """One part: its ref with the UID that it has; its apps, if it is a shard and they are known; what was
    done to it (""), whether it must be written anew, and whether what it held is not known any more."""

    ref: Ref
    apps: tuple[App, ...] | None = None
    done: str = ""
    unsound: bool = False
    loses: bool = False


class Reader:
    """Reads one cluster's record. ``known``: the newest look, or what was written after it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._named: dict[str, tuple[AppKey, ...]] = {}
        self.known: View | None = None

    async def look(self) -> View:
        """What is there. Raises StoreError, and FormatError for a newer program's head."""
        for _ in range(RESTARTS):
            at = await self._parts.get(self._parts.head_name)
            listed = await self._parts.listed()
            known = self.known
            if known is not None and known.is_at(at) and self._is_sound(known, listed):
                self.known = msgspec.structs.replace(known, strays=_strays(known.head, listed))
                return self.known
            try:
                view = await self._view(at, listed)
            except GoneError:  # since it was listed
                continue
            wrong = view.begun_anew or (view.recorded is not None and view.recorded.repairs)
            if not wrong or view.is_at(await self._parts.get(self._parts.head_name)):
                self.known = view
                return view
        raise StoreError(f"{self._parts.where} keeps changing while it is read: too many record at once")

    # Which head counts

    async def _view(self, at: ConfigMap | None, listed: Mapping[str, ConfigMap]) -> View:
        memory = self.known.head if self.known else None
        head = self._parts.decoded(at)
        highest = max([*map(self._parts.number, listed), memory.revision if memory else 0])
        strange = at is not None and head is not None and _is_strange(at, head)
        behind = head is not None and (
            highest > head.revision + 1 or (memory is not None and memory.revision > head.revision)
        )
        if at and head and not behind and not strange:
            wrong = (
                []
                if at.labels == self._parts.labels("head")
                else [repairs.head_relabelled(self._parts.where)]
            )
            return await self._of(at, head, listed, wrong, head.revision + 1)
        if at is None and memory is None and highest <= 1:  # a first append that did not come to its end
            return View(at, strays=_strays(None, listed))
        above = 0 if head is None else head.revision if strange else head.revision + 1
        copy = await self._parts.copy(listed, above)
        chosen = max(filter(None, (head, memory, copy)), key=lambda one: one.revision, default=None)
        if chosen is None:
            notice = repairs.begun_anew(self._parts.where, highest + 1)
            return View(at, strays=_strays(None, listed), next_number=highest + 1, begun_anew=notice)
        if at is None:
            wrong = [repairs.head_gone(self._parts.where, chosen)]
        elif head is None:
            wrong = [repairs.head_edited(self._parts.where, chosen)]
        elif chosen.revision > head.revision or highest > head.revision + 1:
            wrong = [repairs.head_set_back(self._parts.where, head, chosen, highest)]
        elif head.uid not in ("", at.uid):
            wrong = [repairs.head_restored(self._parts.where, head)]
        else:
            wrong = (
                []
                if at.labels == self._parts.labels("head")
                else [repairs.head_relabelled(self._parts.where)]
            )
        number = max(highest, chosen.revision) if wrong else chosen.revision
        return await self._of(at, chosen, listed, wrong, number + 1)

    def _relabelled(self, at: ConfigMap) -> list[Repair]:
        return [] if at.labels == self._parts.labels("head") else [repairs.head_relabelled(self._parts.where)]

    # What it names

    async def _of(
        self,
        at: ConfigMap | None,
        head: Head,
        listed: Mapping[str, ConfigMap],
        wrong: Iterable[Repair],
        number: int,
    ) -> View:
        async def check(ref: Ref) -> _Found:
            return await self._check(ref, listed)

        found = await each(check, head.refs)
        head = msgspec.structs.replace(
            head,
            shards=tuple(one.ref for one in found if isinstance(one.ref, ShardRef)),
            history=tuple(one.ref for one in found if isinstance(one.ref, PackRef)),
        )
        held = {one.ref.name: one.apps for one in found if one.apps is not None}
        unsound = frozenset(one.ref.name for one in found if one.unsound)
        newest, entries = await self._newest(head, unsound)
        apps = sorted((app for some in held.values() for app in some), key=lambda app: app.key)
        cluster = head.cluster or (
            newest.cluster if newest else Cluster(kube_system_uid=head.kube_system_uid)
        )
        snapshot = Snapshot(self._parts.cluster_uuid, cluster, {app.key: app for app in apps})
        said = [*wrong, *await self._repairs(found, head)]
        if len(held) == len(head.shards) and snapshot.digest != head.digest:
            said.append(repairs.head_wrong(self._parts.where))
        return View(
            at=at,
            head=head,
            recorded=Recorded(_revision(head, newest), snapshot, tuple(said)),
            held=held,
            unsound=unsound,
            newest=newest,
            entries=entries,
            next_number=number,
            strays=_strays(head, listed),
        )

    async def _check(self, ref: Ref, listed: Mapping[str, ConfigMap]) -> _Found:
        there = listed.get(ref.name)
        uid = ref.uid or self._known_uid(ref)
        apps = self.known.held.get(ref.name) if self.known else None
        if there and uid in ("", there.uid) and there.labels == self._parts.labels(documents.kind_of(ref)):
            if isinstance(ref, PackRef):
                return _Found(msgspec.structs.replace(ref, uid=there.uid))
            if uid and apps is not None:
                return _Found(msgspec.structs.replace(ref, uid=uid), apps)
        try:
            item, plain = await self._parts.fetch(ref)
        except GoneError as error:
            lost = not self._remembers(ref) if isinstance(ref, PackRef) else apps is None
            return _Found(ref, apps, str(error), unsound=True, loses=lost)
        ref = msgspec.structs.replace(ref, uid=item.uid)
        if isinstance(ref, ShardRef) and apps is None:
            apps = documents.decode_apps(plain)
        if item.labels != self._parts.labels(documents.kind_of(ref)):
            return _Found(ref, apps, repairs.RELABELLED, unsound=True)
        if not item.immutable:
            return _Found(ref, apps, repairs.MUTABLE, unsound=True)
        return _Found(ref, apps, repairs.RESTORED if uid not in ("", item.uid) else "")

    def _is_sound(self, known: View, listed: Mapping[str, ConfigMap]) -> bool:
        """Whether nothing was wrong, and by the metadata nothing is now."""
        if known.head is None or known.recorded is None or known.recorded.repairs:
            return False
        if max(map(self._parts.number, listed), default=0) > known.head.revision + 1:
            return False
        there = [(ref, listed.get(ref.name)) for ref in known.head.refs]
        return all(
            item and item.uid == ref.uid and item.labels == self._parts.labels(documents.kind_of(ref))
            for ref, item in there
        )

    def _remembers(self, ref: PackRef) -> bool:
        """Whether the changesets of a pack are in memory: it is the newest that we know."""
        known = self.known
        return bool(known and known.head and known.newest and known.head.history[-1].name == ref.name)

    def _known_uid(self, ref: Ref) -> str:
        """The UID of a part that the head does not tell (an old one), and that we have seen."""
        if self.known is None or self.known.head is None:
            return ""
        return next((one.uid for one in self.known.head.refs if one.name == ref.name), "")

    async def _newest(self, head: Head, unsound: frozenset[str]) -> tuple[Entry | None, tuple[Entry, ...]]:
        """The newest changeset, and the pack that another can be added to."""
        *_, pack = packs.packs_of(head.history)
        if self.known and self._remembers(pack[-1]):
            return self.known.newest, self.known.entries
        try:
            entries = documents.decode_entries((await self._parts.fetch(pack[0]))[1])
        except GoneError:
            if pack[0].name not in unsound:
                raise
            return None, ()
        return entries[-1], entries if len(pack) == 1 else ()

    async def _repairs(self, found: Iterable[_Found], head: Head) -> list[Repair]:
        said: list[Repair] = []
        ordered = sorted((one for one in found if one.done), key=lambda one: (one.done, one.loses))
        for (done, loses), grouped in groupby(ordered, key=lambda one: (one.done, one.loses)):
            some = list(grouped)
            if loses or len(some) <= repairs.MOST_PARTS:
                said += [await self._repair(one, head) for one in some]
            else:
                said.append(repairs.intact([self._parts.place(one.ref.name) for one in some], done))
        return said

    async def _repair(self, found: _Found, head: Head) -> Repair:
        where = self._parts.place(found.ref.name)
        if isinstance(found.ref, PackRef):
            return repairs.pack(where, found.ref, found.done, lost=found.loses)
        lost = await self._apps_in(found.ref, head) if found.loses else None
        return repairs.shard(where, found.ref, found.done, lost)

    async def _apps_in(self, ref: ShardRef, head: Head) -> tuple[AppKey, ...]:
        """The apps of a shard that is lost, as far as the history tells."""
        if ref.name not in self._named:
            places, there = shards.range_of(ref), dict[AppKey, bool]()
            for pack in packs.packs_of(head.history):
                try:
                    entries = await self._parts.changesets(pack)
                except GoneError:
                    continue
                for entry in entries:
                    there |= {app.key: app.stays for app in entry.apps if shards.place(app.key) in places}
            self._named[ref.name] = tuple(sorted(key for key, stays in there.items() if stays))
        return self._named[ref.name]


def _revision(head: Head, newest: Entry | None) -> Revision:
    if newest is not None and newest.number == head.revision:
        return newest.revision
    message = Message(subject=head.subject, trailers=head.trailers)
    return Revision(f"r{head.revision}", message, head.happened or head.recorded, head.recorded)


def _strays(head: Head | None, listed: Iterable[str]) -> tuple[str, ...]:
    named = head.names if head else frozenset[str]()
    return tuple(name for name in listed if name not in named)


def _is_strange(at: ConfigMap, head: Head) -> bool:
    """Whether a head is another object than the one that we wrote, or others have written to it."""
    return head.uid not in ("", at.uid) or bool(set(at.managers) - {FIELD_MANAGER})


def _version(at: ConfigMap | None) -> tuple[str, str] | None:
    return (at.uid, at.resource_version) if at else None
