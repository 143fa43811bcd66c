"""What a result becomes for others: the status, Events, and the line in the log. Pure.

The status is written when a condition changes, else at most every ten seconds, and less often the more it
lists; and when nothing but the timestamp would change, at most once an ``interval``.
"""

from collections.abc import Collection
from datetime import timedelta

import msgspec

from reconciler.operator.conditions import (
    ATTENTION,
    REFUSED,
    REMOVALS_HELD,
    UNREADABLE,
    conditions,
    counted,
    removals_held,
    sentence,
    unreadable,
)
from reconciler.operator.result import Approving, Result
from reconciler.policy.brake import Course
from reconciler.project import Listing, Project, SnapshotRef, Status, Summary, build_status

REMOVALS_RELEASED = "RemovalsReleased"

MIN_DELAY = timedelta(seconds=10)
"""Between two writes of the status that change no condition."""

LISTED_DELAY = timedelta(milliseconds=60)
"""The same for each release that it lists, where that is more: a minute for 1,000. Whatever of it is written,
the API server decodes, checks and encodes all of it some times, which takes 50 to 100 ms then."""

UNDER_WAY = timedelta(seconds=2)
"""For how long a status that says "ready" may stand although something is under way: an upgrade is recorded
and told in less, and then two of three writes were for nothing."""


class Notice(msgspec.Struct, frozen=True):
    """An Event to be. ``warning``: of type Warning, else Normal."""

    reason: str
    message: str
    warning: bool = False


def status_of(
    project: Project,
    result: Result,
    email_id: str,
    echoed: Collection[str] = (),
    listing: Listing | None = None,
) -> Status:
    """The project's status after a result; what the result does not know stays as it was. ``echoed``: as of
    ``echo``; ``listing``: what the status before was made with."""
    recorded = result.recorded
    return build_status(
        project.status,
        at=result.at,
        generation=result.generation,
        conditions=conditions(result),
        cluster_uuid=result.cluster_uuid or None,
        kube_system_uid=result.kube_system_uid or None,
        email_id=email_id,
        releases=(listing or Listing()).of(recorded.snapshot.apps) if recorded is not None else None,
        summary=_summary(project.status.summary or Summary(), result),
        snapshot=SnapshotRef(recorded.snapshot.digest, recorded.revision.id)
        if recorded is not None
        else None,
        signing_key=result.signing_key,
        handled=echo(project, echoed),
    )


def echo(project: Project, echoed: Collection[str]) -> str | None:
    """Which request to reconcile the status should answer next, None for none.

    There are two annotations and one field. Each value is shown once; of two new ones Flux's is first, since
    its client waits for it. ``echoed``: the present values that were shown, besides the one that is.
    """
    shown = {*echoed, project.status.lastHandledReconcileAt}
    return next((value for value in project.requests if value not in shown), None)


def is_under_way(result: Result) -> bool:
    """Whether what a result shows is about to be over, if all goes well."""
    told = result.delivery
    pending = told is not None and told.pending > 0
    if result.failure is not None or result.braking.course.holds or (told is not None and told.trouble):
        return False
    return pending or bool(result.waiting)


def delay(
    old: Status,
    new: Status,
    since_last: timedelta,
    interval: timedelta,
    *,
    under_way: timedelta | None = None,
) -> timedelta | None:
    """How long to wait before writing ``new`` over ``old``; None when it need not be written at all.

    ``since_last``: since the last write, ``timedelta.max`` before the first. ``under_way``: for how long
    something has been, None when nothing is. A clock that was set back makes nothing wait longer.
    """
    if _states(old) != _states(new):
        if under_way is None or not _is_ready(old, new):
            return timedelta()
        return UNDER_WAY - min(max(under_way, timedelta()), UNDER_WAY)
    if _but_for_the_time(old) == _but_for_the_time(new):
        last, now = old.last_reconcile, new.last_reconcile
        fresh = last is not None and now is not None and timedelta() <= now - last < interval
        return None if fresh else timedelta()
    rest = _rest(old, new)
    return rest - min(max(since_last, timedelta()), rest)


def _rest(old: Status, new: Status) -> timedelta:
    """Between two writes; somebody waits for an answer to a request."""
    if old.lastHandledReconcileAt != new.lastHandledReconcileAt:
        return MIN_DELAY
    return max(MIN_DELAY, len(new.reconcileHelmReleases) * LISTED_DELAY)


