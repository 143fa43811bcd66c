"""Where one app stands between the cluster, the record and the API, and what it waits for. Pure.

The plan, the brake and the rules are asked as the reconciler asks them, from what can be read of the same
things. What only the reconciler knows (how long it has waited, when it tries again) is quoted from the
conditions that it wrote.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

import msgspec

from reconciler.inventory.inventory import Inventory
from reconciler.model import App, AppKey, PolicyInEffect, tells_the_same
from reconciler.operator.planning import RETRY_REJECTED
from reconciler.policy.approval import REQUIRED, Approval
from reconciler.policy.brake import NOTHING, Braking
from reconciler.policy.entry import EMPTY, Entry
from reconciler.policy.plan import Push, plan
from reconciler.policy.protocol import Held, Reason
from reconciler.policy.quiet import has_left
from reconciler.policy.rules import rules_of
from reconciler.project import Condition, Status
from reconciler.state.store import Revision

_Value = TypeVar("_Value")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one app, by whom it is asked.

    ``recorded``: as the newest revision has it; ``last``: the newest revision that changed it, and
    ``previous`` what it was before; ``entry``: of the ledger, EMPTY where that has none, None where it cannot
    be read; ``unsettled``: the ledger's mark; ``look``: with what is ignored masked, None where the cluster
    is not asked; ``braking``: of the same look; ``approval``: None unless people approve, on the branch
    ``approved_branch``, and that can be read; ``no_record``, ``no_approval``: why they cannot be read, ""
    where they can; ``others``: every app that anybody knows of; ``at``: now.
    """

    key: AppKey
    at: datetime
    policy: PolicyInEffect = PolicyInEffect()
    recorded: App | None = None
    last: Revision | None = None
    previous: App | None = None
    entry: Entry | None = EMPTY
    unsettled: str = ""
    look: Inventory | None = None
    braking: Braking = NOTHING
    approval: Approval | None = None
    approved_branch: str = ""
    status: Status = Status()
    no_record: str = ""
    no_approval: str = ""
    others: frozenset[AppKey] = frozenset()

    @property
    def known(self) -> App | None:
        """What the API acknowledged, None for nothing or its end."""
        return self.entry.acked.app if self.entry is not None and self.entry.acked is not None else None

    @property
    def live(self) -> App | None:
        """What the cluster has, as it would be recorded."""
        return self.look.apps.get(self.key) if self.look is not None else None

    @property
    def was_ever(self) -> bool:
        """Whether anybody knows the app at all."""
        return self.key in self.others or self.last is not None or self.entry not in (None, EMPTY)


class Standing(StrEnum):
    """Where an app stands. The first of these that is so, from the cluster to the API, is told."""

    UNKNOWN = "Unknown"  # nobody knows such an app
    UNSURE = "Unsure"  # what would tell cannot be read
    DENIED = "Denied"
    STOPPED = "Stopped"
    LOOK = "Look"  # it differs, or may, and cannot be seen whole
    BRAKE = "Brake"  # its removal is held: too many are gone at once
    STORE = "Store"  # it differs from its record, and that cannot be written
    SETTLE = "Settle"  # it differs from its record, which is written once it has settled
    NEVER = "Never"
    ABSENCE_UNPROVEN = "AbsenceUnproven"
    GONE = "Gone"
    APPROVAL = "Approval"
    REFUSED = "Refused"
    REJECTED = "Rejected"
    API = "Api"  # pushing waits as a whole
    IN_DOUBT = "InDoubt"  # it was sent, and nothing came back
    PENDING = "Pending"  # it is told with the next delivery
    RECORDED = "Recorded"  # the rules record what differs, and do not push it
    TOLD = "Told"

    @property
    def is_right(self) -> bool:
        """Whether the API knows what it should know, as the policy is."""
        return self in (Standing.TOLD, Standing.RECORDED, *_UNTOLD)

    @property
    def is_known(self) -> bool:
        """Whether it can be told how the app stands."""
        return self not in (Standing.UNKNOWN, Standing.UNSURE)


_UNTOLD = (Standing.DENIED, Standing.STOPPED, Standing.NEVER)

_HELD = {
    Reason.DENIED: Standing.DENIED,
    Reason.STOPPED: Standing.STOPPED,
    Reason.NEVER: Standing.NEVER,
    Reason.GONE: Standing.GONE,
    Reason.ABSENCE_UNPROVEN: Standing.ABSENCE_UNPROVEN,
    Reason.UNAPPROVED: Standing.APPROVAL,
    Reason.REFUSED: Standing.REFUSED,
    Reason.REJECTED: Standing.REJECTED,
}


class Found(msgspec.Struct, frozen=True):
    """``what``: more of it, a fragment or a condition's message, "" where there is nothing to add."""

    standing: Standing
    what: str = ""


