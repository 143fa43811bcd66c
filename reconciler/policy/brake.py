"""The safety brake: when far too many apps are gone at once, their removal waits (section 5.1, ``brake``).

An API server that answers with too little looks like a cluster that was emptied. So when more than a share
of the recorded apps, and at least five, are gone in one look, all of them stay as recorded until a complete
look at least one ``interval`` later finds exactly the same gone, or a person confirms it. What is memorised
between looks is one line of text, kept durably with the ledger's facts: which removals, and since when. Other
removals, more or fewer, begin anew; so does a clock that was set back.

Not counted on either side: what is denied, since that is no removal; and what is in a namespace that is being
deleted, or not there any more, since that says by itself where its apps went.

A look that could not see everything neither agrees nor ends anything; while it lasts nothing is removed.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from reconciler.inventory.inventory import Inventory
from reconciler.model import App, AppKey, Cluster, Snapshot, digest_of
from reconciler.policy.quiet import has_left
from reconciler.project import moment

CONFIRM = "hossted.com/confirm-removals"
"""The annotation by which a person confirms removals that are held: the digest of what would be left."""

LEAST = 5
"""Fewer apps than this are never held."""

_DIGEST = re.compile("[0-9a-f]{64}")


class Course(StrEnum):
    """What becomes of removals in one look."""

    NONE = "None"  # there are not too many
    BEGUN = "Begun"  # held from now on
    HELD = "Held"
    AGREED = "Agreed"  # a second look found the same
    CONFIRMED = "Confirmed"  # a person said so
    ENDED = "Ended"  # they were held, and are not too many any more

    @property
    def holds(self) -> bool:
        return self in (Course.BEGUN, Course.HELD)

    @property
    def releases(self) -> bool:
        return self in (Course.AGREED, Course.CONFIRMED)


class Braking(msgspec.Struct, frozen=True):
    """What a look says of removals.

    ``keys``: the apps that are too many at once, held or released, in order; ``of``: how many are recorded
    and count; ``left``: the digest that confirms them; ``memory``: what the next look must know, "" for
    nothing; ``due``: from when on a complete look agrees; ``stale``: that confirmation is there, and was
    before these were held, so it is not of them.
    """

    course: Course
    keys: tuple[AppKey, ...] = ()
    of: int = 0
    left: str = ""
    memory: str = ""
    due: datetime | None = None
    stale: bool = False

    @property
    def while_unknown(self) -> "Braking":
        """What is still so while a look fails: what was held is held."""
        return msgspec.structs.replace(self, course=Course.HELD) if self.course.holds else NOTHING

    @property
    def held(self) -> frozenset[AppKey]:
        """The apps that stay as they are recorded."""
        return frozenset(self.keys) if self.course.holds else frozenset()


NOTHING = Braking(Course.NONE)


class _Memory(msgspec.Struct, frozen=True):
    """``removals``: a digest of which; ``stale``: the confirmation that was there before them."""

    removals: str
    since: datetime
    stale: str

    @classmethod
    def parse(cls, text: str) -> "_Memory | None":
        """What ``str()`` wrote; None for anything else, so that the time begins anew."""
        removals, _, rest = text.partition(" ")
        since, _, stale = rest.partition(" ")
        at = moment(since)
        return None if at is None else cls(removals, at, stale)

    def __str__(self) -> str:
        return f"{self.removals} {self.since.isoformat()} {self.stale}".rstrip()


def are_too_many(gone: int, of: int, percent: int) -> bool:
    """Whether so many removals of so many apps are more than may happen unasked."""
    return gone >= LEAST and gone * 100 > percent * of


def gone(
    recorded: Mapping[AppKey, App], inventory: Inventory, differ: Iterable[AppKey] | None = None
) -> tuple[AppKey, ...]:
    """The recorded apps whose removal counts, in order: proven gone, whether that is quiet yet or not.
    ``differ``: as ``quiet.observe`` has it."""
    among = recorded.keys() - inventory.apps.keys() if differ is None else differ
    return tuple(
        key
        for key in sorted(among)
        if key in recorded
        and key not in inventory.apps
        and has_left(inventory, key)
        and _counts(key, inventory)
    )


def left(cluster_uuid: str, recorded: Mapping[AppKey, App], removals: Iterable[AppKey]) -> str:
    """The digest of the snapshot that these removals would leave: what a person confirms."""
    removed = frozenset(removals)
    kept = {key: app for key, app in recorded.items() if key not in removed}
    return Snapshot(cluster_uuid, Cluster(), kept).digest  # of the cluster only its UUID is in the digest


def brake(
    recorded: Mapping[AppKey, App],
    inventory: Inventory,
    *,
    cluster_uuid: str,
    percent: int,
    interval: timedelta,
    at: datetime,
    complete: bool,
    memory: str,
    confirmation: str,
    differ: Iterable[AppKey] | None = None,
) -> Braking:
    """Judge the removals of a look.

    ``at``: when the look began; ``complete``: nothing of it failed (what is forbidden lasts, and is no
    failure); ``memory``: of the look before; ``confirmation``: the value of ``CONFIRM``, "" without;
    ``differ``: as ``gone`` has it.
    """
    known = _Memory.parse(memory)
    keys = gone(recorded, inventory, differ)
    of = sum(_counts(key, inventory) for key in recorded) if keys else 0
    if not are_too_many(len(keys), of, percent) and (complete or known is None):
        return NOTHING if known is None else Braking(Course.ENDED)
    said = confirmation if _DIGEST.fullmatch(confirmation) else ""
    this, wanted = digest_of("\n".join(map(str, keys)).encode()), left(cluster_uuid, recorded, keys)
    if known is None or (complete and known.removals != this):
        course, known = Course.BEGUN, _Memory(this, at, said)
    elif known.removals != this:
        course = Course.HELD
    else:
        stale = known.stale if known.stale == said else ""
        known = _Memory(this, min(known.since, at), stale)
        if said == wanted and said != stale:
            course = Course.CONFIRMED
        else:
            course = Course.AGREED if complete and at >= known.since + interval else Course.HELD
    return Braking(
        course,
        keys,
        of,
        wanted,
        str(known),
        known.since + interval,
        stale=bool(said) and said == known.stale == wanted,
    )


def _counts(key: AppKey, inventory: Inventory) -> bool:
    return not inventory.policy.denies(key.namespace) and not inventory.is_ending(key.namespace)
