"""What is still to be told, whenever that is asked: the plan rests on the newest reconcile, and costs what
has changed since the plan before."""

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from reconciler.inventory.fold import fold
from reconciler.inventory.inventory import Inventory
from reconciler.inventory.objects import Look
from reconciler.model import App, AppKey, PolicyInEffect
from reconciler.operator.clock import Clock
from reconciler.operator.step import by_key
from reconciler.policy.approval import REQUIRED, Approval
from reconciler.policy.entry import LedgerView
from reconciler.policy.plan import Plan, Settled, plan
from reconciler.policy.rules import rules_of

RETRY_REJECTED = timedelta(hours=24)
"""What the API rejected is tried again after this, even if nothing changed."""


class Basis(msgspec.Struct, frozen=True):
    """What a plan rests on: what is durably recorded, and the look that it was compared with.

    ``inventory`` is None while nothing may be looked at (stopped): then nothing counts as gone.
    ``approval``: what people approved of it, None where nothing is known of that, or nothing need be.
    """

    recorded: Mapping[AppKey, App]
    inventory: Inventory | None
    policy: PolicyInEffect
    approval: Approval | None = None


class Planner:
    """``basis``: None while there is nothing that a plan can rest on; ``since``: what was rejected before may
    be accepted now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._settled = Settled()
        self.basis: Basis | None = None
        self.since = clock.now()

    def plan(self, view: LedgerView) -> Plan:
        """What is still to be told, as of the newest reconcile; nothing before the first, nor by a ledger
        that was lost or restored since: the next whole round works out anew what the API may have."""
        return Plan((), {}) if self.basis is None or view.suspect else self.plan_on(self.basis, view)

    def plan_on(self, basis: Basis, view: LedgerView) -> Plan:
        """What would be to be told on another basis."""
        inventory = basis.inventory
        approval = None
        if basis.policy.push.approval == REQUIRED:
            approval = Approval() if basis.approval is None else basis.approval
        return plan(
            basis.recorded,
            view.entries,
            policy=basis.policy,
            is_gone=inventory.is_gone if inventory is not None else _never,
            worth=rules_of(basis.policy).worth,
            unsettled=by_key(view.facts.unsettled),
            retry_rejected_before=max(self.since, self._clock.now() - RETRY_REJECTED),
            approval=approval,
            settled=self._settled,
            live=inventory.apps if inventory is not None else basis.recorded,
        )

    def hold(self, policy: PolicyInEffect, look: Look | None, cluster_uuid: str) -> None:
        """Hold back at once what must not be told any more, recorded or not: a namespace that was denied,
        what a look did not find. What was stopped is not told before the look that resumes it."""
        basis = self.basis
        if basis is None or (look is None and basis.policy.stop):
            return
        inventory = basis.inventory
        if look is not None:
            inventory = fold(
                look,
                cluster_uuid=cluster_uuid,
                policy=policy,
                adopted={},
                previous=basis.recorded,
            )
        if basis.policy.push.approval == REQUIRED:  # until the ledger knows that it is not any more
            push = msgspec.structs.replace(policy.push, approval=REQUIRED)
            policy = msgspec.structs.replace(policy, push=push)
        self.basis = Basis(basis.recorded, inventory, policy, basis.approval)


def _never(_: AppKey) -> bool:
    return False
