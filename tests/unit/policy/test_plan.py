from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import App, AppKey, MatchInEffect, PolicyInEffect, PushPolicy, RuleInEffect
from reconciler.policy import protocol
from reconciler.policy.entry import EMPTY, Entry
from reconciler.policy.plan import Plan, Settled, plan
from reconciler.policy.protocol import Reason
from reconciler.policy.rules import Rules, rules_of
from tests.builders import make_app

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = AppKey("default", "test")
A, B = make_app(revision=1), make_app(revision=2)
STARTING = make_app(revision=1, pod_status="Pending")
DEFAULT = PolicyInEffect()
DENIED = PolicyInEffect(denyNamespaces=("def*",))
STOPPED = PolicyInEffect(stop=True)
NEVER = PolicyInEffect(push=PushPolicy(on="Never"))
HERE, ELSEWHERE = MatchInEffect(namespaces=("def*",)), MatchInEffect(namespaces=("other",))


def never_but(*rules: RuleInEffect) -> PolicyInEffect:
    return PolicyInEffect(push=PushPolicy(on="Never"), rules=rules)


def told(*apps: App, answered: bool = True) -> Entry:
    """An entry after these were told in turn; the last one is on its way unless ``answered``."""
    entry = EMPTY
    for number, app in enumerate(apps):
        entry = protocol.mark(entry, app, f"{number}", protocol.body_of(app, ""))
        if answered or app is not apps[-1]:
            entry = protocol.acknowledge(entry, NOW)
    return entry


def planned(
    approved: App | None,
    entry: Entry,
    policy: PolicyInEffect = DEFAULT,
    *,
    gone: bool = False,
    unsettled: Mapping[AppKey, str] | None = None,
) -> Plan:
    return plan(
        {KEY: approved} if approved else {},
        {KEY: entry} if entry != EMPTY else {},
        policy=policy,
        is_gone=lambda _: gone,
        worth=rules_of(policy).worth,
        unsettled=unsettled or {},
        retry_rejected_before=NOW,
    )


@pytest.mark.parametrize(
    ("approved", "entry", "app", "why"),
    [
        pytest.param(A, EMPTY, A, "pushes an install", id="an install"),
        pytest.param(B, told(A), B, "helm_info.revision", id="an upgrade"),
        pytest.param(A, told(A, answered=False), A, "retried: not acknowledged yet", id="a retry"),
        pytest.param(
            A, told(A, B, answered=False), A, "what was sent before was not acknowledged", id="in doubt"
        ),
        pytest.param(None, told(A), A.as_uninstalled(), "pushes an uninstall", id="an uninstall"),
        pytest.param(
            make_app(app_uuid="A-new"), told(A), A.as_uninstalled(), "app_uuid", id="another app_uuid"
        ),
    ],
)
def test_what_is_pushed_says_why(approved: App | None, entry: Entry, app: App, why: str) -> None:
    (push,) = planned(approved, entry, gone=approved is None).pushes
    assert (push.key, push.app) == (KEY, app)
    assert why in push.why


def test_what_the_api_knows_is_not_pushed() -> None:
    assert planned(A, told(A)) == Plan((), {})


def test_what_the_rules_think_is_not_worth_it_is_neither_pushed_nor_held() -> None:
    assert planned(STARTING, told(A)) == Plan((), {})


def test_what_is_in_doubt_is_pushed_whatever_the_rules_think_of_the_difference() -> None:
    (push,) = planned(STARTING, told(A, answered=False)).pushes
    assert push.app == STARTING


