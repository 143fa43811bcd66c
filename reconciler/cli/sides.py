"""The two sides of a comparison, as a person names them, and how they are compared.

In this order a word is: ``observed``, ``approved``, ``delivered`` or ``cluster``; a date; a revision; a
file.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec

from reconciler.changes.change import Changeset
from reconciler.changes.diff import diff
from reconciler.cli import files
from reconciler.cli.live import live
from reconciler.cli.output import note
from reconciler.cli.revisions import OBSERVED, SHORT, find, is_revision
from reconciler.cli.target import Target
from reconciler.errors import UsageError
from reconciler.model import App, AppKey, Cluster, Record, Snapshot, snapshot_of
from reconciler.policy.entry import LedgerFacts

APPROVED, DELIVERED, CLUSTER = "approved", "delivered", "cluster"


class Side(msgspec.Struct, frozen=True):
    """``title``: what it is, for people. ``cluster``: None where nothing is known of the policy;
    ``with_record``: whether the apps have the block that is never emitted."""

    title: str
    apps: Mapping[AppKey, App]
    cluster: Cluster | None = None
    with_record: bool = True


async def side(target: Target, text: str) -> Side:
    """What a word stands for; UsageError for one that stands for nothing."""
    if text == CLUSTER:
        snapshot = (await live(target)).snapshot
        return Side(f"cluster {snapshot.cluster_uuid}, now", snapshot.apps, snapshot.cluster)
    if text == DELIVERED:
        return await _delivered(target)
    if text == APPROVED:
        return await _approved(target)
    if text == OBSERVED or target.times.parse(text) is not None or is_revision(text):
        recorded = await find(await target.track(), text, target.times)
        revision = recorded.revision
        title = f"revision {revision.id[:SHORT]}, recorded {target.times.text(revision.recorded)}"
        return Side(title, recorded.snapshot.apps, recorded.snapshot.cluster)
    return await asyncio.to_thread(_file, Path(text))


def compare(before: Side, after: Side) -> Changeset:
    """What differs. What only one of the sides can tell, the policy or the record block, is left out."""
    old = before.cluster or after.cluster or Cluster()
    new = after.cluster or old
    bare = not (before.with_record and after.with_record)
    return diff(_snapshot(before, old, bare=bare), _snapshot(after, new, bare=bare))


def _snapshot(one: Side, cluster: Cluster, *, bare: bool) -> Snapshot:
    apps = one.apps.values()
    if not bare:
        return snapshot_of("", cluster, apps)
    nothing = Record(chart_version="")
    return snapshot_of("", cluster, (msgspec.structs.replace(app, record=nothing) for app in apps))


def _file(path: Path) -> Side:
    if not path.exists():
        words = f"{OBSERVED}, {APPROVED}, {DELIVERED}, {CLUSTER}"
        raise UsageError(f"{path} is none of: {words}, a date, a revision, a file that is there")
    printed = files.read(path)
    return Side(f"file {path}", printed.apps, None, printed.with_record)


async def _approved(target: Target) -> Side:
    """Every app as the approved branch has it now, whenever that was approved."""
    branch = (await target.store()).approved(await target.cluster_uuid())
    if branch is None:
        raise UsageError("the state is in no git repository, so nothing in it can be approved")
    approval = await branch.read("", await (await target.track()).tip())
    if not approval.tip:
        raise UsageError(f"there is no branch {branch.name}: nothing has been approved yet")
    for why in approval.refused.values():
        note(f"left out: {why}")
    return Side(f"branch {branch.name}, at {approval.tip[:SHORT]}", approval.apps)


async def _delivered(target: Target) -> Side:
    """Every app as the API acknowledged it last, without those that it knows to be uninstalled."""
    cluster_uuid = await target.cluster_uuid()
    ledger = await target.ledger()
    if ledger.facts == LedgerFacts() and not ledger.entries:
        raise UsageError("there is no ledger, so it is not known what was delivered")
    if ledger.facts.cluster_uuid != cluster_uuid:
        raise UsageError(
            f"the ledger is about cluster {ledger.facts.cluster_uuid}, not {cluster_uuid}: "
            "what was delivered of that one is not known here"
        )
    apps = {
        key: entry.acked.app
        for key, entry in ledger.entries.items()
        if entry.acked is not None and entry.acked.app is not None
    }
    return Side("delivered: as the API acknowledged it", apps)
