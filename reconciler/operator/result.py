"""What one reconcile came to: the value from which status, Events, log lines and output are computed."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from reconciler.changes.change import Changeset
from reconciler.delivery.deliver import Delivered
from reconciler.errors import ReconcilerError, UserError
from reconciler.inventory.inventory import Inventory
from reconciler.inventory.objects import Gap
from reconciler.model import AppKey
from reconciler.policy.brake import NOTHING, Braking
from reconciler.policy.plan import Plan
from reconciler.policy.protocol import Reason
from reconciler.state.store import Recorded


class Stage(StrEnum):
    """Where on its way a reconcile failed; each has a condition."""

    COLLECT = "collecting"
    RECORD = "recording"


class Failure(msgspec.Struct, frozen=True):
    """``stalled``: a person must act, and trying again without a change cannot help."""

    stage: Stage
    reason: str
    message: str
    stalled: bool

    @classmethod
    def of(cls, stage: Stage, error: ReconcilerError) -> "Failure":
        return cls(stage, error.reason, str(error), isinstance(error, UserError))


class Approving(msgspec.Struct, frozen=True):
    """How approval stands, where people decide what is told. ``branch``: by which they do.

    ``refused``: apps whose file there was never recorded, a sentence each; ``trouble``: why the branch cannot
    be read, one sentence, "" when it can.
    """

    branch: str
    refused: Mapping[AppKey, str] = {}
    trouble: str = ""


class Delivery(msgspec.Struct, frozen=True):
    """How telling the API stands. ``next_try``: None when nothing waits for a time; ``unapproved``: apps that
    wait for people.

    ``trouble``: why pushing waits or stopped, in one sentence, "" when it does not; ``stopped``: it is one
    that a person must see to; ``in_doubt``: the ledger was lost or restored, and what there is to tell has
    not been worked out again yet.
    """

    configured: bool = True
    pending: int = 0
    rejected: tuple[AppKey, ...] = ()
    unapproved: tuple[AppKey, ...] = ()
    trouble: str = ""
    stopped: bool = False
    next_try: datetime | None = None
    in_doubt: bool = False


def delivery_of(plan: Plan, *, configured: bool) -> Delivery:
    """How it stands by a plan; why it waits is for who delivers to say."""
    return Delivery(
        configured=configured,
        pending=len(plan.pushes) if configured else 0,
        rejected=_held(plan, Reason.REJECTED),
        unapproved=_held(plan, Reason.UNAPPROVED),
    )


def _held(plan: Plan, reason: Reason) -> tuple[AppKey, ...]:
    return tuple(key for key, held in plan.held.items() if held.reason is reason)


def after(delivered: Delivered) -> Delivery:
    """How it stands after a delivery."""
    return msgspec.structs.replace(
        delivery_of(delivered.plan, configured=True),
        trouble=delivered.trouble,
        stopped=delivered.stopped,
        next_try=delivered.next_try,
        in_doubt=delivered.in_doubt,
    )


class Result(msgspec.Struct, frozen=True):
    """One reconcile.

    ``releases``: how many the look saw, None when there was none. ``inventory``: what the look means, which
    takes a store that can be read. ``recorded``: the newest revision and its snapshot, whoever made it.
    ``changes``: what this reconcile recorded, None when nothing. ``waiting``: apps held out of the record,
    and why. ``notices``: what people should know of the track. ``signing_key``: the public key that commits
    are signed with, "" when they are not, None when no store was asked. ``next_look``: seconds until looking
    again is worth it, None for the project's ``interval``. ``project``: its name. ``braking``: the removals
    that are too many at once. ``approving``: how approval stands, None where people need not approve.
    ``differences``: as of the look; it must stay 0.
    """

    at: datetime
    generation: int
    stopped: bool = False
    cluster_uuid: str = ""
    kube_system_uid: str = ""
    releases: int | None = None
    inventory: Inventory | None = None
    gaps: tuple[Gap, ...] = ()
    recorded: Recorded | None = None
    changes: Changeset | None = None
    waiting: Mapping[AppKey, str] = {}
    notices: tuple[str, ...] = ()
    signing_key: str | None = None
    next_look: float | None = None
    delivery: Delivery | None = None
    failure: Failure | None = None
    project: str = ""
    braking: Braking = NOTHING
    approving: Approving | None = None
    differences: int = 0


class Preview(msgspec.Struct, frozen=True):
    """What a reconcile would do: ``once --dry-run``."""

    cluster_uuid: str
    location: str
    endpoint: str
    changes: Changeset
    subject: str
    body: str
    plan: Plan
    project: str = ""
    braking: Braking = NOTHING
