"""What the ConfigMap store writes, as values and pure functions on them.

One cluster has, in one namespace (``<c>`` is a hash of the cluster's UUID, ``<d>`` one of the content)::

    <name>-<c>                     the head: data["head.json"], the only one that ever changes
    <name>-<c>-r<n>-apps-<d>       apps of one hash range: binaryData["apps.json.gz"], immutable
    <name>-<c>-r<n>-history-<d>    up to 20 changesets: binaryData["history.json.gz"], immutable

The head names the others. ``r<n>`` is the revision that a part was made for, and a part is only ever made
for the revision after the head's. So a part that the head of revision n or later does not name, made for n
or earlier, can never be named again: no writer need be asked before it is deleted, only slow readers waited
for.

A changeset keeps, for each app that it changed, what the app was before. Older snapshots are rebuilt by
undoing changesets from the newest snapshot back, and checked against the digest kept for each.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from reconciler.changes.change import Changeset, Operation
from reconciler.errors import FormatError, TooLargeError
from reconciler.model import FORMAT, App, AppKey, Cluster, Snapshot, digest_of, encode
from reconciler.state.configmap_access import PACKED_LIMIT, pack
from reconciler.state.store import ClusterDirectory, Message, Revision

HEAD_KEY: Final = "head.json"
PART_KEYS: Final = {"apps": "apps.json.gz", "history": "history.json.gz"}

PACK_ENTRIES: Final = 20
"""Changesets in one ConfigMap: the newest such pack is written anew at each append, so it stays small."""

PACK_BYTES: Final = 128 * 1024
"""Packed size at which a pack is full, whatever it holds."""

HISTORY_BYTES: Final = 16 * 1024 * 1024
"""Packed size of all the history of one cluster: etcd is for everybody, and 2 GiB in all by default."""

GRACE: Final = timedelta(minutes=10)
"""How long a part that no head names any more is kept for readers of the head that did."""


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of what is stored: strict when it is read back."""


class ShardRef(_Document, frozen=True):
    """Where the apps of a range of hashes are (``00`` to ``ff``, both included). ``digest``: of the JSON."""

    first: str
    last: str
    name: str
    digest: str
    apps: int


class PackRef(_Document, frozen=True):
    """Where the changesets of revisions ``first`` to ``last`` are. ``size``: bytes, packed."""

    first: int
    last: int
    name: str
    digest: str
    size: int


class Garbage(_Document, frozen=True):
    """A part that no snapshot needs any more, and since when."""

    name: str
    since: datetime