def notices(before: Result | None, result: Result) -> tuple[Notice, ...]:
    """The Events that a result is worth, given the one before it."""
    found = []
    if result.changes is not None and result.recorded is not None:
        revision = result.recorded.revision
        found.append(Notice("Recorded", f"{revision.message.subject} (revision {revision.id[:12]})"))
    was = None if before is None else before.failure
    failure = result.failure
    if failure is not None and (
        was is None or (was.reason, was.message) != (failure.reason, failure.message)
    ):
        found.append(Notice(failure.reason, failure.message, warning=True))
    found += _approval(None if before is None else before.approving, result.approving)
    found += _removals(None if before is None else before.braking.course, result)
    known = () if before is None else before.notices
    found += [Notice(ATTENTION, text, warning=True) for text in result.notices if text not in known]
    return tuple(found)


def _approval(before: Approving | None, after: Approving | None) -> list[Notice]:
    """What went wrong with approval since ``before``."""
    if after is None:
        return []
    was = before or Approving(after.branch)
    new = [why for key, why in sorted(after.refused.items()) if was.refused.get(key) != why]
    found = [Notice(REFUSED, sentence(new), warning=True)] if new else []
    if after.trouble and after.trouble != was.trouble:
        found.append(Notice(UNREADABLE, unreadable(after), warning=True))
    return found


def _removals(before: Course | None, result: Result) -> list[Notice]:
    """What became of removals that are too many at once. ``before``: the result before."""
    braking, course = result.braking, result.braking.course
    if result.failure is not None:
        return []
    if course is Course.BEGUN or (course.holds and before is not None and not before.holds):
        return [Notice(REMOVALS_HELD, removals_held(result.project, braking), warning=True)]
    if course is Course.ENDED:
        text = "no removals are held any more: the apps are there again, or are not too many"
        return [Notice(REMOVALS_RELEASED, text)]
    changed = result.changes.by_key.keys() if result.changes is not None else frozenset()
    if course.releases and not changed.isdisjoint(braking.keys):
        why = "a second complete look agrees" if course is Course.AGREED else "they were confirmed"
        return [Notice(REMOVALS_RELEASED, f"{len(braking.keys)} removals are recorded: {why}")]
    return []


def ignored(project: Project) -> Notice | None:
    """The Event that names fields of the upstream operator that have no effect here."""
    if not project.spec.ignored:
        return None
    named = ", ".join(f"spec.{field}" for field in project.spec.ignored)
    return Notice("FieldsIgnored", f"{named}: accepted, without effect; this reconciler installs nothing")


def line(result: Result) -> str:
    """One line for the log."""
    if result.failure is not None:
        return f"{result.failure.stage} failed ({result.failure.reason}): {result.failure.message}"
    if result.stopped:
        return "stopped, as the project says"
    parts = []
    if result.inventory is not None:
        parts.append(f"{counted(len(result.inventory.apps), 'app')} seen")
    if result.changes is not None and result.recorded is not None:
        revision = result.recorded.revision
        parts.append(f"recorded {revision.id[:12]}: {revision.message.subject}")
    if result.waiting:
        parts.append(f"{len(result.waiting)} waiting")
    if result.braking.course.holds:
        parts.append(f"the removal of {counted(len(result.braking.keys), 'app')} held")
    if result.differences:
        parts.append(f"{counted(result.differences, 'missed change')} put right since the start")
    return ", ".join(parts)


def _summary(old: Summary, result: Result) -> Summary:
    seen, told = result.inventory, result.delivery
    if seen is not None:
        old = msgspec.structs.replace(
            old,
            releases=len(seen.apps),
            pods=seen.pods,
            unreadable=len(seen.unreadable),
            unattributed=len(seen.unattributed),
        )
    if told is not None:
        old = msgspec.structs.replace(old, pending=told.pending, rejected=len(told.rejected))
    return old


def _states(status: Status) -> set[tuple[str, str, str, int]]:
    return {(one.type, one.status, one.reason, one.observedGeneration) for one in status.conditions}


def _is_ready(old: Status, new: Status) -> bool:
    """Whether the old one says "ready", of the same generation."""
    return any(one.type == "Ready" and one.status == "True" for one in old.conditions) and (
        old.observedGeneration == new.observedGeneration
    )


def _but_for_the_time(status: Status) -> Status:
    return msgspec.structs.replace(status, lastReconcileTimestamp="")
