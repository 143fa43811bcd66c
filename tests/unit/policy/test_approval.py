"""What people approve, refuse and leave open, and what that makes of the plan for one app."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import App, AppKey, PolicyInEffect, tells_the_same
from reconciler.policy import protocol
from reconciler.policy.approval import Approval
from reconciler.policy.entry import EMPTY, Entry
from reconciler.policy.plan import Plan, plan
from reconciler.policy.protocol import Reason
from reconciler.policy.rules import rules_of
from tests.builders import make_app

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = AppKey("default", "test")
A, B, C = (make_app(revision=number) for number in (1, 2, 3))
STARTING = make_app(revision=1, pod_status="Pending")
ELSEWHERE = make_app(revision=2, app_uuid="A-new")
POLICY = PolicyInEffect()

NOTHING = Approval()
REFUSED = Approval(refused={KEY: "it was never recorded"})
GONE = Approval(removed=frozenset({KEY}))


def approves(app: App) -> Approval:
    return Approval(apps={KEY: app})


def told(*apps: App, answered: bool = True) -> Entry:
    """An entry after these were told in turn; the last one is on its way unless ``answered``."""
    entry = EMPTY
    for number, app in enumerate(apps):
        entry = protocol.mark(entry, app, f"{number}", protocol.body_of(app, ""))
        if answered or app is not apps[-1]:
            entry = protocol.acknowledge(entry, NOW)
    return entry


def sending(*apps: App) -> Entry:
    return told(*apps, answered=False)


def planned(
    approval: Approval | None,
    entry: Entry,
    recorded: App | None,
    *,
    gone: bool,
    policy: PolicyInEffect = POLICY,
) -> Plan:
    return plan(
        {KEY: recorded} if recorded else {},
        {KEY: entry} if entry != EMPTY else {},
        policy=policy,
        is_gone=lambda _: gone,
        worth=rules_of(policy).worth,
        unsettled={},
        retry_rejected_before=NOW,
        approval=approval,
    )


def outcome(plan: Plan) -> App | Reason | None:
    """What is told, or why not, or None when there is nothing to tell."""
    assert not plan.pushes or not plan.held
    for push in plan.pushes:
        return push.app
    for held in plan.held.values():
        return held.reason
    return None


END = A.as_uninstalled()

TABLE = [
    # people have said nothing
    pytest.param(NOTHING, EMPTY, A, False, Reason.UNAPPROVED, id="an install waits"),
    pytest.param(NOTHING, told(A), B, False, Reason.UNAPPROVED, id="an upgrade waits"),
    pytest.param(NOTHING, told(A), A, False, None, id="what was told stays told"),
    pytest.param(NOTHING, told(A), STARTING, False, None, id="nobody waits for what would not be told"),
    pytest.param(NOTHING, told(A), None, True, Reason.UNAPPROVED, id="an uninstall waits"),
    pytest.param(NOTHING, told(A), None, False, Reason.UNAPPROVED, id="also when the look sees less"),
    pytest.param(NOTHING, EMPTY, None, True, None, id="nobody ever knew of it"),
    pytest.param(NOTHING, sending(A), B, False, A, id="what is in doubt is sent as it was"),
    pytest.param(NOTHING, sending(A), None, True, Reason.UNAPPROVED, id="in doubt and gone: not as present"),
    pytest.param(NOTHING, sending(A), None, False, Reason.UNAPPROVED, id="in doubt and not in the record"),
    pytest.param(NOTHING, sending(A), A, True, Reason.GONE, id="in doubt, gone a moment ago"),
    pytest.param(NOTHING, sending(A, END), None, True, END, id="its end is in doubt: it is sent as it was"),
    pytest.param(
        NOTHING, sending(A, END), B, False, Reason.UNAPPROVED, id="its end in doubt, and it is back"
    ),
    pytest.param(NOTHING, told(A, END), B, False, Reason.UNAPPROVED, id="it came back"),
    pytest.param(NOTHING, told(A), ELSEWHERE, False, Reason.UNAPPROVED, id="another app_uuid waits"),
    # people approved a state
    pytest.param(approves(A), EMPTY, A, False, A, id="an approved install"),
    pytest.param(approves(B), told(A), B, False, B, id="an approved upgrade"),
    pytest.param(approves(A), told(B), B, False, A, id="an older one is approved"),
    pytest.param(approves(B), told(A), C, False, B, id="the approved one, not the newest"),
    pytest.param(approves(B), told(B), C, False, Reason.UNAPPROVED, id="then the newest waits"),
    pytest.param(approves(A), sending(A, B), B, False, A, id="approved back while the newer is in doubt"),
    pytest.param(approves(STARTING), told(A), STARTING, False, None, id="approved, and not worth telling"),
    pytest.param(approves(A), EMPTY, None, True, Reason.GONE, id="approved, and gone before it was told"),
    pytest.param(approves(A), EMPTY, None, False, Reason.GONE, id="also when the look sees less"),
    pytest.param(approves(A), EMPTY, A, True, Reason.GONE, id="approved, and gone a moment ago"),
    pytest.param(approves(A), told(B), None, True, Reason.UNAPPROVED, id="an older one of what is gone"),
    pytest.param(approves(B), told(A), None, False, Reason.UNAPPROVED, id="a newer one of what left"),
    pytest.param(approves(ELSEWHERE), told(A), ELSEWHERE, False, END, id="another app_uuid is approved"),
    # people approved its end
    pytest.param(GONE, told(A), None, True, END, id="an approved uninstall"),
    pytest.param(GONE, sending(A), None, True, END, id="an approved uninstall of what is in doubt"),
    pytest.param(GONE, told(A), None, False, Reason.ABSENCE_UNPROVEN, id="without proof"),
    pytest.param(GONE, told(A), A, False, Reason.ABSENCE_UNPROVEN, id="the cluster has it still"),
    pytest.param(GONE, told(A), B, False, Reason.ABSENCE_UNPROVEN, id="and it was upgraded"),
    pytest.param(GONE, told(A), A, True, Reason.ABSENCE_UNPROVEN, id="it is not recorded as gone yet"),
    pytest.param(GONE, told(A, END), None, True, None, id="it was told"),
    pytest.param(GONE, told(A, END), B, False, Reason.UNAPPROVED, id="and it came back"),
    pytest.param(GONE, EMPTY, None, True, None, id="the end of what was never told"),
    # people approved what never was
    pytest.param(REFUSED, told(A), B, False, Reason.REFUSED, id="refused"),
    pytest.param(REFUSED, told(A), A, False, Reason.REFUSED, id="refused where nothing differs"),
    pytest.param(REFUSED, EMPTY, None, True, Reason.REFUSED, id="refused, of an app that never was"),
    pytest.param(REFUSED, told(A), None, True, Reason.REFUSED, id="refused, and it is gone"),
    pytest.param(REFUSED, sending(A), B, False, A, id="refused: what is in doubt is sent as it was"),
]


@pytest.mark.parametrize(("approval", "entry", "recorded", "gone", "expected"), TABLE)
def test_what_is_told_or_why_not(
    approval: Approval, entry: Entry, recorded: App | None, gone: bool, expected: App | Reason | None
) -> None:
    assert outcome(planned(approval, entry, recorded, gone=gone)) == expected


@pytest.mark.parametrize(
    ("approval", "entry", "recorded", "what"),
    [
        (NOTHING, EMPTY, A, "it was never told, and waits for approval"),
        (NOTHING, told(A), B, "what is recorded of it waits for approval"),
        (NOTHING, told(A), None, "its end waits for approval"),
        (approves(A), EMPTY, None, "it is approved, and the cluster does not have it any more"),
        (GONE, told(A), A, "its end is approved, and the cluster has it still"),
        (REFUSED, told(A), A, "it was never recorded"),
    ],
)
def test_what_it_waits_for_is_said(approval: Approval, entry: Entry, recorded: App | None, what: str) -> None:
    assert planned(approval, entry, recorded, gone=recorded is None).held[KEY].what == what


def test_what_the_api_rejected_is_said_to_be_rejected_even_while_a_newer_state_waits() -> None:
    rejected = protocol.reject(sending(A), 422, NOW)
    assert outcome(planned(approves(A), rejected, B, gone=False)) == Reason.REJECTED


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (PolicyInEffect(denyNamespaces=("default",)), Reason.DENIED),
        (PolicyInEffect(stop=True), Reason.STOPPED),
    ],
)
def test_the_policy_holds_what_is_approved_and_what_waits(policy: PolicyInEffect, reason: Reason) -> None:
    for approval in (NOTHING, approves(B), GONE):
        assert outcome(planned(approval, told(A), B, gone=False, policy=policy)) == reason


STATES = [A, B, C, STARTING, ELSEWHERE]
APPS = st.sampled_from(STATES)
ENTRIES = st.builds(
    lambda apps, answered: told(*apps, answered=answered),
    st.lists(st.sampled_from([*STATES, *(app.as_uninstalled() for app in STATES)]), max_size=4),
    st.booleans(),
)
APPROVALS = st.one_of(st.sampled_from([NOTHING, REFUSED, GONE]), APPS.map(approves))


@given(approval=APPROVALS, entry=ENTRIES, recorded=st.none() | APPS, gone=st.booleans())
def test_nothing_is_told_that_is_neither_approved_nor_told_before(
    approval: Approval, entry: Entry, recorded: App | None, gone: bool
) -> None:
    known = [one.app for one in (entry.acked, entry.sending) if one is not None and one.app is not None]
    for push in planned(approval, entry, recorded, gone=gone).pushes:
        if not push.app.is_uninstalled:
            assert recorded is not None
            assert not gone
            assert any(tells_the_same(push.app, app) for app in (*known, *approval.apps.values()))
            continue
        last = protocol.told(entry)
        assert last is not None
        renamed = approval.apps.get(KEY, last).app_uuid != push.app.app_uuid
        assert renamed or (gone and recorded is None)
        assert renamed or KEY in approval.removed or last.is_uninstalled


@given(entry=ENTRIES, recorded=st.none() | APPS, gone=st.booleans())
def test_where_people_approve_what_is_recorded_it_is_told_as_if_nobody_had_to(
    entry: Entry, recorded: App | None, gone: bool
) -> None:
    by_itself = planned(None, entry, recorded, gone=gone)
    everything = GONE if recorded is None else approves(recorded)
    assert planned(everything, entry, recorded, gone=gone) == by_itself


@given(approval=APPROVALS, entry=ENTRIES, recorded=st.none() | APPS, gone=st.booleans())
def test_what_would_be_told_by_itself_is_told_or_held(
    approval: Approval, entry: Entry, recorded: App | None, gone: bool
) -> None:
    if planned(None, entry, recorded, gone=gone).pushes:
        under_approval = planned(approval, entry, recorded, gone=gone)
        assert [push.key for push in under_approval.pushes] or list(under_approval.held) == [KEY]
