"""Results of reconciles, one thing at a time different."""

from datetime import UTC, datetime

from reconciler.changes.diff import diff
from reconciler.inventory.inventory import Inventory
from reconciler.inventory.judge import Problem
from reconciler.model import App, AppKey, PolicyInEffect, Snapshot
from reconciler.operator.result import Approving, Delivery, Failure, Result
from reconciler.state.store import Message, Recorded, Revision
from tests.builders import make_app, make_snapshot

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
KEY = AppKey("default", "test")


def make_inventory(*apps: App, problems: tuple[Problem, ...] = ()) -> Inventory:
    """What a complete look at these apps gives."""
    return Inventory(
        apps={app.key: app for app in apps},
        carried=frozenset(),
        in_transit={},
        settling=frozenset(),
        kept={},
        waiting={},
        unreadable=frozenset(problem.key for problem in problems if problem.key is not None),
        revisions={},
        unattributed=(),
        problems=problems,
        unproven=frozenset(),
        policy=PolicyInEffect(),
    )


def make_recorded(
    snapshot: Snapshot | None = None,
    *,
    revision: str = "3218124868",
    subject: str = "upgrade default/test",
    trailers: tuple[tuple[str, str], ...] = (),
    at: datetime = NOW,
) -> Recorded:
    message = Message(subject, "", trailers)
    return Recorded(Revision(revision, message, at, at), snapshot or make_snapshot(make_app()))


def make_result(
    *,
    stopped: bool = False,
    looked: bool = True,
    recorded: Recorded | None = None,
    waiting: bool = False,
    problems: tuple[Problem, ...] = (),
    delivery: Delivery | None = None,
    failure: Failure | None = None,
    changed: bool = False,
    notices: tuple[str, ...] = (),
    signing_key: str | None = None,
    approving: Approving | None = None,
) -> Result:
    """A reconcile that went well and found nothing new, but for what is said."""
    recorded = recorded or make_recorded()
    return Result(
        at=NOW,
        generation=1,
        stopped=stopped,
        cluster_uuid="K-1",
        kube_system_uid="u",
        releases=1 if looked else None,
        inventory=make_inventory(make_app(), problems=problems) if looked else None,
        recorded=recorded,
        changes=diff(None, recorded.snapshot) if changed else None,
        waiting={KEY: "a pod is Pending"} if waiting else {},
        delivery=delivery or Delivery(),
        failure=failure,
        notices=notices,
        signing_key=signing_key,
        approving=approving,
    )
