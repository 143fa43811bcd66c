"""What one look means on top of one tip: everything that is decided before the first effect.

Pure but for ``Round.ground``, which may have to ask the store for an earlier revision.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

import msgspec

from reconciler.differing import Comparison
from reconciler.inventory.fold import fold
from reconciler.inventory.inventory import Inventory
from reconciler.inventory.objects import Look
from reconciler.model import App, AppKey, PolicyInEffect
from reconciler.operator.continuity import (
    Continuity,
    believed,
    continuity,
    loses,
    missing,
    place_of,
    vanished,
)
from reconciler.operator.decide import (
    Decision,
    at_once,
    cluster_of,
    is_premature,
    next_snapshot,
    waiting,
    without,
)
from reconciler.operator.identity import Whose
from reconciler.policy import quiet
from reconciler.policy.brake import CONFIRM, Braking, brake, left
from reconciler.policy.entry import LedgerFacts, LedgerView
from reconciler.policy.record import Recordable, recordable
from reconciler.policy.rules import rules_of
from reconciler.policy.unsettled import unfinished
from reconciler.project import Project
from reconciler.state.store import Recorded, Store, Track


class Ground(msgspec.Struct, frozen=True):
    """What a reconcile stands on."""

    tip: Recorded | None
    view: LedgerView
    course: Continuity

    @property
    def is_wanting(self) -> bool:
        """Whether the tip is less than what was recorded, so that nothing should be told from it."""
        return self.course.is_broken or loses(self.tip)


class Round(msgspec.Struct, frozen=True):
    """What a reconcile is about. ``look`` is None when it was stopped."""

    project: Project
    policy: PolicyInEffect
    look: Look | None
    store: Store
    whose: Whose

    @property
    def track(self) -> Track:
        return self.store.track(self.whose.cluster_uuid)

    async def ground(self, tip: Recorded | None, view: LedgerView) -> Ground:
        """What it stands on, the tip and the ledger just read. Raises what ``continuity`` raises."""
        place = place_of(self.project.spec, self.store, self.whose.cluster_uuid)
        return Ground(tip, view, await continuity(self.track, tip, view.facts, place))


class Step(msgspec.Struct, frozen=True):
    """``marks``: those of the ledger that still mean something; ``held``: apps that are held out of the
    record, and what each waits for; ``is_premature``: whether a commit must wait for them; ``braking``: the
    removals that are too many at once."""

    inventory: Inventory
    observation: quiet.Observation
    recordable: Recordable
    marks: Mapping[AppKey, str]
    decision: Decision
    held: Mapping[AppKey, str]
    is_premature: bool
    braking: Braking

    @property
    def kept(self) -> Mapping[AppKey, str]:
        """The marks that the ledger must have before a commit."""
        return {**self.marks, **self.recordable.mark_unsettled}


def step_of(
    this: Round,
    look: Look,
    on: Ground,
    tracked: Mapping[AppKey, quiet.Tracked],
    *,
    monotonic: float,
    wall: datetime,
    telling: Callable[[App], bool],
    patient: bool,
    comparison: Comparison[AppKey, App],
) -> Step:
    """The next step. ``tracked``: what the step before remembered; ``telling``: whether anything of an app
    is pushed; ``patient``: whether somebody will look again; ``comparison``: of the step before."""
    spec, policy, facts, tip = this.project.spec, this.policy, on.view.facts, on.tip
    before = tip.snapshot if tip is not None else None
    folded = partial(
        fold, look, cluster_uuid=this.whose.cluster_uuid, policy=policy, adopted=by_key(facts.adopted)
    )
    recorded: Mapping[AppKey, App] = before.apps if before is not None else {}
    inventory = folded(previous=recorded)
    lost = missing(tip, on.view.entries, inventory.apps)
    if on.is_wanting:
        recorded = believed(tip, on.view.entries, inventory.apps.keys(), broken=on.course.is_broken)
        inventory = folded(previous=recorded)
    rules = rules_of(policy)
    inventory = rules.compared(inventory, recorded)
    differ = comparison.of(recorded, inventory.apps)
    marks = unfinished(by_key(facts.unsettled), recorded, on.view.entries, telling=telling)
    observation = quiet.observe(
        tracked,
        inventory,
        recorded,
        now=monotonic,
        wall=wall,
        settle=spec.settle.total_seconds(),
        interval=spec.interval.total_seconds(),
        rules=rules,
        unsettled=marks,
        differ=differ,
    )
    if not patient:
        observation = at_once(observation, inventory)
    counted = _joined(vanished(tip, on.view.entries, policy), recorded)
    braking = _brake(this, look, facts, counted, inventory, differ=differ if counted is recorded else None)
    if braking.held:
        observation = without(observation, braking.held)
    kept = _joined(recorded, {key: counted[key] for key in sorted(braking.held)})
    chosen = recordable(
        kept,
        inventory,
        observation.verdicts,
        policy=policy,
        unsettled=marks,
        differ=differ if kept is recorded else None,
    )
    decision = next_snapshot(
        before,
        chosen.apps,
        inventory.revisions,
        cluster_uuid=this.whose.cluster_uuid,
        cluster=cluster_of(spec.cluster_name, look.kube_system_uid, policy, look.gaps),
        believed=recorded,
        lost=lost,
    )
    held = waiting(inventory, observation, recorded)
    premature = is_premature(before, policy, inventory, held, lost)
    if braking.held:
        after = counted if premature else decision.snapshot.apps
        braking = msgspec.structs.replace(braking, left=left(this.whose.cluster_uuid, after, braking.keys))
    return Step(inventory, observation, chosen, marks, decision, held, premature, braking)


def _joined(some: Mapping[AppKey, App], others: Mapping[AppKey, App]) -> Mapping[AppKey, App]:
    """Both in key order, the second before the first; the very same mapping where there is only one."""
    return dict(sorted({**some, **others}.items())) if some and others else some or others


def _brake(
    this: Round,
    look: Look,
    facts: LedgerFacts,
    counted: Mapping[AppKey, App],
    inventory: Inventory,
    *,
    differ: frozenset[AppKey] | None,
) -> Braking:
    """What the brake says of the removals among ``counted``, which are recorded or should be."""
    spec = this.project.spec
    return brake(
        counted,
        inventory,
        cluster_uuid=this.whose.cluster_uuid,
        percent=spec.brake.percent,
        interval=spec.interval,
        at=look.taken_at,
        complete=all(gap.forbidden for gap in look.gaps),
        memory=facts.removals,
        confirmation=this.project.annotations.get(CONFIRM, ""),
        differ=differ,
    )


def stopping(this: Round, tip: Recorded, on: Ground) -> Decision:
    """The commit that says stop: nothing is looked at, so all that it changes of apps is what was lost."""
    before = tip.snapshot
    apps = believed(tip, on.view.entries, before.apps.keys(), broken=on.course.is_broken)
    return next_snapshot(
        before,
        apps,
        {},
        cluster_uuid=this.whose.cluster_uuid,
        cluster=msgspec.structs.replace(before.cluster, policy=this.policy),
        believed=apps,
    )


def by_key(by_name: Mapping[str, str]) -> dict[AppKey, str]:
    """The ledger's facts about apps, by key."""
    return {AppKey.parse(name): value for name, value in by_name.items()}