@pytest.mark.parametrize(
    ("approved", "entry", "policy", "reason"),
    [
        pytest.param(None, told(A), DENIED, Reason.DENIED, id="a denied app that left the snapshot"),
        pytest.param(None, told(A, answered=False), DENIED, Reason.DENIED, id="also in doubt"),
        pytest.param(B, told(A), DENIED, Reason.DENIED, id="also while it is still recorded"),
        pytest.param(B, told(A), STOPPED, Reason.STOPPED, id="stop"),
        pytest.param(None, told(A), STOPPED, Reason.STOPPED, id="stop, and it is gone"),
        pytest.param(B, told(A, answered=False), NEVER, Reason.NEVER, id="never, also in doubt"),
        pytest.param(None, told(A), DEFAULT, Reason.ABSENCE_UNPROVEN, id="absence without proof"),
        pytest.param(
            A,
            protocol.reject(told(A, answered=False), 400, NOW),
            PolicyInEffect(),
            Reason.REJECTED,
            id="refused",
        ),
    ],
)
def test_what_must_wait_is_held_with_its_reason_and_not_pending(
    approved: App | None, entry: Entry, policy: PolicyInEffect, reason: Reason
) -> None:
    result = planned(approved, entry, policy)
    assert result.pushes == ()
    assert {key: held.reason for key, held in result.held.items()} == {KEY: reason}


@pytest.mark.parametrize(
    ("rules", "approved", "entry", "pushed", "held"),
    [
        pytest.param(
            (RuleInEffect(action="Push", match=HERE),), B, told(A), True, False, id="what it pushes"
        ),
        pytest.param(
            (RuleInEffect(action="Push", match=ELSEWHERE),), B, told(A), False, True, id="another's"
        ),
        pytest.param(
            (RuleInEffect(action="Record", match=HERE), RuleInEffect(action="Push")),
            B,
            told(A),
            False,
            True,
            id="a rule that is never reached",
        ),
        pytest.param(
            (RuleInEffect(action="Push", match=MatchInEffect(fields=("pod_info.status",))),),
            B,
            told(A),
            False,
            False,
            id="what it does not push is not worth it, as by any list",
        ),
        pytest.param(
            (RuleInEffect(action="Push", match=MatchInEffect(fields=("pod_info.status",))),),
            A,
            told(A, B, answered=False),
            True,
            False,
            id="what is in doubt is told until it is acknowledged",
        ),
    ],
)
def test_a_rule_that_pushes_comes_before_never(
    rules: tuple[RuleInEffect, ...], approved: App, entry: Entry, pushed: bool, held: bool
) -> None:
    result = planned(approved, entry, never_but(*rules))
    assert (bool(result.pushes), KEY in result.held) == (pushed, held)
    assert all(one.reason is Reason.NEVER for one in result.held.values())


def test_a_denied_app_is_not_told_uninstalled_even_when_it_is_gone() -> None:
    result = planned(None, told(A), DENIED, gone=True)
    assert (result.pushes, result.held[KEY].reason) == ((), Reason.DENIED)


@pytest.mark.parametrize("policy", [DENIED, STOPPED, NEVER])
def test_nothing_is_held_where_nothing_differs(policy: PolicyInEffect) -> None:
    assert planned(A, told(A), policy) == Plan((), {})


@pytest.mark.parametrize(
    ("approved", "entry", "unsettled", "pushes"),
    [
        pytest.param(A, told(STARTING), STARTING.digest, 1, id="the first quiet state is pushed"),
        pytest.param(A, told(STARTING), "", 1, id="also when it was recorded before it was quiet"),
        pytest.param(A, told(A), "", 0, id="but not again"),
        pytest.param(STARTING, told(STARTING), STARTING.digest, 0, id="not before there is one"),
        pytest.param(A, told(STARTING), None, 0, id="later changes of pods are not"),
        pytest.param(
            make_app(revision=2, pod_status="Pending"),
            told(make_app(revision=2, pod_status="Failed")),
            make_app(revision=2, pod_status="Pending").digest,
            0,
            id="not while it is still starting",
        ),
    ],
)
def test_an_install_told_before_it_had_settled_is_told_once_more(
    approved: App, entry: Entry, unsettled: str | None, pushes: int
) -> None:
    result = planned(approved, entry, unsettled={} if unsettled is None else {KEY: unsettled})
    assert len(result.pushes) == pushes
    assert all(push.why == "completes what was told before it had settled" for push in result.pushes)


