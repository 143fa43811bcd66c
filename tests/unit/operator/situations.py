"""The situations in which people ask why an app was told or not: what is known, and what should be said.

``docs/why.md`` shows them; ``test_why`` holds the two together.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from reconciler.changes.describe import sentence
from reconciler.changes.diff import diff
from reconciler.inventory.inventory import Inventory
from reconciler.inventory.judge import Problem
from reconciler.model import App, AppKey, MatchInEffect, PolicyInEffect, PushPolicy, RuleInEffect, rfc3339
from reconciler.operator.conditions import conditions
from reconciler.operator.result import Delivery, Failure, Result, Stage
from reconciler.operator.standing import Facts, Standing
from reconciler.policy.approval import REQUIRED, Approval
from reconciler.policy.brake import brake
from reconciler.policy.entry import EMPTY, Acked, Entry, Rejected, Sending
from reconciler.policy.protocol import told_digest
from reconciler.policy.rules import rules_of
from reconciler.project import Condition, Status
from reconciler.state.store import Message, Revision
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.unit.operator.results import make_inventory, make_result

NOW = datetime(2026, 11, 21, 12, 45, tzinfo=UTC)
KEY = AppKey("default", "test")
K1, K2 = "01a1fe1f-8528-7000-8000-00000000000a", "01a1fe1f-b408-7000-8000-00000000000b"
BRANCH = f"approved/{CLUSTER_UUID}"

V1 = make_app(updated="2026-11-21T12:40:28Z")
V2 = make_app(revision=2, chart_version="18.4.0", updated="2026-11-21T12:40:39Z")
IMAGE = make_app(updated="2026-11-21T12:40:28Z", image="docker.io/bitnami/keycloak:23.0.7")
WEB = make_app("shop", "web", chart="web", chart_version="1.0.0")


class Situation(NamedTuple):
    """``title``: of its section in the docs, "" where it is not shown there."""

    facts: Facts
    standing: Standing
    title: str = ""


def revision(before: App | None, after: App | None, id_: str, minutes: float = 4.25) -> Revision:
    """The revision that made one of the other, so long ago."""
    changes = diff(make_snapshot(*filter(None, (before,))), make_snapshot(*filter(None, (after,))))
    at = NOW - timedelta(minutes=minutes)
    return Revision(id_, Message(sentence(changes.apps[0])), at, at)


FIRST = revision(None, V1, "e0de8800700c9d6f", 4.4)
UPGRADE = revision(V1, V2, "1ff61fe915b0d77e")
PATCH = revision(V1, IMAGE, "11433c2537e69a40")
END = revision(V2, None, "7c02b41f9ad3e815", 1)


def acked(app: App | None, key: str = K1, minutes: float = 4.3) -> Acked:
    return Acked(key, V1.app_uuid, NOW - timedelta(minutes=minutes), app, 200)


TOLD_BEFORE = Entry(acked=acked(V1), last_key=K1)


def status(result: Result | None = None, *others: Condition) -> Status:
    """What the operator last said of itself, a minute ago."""
    found = (*others, *conditions(result or make_result()))
    return Status(conditions=found, lastReconcileTimestamp=rfc3339(NOW - timedelta(minutes=1)))


def facts(recorded: App | None = V2, entry: Entry | None = TOLD_BEFORE, **changes: object) -> Facts:
    """An upgrade that is recorded, and of which the API knows what was before; but for what is said."""
    last, previous = {V1: (FIRST, None), V2: (UPGRADE, V1), IMAGE: (PATCH, V1), None: (END, V2)}[recorded]
    base = Facts(
        key=KEY,
        at=NOW,
        recorded=recorded,
        last=last,
        previous=previous,
        entry=entry,
        look=make_inventory(*filter(None, (recorded, WEB))),
        status=status(),
        others=frozenset({KEY, WEB.key, AppKey("default", "other")}),
        approved_branch=BRANCH,
    )
    return msgspec.structs.replace(base, **changes)


def look(*apps: App, **changes: object) -> Inventory:
    return msgspec.structs.replace(make_inventory(*apps, WEB), **changes)


def delivery(**changes: object) -> Status:
    return status(make_result(delivery=msgspec.structs.replace(Delivery(pending=1), **changes)))


def policy(**changes: object) -> PolicyInEffect:
    return msgspec.structs.replace(PolicyInEffect(), **changes)


SENT = Entry(acked=acked(V1), sending=Sending(K2, V2, "{}"), last_key=K2)
REJECTED = msgspec.structs.replace(
    SENT,
    rejected=Rejected(told_digest(V2), 422, NOW - timedelta(minutes=4), '{"error": "app_uuid is not known"}'),
)
AWAY = Failure(
    Stage.RECORD, "StoreUnavailable", "https://git.example.org/records.git cannot be reached", stalled=False
)
MANY = {app.key: app for app in (V2, *(make_app(f"team-{n}", "app") for n in range(11)))}
FEW = make_inventory(*(make_app(f"team-{n}", "app") for n in range(5)))
NEEDED = policy(push=PushPolicy(approval=REQUIRED))
BRAKED = brake(
    MANY,
    FEW,
    cluster_uuid=CLUSTER_UUID,
    percent=30,
    interval=timedelta(minutes=10),
    at=NOW - timedelta(minutes=1),
    complete=True,
    memory="",
    confirmation="",
)

IGNORING = policy(
    rules=(RuleInEffect(match=MatchInEffect(fields=("pod_info", "pod_info.image")), action="Ignore"),)
)

SITUATIONS = {
    "told": Situation(
        facts(entry=Entry(acked=acked(V2, K2, 4.1), last_key=K2)),
        Standing.TOLD,
        "It was pushed, and the API acknowledged it",
    ),
    "settle": Situation(
        facts(V1, TOLD_BEFORE, look=look(V2, settling=frozenset({KEY}))),
        Standing.SETTLE,
        "It waits to settle",
    ),
    "store away": Situation(
        facts(V1, TOLD_BEFORE, look=look(V2), status=status(make_result(failure=AWAY))),
        Standing.STORE,
        "It waits for the store",
    ),
    "brake": Situation(
        facts(
            V2,
            Entry(acked=acked(V2)),
            look=FEW,
            braking=BRAKED,
            status=status(msgspec.structs.replace(make_result(), project="hossted", braking=BRAKED)),
        ),
        Standing.BRAKE,
        "It is gone with too many others",
    ),
    "approval": Situation(
        facts(policy=NEEDED, approval=Approval("9a1b")), Standing.APPROVAL, "It waits for approval"
    ),
    "refused": Situation(
        facts(
            policy=NEEDED,
            approval=Approval(
                "9a1b",
                refused={
                    KEY: f"clusters/{CLUSTER_UUID}/default/test.yaml on the branch {BRANCH} (Jane Doe in"
                    " 9a1b77c0) was never in the record: approve a state that was recorded: revert it, or"
                    " merge the branch main"
                },
            ),
        ),
        Standing.REFUSED,
        "What was approved was never recorded",
    ),
    "breaker": Situation(
        facts(
            status=delivery(
                pending=12,
                trouble="https://api.example.com/apps: answered 503",
                next_try=NOW + timedelta(minutes=2, seconds=10),
            )
        ),
        Standing.API,
        "The API is away",
    ),
    "in doubt": Situation(
        facts(entry=SENT, status=delivery()), Standing.IN_DOUBT, "It was sent, and no answer came"
    ),
    "rejected": Situation(
        facts(entry=REJECTED, status=status(make_result(delivery=Delivery(rejected=(KEY,))))),
        Standing.REJECTED,
        "The API rejected it",
    ),
    "recorded only": Situation(
        facts(IMAGE), Standing.RECORDED, "It is recorded, and the rules do not push it"
    ),
    "denied": Situation(
        facts(policy=policy(denyNamespaces=("def*",))), Standing.DENIED, "Its namespace is denied"
    ),
    "uninstalled": Situation(
        facts(None, Entry(acked=acked(None, K2, 0.5), last_key=K2)),
        Standing.TOLD,
        "It was uninstalled, and the API was told",
    ),
    "no such app": Situation(
        Facts(key=AppKey("default", "tset"), at=NOW, look=look(V2), others=frozenset({KEY, WEB.key})),
        Standing.UNKNOWN,
        "There is no such app",
    ),
    "too many, unsaid": Situation(
        facts(V2, Entry(acked=acked(V2)), look=FEW, braking=BRAKED), Standing.BRAKE
    ),
    "a rule pushes": Situation(
        facts(IMAGE, policy=policy(rules=(RuleInEffect(action="Push"),))), Standing.PENDING
    ),
    "a rule ignores": Situation(
        facts(V1, look=rules_of(IGNORING).compared(look(IMAGE), {KEY: V1}), policy=IGNORING), Standing.TOLD
    ),
    "new": Situation(facts(None, EMPTY, last=None, look=look(V1), others=frozenset({KEY})), Standing.SETTLE),
    "helm is at it": Situation(
        facts(
            V1,
            TOLD_BEFORE,
            look=look(
                make_app(revision=2, status="pending-upgrade"), in_transit={KEY: NOW - timedelta(minutes=1)}
            ),
        ),
        Standing.SETTLE,
    ),
    "recorded but a pod": Situation(
        facts(V1, TOLD_BEFORE, look=look(make_app(updated=V1.helm.updated, pod_status="Failed"))),
        Standing.TOLD,
    ),
    "pending": Situation(facts(status=delivery()), Standing.PENDING),
    "unusable": Situation(
        facts(status=delivery(trouble="https://api.example.com/: answered 401", stopped=True)), Standing.API
    ),
    "a new key": Situation(
        facts(IMAGE, msgspec.structs.replace(SENT, sending=Sending(K2, V1, "{}"))), Standing.IN_DOUBT
    ),
    "no ledger": Situation(facts(entry=None), Standing.UNSURE),
    "no record": Situation(facts(None, last=None, no_record="record.git cannot be reached"), Standing.UNSURE),
    "no record for anybody": Situation(
        facts(None, last=None, no_record="it cannot be reached", status=status(make_result(failure=AWAY))),
        Standing.STORE,
    ),
    "no approved branch": Situation(
        facts(policy=NEEDED, no_approval="it cannot be reached"), Standing.APPROVAL
    ),
    "nothing approved yet": Situation(facts(policy=NEEDED), Standing.APPROVAL),
    "approved": Situation(facts(policy=NEEDED, approval=Approval("9a1b", {KEY: V2})), Standing.PENDING),
    "stopped": Situation(facts(policy=policy(stop=True)), Standing.STOPPED),
    "never": Situation(facts(policy=policy(push=PushPolicy(on="Never"))), Standing.NEVER),
    "no API": Situation(
        facts(status=status(make_result(delivery=Delivery(configured=False)))), Standing.NEVER
    ),
    "absence unproven": Situation(
        facts(None, Entry(acked=acked(V2)), look=look(unproven=frozenset({""}))), Standing.ABSENCE_UNPROVEN
    ),
    "gone": Situation(facts(None, Entry(acked=acked(V2)), look=look()), Standing.PENDING),
    "gone a moment ago": Situation(facts(V2, Entry(acked=acked(V2)), look=look()), Standing.SETTLE),
    "never told": Situation(facts(None, EMPTY), Standing.RECORDED),
    "unreadable": Situation(
        facts(
            look=look(
                V2,
                unreadable=frozenset({KEY}),
                problems=(Problem("Release default/test", "is no gzip", KEY),),
            )
        ),
        Standing.LOOK,
    ),
    "no look": Situation(
        facts(
            V1,
            TOLD_BEFORE,
            look=look(V2),
            status=status(
                make_result(failure=Failure(Stage.COLLECT, "Forbidden", "pods: no right", stalled=False))
            ),
        ),
        Standing.LOOK,
    ),
    "silence": Situation(facts(at=NOW + timedelta(hours=3)), Standing.PENDING),
    "from the repository": Situation(facts(look=None, status=Status()), Standing.PENDING),
}
