"""Whether the record goes on where it was left, as the ledger remembers it; and what to do where it does not.

The ledger's facts name the place and the last revision that were recorded. A place that is another one,
or does not have that revision any more, holds an older record, or none: another ``spec.state``, a store
that was lost or restored from a backup. What was recorded before it was told is then known to the ledger
still (nothing is told that was not recorded), so the record is taken up from there: no older state is told
meanwhile, and what merely got lost is neither an install nor an uninstall.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from reconciler.errors import UsageError
from reconciler.model import App, AppKey, PolicyInEffect
from reconciler.policy.entry import EMPTY, Entry, LedgerFacts
from reconciler.policy.keys import drawn_at
from reconciler.policy.protocol import told
from reconciler.project import GitState, Spec, moment
from reconciler.state.store import Recorded, Store, Track, Trailer

_SECOND = timedelta(seconds=1)
_SHOWN = 12  # characters of a revision


class Course(StrEnum):
    """How a track stands to what the ledger remembers of it."""

    ON = "on"  # the last revision is here, or nothing is remembered
    MOVED = "moved"  # it is elsewhere
    SET_BACK = "set back"  # it was here, and is not any more


class Continuity(msgspec.Struct, frozen=True):
    """``place``: the store in use, for people; ``known``: what the ledger remembers of the last one."""

    course: Course
    place: str
    known: LedgerFacts

    @property
    def is_broken(self) -> bool:
        return self.course is not Course.ON

    def trailers(self) -> tuple[tuple[str, str], ...]:
        """What a commit says of it for programs."""
        return ((Trailer.PREVIOUS, _previous(self.known)),) if self.course is Course.MOVED else ()

    def notes(self, tip: Recorded | None) -> tuple[str, ...]:
        """What a commit on top of ``tip`` says of it for people."""
        place, last = self.known.location, self.known.revision[:_SHOWN]
        if self.course is Course.MOVED:
            since = "older history" if tip is None else f"history since revision {tip.revision.id[:_SHOWN]}"
            return (f"The {since}, up to revision {last}, is in {place}.",)
        if self.course is Course.SET_BACK:
            if tip is None:
                return (f"There was a record here, up to revision {last}. It is gone.",)
            back = tip.revision.id[:_SHOWN]
            return (f"This record was set back to revision {back}: revision {last} is not in it any more.",)
        return ()


async def continuity(track: Track, tip: Recorded | None, known: LedgerFacts, place: str) -> Continuity:
    """How a track stands, its ``tip`` just read. Raises what ``Track.at`` raises but UsageError."""
    return Continuity(await _course(track, tip, known, place), place, known)


async def _course(track: Track, tip: Recorded | None, known: LedgerFacts, place: str) -> Course:
    if not known.location:
        return Course.ON
    if known.location == place:
        if tip is None:
            return Course.SET_BACK
        return Course.ON if await _has(track, tip, known.revision) else Course.SET_BACK
    if tip is None:
        return Course.MOVED
    if tip.revision.message.trailer(Trailer.PREVIOUS) == _previous(known):
        return Course.ON  # told already, by a commit that the ledger has not heard of
    # A commit's hash is the same wherever a repository was moved to; a number is not.
    is_copy = not known.revision.startswith("r") and await _has(track, tip, known.revision)
    return Course.ON if is_copy else Course.MOVED


async def _has(track: Track, tip: Recorded, revision: str) -> bool:
    if tip.revision.id == revision:
        return True
    try:
        await track.at(revision)
    except UsageError:
        return False
    return True


def _previous(known: LedgerFacts) -> str:
    return f"{known.location} {known.revision}"


def place_of(spec: Spec, store: Store, cluster_uuid: str) -> str:
    """Where a spec keeps the record of a cluster: in words, without credentials, and the same each time."""
    if isinstance(spec.state, GitState):
        return f"branch {spec.state.branch.replace('{cluster_uuid}', cluster_uuid)} of {store.location}"
    return store.location


def believed(
    tip: Recorded | None,
    entries: Mapping[AppKey, Entry],
    live: Collection[AppKey],
    *,
    broken: bool,
) -> Mapping[AppKey, App]:
    """The record as it was before something of it was lost, as far as the ledger can tell.

    ``broken``: what was told after the tip was recorded was told from a record that is newer than it.
    Where apps may be missing from the tip, those that are live are as they were last told. ``live``: the
    apps that the cluster has: none of them is taken for uninstalled.
    """
    recorded: Mapping[AppKey, App] = tip.snapshot.apps if tip is not None else {}
    if not broken and not loses(tip):
        return recorded
    result = dict(recorded)
    for key, entry in entries.items():
        known, was = told(entry), recorded.get(key)
        lost = key in live and _may_be_lost(tip, key)
        if not (lost or (broken and (tip is None or _is_newer(entry, known, was, tip)))):
            continue
        if known is not None and not known.is_uninstalled:
            result[key] = known
        elif key not in live:
            result.pop(key, None)
    return dict(sorted(result.items()))


def loses(tip: Recorded | None) -> bool:
    """Whether apps may be missing from a track's newest snapshot, or be older in it than they were."""
    return tip is not None and any(repair.loses for repair in tip.repairs)


def missing(
    tip: Recorded | None, entries: Mapping[AppKey, Entry], live: Mapping[AppKey, App]
) -> frozenset[AppKey]:
    """The apps that the tip lost: they are not new, since they were told, or Helm did its last to them
    before the tip was recorded."""
    if tip is None or not loses(tip):
        return frozenset()
    return frozenset(
        key
        for key, app in live.items()
        if _may_be_lost(tip, key)
        and (told(entries.get(key, EMPTY)) is not None or _is_older(app, tip.revision.recorded))
    )


def vanished(
    tip: Recorded | None, entries: Mapping[AppKey, Entry], policy: PolicyInEffect
) -> dict[AppKey, App]:
    """The apps that were told of and are not in the tip, although no removal of them was recorded: the tip
    lost them, or their namespace was denied and is not any more. Each as it was told last."""
    if tip is None:
        return {}
    old = tip.snapshot.cluster.policy
    if not loses(tip) and old.denyNamespaces == policy.denyNamespaces:
        return {}
    return {
        key: app
        for key, entry in sorted(entries.items())
        if (_may_be_lost(tip, key) or old.denies(key.namespace))
        and not policy.denies(key.namespace)
        and key not in tip.snapshot.apps
        and (app := told(entry)) is not None
        and not app.is_uninstalled
    }


def _may_be_lost(tip: Recorded | None, key: AppKey) -> bool:
    """Whether an app that is not in the tip may have been: what was denied was not."""
    if tip is None or not loses(tip) or key in tip.snapshot.apps:
        return False
    return not tip.snapshot.cluster.policy.denies(key.namespace)


def _is_older(app: App, than: datetime) -> bool:
    updated = moment(app.helm.updated)
    return updated is not None and updated < than


def _is_newer(entry: Entry, known: App | None, was: App | None, tip: Recorded) -> bool:
    """Whether an entry tells of a later record than the tip's.

    Within the second to which git knows when the tip was recorded, the later Helm time tells.
    """
    newest = entry.sending or entry.acked
    if newest is None:
        return False
    drawn, since = drawn_at(newest.key), tip.revision.recorded
    if drawn <= since or drawn >= since + _SECOND or known is None:
        return drawn > since
    later, earlier = moment(known.helm.updated), moment(was.helm.updated) if was is not None else since
    return later is not None and earlier is not None and later > earlier
