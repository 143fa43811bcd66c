"""What one look means for the record: from a look, the tip and the policy to the next snapshot. Pure."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec

from reconciler.changes.change import Changeset, Operation
from reconciler.changes.diff import diff
from reconciler.inventory.inventory import Inventory
from reconciler.inventory.objects import Gap
from reconciler.model import App, AppKey, Cluster, PolicyInEffect, Snapshot
from reconciler.policy.quiet import Observation, Verdict
from reconciler.project import moment


class Decision(msgspec.Struct, frozen=True):
    """``changes``: from the tip, empty when there is nothing to record. ``words``: what a commit says of
    them, where not all of them happened to an app: some make up for what the record had lost."""

    snapshot: Snapshot
    changes: Changeset
    words: Changeset


def next_snapshot(
    tip: Snapshot | None,
    apps: Mapping[AppKey, App],
    revisions: Mapping[AppKey, Sequence[tuple[int, str]]],
    *,
    cluster_uuid: str,
    cluster: Cluster,
    believed: Mapping[AppKey, App],
    lost: Collection[AppKey] = (),
) -> Decision:
    """The snapshot of ``apps``, in key order, which should be recorded next, and how it differs from the tip.

    ``believed``: the tip's apps, or what they were before some of it was lost; ``lost``: the apps that
    are known to be missing from the tip.
    """
    snapshot = Snapshot(cluster_uuid, cluster, apps)
    changes = diff(tip, snapshot, revisions=revisions)
    if tip is None or (not lost and (believed is tip.apps or believed == tip.apps)):
        return Decision(snapshot, changes, changes)
    happened = diff(msgspec.structs.replace(tip, apps=believed), snapshot, revisions=revisions).by_key
    words = []
    for change in changes:
        real = happened.get(change.key)
        if real is None or (real.operation is Operation.INSTALL and change.key in lost):
            real = msgspec.structs.replace(change, again=True, unseen=())
        words.append(real)
    return Decision(snapshot, changes, msgspec.structs.replace(changes, apps=tuple(words)))


def cluster_of(name: str, kube_system_uid: str, policy: PolicyInEffect, gaps: tuple[Gap, ...]) -> Cluster:
    """``cluster.yaml``: only what is forbidden is named as unreadable, since a mere failure passes."""
    unreadable = {
        f"{gap.kind} in {gap.namespace}" if gap.namespace else str(gap.kind) for gap in gaps if gap.forbidden
    }
    return Cluster(
        name=name, kube_system_uid=kube_system_uid, policy=policy, unreadable=tuple(sorted(unreadable))
    )


def waiting(
    inventory: Inventory, observation: Observation, recorded: Mapping[AppKey, App]
) -> dict[AppKey, str]:
    """The apps that are held out of the record, and what each waits for."""
    held = dict(inventory.waiting)
    for key, verdict in observation.verdicts.items():
        if verdict is not Verdict.WAIT:
            continue
        app = inventory.apps.get(key)
        if app is not None and key in inventory.in_transit:
            held[key] = app.helm.status
        elif app is None:
            held[key] = "gone a moment ago"
        else:
            held[key] = "a pod is Pending" if key in inventory.settling else "it has just changed"
    return {
        key: why for key, why in sorted(held.items()) if key not in recorded or key in observation.verdicts
    }


def at_once(observation: Observation, inventory: Inventory) -> Observation:
    """The same where nobody will look again: everything is quiet but what is on its way."""
    verdicts = {
        key: verdict if key in inventory.in_transit else Verdict.QUIET
        for key, verdict in observation.verdicts.items()
    }
    return msgspec.structs.replace(observation, verdicts=verdicts, next_look=None)


def without(observation: Observation, held: Collection[AppKey]) -> Observation:
    """The same without a verdict on apps that are held, whatever it was: they stay as they are recorded."""
    verdicts = {key: verdict for key, verdict in observation.verdicts.items() if key not in held}
    return msgspec.structs.replace(observation, verdicts=verdicts)


def is_premature(
    tip: Snapshot | None,
    policy: PolicyInEffect,
    inventory: Inventory,
    held: Mapping[AppKey, str],
    lost: Collection[AppKey] = (),
) -> bool:
    """Whether a commit would come before apps that it should tell of, which are still settling.

    The first commit, what ends a stop, and what allows a namespace again are one commit each, with their
    apps. They wait for no release that is on its way and for nothing that cannot be seen: that may last,
    and what does settle would wait with it. Only an empty first commit waits for these as well. What
    restores the record waits for the apps that it has ``lost``.
    """
    settling = held.keys() - inventory.in_transit.keys() - inventory.waiting.keys()
    if tip is None:
        return bool(settling) or (bool(held) and not inventory.apps.keys() - held.keys())
    if settling & set(lost):
        return True
    old = tip.cluster.policy
    if old.stop and not policy.stop:
        return bool(settling)
    return any(old.denies(key.namespace) and not policy.denies(key.namespace) for key in settling)


def happened(changes: Changeset, now: datetime) -> datetime:
    """When what a commit tells of happened: Helm's own time where every change has one, else ``now``.

    The latest of them; a time in the future (another machine's clock) counts as now.
    """
    helm = (Operation.INSTALL, Operation.UPGRADE, Operation.ROLLBACK)
    times = [
        moment(change.after.helm.updated)
        for change in changes
        if change.after is not None and change.operation in helm and not change.again
    ]
    known = [time for time in times if time is not None]
    if not known or len(known) < len(changes.apps):
        return now
    return min(max(known), now)
