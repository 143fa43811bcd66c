"""Which shard an app is in, and how shards are divided and joined. Pure.

An app's place is the hash of its key, a number of 32 bits; a shard has the apps of a range of places. The
ranges halve: each is all places, or a half of such a range. So a shard that grew is divided, and two halves
that shrank are joined, without touching any other.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate
from typing import Final

import msgspec

from reconciler.changes.change import Changeset
from reconciler.errors import TooLargeError
from reconciler.model import App, AppKey, encode
from reconciler.state.configmap.access import PACKED_LIMIT
from reconciler.state.configmap.documents import Part, ShardRef, make_part

SPLIT_AT: Final = 32 * 1024
"""Packed bytes above which a shard is divided: what one changed app costs to write."""

SPLIT_PLAIN_AT: Final = 256 * 1024
"""Bytes of JSON above which it is divided as well: packing that much takes 3 to 5 ms."""

JOIN_AT: Final = SPLIT_AT // 4
"""Packed bytes up to which two halves are joined, so that a shard is not soon divided again."""

PLACES: Final = 1 << 32


class Range(msgspec.Struct, frozen=True, order=True):
    """Places from ``first`` to ``last``, both included."""

    first: int
    last: int

    def halves(self) -> tuple["Range", "Range"]:
        middle = (self.first + self.last) // 2
        return Range(self.first, middle), Range(middle + 1, self.last)

    @property
    def parent(self) -> "Range":
        """The range that this is a half of."""
        size = 2 * (self.last - self.first + 1)
        first = self.first - self.first % size
        return Range(first, first + size - 1)

    def __contains__(self, place: int) -> bool:
        return self.first <= place <= self.last


ALL: Final = Range(0, PLACES - 1)


class Leaf(msgspec.Struct, frozen=True):
    """A shard and its apps, in the order of their keys. ``ref`` is None for what must be written (again)."""

    range: Range
    apps: tuple[App, ...]
    ref: ShardRef | None = None


class Written(msgspec.Struct, frozen=True):
    """A shard that is to be created."""

    part: Part
    apps: tuple[App, ...]


@lru_cache(maxsize=65_536)
def place(key: AppKey) -> int:
    """The place of an app, from 0 to 2³²-1."""
    return int.from_bytes(blake2b(str(key).encode(), digest_size=4).digest(), "big")


def range_of(ref: ShardRef) -> Range:
    """The places that a shard is about."""
    return Range(int(ref.first.ljust(8, "0"), 16), int(ref.last.ljust(8, "f"), 16))


def cover(ranges: Iterable[Range]) -> bool:
    """Whether every place is in one of the ranges, and in one only."""
    there = sorted(ranges)
    return [one.first for one in there] == [0, *(one.last + 1 for one in there[:-1])] and there[
        -1
    ].last == PLACES - 1


def spread(
    head: str, number: int, leaves: Sequence[Leaf], changes: Changeset
) -> tuple[tuple[ShardRef, ...], tuple[Written, ...]]:
    """The shards after ``changes``, in order, and those among them that are to be created.

    ``leaves``: the shards before; none before the first revision. Raises TooLargeError for an app that
    fits into no ConfigMap, naming it.
    """
    before = {leaf.range: leaf for leaf in leaves} or {ALL: Leaf(ALL, ())}
    touched = {one: leaf.apps for one, leaf in before.items() if leaf.ref is None}
    touched |= _changed(before, changes)
    made: dict[Range, Written] = {}
    for one, apps in touched.items():
        made |= _divide(head, number, one, apps)
    untouched = {one: leaf for one, leaf in before.items() if one not in touched}
    _join(head, number, made, untouched)
    refs = {one: leaf.ref for one, leaf in untouched.items() if leaf.ref} | {
        one: _ref(one, written) for one, written in made.items()
    }
    return tuple(ref for _, ref in sorted(refs.items())), tuple(
        written for _, written in sorted(made.items())
    )


def _changed(before: Mapping[Range, Leaf], changes: Changeset) -> dict[Range, tuple[App, ...]]:
    """The apps of the shards that a changeset touches, after it."""
    ranges = sorted(before)
    grouped: dict[Range, dict[AppKey, App]] = {}
    order = sorted(changes, key=lambda change: place(change.key))
    at = 0
    for change in order:
        while place(change.key) not in ranges[at]:
            at += 1
        apps = grouped.get(ranges[at])
        if apps is None:
            apps = grouped[ranges[at]] = {app.key: app for app in before[ranges[at]].apps}
        if change.after is None:
            apps.pop(change.key, None)
        else:
            apps[change.key] = change.after
    return {one: tuple(app for _, app in sorted(apps.items())) for one, apps in grouped.items()}


def _divide(head: str, number: int, where: Range, apps: tuple[App, ...]) -> dict[Range, Written]:
    alone = len(apps) <= 1 or where.first == where.last
    if alone or not _is_large(apps):
        part = make_part(head, number, "apps", encode(apps))
        if alone:
            _check_size(part, apps)
        if alone or len(part.packed) <= SPLIT_AT:
            return {where: Written(part, apps)}
    divided: dict[Range, Written] = {}
    for half in where.halves():
        divided |= _divide(head, number, half, tuple(app for app in apps if place(app.key) in half))
    return divided


def _is_large(apps: Iterable[App]) -> bool:
    """Whether their JSON is more than a shard has; of a whole cluster it would be tens of megabytes."""
    sizes = accumulate(len(encode(app)) for app in apps)
    return any(size > SPLIT_PLAIN_AT for size in sizes)


def _check_size(part: Part, apps: Collection[App]) -> None:
    if len(part.packed) > PACKED_LIMIT:
        largest = max(apps, key=lambda app: len(encode(app)))
        raise TooLargeError(
            f"app {largest.key} has {len(largest.app_info.pod_info)} containers and takes"
            f" {len(part.packed)} bytes packed, and a ConfigMap holds {PACKED_LIMIT}: nothing can be recorded"
            " with it; deny its namespace (spec.denyNamespaces), or keep the state in git (spec.state.git)"
        )


def _join(head: str, number: int, made: dict[Range, Written], untouched: dict[Range, Leaf]) -> None:
    """Join what was made with its other half, as long as both are small; in place."""
    waiting = sorted(made)
    while waiting:
        one = waiting.pop()
        if one not in made or one == ALL:
            continue
        other = next(half for half in one.parent.halves() if half != one)
        size = _size(other, made, untouched)
        if size is None or len(made[one].part.packed) + size > JOIN_AT:
            continue
        apps = made[other].apps if other in made else untouched[other].apps
        both = tuple(sorted((*made[one].apps, *apps), key=lambda app: app.key))
        made.pop(other, None)
        untouched.pop(other, None)
        del made[one]
        made[one.parent] = Written(make_part(head, number, "apps", encode(both)), both)
        waiting.append(one.parent)


def _size(where: Range, made: Mapping[Range, Written], untouched: Mapping[Range, Leaf]) -> int | None:
    """Packed bytes of a shard; None if there is none of that range, or its size is not known."""
    if where in made:
        return len(made[where].part.packed)
    leaf = untouched.get(where)
    return leaf.ref.size or None if leaf and leaf.ref else None


def _ref(where: Range, written: Written) -> ShardRef:
    return ShardRef(
        first=f"{where.first:08x}",
        last=f"{where.last:08x}",
        name=written.part.name,
        digest=written.part.digest,
        apps=len(written.apps),
        size=len(written.part.packed),
    )
