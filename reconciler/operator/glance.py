"""A look in passing reads nothing but the cluster: neither store nor ledger, until an interval is over.

The last whole round read the record and the ledger. While only this leadership writes them, a look can be
compared with that: most of what happens in a cluster is deferred, settling, or nothing that a record has,
and what is worth recording goes on top. Both are written by compare-and-swap, so what others wrote meanwhile
is never written over: then a whole round is due at once. What they did and we do not write to is noticed by
the next whole round, an interval after the last one.
"""

import msgspec

from reconciler.inventory.objects import Look
from reconciler.model import PolicyInEffect
from reconciler.operator.continuity import Continuity
from reconciler.operator.step import Ground, Round, Step
from reconciler.policy.approval import REQUIRED
from reconciler.policy.brake import Course
from reconciler.policy.entry import LedgerView
from reconciler.project import Project
from reconciler.state.store import Recorded


class Known(msgspec.Struct, frozen=True):
    """What the last whole round found. ``at``: when, in monotonic seconds."""

    this: Round
    tip: Recorded | None
    course: Continuity
    at: float

    def ground(self, view: LedgerView | None, *, now: float) -> Ground | None:
        """What a look may be compared with; None where a whole round is due."""
        interval = self.this.project.spec.interval.total_seconds()
        if view is None or view.suspect or not self.at <= now < self.at + interval:
            return None
        on = Ground(self.tip, view, self.course)
        return None if on.is_wanting or (self.tip is not None and self.tip.repairs) else on

    def after(self, tip: Recorded | None) -> "Known":
        """The same once this is the newest revision, by us."""
        return msgspec.structs.replace(self, tip=tip)

    def round(self, project: Project, policy: PolicyInEffect, look: Look) -> Round | None:
        """The same round with a new look; None where it is another one."""
        before, whose = self.this.project, self.this.whose
        same = before.uid == project.uid and before.spec == project.spec
        if not same or before.annotations != project.annotations or self.this.policy != policy:
            return None
        if look.kube_system_uid != whose.kube_system_uid:
            return None
        return msgspec.structs.replace(self.this, project=project, look=look)


def is_plain(step: Step, policy: PolicyInEffect) -> bool:
    """Whether a step is an ordinary commit: nothing that waits for other looks, or for what people say, and
    no app under another UUID. The former one has to end, and is in the record only until then: were the
    ledger lost since it was read, nobody would know it."""
    waits = step.is_premature or step.braking.course is not Course.NONE
    renamed = any(
        change.before is not None
        and change.after is not None
        and change.before.app_uuid != change.after.app_uuid
        for change in step.decision.changes
    )
    return not (waits or renamed or policy.push.approval == REQUIRED)


def is_idle(step: Step, on: Ground) -> bool:
    """Whether there is nothing to record, and nothing that the ledger must know."""
    if step.decision.changes or step.is_premature or step.braking.course is not Course.NONE:
        return False
    facts = on.view.facts
    kept = {str(key): digest for key, digest in step.kept.items()}
    return kept == facts.unsettled and step.braking.memory == facts.removals
