"""The changesets that are kept: how they are packed, trimmed and taken back. Pure.

A changeset keeps, for each app that it changed, what the app was before. Older snapshots are rebuilt by
undoing changesets from the newest snapshot back, and checked against the digest kept for each.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

import msgspec

from reconciler.changes.change import Changeset
from reconciler.differing import with_these
from reconciler.model import App, AppKey, encode
from reconciler.state.configmap.access import PACKED_LIMIT
from reconciler.state.configmap.documents import Entry, PackRef, Part, Undo, make_part

PACK_ENTRIES: Final = 20
"""Changesets in one ConfigMap: the newest such pack is written anew at each append, so it stays small."""

PACK_BYTES: Final = 32 * 1024
"""Packed size at which a pack is full, whatever it holds."""

PIECE_PLAIN: Final = 2 * 1024 * 1024
"""Bytes of JSON above which a changeset alone is divided among several ConfigMaps."""

HISTORY_BYTES: Final = 16 * 1024 * 1024
"""Packed size of all the history of one cluster: etcd is for everybody, and 2 GiB in all by default."""


def apply(apps: Mapping[AppKey, App], changes: Changeset) -> Mapping[AppKey, App]:
    """The apps after a changeset, in key order."""
    return with_these(apps, {change.key: change.after for change in changes})


def undo(apps: dict[AppKey, App], entry: Entry) -> None:
    """Take a changeset back, in place."""
    for app in entry.apps:
        if app.before is None:
            apps.pop(app.key, None)
        else:
            apps[app.key] = app.before


def undos(apps: Mapping[AppKey, App], changes: Changeset) -> tuple[Undo, ...]:
    """What takes ``changes`` back: from what was stored, which is what a rebuilt snapshot must equal.

    What is as it was before is left out: it was put back, not changed.
    """
    return tuple(
        Undo(*change.key, change.operation, apps.get(change.key))
        for change in changes
        if change.after is None or apps.get(change.key) != change.after
    )


def newest_packs(
    head: str, number: int, last: Sequence[Entry], entry: Entry
) -> tuple[bool, tuple[tuple[PackRef, Part], ...]]:
    """The packs that end with ``entry``, and whether they take the place of the one that holds ``last``.

    Several when the entry is too large for one. What fits nowhere is kept without its earlier form.
    """
    if last and len(last) < PACK_ENTRIES:
        together = make_part(head, number, "history", encode((*last, entry)))
        if len(together.packed) <= PACK_BYTES:
            return True, ((pack_ref(last[0].number, entry.number, together), together),)
    return False, tuple(
        (pack_ref(entry.number, entry.number, part), part) for part in _pieces(head, number, entry)
    )


def _pieces(head: str, number: int, entry: Entry) -> Iterable[Part]:
    plain = encode((entry,))
    if len(plain) <= PIECE_PLAIN or len(entry.apps) <= 1:
        part = make_part(head, number, "history", plain)
        if len(part.packed) <= PACKED_LIMIT:
            yield part
            return
    if len(entry.apps) > 1:
        middle = len(entry.apps) // 2
        rest = msgspec.structs.replace(entry.message, body="")  # once is enough
        for message, apps in ((entry.message, entry.apps[:middle]), (rest, entry.apps[middle:])):
            yield from _pieces(head, number, msgspec.structs.replace(entry, message=message, apps=apps))
        return
    bare = tuple(msgspec.structs.replace(app, before=None) for app in entry.apps)
    without = msgspec.structs.replace(entry, apps=bare, complete=False)
    yield make_part(head, number, "history", encode((without,)))


def joined(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Entries with the pieces of one put together."""
    return tuple(_whole(tuple(pieces)) for _, pieces in groupby(entries, key=lambda entry: entry.number))


def _whole(pieces: tuple[Entry, ...]) -> Entry:
    if len(pieces) == 1:
        return pieces[0]
    return msgspec.structs.replace(
        pieces[0],
        apps=tuple(app for piece in pieces for app in piece.apps),
        complete=all(piece.complete for piece in pieces),
    )


def packs_of(refs: Iterable[PackRef]) -> tuple[tuple[PackRef, ...], ...]:
    """The ConfigMaps of each pack, oldest pack first."""
    return tuple(tuple(pieces) for _, pieces in groupby(refs, key=lambda ref: (ref.first, ref.last)))


def trim(refs: Sequence[PackRef], keep: int) -> tuple[PackRef, ...]:
    """What is kept of the history: the oldest packs go first, whole, and the newest one never."""
    packs = packs_of(refs)
    newest = packs[-1][-1].last
    sizes = [sum(ref.size for ref in pack) for pack in packs]
    start = 0
    while start < len(packs) - 1 and (
        newest - packs[start][0].last >= keep or sum(sizes[start:]) > HISTORY_BYTES
    ):
        start += 1
    return tuple(ref for pack in packs[start:] for ref in pack)


def pack_ref(first: int, last: int, part: Part) -> PackRef:
    return PackRef(first, last, part.name, part.digest, len(part.packed))