def test_settling_is_not_told_where_its_helm_change_was_not() -> None:
    """A rule that keeps a Helm change from the API keeps its end from it as well."""
    nothing_is_worth_it = plan(
        {KEY: B},
        {KEY: told(A)},
        policy=PolicyInEffect(),
        is_gone=lambda _: False,
        worth=lambda before, after: None,
        unsettled={KEY: STARTING.digest},
        retry_rejected_before=NOW,
    )
    assert nothing_is_worth_it == Plan((), {})


def test_pushes_come_in_the_order_of_their_keys_from_both_sides() -> None:
    apps = [make_app(namespace=ns, name=name) for ns, name in [("b", "a"), ("a", "b"), ("a", "c")]]
    gone = make_app(namespace="a", name="a")
    result = plan(
        {app.key: app for app in apps},
        {gone.key: told(gone)},
        policy=PolicyInEffect(),
        is_gone=lambda key: key == gone.key,
        worth=Rules("HelmUpdate").worth,
        unsettled={},
        retry_rejected_before=NOW,
    )
    assert [str(push.key) for push in result.pushes] == ["a/a", "a/b", "a/c", "b/a"]
    assert [push.app.is_uninstalled for push in result.pushes] == [True, False, False, False]


def test_apps_that_share_an_app_uuid_are_told_apart() -> None:
    one, other = make_app(name="one"), make_app(name="other")
    assert one.app_uuid == other.app_uuid
    result = plan(
        {one.key: one},
        {one.key: told(one), other.key: told(other)},
        policy=PolicyInEffect(),
        is_gone=lambda key: key == other.key,
        worth=Rules("HelmUpdate").worth,
        unsettled={},
        retry_rejected_before=NOW,
    )
    assert [push.app for push in result.pushes] == [other.as_uninstalled()]


OTHER = make_app("default", "other")
TOLD_A, TOLD_OTHER = told(A), told(OTHER)
STEPS: list[tuple[dict[AppKey, App], dict[AppKey, Entry], set[AppKey]]] = [
    ({KEY: A, OTHER.key: OTHER}, {KEY: TOLD_A, OTHER.key: TOLD_OTHER}, set()),
    ({KEY: A, OTHER.key: OTHER}, {KEY: TOLD_A, OTHER.key: TOLD_OTHER}, {KEY}),
    ({KEY: B, OTHER.key: OTHER}, {KEY: TOLD_A, OTHER.key: TOLD_OTHER}, set()),
    ({KEY: B, OTHER.key: OTHER}, {KEY: told(A, B, answered=False), OTHER.key: TOLD_OTHER}, set()),
    ({KEY: A, OTHER.key: OTHER}, {KEY: told(A, B, answered=False), OTHER.key: TOLD_OTHER}, set()),
    ({KEY: A}, {KEY: TOLD_A, OTHER.key: TOLD_OTHER}, {OTHER.key}),
    ({KEY: A}, {KEY: TOLD_A}, set()),
    ({KEY: A, OTHER.key: OTHER}, {KEY: TOLD_A}, set()),
]


@given(st.lists(st.sampled_from(range(len(STEPS))), max_size=8))
def test_what_the_plans_before_found_changes_nothing_of_the_next_one(steps: list[int]) -> None:
    settled = Settled()
    for recorded, entries, gone in (STEPS[step] for step in steps):

        def planned_with(memory: Settled | None) -> Plan:
            return plan(
                recorded,  # noqa: B023 - called at once
                entries,  # noqa: B023 - likewise
                policy=DEFAULT,
                is_gone=gone.__contains__,  # noqa: B023 - likewise
                worth=rules_of(DEFAULT).worth,
                unsettled={},
                retry_rejected_before=NOW,
                settled=memory,
                live={key: None for key in recorded if key not in gone},  # noqa: B023 - likewise
            )

        assert planned_with(settled) == planned_with(None)
