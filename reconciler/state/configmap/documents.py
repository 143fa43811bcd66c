"""What the ConfigMap store writes, as values, and their JSON.

One cluster has, in one namespace (``<c>`` is a hash of the cluster's UUID, ``<d>`` one of the content)::

    <name>-<c>                     the head: data["head.json"], the only one that ever changes
    <name>-<c>-r<n>-apps-<d>       the apps of a range of hashes: binaryData["apps.json.gz"], immutable
    <name>-<c>-r<n>-history-<d>    changesets: binaryData["history.json.gz"], immutable; and a copy of the
                                   head that names it, binaryData["head.json.gz"]

The head names the others: the shards of the newest snapshot, and the packs of changesets. ``r<n>`` is the
revision that a part was made for, and a part is only ever made for the revision after the head's. So a part
that the head of revision n or later does not name, made for n or earlier, can never be named again: no
writer need be asked before it is deleted, only slow readers waited for. And where there are parts for a
revision further on, the head was once further on as well.

A head knows the UIDs of its parts and its own, and its own digest: what is not as we wrote it shows.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from reconciler.changes.change import Operation
from reconciler.errors import FormatError, StoreError
from reconciler.kept import kept_once
from reconciler.model import FORMAT, App, AppKey, Cluster, digest_of, encode
from reconciler.state.configmap.access import pack, unpack
from reconciler.state.store import ClusterDirectory, Message, Revision

HEAD_KEY: Final = "head.json"
COPY_KEY: Final = "head.json.gz"
PART_KEYS: Final = {"apps": "apps.json.gz", "history": "history.json.gz"}


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of what is stored: strict when it is read back."""


class ShardRef(_Document, frozen=True):
    """Where the apps of a range of hashes are: ``first`` to ``last``, both included, eight hexadecimal
    digits each (two, ``00`` and ``ff``, before shards were split).

    ``digest``: of the JSON; ``size``: bytes, packed; ``uid``: of the ConfigMap. 0 and "": not known.
    """

    first: str
    last: str
    name: str
    digest: str
    apps: int
    size: int = 0
    uid: str = ""


class PackRef(_Document, frozen=True):
    """Where the changesets of revisions ``first`` to ``last`` are. ``size``: bytes, packed.

    A changeset that is too large for one ConfigMap has several, which follow each other.
    """

    first: int
    last: int
    name: str
    digest: str
    size: int
    uid: str = ""


Ref = ShardRef | PackRef


def kind_of(ref: Ref) -> str:
    """``apps`` or ``history``."""
    return "apps" if isinstance(ref, ShardRef) else "history"


class Garbage(_Document, frozen=True):
    """A part that no snapshot needs any more, and since when."""

    name: str
    since: datetime


class Protest(_Document, frozen=True):
    """``instance`` stopped, because ``against`` writes here."""

    instance: str
    against: str


