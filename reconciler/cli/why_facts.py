"""What ``why`` rests on, gathered as far as whoever asks may read it; what may not be read is said beside."""

from datetime import UTC, datetime
from typing import NamedTuple

from reconciler.cli.known import ledger_of
from reconciler.cli.live import live, pushes
from reconciler.cli.output import note
from reconciler.cli.target import Target
from reconciler.errors import FormatError, KubernetesError, StoreError, UsageError
from reconciler.inventory.inventory import Inventory
from reconciler.model import App, AppKey, PolicyInEffect
from reconciler.operator.standing import Facts
from reconciler.policy.approval import REQUIRED, Approval
from reconciler.policy.brake import CONFIRM, NOTHING, Braking, brake
from reconciler.policy.entry import EMPTY, LedgerFacts, LedgerView
from reconciler.policy.rules import rules_of
from reconciler.project import Project, Spec
from reconciler.state.store import Recorded, Revision, Track


class _Past(NamedTuple):
    """The newest revision that changed an app, and what the app was before."""

    last: Revision | None = None
    previous: App | None = None


class _Approved(NamedTuple):
    branch: str = ""
    approval: Approval | None = None
    trouble: str = ""


async def gather(target: Target, key: AppKey, *, asks_cluster: bool) -> Facts:
    """What is known of an app. ``asks_cluster``: whether there is one, beside the record.

    Raises what reading the project or the ledger raises, and StoreError where only the record could tell
    which cluster is meant.
    """
    now = datetime.now(UTC)
    ledger = await ledger_of(target)
    tip, past, no_record = await _read(target, key)
    recorded = tip.snapshot.apps if tip is not None else {}
    project = await target.project() if asks_cluster else Project(name="")
    look = await _look(target) if asks_cluster else None
    policy = _policy(target, project, tip) if asks_cluster else _policy_of(tip)
    if look is not None:
        look = rules_of(policy).compared(look, recorded)
    approved = await _approved(target, policy, ledger, tip, readable=not no_record)
    entries = ledger.entries if ledger is not None else {}
    marks = ledger.facts.unsettled if ledger is not None else {}
    return Facts(
        key=key,
        at=now,
        policy=policy,
        recorded=recorded.get(key),
        last=past.last,
        previous=past.previous,
        entry=None if ledger is None else entries.get(key, EMPTY),
        unsettled=marks.get(str(key), ""),
        look=look,
        braking=_braking(project, ledger, tip, look, now),
        approval=approved.approval,
        approved_branch=approved.branch,
        status=project.status,
        no_record=no_record,
        no_approval=approved.trouble,
        others=frozenset((*recorded, *entries, *(look.apps if look is not None else ()))),
    )


async def _read(target: Target, key: AppKey) -> tuple[Recorded | None, _Past, str]:
    """The newest revision, the app's past, and why they cannot be read, "" where they can."""
    try:
        track = await target.track()
        tip = await track.tip()
        return tip, await _past(track, key), ""
    except (StoreError, FormatError) as error:
        note(f"the record cannot be read ({error})")
        return None, _Past(), str(error)


async def _past(track: Track, key: AppKey) -> _Past:
    async for last in track.history(key):
        try:
            before = await track.before(last.id)
        except (UsageError, FormatError):  # it is not kept any more, or somebody broke it
            return _Past(last)
        return _Past(last, before.snapshot.apps.get(key) if before is not None else None)
    return _Past()


async def _look(target: Target) -> Inventory | None:
    try:
        return (await live(target)).inventory
    except (KubernetesError, StoreError) as error:
        note(f"the cluster cannot be seen, so what it has is left aside ({error})")
        return None


def _policy(target: Target, project: Project, tip: Recorded | None) -> PolicyInEffect:
    delivered = project.status.condition("Delivered")
    configured = delivered is None or delivered.reason != "NotConfigured"
    return project.spec.in_effect(has_api=configured and pushes(target, tip))


def _policy_of(tip: Recorded | None) -> PolicyInEffect:
    """What was in effect when the newest revision was recorded."""
    return PolicyInEffect() if tip is None else tip.snapshot.cluster.policy


async def _approved(
    target: Target, policy: PolicyInEffect, ledger: LedgerView | None, tip: Recorded | None, *, readable: bool
) -> _Approved:
    if policy.push.approval != REQUIRED or ledger is None or not readable:
        return _Approved()
    track = (await target.store()).approved(await target.cluster_uuid())
    if track is None:
        return _Approved(trouble="the record is in no git repository, so nothing can be approved")
    if ledger.facts.required is None:  # the reconciler has not seen yet that people approve
        return _Approved(track.name, Approval())
    try:
        return _Approved(track.name, await track.read(ledger.facts.required, tip))
    except (StoreError, FormatError) as error:
        return _Approved(track.name, trouble=str(error))


def _braking(
    project: Project, ledger: LedgerView | None, tip: Recorded | None, look: Inventory | None, now: datetime
) -> Braking:
    """What the brake says of what is seen now. This look confirms nothing, so it counts as incomplete."""
    if look is None or tip is None:
        return NOTHING
    facts = ledger.facts if ledger is not None else LedgerFacts()
    spec: Spec = project.spec
    return brake(
        tip.snapshot.apps,
        look,
        cluster_uuid=tip.snapshot.cluster_uuid,
        percent=spec.brake.percent,
        interval=spec.interval,
        at=now,
        complete=False,
        memory=facts.removals,
        confirmation=project.annotations.get(CONFIRM, ""),
    )
