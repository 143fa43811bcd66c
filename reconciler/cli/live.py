"""The cluster as it is now, for a person who asks: the reconciler's look and fold, without any effect.

What the reconciler would remember (the ledger's UUIDs, the record's last known state) is taken from there
as far as it may be read; what may not is said beside the answer.
"""

from typing import NamedTuple

from reconciler.cli.output import note
from reconciler.cli.target import Target
from reconciler.errors import ForbiddenError, KubernetesError, LedgerError, StoreError
from reconciler.inventory.fold import fold
from reconciler.inventory.gaps import told
from reconciler.inventory.inventory import Inventory
from reconciler.inventory.live import LiveSource
from reconciler.inventory.objects import Gap, Kind, Look
from reconciler.inventory.recording import RecordedSource
from reconciler.model import AppKey, Snapshot, snapshot_of
from reconciler.operator.decide import cluster_of
from reconciler.operator.facts import adoptions
from reconciler.operator.identity import Whose, identify
from reconciler.policy.entry import LedgerFacts
from reconciler.project import Project
from reconciler.state.store import Recorded

MOST_NOTES = 5
"""Things that are named one by one; a cluster without rights has hundreds."""


class Live(NamedTuple):
    """``snapshot``: of every app of the inventory, settled or not."""

    inventory: Inventory
    snapshot: Snapshot


async def live(target: Target) -> Live:
    """Look at the target's cluster, or its recording, once.

    KubernetesError when a look fails in part, or the releases may not be listed: then nothing can be
    said of what is missing. What else may not be read is empty, with a note.
    """
    project = await target.project()
    policy = project.spec.in_effect()
    source = LiveSource(target.client) if target.recording is None else RecordedSource(target.recording)
    look = await source.look(policy)
    check(look.gaps)
    facts = await _facts(target)
    whose, tip = await _record(target, project, look, facts)
    recorded = tip.snapshot if tip is not None else None
    previous = recorded.apps if recorded is not None else {}
    adopted = {
        **adoptions(project.status, previous.values(), whose.cluster_uuid),
        **{AppKey.parse(name): uuid for name, uuid in facts.adopted.items()},
    }
    inventory = fold(
        look,
        cluster_uuid=whose.cluster_uuid,
        policy=policy,
        adopted=adopted,
        previous=previous,
    )
    _tell(look, inventory)
    policy = project.spec.in_effect(has_api=pushes(target, tip))
    cluster = cluster_of(project.spec.cluster_name, look.kube_system_uid, policy, look.gaps)
    return Live(inventory, snapshot_of(whose.cluster_uuid, cluster, inventory.apps.values()))


def pushes(target: Target, tip: Recorded | None) -> bool:
    """Whether the operator has an API: that stands in its own environment, and shows in what it recorded."""
    recorded = tip.snapshot.cluster.policy if tip is not None else None
    return target.settings.api is not None or recorded is None or recorded.push.on != "Never"


def check(gaps: tuple[Gap, ...]) -> None:
    """KubernetesError unless every list was answered, and that of the releases with what was asked."""
    for gap in gaps:
        if not gap.forbidden:
            raise KubernetesError(told(gap))
        if not gap.namespace and gap.kind in (Kind.NAMESPACES, Kind.RELEASE_SECRETS):
            raise ForbiddenError(f"{told(gap)}; config/rbac has the rights that are needed")


def tell_gaps(gaps: tuple[Gap, ...]) -> None:
    """Say what could not be read."""
    for gap in gaps[:MOST_NOTES]:
        note(told(gap))
    if len(gaps) > MOST_NOTES:
        note(f"{len(gaps) - MOST_NOTES} more kinds or namespaces cannot be listed")


async def _facts(target: Target) -> LedgerFacts:
    if await target.spec() is None:
        return LedgerFacts()
    try:
        return (await target.ledger()).facts
    except LedgerError as error:
        if not isinstance(error.__cause__, ForbiddenError):
            raise
        note(f"the ledger may not be read, so UUIDs are the status' or derived ({error})")
        return LedgerFacts()


async def _record(
    target: Target, project: Project, look: Look, facts: LedgerFacts
) -> tuple[Whose, Recorded | None]:
    """Which cluster it is, and what is on record of it.

    Without the record it must be known otherwise which cluster it is; StoreError when it is not.
    """
    if await target.spec() is None:
        return identify(project, look.kube_system_uid, facts, ()), None
    try:
        store = await target.store()
        whose = identify(project, look.kube_system_uid, facts, await store.clusters())
        return whose, await store.track(whose.cluster_uuid).tip()
    except StoreError as error:
        known = facts.cluster_uuid or project.status.clusterUUID
        if not known and not isinstance(error.__cause__, ForbiddenError):
            raise
        note(f"the record cannot be read, so nothing is known of what cannot be seen ({error})")
        return identify(project, look.kube_system_uid, facts, ()), None


def _tell(look: Look, inventory: Inventory) -> None:
    tell_gaps(look.gaps)
    for problem in inventory.problems[:MOST_NOTES]:
        note(str(problem))
    for key in [*inventory.in_transit][:MOST_NOTES]:
        if key in inventory.apps:
            note(f"{key} is on its way: {inventory.apps[key].helm.status}")
