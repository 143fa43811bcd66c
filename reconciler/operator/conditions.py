"""The conditions of a project, computed from a result: one function a condition, no client, no clock.

``Collected``, ``Recorded`` and ``Delivered`` say how each part stands. ``Ready`` sums them up;
``Reconciling`` and ``Stalled`` are there only when true (kstatus' convention), so that ``kubectl wait``,
Flux and Argo CD understand them.
"""

from collections.abc import Iterable

from reconciler.inventory.objects import Gap
from reconciler.model import rfc3339
from reconciler.operator.result import Approving, Delivery, Failure, Result, Stage
from reconciler.policy.brake import CONFIRM, Braking
from reconciler.project import Condition

STOPPED = "Stopped"
ATTENTION = "Attention"
"""It is recorded, and people should know something of the record."""
REMOVALS_HELD = "RemovalsHeld"
"""It is recorded, but for removals that are far too many at once."""
GONE = "; gone: "
"""Between what is said of removals that are held, and which they are."""
AWAITING = "AwaitingApproval"
REFUSED = "ApprovalRefused"
UNREADABLE = "ApprovalUnreadable"
IN_DOUBT = "LedgerInDoubt"
_DOUBT = "the ledger was lost or restored: nothing is told until it is clear again what the API may have"
_NAMED = 3  # objects that a message names before it counts the rest


def conditions(result: Result) -> tuple[Condition, ...]:
    """All conditions that a result gives, in the order in which people read them."""
    collected, recorded, delivered = _collected(result), _recorded(result), _delivered(result)
    ready = _ready(result, collected, recorded, delivered)
    found = [ready]
    if result.failure is not None and result.failure.stalled:
        found.append(Condition("Stalled", "True", result.failure.reason, result.failure.message))
    elif (progress := _reconciling(result)) is not None:
        found.append(progress)
    return (*found, collected, recorded, delivered)


def stalled(reason: str, message: str) -> tuple[Condition, ...]:
    """The conditions of a project that is not served until a person acts."""
    return (Condition("Ready", "False", reason, message), Condition("Stalled", "True", reason, message))


def _collected(result: Result) -> Condition:
    if result.stopped:
        return Condition("Collected", "False", STOPPED, "spec.stop is true: nothing is listed")
    failure = _failure_at(result, Stage.COLLECT)
    if failure is not None:
        return Condition("Collected", "False", failure.reason, failure.message)
    if result.releases is None:
        return Condition("Collected", "Unknown", "NotYet", "the cluster has not been looked at yet")
    seen, problems = result.releases, [describe_gap(gap) for gap in result.gaps]
    if result.inventory is not None:
        seen = len(result.inventory.apps)
        problems += map(str, result.inventory.problems)
    if problems:
        return Condition("Collected", "False", "Partial", sentence(problems))
    return Condition("Collected", "True", "Complete", f"{counted(seen, 'release')} seen")


def _recorded(result: Result) -> Condition:
    failure = _failure_at(result, Stage.RECORD)
    if failure is not None:
        return Condition("Recorded", "False", failure.reason, failure.message)
    if result.recorded is None:
        if result.waiting:
            return Condition("Recorded", "Unknown", "Settling", _waiting(result))
        return Condition("Recorded", "Unknown", "NotYet", "nothing has been recorded yet")
    revision = f"revision {result.recorded.revision.id[:12]}: {result.recorded.revision.message.subject}"
    held = [removals_held(result.project, result.braking)] if result.braking.course.holds else []
    parts = [*held, *_attention(result), revision, *([_waiting(result)] if result.waiting else [])]
    reason = ATTENTION if _attention(result) else "Settling" if result.waiting else "UpToDate"
    if held:
        reason = REMOVALS_HELD
    return Condition("Recorded", "True", reason, "; ".join(parts))


def _attention(result: Result) -> list[str]:
    """What people should know of the record: first, since a long message is cut at its end."""
    found = list(result.notices)
    if result.recorded is not None and result.recorded.repairs:
        edits = sentence([repair.what for repair in result.recorded.repairs])
        found.append(f"{edits}: restored with the next commit")
    return found


def _delivered(result: Result) -> Condition:
    if result.stopped:
        return Condition("Delivered", "False", STOPPED, "spec.stop is true: nothing is pushed")
    delivery = result.delivery
    if delivery is None:
        return Condition("Delivered", "Unknown", "NotYet", "what is to be told has not been worked out yet")
    return _told(delivery, result.approving)


def _told(delivery: Delivery, approving: Approving | None) -> Condition:
    if not delivery.configured:
        return Condition(
            "Delivered", "Unknown", "NotConfigured", "HOSSTED_API_URL is not set: nothing is pushed"
        )
    if delivery.in_doubt:
        return Condition("Delivered", "False", IN_DOUBT, _DOUBT)
    if approving is not None and approving.trouble:
        return Condition("Delivered", "False", UNREADABLE, unreadable(approving))
    if delivery.pending:
        reason = "ApiUnusable" if delivery.stopped else "Pending"
        return Condition("Delivered", "False", reason, _pending(delivery))
    if delivery.rejected:
        named = sentence([str(key) for key in delivery.rejected])
        return Condition("Delivered", "False", "Rejected", f"the API rejected {named}")
    return _approved(delivery, approving)


