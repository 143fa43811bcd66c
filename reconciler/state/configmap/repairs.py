"""What is said of a record in ConfigMaps that is not as the reconciler left it. Pure.

Each text is of the form ``<what> was <done to it>``, with what it means for the record after a colon.
"""

from collections.abc import Sequence
from typing import Final

from reconciler.model import AppKey
from reconciler.state.configmap.documents import Head, PackRef, ShardRef
from reconciler.state.store import Repair

MOST_NAMED: Final = 5
"""Apps that a sentence names; it counts the others."""

MOST_PARTS: Final = 3
"""Parts in which nothing is lost that have a sentence each; more of them have one together."""

DELETED: Final = "deleted"
REPLACED: Final = "deleted and created again with other content"
RESTORED: Final = "deleted and created again"
RELABELLED: Final = "given other labels"
MUTABLE: Final = "made again so that it can be changed"


def shard(where: str, ref: ShardRef, done: str, lost: Sequence[AppKey] | None) -> Repair:
    """A shard. ``lost``: the apps that are known to have been in it, if their state is not known any
    more; None if it is."""
    if lost is None:
        return Repair(f"{where} was {done}: {_counted(ref.apps)} in it are known, and nothing is lost")
    names = f" ({_named(lost, ref.apps)})" if lost else ""
    what = f"what was recorded of {_counted(ref.apps)}{names} is lost, and taken from the live cluster"
    key = lost[0] if ref.apps == len(lost) == 1 else None
    return Repair(f"{where} was {done}: {what}", key, loses=True)


def pack(where: str, ref: PackRef, done: str, *, lost: bool) -> Repair:
    """A pack of changesets."""
    if not lost:
        return Repair(f"{where} was {done}: its changesets, {_span(ref)}, are there, and nothing is lost")
    return Repair(
        f"{where} was {done}: the changesets {_span(ref)} are lost, and with them all snapshots before"
        f" r{ref.last}; the newest one is whole"
    )


def intact(places: Sequence[str], done: str) -> Repair:
    """Several parts in which nothing is lost."""
    return Repair(
        f"{places[0]} and {len(places) - 1:,} more of the record were {done}: nothing in them is lost"
    )


def head_gone(where: str, chosen: Head) -> Repair:
    return Repair(f"{where}, the head, was deleted: it is made again from its copy at {_at(chosen)}")


def head_edited(where: str, chosen: Head) -> Repair:
    return Repair(f"{where}, the head, was edited: what was there before is known from {_at(chosen)}")


def head_set_back(where: str, head: Head, chosen: Head, highest: int) -> Repair:
    """The head is of an earlier revision than one that was recorded."""
    text = f"{where}, the head, was set back to r{head.revision}, as from a backup"
    if chosen.revision > head.revision:
        return Repair(f"{text}: what was recorded later is known, up to {_at(chosen)}")
    return Repair(f"{text}: what was recorded later, up to r{highest}, is lost", loses=True)


def head_restored(where: str, head: Head) -> Repair:
    """The head is another object than the one that we wrote."""
    return Repair(
        f"{where}, the head, was restored as it was at {_at(head)}: what was recorded later, if anything,"
        " is lost",
        loses=True,
    )


def head_relabelled(where: str) -> Repair:
    return Repair(f"{where}, the head, was {RELABELLED}: it gets its own back")


def head_wrong(where: str) -> Repair:
    text = f"{where}, the head, was edited: its digest is not that of the apps that it names"
    return Repair(text, loses=True)


def begun_anew(where: str, next_number: int) -> str:
    """The notice of a record of which nothing can be read any more."""
    return (
        f"{where} and what it named were deleted or edited, and cannot be read any more:"
        f" the record begins anew at r{next_number}"
    )


def protested(instance: str, against: str) -> str:
    """The notice of a second writer that stopped."""
    return (
        f"another reconciler (Instance {instance}) found this record written by Instance {against} and"
        " stopped: two of them record the same cluster; stop one, or give each a cluster of its own"
    )


def _at(head: Head) -> str:
    return f"r{head.revision} ({head.subject})"


def _span(ref: PackRef) -> str:
    return f"r{ref.first}" if ref.first == ref.last else f"r{ref.first} to r{ref.last}"


def _counted(apps: int) -> str:
    return "1 app" if apps == 1 else f"{apps:,} apps"


def _named(keys: Sequence[AppKey], apps: int) -> str:
    names = ", ".join(str(key) for key in keys[:MOST_NAMED])
    more = apps - min(len(keys), MOST_NAMED)
    return f"{names} and {more:,} more" if more > 0 else names