class Head(_Document, frozen=True):
    """What moves by compare-and-swap. ``dropped``: changesets that are not kept any more.

    ``created``: when the first revision was recorded; ``digest``: of the newest snapshot; ``subject`` and
    ``recorded`` of the newest revision are there for people (and to tell one head from another).
    """

    format: int
    cluster_uuid: str
    kube_system_uid: str
    created: datetime
    revision: int
    subject: str
    recorded: datetime
    digest: str
    shards: tuple[ShardRef, ...]
    history: tuple[PackRef, ...]
    dropped: int = 0
    garbage: tuple[Garbage, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The parts that this head needs."""
        return frozenset({ref.name for ref in self.shards} | {ref.name for ref in self.history})


class Undo(_Document, frozen=True):
    """One app of a changeset, and what it was before (None: not there)."""

    namespace: str
    name: str
    operation: Operation
    before: App | None = None

    @property
    def key(self) -> AppKey:
        return AppKey(self.namespace, self.name)


class Entry(_Document, frozen=True):
    """One changeset. ``complete``: the apps' earlier forms are in it; without them (they did not fit) it
    tells what changed and when, but snapshots before it cannot be rebuilt."""

    number: int
    message: Message
    happened: datetime
    recorded: datetime
    digest: str
    cluster: Cluster
    apps: tuple[Undo, ...]
    complete: bool = True

    @property
    def revision(self) -> Revision:
        return Revision(f"r{self.number}", self.message, self.happened, self.recorded)


class Part(msgspec.Struct, frozen=True):
    """A ConfigMap to be created: its name, its kind, the digest of its plain bytes, its packed bytes."""

    name: str
    kind: str
    digest: str
    packed: bytes


class _Preface(msgspec.Struct, frozen=True):
    """What every format of a head has."""

    format: int
    cluster_uuid: str
    kube_system_uid: str = ""
    created: datetime | None = None


_APPS = msgspec.json.Decoder(tuple[App, ...])
_ENTRIES = msgspec.json.Decoder(tuple[Entry, ...])
_HEAD = msgspec.json.Decoder(Head)
_PREFACE = msgspec.json.Decoder(_Preface)


def head_name(name: str, cluster_uuid: str) -> str:
    return f"{name}-{cluster_hash(cluster_uuid)}"


def cluster_hash(cluster_uuid: str) -> str:
    """Twelve hexadecimal digits that stand for a cluster in names and labels."""
    return digest_of(cluster_uuid.encode())[:12]


def made_for(part: str, head: str) -> int | None:
    """The revision that a part was made for, by its name; None if it is no part of that head's."""
    number = part.removeprefix(f"{head}-r").partition("-")[0]
    return int(number) if part.startswith(f"{head}-r") and number.isdecimal() else None


def encode_head(head: Head) -> str:
    """JSON for people: indented."""
    return msgspec.json.format(encode(head), indent=2).decode() + "\n"


def decode_head(text: str, where: str) -> Head:
    """Read a head; FormatError naming ``where`` when it is a newer program's, or none."""
    try:
        if _PREFACE.decode(text).format > FORMAT:
            raise FormatError(
                f"{where} was written by a newer program (format above {FORMAT}): upgrade this one"
            )
        return _HEAD.decode(text)
    except msgspec.DecodeError as error:
        raise FormatError(
            f"{where} is not a head that we wrote: restore it from a backup, or delete it to begin anew"
        ) from error


def decode_directory(text: str, where: str) -> tuple[datetime | None, ClusterDirectory]:
    """Which cluster a head of any format is about, and since when; FormatError if it is none."""
    try:
        preface = _PREFACE.decode(text)
    except msgspec.DecodeError as error:
        raise FormatError(f"{where} is not a head that we wrote: delete it, or remove its labels") from error
    return preface.created, ClusterDirectory(preface.cluster_uuid, preface.kube_system_uid)


def decode_apps(data: bytes) -> tuple[App, ...]:
    return _APPS.decode(data)


def decode_entries(data: bytes) -> tuple[Entry, ...]:
    return _ENTRIES.decode(data)


def apply(apps: Mapping[AppKey, App], changes: Changeset) -> dict[AppKey, App]:
    """The apps after a changeset, in key order."""
    after = dict(apps)
    for change in changes:
        if change.after is None:
            after.pop(change.key, None)
        else:
            after[change.key] = change.after
    return dict(sorted(after.items()))


def undo(apps: dict[AppKey, App], entry: Entry) -> None:
    """Take a changeset back, in place."""
    for app in entry.apps:
        if app.before is None:
            apps.pop(app.key, None)
        else:
            apps[app.key] = app.before


def undos(apps: Mapping[AppKey, App], changes: Changeset) -> tuple[Undo, ...]:
    """What takes ``changes`` back: from what was stored, which is what a rebuilt snapshot must equal."""
    return tuple(Undo(*change.key, change.operation, apps.get(change.key)) for change in changes)


def shards(head: str, number: int, snapshot: Snapshot) -> tuple[tuple[ShardRef, Part], ...]:
    """The apps of a snapshot as parts: one for now, whose range is all hashes.

    Raises TooLargeError when they do not fit.
    """
    part = _part(head, number, "apps", encode(tuple(snapshot.apps.values())))
    if len(part.packed) > PACKED_LIMIT:
        raise TooLargeError(
            f"the {len(snapshot.apps)} apps of cluster {snapshot.cluster_uuid} take {len(part.packed)} bytes"
            f" packed, and a ConfigMap holds {PACKED_LIMIT}: keep the state in git (spec.state.git)"
        )
    return ((ShardRef("00", "ff", part.name, part.digest, len(snapshot.apps)), part),)


def newest_pack(head: str, last: Sequence[Entry], entry: Entry) -> tuple[bool, PackRef, Part]:
    """The pack that ends with ``entry``, and whether it takes the place of the one that holds ``last``.

    An entry that does not fit even alone is kept without the apps' earlier forms.
    """
    if last and len(last) < PACK_ENTRIES:
        together = _pack_part(head, (*last, entry))
        if len(together.packed) <= PACK_BYTES:
            return True, _pack_ref(last[0].number, entry.number, together), together
    alone = _pack_part(head, (entry,))
    if len(alone.packed) > PACKED_LIMIT:
        bare = tuple(msgspec.structs.replace(app, before=None) for app in entry.apps)
        alone = _pack_part(head, (msgspec.structs.replace(entry, apps=bare, complete=False),))
    return False, _pack_ref(entry.number, entry.number, alone), alone


def trim(packs: Sequence[PackRef], keep: int) -> tuple[PackRef, ...]:
    """What is kept of the history: the oldest packs go first, whole, and the newest one never."""
    newest = packs[-1].last
    start = 0
    while start < len(packs) - 1 and (
        newest - packs[start].last >= keep or sum(pack.size for pack in packs[start:]) > HISTORY_BYTES
    ):
        start += 1
    return tuple(packs[start:])


def discard(
    garbage: Iterable[Garbage], names: Iterable[str], needed: frozenset[str], now: datetime
) -> tuple[Garbage, ...]:
    """The garbage of the next head: what was there, and what is garbage from now on."""
    known = {item.name: item for item in garbage}
    for name in sorted(set(names) - needed):
        known.setdefault(name, Garbage(name, now))
    return tuple(known.values())


def _part(head: str, number: int, kind: str, plain: bytes) -> Part:
    digest = digest_of(plain)
    return Part(f"{head}-r{number}-{kind}-{digest[:16]}", kind, digest, pack(plain))


def _pack_part(head: str, entries: tuple[Entry, ...]) -> Part:
    return _part(head, entries[-1].number, "history", encode(entries))


def _pack_ref(first: int, last: int, part: Part) -> PackRef:
    return PackRef(first, last, part.name, part.digest, len(part.packed))