def _approved(delivery: Delivery, approving: Approving | None) -> Condition:
    """All that may be told was told: what people must see to, or have not approved yet."""
    if approving is not None and approving.refused:
        return Condition("Delivered", "False", REFUSED, sentence(approving.refused.values()))
    if approving is not None and delivery.unapproved:
        return Condition("Delivered", "True", AWAITING, _awaiting(delivery, approving))
    return Condition("Delivered", "True", "UpToDate", "the API has acknowledged everything it should know")


def _ready(result: Result, *parts: Condition) -> Condition:
    if result.failure is not None:
        return Condition("Ready", "False", result.failure.reason, result.failure.message)
    if result.stopped:
        return Condition("Ready", "True", STOPPED, "stopped, as spec.stop asks")
    collected, recorded, delivered = parts
    for part in (recorded, delivered):
        if part.status == "False" or part.reason == "NotYet":
            return Condition("Ready", "False", part.reason, part.message)
    if recorded.status == "Unknown":
        return Condition("Ready", "False", recorded.reason, recorded.message)
    if collected.reason == "Partial" and recorded.reason != REMOVALS_HELD:
        return Condition("Ready", "True", "Partial", f"recorded what could be read; {collected.message}")
    noted = [part for part in (recorded, delivered) if part.reason in (REMOVALS_HELD, ATTENTION, AWAITING)]
    reason, message = (noted[0].reason, noted[0].message) if noted else ("UpToDate", recorded.message)
    return Condition("Ready", "True", reason, message)


def _reconciling(result: Result) -> Condition | None:
    if result.failure is not None:
        return Condition("Reconciling", "True", "Retrying", result.failure.message)
    if result.stopped:
        return None
    if result.delivery is not None and result.delivery.configured and result.delivery.pending:
        return Condition("Reconciling", "True", "Delivering", _pending(result.delivery))
    if result.waiting:
        return Condition("Reconciling", "True", "Settling", _waiting(result))
    return None


def _failure_at(result: Result, stage: Stage) -> Failure | None:
    return result.failure if result.failure is not None and result.failure.stage is stage else None


def _pending(delivery: Delivery) -> str:
    text = f"{counted(delivery.pending, 'app')} pending"
    if not delivery.trouble:
        return text
    again = f"; next try at {rfc3339(delivery.next_try)}" if delivery.next_try is not None else ""
    return f"{text}: {delivery.trouble}{again}"


def unreadable(approving: Approving) -> str:
    """What people should know of an approved branch that cannot be read."""
    return f"what is approved on {approving.branch} cannot be read, so no more is told: {approving.trouble}"


def _awaiting(delivery: Delivery, approving: Approving) -> str:
    number = len(delivery.unapproved)
    verb = "waits" if number == 1 else "wait"
    named = sentence([str(key) for key in delivery.unapproved])
    return f"{counted(number, 'app')} {verb} for approval on the branch {approving.branch}: {named}"


def _waiting(result: Result) -> str:
    return "waiting for " + sentence([f"{key} ({why})" for key, why in sorted(result.waiting.items())])


def removals_held(project: str, braking: Braking) -> str:
    """What the brake holds and until when, and how a person confirms it: first, as long messages are cut."""
    if not braking.keys:
        return "removals are held until a look sees everything"
    command = f"kubectl annotate hosstedproject {project} {CONFIRM}"
    how = f"{command}={braking.left} --overwrite"
    if braking.stale:
        how = f"that annotation is from before: take it away ({command}-), and give it anew after a look"
    from_then_on = "" if braking.due is None else f" from {rfc3339(braking.due)} on"
    return (
        f"{len(braking.keys)} of {counted(braking.of, 'app')} are gone at once: their removal is held until "
        f"a complete look{from_then_on} finds the same, or you confirm it: {how}"
        f"{GONE}{sentence(map(str, braking.keys))}"
    )


def describe_gap(gap: Gap) -> str:
    """``cannot read pods in team-a: …``."""
    where = f" in {gap.namespace}" if gap.namespace else ""
    return f"cannot read {gap.kind}{where}: {gap.message or ('forbidden' if gap.forbidden else 'failed')}"


def sentence(items: Iterable[str]) -> str:
    """A list in words, cut with a count."""
    named = list(items)
    rest = len(named) - _NAMED
    return "; ".join(named[:_NAMED]) + (f"; and {rest} more" if rest > 0 else "")


def counted(number: int, noun: str) -> str:
    """``1 app``, ``2 apps``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