class Head(_Document, frozen=True):
    """What moves by compare-and-swap. ``dropped``: changesets that are not kept any more.

    ``created``: when the first revision was recorded. ``revision``, ``subject``, ``recorded``,
    ``happened``, ``trailers``, ``digest`` and ``cluster`` are of the newest revision, whose body is in the
    history; without ``happened`` all of it is there alone (as before shards were split).
    ``uid``: of the head's ConfigMap, "" in the first, whose UID was not known yet; ``check``: the digest of
    the rest.
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
    happened: datetime | None = None
    trailers: tuple[tuple[str, str], ...] = ()
    cluster: Cluster | None = None
    garbage: tuple[Garbage, ...] = ()
    protests: tuple[Protest, ...] = ()
    uid: str = ""
    check: str = ""

    @property
    def refs(self) -> tuple[Ref, ...]:
        return (*self.shards, *self.history)

    @property
    def names(self) -> frozenset[str]:
        """The parts that this head needs."""
        return frozenset(ref.name for ref in self.refs)

    @property
    def is_old(self) -> bool:
        """Whether it was written before shards were split, and heads checked."""
        ranges = [(ref.first, ref.last) for ref in self.shards]
        return self.happened is None and not self.check and ranges == [("00", "ff")]

    def sealed(self) -> "Head":
        """With the ``check`` that belongs to it; an old one has none."""
        return self if self.is_old else msgspec.structs.replace(self, check=self._digest)

    @property
    def is_intact(self) -> bool:
        return self.is_old or self.check == self._digest

    @property
    def _digest(self) -> str:
        return digest_of(encode(msgspec.structs.replace(self, check="")))


class Undo(_Document, frozen=True):
    """One app of a changeset, and what it was before (None: not there)."""

    namespace: str
    name: str
    operation: Operation
    before: App | None = None

    @property
    def key(self) -> AppKey:
        return AppKey(self.namespace, self.name)

    @property
    def stays(self) -> bool:
        """Whether the app is there after the changeset."""
        return self.operation not in (Operation.UNINSTALL, Operation.DENY)


class Entry(_Document, frozen=True):
    """A changeset. ``digest`` and ``cluster`` are those of the snapshot after it.

    ``complete``: whether ``apps`` have what they were before. ``base``: the revision that it was built on,
    0 for none; None: the one with the number before.
    """

    number: int
    message: Message
    happened: datetime
    recorded: datetime
    digest: str
    cluster: Cluster
    apps: tuple[Undo, ...]
    complete: bool = True
    base: int | None = None

    @property
    def revision(self) -> Revision:
        return Revision(f"r{self.number}", self.message, self.happened, self.recorded)

    @property
    def built_on(self) -> int:
        return self.number - 1 if self.base is None else self.base


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


def head_of_part(part: str) -> str:
    """The name of the head that a part was made for, by its own; "" if it is no part's."""
    head, _, rest = part.rpartition("-r")
    return head if rest.partition("-")[0].isdecimal() else ""


def make_part(head: str, number: int, kind: str, plain: bytes) -> Part:
    digest = digest_of(plain)
    return Part(f"{head}-r{number}-{kind}-{digest[:16]}", kind, digest, pack(plain))


def encode_head(head: Head) -> str:
    """JSON for people: indented."""
    return msgspec.json.format(encode(head), indent=2).decode() + "\n"


def decode_head(text: str, where: str) -> Head | None:
    """Read a head; None if it is not one that we wrote, or not any more.

    FormatError naming ``where`` when it is a newer program's.
    """
    try:
        if _PREFACE.decode(text).format > FORMAT:
            raise FormatError(
                f"{where} was written by a newer program (format above {FORMAT}): upgrade this one"
            )
        head = _HEAD.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return None
    return head if head.is_intact and head.shards and head.history else None


def encode_copy(head: Head) -> bytes:
    """The copy of a head that goes into the newest pack, whose own name is not in it."""
    return pack(encode(head.sealed()))


def decode_bare_copy(packed: bytes) -> Head | None:
    """The head that was copied into a pack, which it does not name; None if there is none (any more)."""
    try:
        head = _HEAD.decode(unpack(packed, ""))
    except (msgspec.DecodeError, StoreError):
        return None
    return head if head.format <= FORMAT and head.check and head.is_intact else None


def decode_copy(packed: bytes, pack_ref: PackRef) -> Head | None:
    """As ``decode_bare_copy``, with the pack that it was copied into."""
    head = decode_bare_copy(packed)
    return head and msgspec.structs.replace(head, history=(*head.history, pack_ref))


def decode_directory(text: str) -> tuple[datetime | None, ClusterDirectory] | None:
    """Which cluster a head of any format is about, and since when; None if it is none."""
    try:
        preface = _PREFACE.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return None
    return preface.created, ClusterDirectory(preface.cluster_uuid, preface.kube_system_uid)


def decode_apps(data: bytes) -> tuple[App, ...]:
    return tuple(map(kept_once, _APPS.decode(data)))


def encode_entries(entries: tuple[Entry, ...]) -> bytes:
    return encode(entries)


def decode_entries(data: bytes) -> tuple[Entry, ...]:
    return _ENTRIES.decode(data)


def discard(
    garbage: Iterable[Garbage], names: Iterable[str], needed: frozenset[str], now: datetime
) -> tuple[Garbage, ...]:
    """The garbage of the next head: what was there, and what is garbage from now on."""
    known = {item.name: item for item in garbage}
    for name in sorted(set(names) - needed):
        known.setdefault(name, Garbage(name, now))
    return tuple(known.values())
