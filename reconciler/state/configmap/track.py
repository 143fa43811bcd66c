"""One cluster's track in ConfigMaps: what is read and written when. The layout is in ``documents``.

An append creates the parts of the new revision, then moves the head by compare-and-swap: before that
nothing has happened, after it everything has. It builds on what was read or written last, without asking
again: a head that others have moved meanwhile is not moved. What others did to the parts or to the head is
put right by the next append after a look: parts that are lost or changed are written anew under other names,
and the others stay.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime

import msgspec

from reconciler.changes.change import Changeset
from reconciler.errors import LostRaceError, NotKeptError, NotWholeError, StoreError, UsageError
from reconciler.model import FORMAT, App, AppKey, Snapshot
from reconciler.state.configmap import documents, repairs, shards
from reconciler.state.configmap import history as packs
from reconciler.state.configmap.access import ConfigMapAccess
from reconciler.state.configmap.documents import Entry, Head, PackRef, Part, Protest, ShardRef
from reconciler.state.configmap.parts import GoneError, Parts
from reconciler.state.configmap.reading import RESTARTS, Reader, View
from reconciler.state.configmap.writing import Writer
from reconciler.state.store import Message, Recorded, Revision, Trailer


class ConfigMapTrack:
    """The observed track of one cluster."""

    def __init__(
        self, access: ConfigMapAccess, namespace: str, name: str, history: int, cluster_uuid: str
    ) -> None:
        self._history = history
        self._cluster_uuid = cluster_uuid
        self._head_name = documents.head_name(name, cluster_uuid)
        self._parts = Parts(access, namespace, self._head_name, cluster_uuid)
        self._reader = Reader(self._parts)
        self._writer = Writer(access, self._parts)
        self._instance = ""
        self._begun_anew = ""
        self._must_look = False

    async def tip(self) -> Recorded | None:
        """The newest revision, or None before the first; two small requests when it is known already."""
        return (await self._look()).recorded

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

        ValueError for changes that change nothing, if there is nothing to repair.
        """
        view = self._reader.known
        if view is None or self._must_look or not _is_tip(on, view):
            view = await self._look()
        if not _is_tip(on, view):
            raise LostRaceError(f"{self._parts.where}: another revision was recorded in between")
        if not changes and not (on and on.repairs):
            raise ValueError(f"{self._parts.where}: the changes change nothing")
        before = view.recorded.snapshot.apps if view.recorded else {}
        stored = Snapshot(self._cluster_uuid, changes.cluster_after, packs.apply(before, changes))
        number, head = view.next_number, view.head
        revision = Revision(f"r{number}", message, happened, recorded)
        entry = _entry(view, stored, changes, revision)

        refs, written = shards.spread(self._head_name, number, _leaves(view), changes)
        together, newest = packs.newest_packs(self._head_name, number, view.entries, entry)
        older, again = await self._older_packs(view, together=together)
        kept = packs.trim((*older, *(ref for ref, _ in newest)), self._history)
        wanted = Head(
            format=FORMAT,
            cluster_uuid=self._cluster_uuid,
            kube_system_uid=stored.cluster.kube_system_uid,
            created=head.created if head else recorded,
            revision=number,
            subject=message.subject,
            recorded=recorded,
            digest=stored.digest,
            shards=refs,
            history=kept,
            dropped=kept[0].first - 1,
            happened=happened,
            trailers=message.trailers,
            cluster=stored.cluster,
            protests=_protests(head, message),
            uid=view.at.uid if view.at else "",
        )
        waiting = await self._writer.sweep(head.garbage, recorded) if head else ()
        swept = {item.name for item in (head.garbage if head else ())} - {item.name for item in waiting}
        unneeded = {*(head.names if head else ()), *view.strays} - swept
        garbage = documents.discard(waiting, unneeded, wanted.names, recorded)
        wanted = msgspec.structs.replace(wanted, garbage=garbage)
        self._must_look = True  # what it leaves if it ends here is found by the next look
        wanted = await self._create(
            [one.part for one in written] + again, [part for _, part in newest], wanted
        )
        moved = await self._writer.move(view.at, wanted)
        self._must_look = False
        result = Recorded(revision, stored)
        self._reader.known = View(
            at=moved,
            head=wanted,
            recorded=result,
            held=_held(view, refs) | {one.part.name: one.apps for one in written},
            newest=entry,
            entries=(*view.entries, entry) if together else (entry,) if len(newest) == 1 else (),
            next_number=number + 1,
        )
        return result

    @property
    def notices(self) -> tuple[str, ...]:
        """As ``Track.notices``: who objects to whom writes here; that a record could not be read."""
        head = self._reader.known.head if self._reader.known else None
        said = [
            repairs.protested(one.instance, one.against)
            for one in (head.protests if head else ())
            if one.instance != self._instance
        ]
        return (*([self._begun_anew] if self._begun_anew else []), *said)

    async def rescue(self) -> None:
        pass

    async def protest(self, instance: str, against: str) -> None:
        """As ``Track.protest``: in the head, beside what it says of the record. It goes when ``against``
        does not write any more."""
        word = Protest(instance, against)
        self._instance = instance
        await self._swap(
            lambda there: (
                there if word in there else (*(one for one in there if one.instance != instance), word)
            )
        )

    async def withdraw(self, instance: str = "") -> None:
        """As ``Track.withdraw``."""
        if mine := {self._instance, instance} - {""}:
            await self._swap(lambda there: tuple(one for one in there if one.instance not in mine))
            self._instance = ""

    async def history(self, app: AppKey | None = None) -> AsyncIterator[Revision]:
        """Revisions, newest first, as far back as they are kept."""
        async for entry in self._entries():
            if app is None or any(change.key == app for change in entry.apps):
                yield entry.revision

    async def at(self, revision: str) -> Recorded:
        """The revision of that id; UsageError if there is none, or it is not kept any more."""
        view = await self._look()
        return await self._rebuild(view, self._number(view, revision))

    async def before(self, revision: str) -> Recorded | None:
        """The revision before, None for the first; UsageError if either is not kept any more."""
        view = await self._look()
        number = self._number(view, revision)
        async for entry in self._entries():
            if entry.number == number:
                return await self._rebuild(view, entry.built_on) if entry.built_on else None
        raise self._not_kept(view, number)

    async def departed(self, since: datetime) -> tuple[App, ...]:
        """As ``Track.departed``, as far back as the history is kept."""
        found: dict[AppKey, App] = {}
        async for entry in self._entries():
            if entry.recorded <= since:
                break
            for change in entry.apps:
                if not change.stays and change.before is not None:
                    found.setdefault(change.key, change.before)
        return tuple(app for _, app in sorted(found.items()))

    # Reading

    async def _look(self) -> View:
        self._must_look = True  # what was known before is not to be built upon if this fails
        await self._writer.settled()
        view = await self._reader.look()
        self._must_look = False
        self._begun_anew = view.begun_anew or self._begun_anew
        return view

    def _oldest(self, head: Head) -> int:
        """The number of the oldest revision that is kept."""
        return max(head.dropped, head.revision - self._history) + 1

    async def _entries(self) -> AsyncIterator[Entry]:
        """The changesets that can be read, newest first, each once, whoever appends meanwhile."""
        below = 0
        while step := await self._older(await self._reader.look(), below):
            for entry in reversed(step):
                yield entry
            below = step[0].number

    async def _older(self, view: View, below: int) -> tuple[Entry, ...]:
        """Those of the newest pack that has some before revision ``below`` (0: any), oldest first."""
        if view.head is None:
            return ()
        oldest = self._oldest(view.head)
        for pack in reversed(packs.packs_of(view.head.history)):
            if pack[0].last < oldest or (below and pack[0].first >= below):
                continue
            try:
                entries = await self._changesets(view, pack)
            except GoneError:  # appended since, and long ago; or lost
                latest = await self._reader.look()
                if latest.head and latest.head.history != view.head.history:
                    return await self._older(latest, below)
                continue
            some = tuple(
                entry for entry in entries if entry.number >= oldest and (not below or entry.number < below)
            )
            if some:
                return some
        return ()

    async def _changesets(self, view: View, pack: tuple[PackRef, ...]) -> tuple[Entry, ...]:
        if view.entries and view.head and pack[-1].name == view.head.history[-1].name:
            return view.entries
        return await self._parts.changesets(pack)

    def _number(self, view: View, revision: str) -> int:
        """The number in a revision's id. Its beginning would be the id of another one."""
        if view.head is None:
            raise UsageError(f"{self._parts.where} is not there: no revision was recorded yet")
        digits = revision.removeprefix("r")
        number = int(digits) if digits.isascii() and digits.isdecimal() else 0
        newest = view.head.revision
        if revision != f"r{number}" or not 1 <= number <= newest:
            oldest = self._oldest(view.head)
            raise UsageError(
                f"{self._parts.where} has no revision {revision!r}: it has r{oldest} to r{newest}"
            )
        return number

    def _not_kept(self, view: View, number: int) -> UsageError:
        oldest = self._oldest(view.head) if view.head else 1
        if number >= oldest:
            return UsageError(f"revision r{number} is lost: somebody deleted or replaced what held it")
        return NotKeptError(f"revision r{number} is not kept any more: the oldest is r{oldest}")

    async def _rebuild(self, view: View, number: int) -> Recorded:
        """The snapshot of a revision: changesets are taken back from the newest one."""
        assert view.head is not None and view.recorded is not None  # noqa: S101, PT018 - so says _number
        if number == view.head.revision:
            return view.recorded
        apps, expected = dict(view.recorded.snapshot.apps), view.head.revision
        async for entry in self._entries():
            if entry.number > view.head.revision:  # appended since
                continue
            if entry.number != expected:
                break
            if entry.number == number:
                snapshot = Snapshot(self._cluster_uuid, entry.cluster, dict(sorted(apps.items())))
                if snapshot.digest != entry.digest:
                    break
                return Recorded(entry.revision, snapshot)
            if not entry.complete:
                raise NotWholeError(
                    f"revision r{number} cannot be rebuilt: what r{entry.number} replaced was lost before,"
                    " or too large to be kept"
                )
            packs.undo(apps, entry)
            expected = entry.built_on
        raise self._not_kept(view, number)

    # Writing

    async def _older_packs(self, view: View, *, together: bool) -> tuple[list[PackRef], list[Part]]:
        """The packs that stay, without those that are lost; and those among them that are written again."""
        there = list(view.head.history) if view.head else []
        kept: list[PackRef] = []
        again: list[Part] = []
        for ref in there[:-1] if together else there:
            if ref.name not in view.unsound:
                kept.append(ref)
                continue
            try:
                entries = await self._changesets(view, (ref,))
            except GoneError:
                continue
            plain = documents.encode_entries(entries)
            again.append(documents.make_part(self._head_name, view.next_number, "history", plain))
            kept.append(packs.pack_ref(ref.first, ref.last, again[-1]))
        return kept, again

    async def _create(self, parts: list[Part], newest: list[Part], head: Head) -> Head:
        """Create the parts; the last one, with a copy of the head, when all the others are there."""
        uids = {part.name: await self._writer.create(part) for part in (*parts, *newest[:-1])}
        head = _with_uids(head, uids)
        copy = documents.encode_copy(msgspec.structs.replace(head, history=head.history[:-1]))
        return _with_uids(head, {newest[-1].name: await self._writer.create(newest[-1], copy)}).sealed()

    async def _swap(self, change: Callable[[tuple[Protest, ...]], tuple[Protest, ...]]) -> None:
        """Change the protests in the head, and nothing else. Raises StoreError."""
        for _ in range(RESTARTS):
            at, head = await self._parts.head()
            if at is None or head is None:
                if not change(()):  # there is nothing to take back
                    return
                raise StoreError(
                    f"{self._parts.where} is not there, or was edited: nothing can be said in it"
                )
            protests = change(head.protests)
            if protests == head.protests:
                return
            try:
                moved = await self._writer.move(at, msgspec.structs.replace(head, protests=protests))
            except LostRaceError:
                continue
            known = self._reader.known
            if known is not None and known.head is not None and known.is_at(at):
                head = msgspec.structs.replace(known.head, protests=protests)
                self._reader.known = msgspec.structs.replace(known, at=moved, head=head)
            return
        raise StoreError(f"{self._parts.where} keeps changing: too many record at once")


