"""One reconcile: look, fold, decide, record.

The order is the protocol. The ledger knows our Instance before a commit carries it, and an unsettled app
is marked before it is recorded; a snapshot is durable before anything in it is pushed; and what could not
be seen is never taken for gone. Everything between the effects is pure and lives elsewhere.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import msgspec

from reconciler.changes.change import Changeset
from reconciler.delivery import deliver
from reconciler.differing import Comparison
from reconciler.errors import LedgerError, LostRaceError, ReconcilerError, TooLargeError, UsageError
from reconciler.inventory.objects import Look
from reconciler.model import App, AppKey, PolicyInEffect
from reconciler.operator.approving import RETRY, Approvals, foreseen
from reconciler.operator.clock import Clock
from reconciler.operator.glance import Known, is_idle, is_plain
from reconciler.operator.identity import Whose
from reconciler.operator.leadership import Leadership, text_of
from reconciler.operator.planning import Basis, Planner
from reconciler.operator.result import Delivery, Failure, Preview, Result, Stage, delivery_of
from reconciler.operator.step import Ground, Round, Step, step_of, stopping
from reconciler.policy import quiet
from reconciler.policy.brake import NOTHING
from reconciler.policy.entry import LedgerView
from reconciler.policy.plan import Plan
from reconciler.project import Project, Spec
from reconciler.state.store import Recorded, Store

RACES = 8
"""How often a lost race is run again at once, before it waits for the next look."""


class Source(Protocol):
    """Where looks come from: a live cluster, or a recording. Raises KubernetesError when there is none."""

    async def look(self, policy: PolicyInEffect) -> Look: ...

    def rest(self) -> None:
        """Nothing is to be looked at until the next look."""
        ...


class Reconciler:
    """The reconciles of one leadership, and what they remember of each other.

    ``patient`` is False where there will be no second look (a dry run, a recording): then every app
    counts as quiet.
    """

    def __init__(
        self,
        source: Source,
        open_store: Callable[[Spec], Store],
        leadership: Leadership,
        clock: Clock,
        *,
        patient: bool = True,
    ) -> None:
        self._source = source
        self._open_store = open_store
        self._leadership = leadership
        self._clock = clock
        self._patient = patient
        self._store: tuple[object, Store] | None = None
        self._whose = Whose()
        self._tracked: Mapping[AppKey, quiet.Tracked] = {}
        self._planner = Planner(clock)
        self._tip: Recorded | None = None
        self._comparison = Comparison[AppKey, App]()
        self._notices: tuple[str, ...] = ()
        self._known: Known | None = None
        self._approvals = Approvals(leadership.ledger)
        self._braking = NOTHING

    async def reconcile(self, project: Project, *, in_passing: bool = False) -> Result:
        """One look at the cluster, and what it means. What a cluster, a store or a project does wrong is in
        the result, not raised; UsageError is (a recording that is none).

        ``in_passing``: store and ledger need not be read again (``glance``).
        """
        result = Result(
            at=self._clock.now(),
            generation=project.generation,
            stopped=project.spec.stop,
            project=project.name,
        )
        stage, policy, look = Stage.COLLECT, self._policy(project), None
        try:
            self._planner.hold(policy, None, self._whose.cluster_uuid)
            if policy.stop:
                self._source.rest()
            else:
                look = await self._look(project, policy)
            stage = Stage.RECORD
            if look is not None:
                result = msgspec.structs.replace(
                    result, gaps=look.gaps, releases=look.names, differences=look.differences
                )
                seen = await self._pass(project, policy, look, result) if in_passing else None
                if seen is not None:
                    return seen
            self._known = None
            return await self._record(project, policy, look, result)
        except UsageError:
            raise
        except ReconcilerError as error:
            failure = Failure.of(stage, error)
            if failure.stalled and not isinstance(error, TooLargeError):
                self.rest()  # what is recorded may not be ours to tell
            else:
                self._planner.hold(policy, look, self._whose.cluster_uuid)
            return msgspec.structs.replace(
                result,
                cluster_uuid=self._whose.cluster_uuid,
                kube_system_uid=self._whose.kube_system_uid,
                recorded=self._tip,
                notices=self._notices,
                failure=failure,
                approving=self._approvals.approving,
                braking=self._braking.while_unknown,
            )

    async def preview(self, project: Project) -> Preview:
        """What a reconcile would record and send, without an effect anywhere. Raises what goes wrong."""
        policy, store = self._policy(project), await self._store_of(project)
        view = await self._leadership.ledger.load()
        look = await self._source.look(policy)
        whose = await self._leadership.identify(project, look.kube_system_uid, view, store)
        this = Round(project, policy, look, store, whose)
        tip = await this.track.tip()
        recorded = tip.snapshot.apps if tip is not None else {}
        facts = self._leadership.facts(project, whose, tip, view, recorded)
        view = msgspec.structs.replace(view, facts=facts)
        on = await this.ground(tip, view)
        step = self._step(this, look, on)
        changes = step.decision.changes
        subject, body = text_of(step.decision, tip, on.course)
        return Preview(
            cluster_uuid=whose.cluster_uuid,
            location=store.location,
            endpoint=self._leadership.endpoint,
            changes=changes,
            subject=subject,
            body=body,
            plan=self._planner.plan_on(
                Basis(step.decision.snapshot.apps, step.inventory, policy, await foreseen(this, on)), view
            ),
            project=project.name,
            braking=step.braking,
        )

    @property
    def has_plan(self) -> bool:
        """Whether there is something that a plan can rest on: without it an empty one says nothing."""
        return self._planner.basis is not None

    def plan(self, view: LedgerView) -> Plan:
        """What is still to be told, as of the newest reconcile; nothing before the first, nor by a ledger
        that was lost or restored since: the next whole round works out anew what the API may have."""
        return self._planner.plan(view)

    async def deliver(self, delivery: deliver.Delivery) -> deliver.Delivered:
        """Tell what is to be told, as of now; LedgerError when the ledger cannot be read."""

        def plan_now(view: LedgerView) -> Plan:
            self._planner.since = delivery.since
            return self.plan(view)

        return await delivery.deliver(plan_now, self._leadership.entries_lock)

    @property
    def may_show(self) -> bool:
        """Whether what was delivered may be shown now: not while nothing may be recorded or told."""
        return (
            self._store is not None
            and self._planner.basis is not None
            and not self._planner.basis.policy.stop
        )

    async def show_delivered(self) -> bool:
        """Show more of what was delivered, where the store has a place for it; whether there is still more.

        Raises StoreError, LedgerError, FormatError.
        """
        if self._store is None or not self.may_show:
            return False
        return await self._leadership.show_delivered(self._store[1], self._whose)

    def rest(self) -> None:
        """There is no project to serve: nothing more is told until there is one, and nothing looked at."""
        self._planner.basis, self._tracked, self._braking, self._known = None, {}, NOTHING, None
        self._source.rest()

    async def close(self) -> None:
        """Let go of the store."""
        if self._store is not None:
            await self._store[1].close()
            self._store = None

    async def _look(self, project: Project, policy: PolicyInEffect) -> Look:
        gaps, at, interval = self._leadership.gaps, self._clock.now(), project.spec.interval
        try:
            look = await self._source.look(policy)
        except ReconcilerError:
            gaps.looked(at, complete=False, interval=interval)
            raise
        gaps.looked(at, complete=not look.gaps, interval=interval)
        return look

    async def _record(
        self, project: Project, policy: PolicyInEffect, look: Look | None, result: Result
    ) -> Result:
        store, view = await self._store_of(project), await self._leadership.ledger.load()
        if look is not None:
            self._whose = await self._leadership.identify(project, look.kube_system_uid, view, store)
        elif view.facts.cluster_uuid:
            self._whose = Whose(view.facts.cluster_uuid, view.facts.kube_system_uid)
        result = msgspec.structs.replace(
            result, cluster_uuid=self._whose.cluster_uuid, kube_system_uid=self._whose.kube_system_uid
        )
        if not self._whose.cluster_uuid:  # stopped before it was ever looked at
            return result
        this = Round(project, policy, look, store, self._whose)
        for race in range(1, RACES + 1):
            tip = await this.track.tip()
            self._notices = this.track.notices
            view = await self._leadership.prepare(project, this.whose, store, tip, view)
            if look is not None:
                await this.track.rescue()
            on = await self._approvals.begin(this, await this.ground(tip, view))
            try:
                if look is None:
                    return await self._stop(this, on, result)
                return await self._append(this, self._step(this, look, on), on, result)
            except LostRaceError:
                if race == RACES:
                    raise
        raise AssertionError("the last race returns or raises")

    async def _pass(
        self, project: Project, policy: PolicyInEffect, look: Look, result: Result
    ) -> Result | None:
        """What a look means on top of what is known, without reading it again: nothing, or what is recorded
        where nobody else has written meanwhile. None where a whole round is due."""
        known, basis, now = self._known, self._planner.basis, self._clock.monotonic()
        on = known.ground(self._leadership.ledger.known, now=now) if known is not None else None
        this = known.round(project, policy, look) if known is not None else None
        if known is None or on is None or this is None or basis is None or self._approvals.is_troubled:
            return None
        step = self._step(this, look, on)
        result = msgspec.structs.replace(
            result, cluster_uuid=self._whose.cluster_uuid, kube_system_uid=self._whose.kube_system_uid
        )
        if is_idle(step, on):
            self._tracked = step.observation.tracked
            self._planner.basis = Basis(basis.recorded, step.inventory, policy, basis.approval)
            return self._seen(result, this, step, on.view)
        if not is_plain(step, policy):
            return None
        try:
            seen = await self._append(this, step, on, result)
        except (LostRaceError, LedgerError):
            return None
        self._known = known.after(self._tip)
        return seen

    def _seen(self, result: Result, this: Round, step: Step, view: LedgerView) -> Result:
        """The result of a look, as what it found stands now."""
        approving, next_look = self._approvals.approving, step.observation.next_look
        if self._approvals.is_troubled:
            next_look = RETRY if next_look is None else min(next_look, RETRY)
        return msgspec.structs.replace(
            result,
            inventory=step.inventory,
            recorded=self._tip,
            notices=self._notices,
            signing_key=this.store.signing_key,
            waiting=step.held,
            next_look=next_look,
            delivery=self._delivery(view),
            braking=step.braking,
            approving=approving,
        )

    def _step(self, this: Round, look: Look, on: Ground) -> Step:
        return step_of(
            this,
            look,
            on,
            self._tracked,
            monotonic=self._clock.monotonic(),
            wall=self._clock.now(),
            telling=partial(self._leadership.tells, this.policy),
            patient=self._patient,
            comparison=self._comparison,
        )

    async def _append(self, this: Round, step: Step, on: Ground, result: Result) -> Result:
        """Record what is to be recorded, after the marks that must be durable before; restore what others
        did to the record. Nothing is told from a record that is older than it should be."""
        changes: Changeset | None = None
        tip, view, braking = on.tip, on.view, step.braking
        if step.is_premature:
            view = await self._leadership.keep(None, braking.memory, view)
        else:
            view = await self._leadership.keep(step.kept, braking.memory, view)
            if braking.course.releases and step.decision.snapshot.apps.keys().isdisjoint(braking.keys):
                view = _forgotten(view)
            if step.decision.changes or (tip is not None and tip.repairs):
                changes = step.decision.changes
                tip = await self._leadership.commit(this.track, tip, step.decision, view, on.course)
            elif tip is not None:
                view = await self._leadership.remember(tip, view, on.course)
        await self._approvals.read(this, view, tip)
        self._tracked, self._tip, self._notices = step.observation.tracked, tip, this.track.notices
        self._planner.basis, self._braking = None, braking
        if not (step.is_premature and on.is_wanting):
            recorded = tip.snapshot.apps if tip is not None else {}
            self._planner.basis = Basis(recorded, step.inventory, this.policy, self._approvals.approval)
            self._known = Known(this, tip, on.course, self._clock.monotonic())
        return self._seen(msgspec.structs.replace(result, changes=changes), this, step, view)

    async def _stop(self, this: Round, on: Ground, result: Result) -> Result:
        """Say once that it was stopped, and touch nothing else; that commit leaves no older record behind,
        and none that others have changed."""
        changes: Changeset | None = None
        tip, wanting = on.tip, on.is_wanting
        if tip is not None and not tip.snapshot.cluster.policy.stop:
            decision = stopping(this, tip, on)
            changes, wanting = decision.changes, False
            tip = await self._leadership.commit(this.track, tip, decision, on.view, on.course)
        self._tracked, self._tip, self._notices = {}, tip, this.track.notices
        self._planner.basis, self._braking = None, NOTHING
        self._approvals.forget()
        if not wanting:
            self._planner.basis = Basis(tip.snapshot.apps if tip is not None else {}, None, this.policy)
        return msgspec.structs.replace(
            result,
            recorded=tip,
            changes=changes,
            notices=self._notices,
            signing_key=this.store.signing_key,
            delivery=self._delivery(on.view),
        )

    def _delivery(self, view: LedgerView) -> Delivery | None:
        if self._planner.basis is None:
            return None
        return delivery_of(self.plan(view), configured=bool(self._leadership.endpoint))

    async def _store_of(self, project: Project) -> Store:
        state = project.spec.state
        if self._store is None or self._store[0] != state:
            await self.close()
            self._store = (state, self._open_store(project.spec))
        return self._store[1]

    def _policy(self, project: Project) -> PolicyInEffect:
        return project.spec.in_effect(has_api=bool(self._leadership.endpoint))


def _forgotten(view: LedgerView) -> LedgerView:
    """The view that a commit of the removals leaves: nothing is held any more."""
    return msgspec.structs.replace(view, facts=msgspec.structs.replace(view.facts, removals=""))