def standings(facts: Facts) -> tuple[Found, ...]:
    """How the app stands: what keeps it out of the record, if anything does, and how the API stands."""
    if not facts.was_ever:
        return (Found(Standing.UNKNOWN),)
    if facts.policy.denies(facts.key.namespace):
        return (Found(Standing.DENIED),)
    if facts.policy.stop:
        return (Found(Standing.STOPPED),)
    if facts.no_record:
        away = _failure(facts.status, "Recorded")
        return (Found(Standing.STORE, away) if away else Found(Standing.UNSURE, facts.no_record),)
    to_record, to_tell = _to_record(facts), _to_tell(facts)
    return (to_record, to_tell) if to_record is not None else (to_tell,)


def verdict_of(facts: Facts) -> Push | Held | None:
    """What the plan says of the app: to be pushed and why, or held and why, or neither."""
    if facts.entry is None:
        return None
    look = facts.look
    one = plan(
        _only(facts.key, facts.recorded),
        _only(facts.key, facts.entry if facts.entry != EMPTY else None),
        policy=facts.policy,
        is_gone=look.is_gone if look is not None else lambda _: False,
        worth=rules_of(facts.policy).worth,
        unsettled=_only(facts.key, facts.unsettled or None),
        retry_rejected_before=facts.at - RETRY_REJECTED,
        approval=_approval(facts),
    )
    return one.pushes[0] if one.pushes else one.held.get(facts.key)


def deferred(facts: Facts) -> bool:
    """Whether the cluster differs from the record by nothing that makes a revision."""
    live, was = facts.live, facts.recorded
    if live is None or was is None or live.digest == was.digest:
        return False
    return not rules_of(facts.policy).recorded_by_itself(was, live)


def _to_record(facts: Facts) -> Found | None:
    """What keeps the cluster's state out of the record; None where it is recorded, or is not asked."""
    look, key, live, was = facts.look, facts.key, facts.live, facts.recorded
    if look is None:
        return None
    if key in look.unreadable or (key in look.waiting and was is None):
        problems = (str(one) for one in look.problems if one.key == key)
        return Found(Standing.LOOK, look.waiting.get(key) or next(problems, "it cannot be read"))
    if live is None:
        news = was is not None and has_left(look, key)
    else:
        news = (was is None or live.digest != was.digest) and not deferred(facts)
    if not news:
        return None
    if key in facts.braking.held:
        return Found(Standing.BRAKE)
    for part, one in (("Collected", Standing.LOOK), ("Recorded", Standing.STORE)):
        if away := _failure(facts.status, part):
            return Found(one, away)
    return Found(Standing.SETTLE, _restless(look, key, live))


def _restless(look: Inventory, key: AppKey, live: App | None) -> str:
    if live is None:
        return "it is gone from the cluster"
    if key in look.in_transit:
        return f"Helm says {live.helm.status}"
    return "a pod is Pending" if key in look.settling else "it has just changed"


def _to_tell(facts: Facts) -> Found:
    if facts.entry is None:
        return Found(Standing.UNSURE, "the ledger cannot be read, so it is not known what the API knows")
    if facts.no_approval:
        return Found(Standing.APPROVAL, facts.no_approval)
    verdict = verdict_of(facts)
    if isinstance(verdict, Held):
        return Found(_HELD[verdict.reason], verdict.what)
    if verdict is None:
        return _nothing_to_tell(facts, facts.entry)
    return _to_push(facts, verdict, in_doubt=facts.entry.sending is not None)


def _to_push(facts: Facts, push: Push, *, in_doubt: bool) -> Found:
    delivered = facts.status.condition("Delivered") or Condition("Delivered", "Unknown")
    if delivered.reason == "NotConfigured":
        return Found(Standing.NEVER, delivered.message)
    if delivered.reason in ("Pending", "ApiUnusable") and ": " in delivered.message:
        return Found(Standing.API, delivered.message)
    return Found(Standing.IN_DOUBT if in_doubt else Standing.PENDING, push.why)


def _nothing_to_tell(facts: Facts, entry: Entry) -> Found:
    known, recorded = facts.known, facts.recorded
    if recorded is None and known is None:
        return Found(Standing.TOLD if entry.acked is not None else Standing.RECORDED)
    if recorded is not None and known is not None and tells_the_same(known, recorded):
        return Found(Standing.TOLD)
    return Found(Standing.RECORDED, rules_of(facts.policy).worth_pushing(known, recorded).because)


def _approval(facts: Facts) -> Approval | None:
    """What is approved of the app alone; nothing, where people must approve and have not begun to."""
    if facts.policy.push.approval != REQUIRED:
        return None
    key, whole = facts.key, facts.approval or Approval()
    return Approval(
        whole.tip,
        _only(key, whole.apps.get(key)),
        whole.removed & {key},
        _only(key, whole.refused.get(key)),
    )


def _only(key: AppKey, value: _Value | None) -> Mapping[AppKey, _Value]:
    return {} if value is None else {key: value}


def _failure(status: Status, part: str) -> str:
    """What a condition says is wrong; "" when nothing is, or it is only that not all could be seen."""
    one = status.condition(part)
    if one is None or one.status != "False" or one.reason in ("Partial", "Stopped"):
        return ""
    return one.message