def _is_tip(on: Recorded | None, view: View) -> bool:
    tip = view.recorded
    if on is None or tip is None:
        return on is None and tip is None
    return (on.revision, on.snapshot.digest) == (tip.revision, tip.snapshot.digest)


def _entry(view: View, stored: Snapshot, changes: Changeset, revision: Revision) -> Entry:
    """The changeset. What was lost and is there again, as the digest of the whole proves, has not changed."""
    base, complete = _base(view, stored)
    before = view.head.revision if view.head else 0
    return Entry(
        number=view.next_number,
        message=revision.message,
        happened=revision.happened,
        recorded=revision.recorded,
        digest=stored.digest,
        cluster=stored.cluster,
        apps=packs.undos(base, changes),
        complete=complete,
        base=None if before == view.next_number - 1 else before,
    )


def _base(view: View, stored: Snapshot) -> tuple[Mapping[AppKey, App], bool]:
    """The apps before an append, and whether that is known to be all of them, as they were."""
    if view.recorded is None or view.head is None:
        return {}, True
    apps = view.recorded.snapshot.apps
    if view.lost:
        ranges = [shards.range_of(ref) for ref in view.lost]
        back = {
            key: app for key, app in stored.apps.items() if any(shards.place(key) in one for one in ranges)
        }
        healed = Snapshot(stored.cluster_uuid, stored.cluster, {**apps, **back})
        return (healed.apps, True) if healed.digest == view.head.digest else (apps, False)
    return apps, view.recorded.snapshot.digest == view.head.digest


def _leaves(view: View) -> list[shards.Leaf]:
    return [
        shards.Leaf(
            shards.range_of(ref),
            view.held.get(ref.name, ()),
            None if ref.name in view.unsound else ref,
        )
        for ref in (view.head.shards if view.head else ())
    ]


def _held(view: View, refs: tuple[ShardRef, ...]) -> dict[str, tuple[App, ...]]:
    return {ref.name: view.held[ref.name] for ref in refs if ref.name in view.held}


def _with_uids(head: Head, uids: Mapping[str, str]) -> Head:
    return msgspec.structs.replace(
        head,
        shards=tuple(msgspec.structs.replace(ref, uid=uids.get(ref.name, ref.uid)) for ref in head.shards),
        history=tuple(msgspec.structs.replace(ref, uid=uids.get(ref.name, ref.uid)) for ref in head.history),
    )


def _protests(head: Head | None, message: Message) -> tuple[Protest, ...]:
    """Those against who writes this."""
    writer = message.trailer(Trailer.INSTANCE)
    return tuple(one for one in (head.protests if head else ()) if one.against == writer)
