"""The built-in lists of section 5.1, field by field, and what they make of two states."""

import pytest
from hypothesis import given, settings

from reconciler.changes.change import Detail, Field, Operation
from reconciler.model import App, PolicyInEffect, PushPolicy, tells_the_same
from reconciler.policy.rules import BUILT_IN, Action, Decision, Rules, Ruling, rules_of, strongest
from tests.builders import make_app
from tests.unit.changes.strategies import apps
from tests.unit.changes.test_diff import pods, record

P, R, D = Action.PUSH, Action.RECORD, Action.DEFER
F = Field
TABLE = [  # what, HelmUpdate, AnyChange, Never
    (Field.REVISION, P, P, R),
    (Field.STATUS, P, P, R),
    (Field.UPDATED, P, P, R),
    (Field.CHART, P, P, R),
    (Field.CHART_VERSION, P, P, R),
    (Field.APP_VERSION, P, P, R),
    (Field.APP_UUID, P, P, R),
    (Field.POD_IMAGE, R, P, R),
    (Field.POD_STATUS, D, D, D),
    (Field.POD, D, D, D),
    (Field.SERVICE_PORT, R, P, R),
    (Field.SERVICE, R, P, R),
    (Field.VOLUME_SIZE, R, P, R),
    (Field.VOLUME, R, P, R),
    (Field.INGRESS_DOMAIN, R, P, R),
    (Field.INGRESS, R, P, R),
    (Field.RECORD_CONTAINERS, D, D, D),
    (Field.RECORD_SERVICES, R, R, R),
    (Field.RECORD_ROUTES, R, R, R),
    (Operation.INSTALL, P, P, R),
    (Operation.UNINSTALL, P, P, R),
]


@pytest.mark.parametrize(("what", "helm_update", "any_change", "never"), TABLE)
def test_a_built_in_list_has_an_action_for_each_field(
    what: Field | Operation, helm_update: Action, any_change: Action, never: Action
) -> None:
    assert (BUILT_IN["HelmUpdate"][what], BUILT_IN["AnyChange"][what], BUILT_IN["Never"][what]) == (
        helm_update,
        any_change,
        never,
    )


def test_the_table_names_every_field() -> None:
    assert {what for what, *_ in TABLE} == {*Field, Operation.INSTALL, Operation.UNINSTALL}


WEB = ("web-0", "web:1", "Running")
CRON = ("nightly-29912345-x2zqk", "tool:1", "Succeeded")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(make_app(), make_app(), Action.IGNORE, id="nothing"),
        pytest.param(pods(WEB), pods(WEB, CRON), D, id="a CronJob's pod comes"),
        pytest.param(pods(WEB, CRON), pods(WEB), D, id="a CronJob's pod goes"),
        pytest.param(make_app(digest=""), make_app(), D, id="a digest becomes known"),
        pytest.param(make_app(), make_app(pod_status="Failed"), D, id="a pod's status"),
        pytest.param(make_app(), make_app(hosts=["a"]), R, id="an ingress"),
        pytest.param(make_app(), make_app(image="web:2"), R, id="an image, with its pods"),
        pytest.param(make_app(), make_app(revision=2), P, id="an upgrade"),
        pytest.param(make_app(), make_app(revision=2, image="web:2"), P, id="an upgrade, with its pods"),
    ],
)
def test_the_strongest_action_of_all_differences_decides(before: App, after: App, expected: Action) -> None:
    assert strongest(Rules("HelmUpdate").actions(before, after)) is expected
    assert Rules("HelmUpdate").recorded_by_itself(before, after) is (expected in (R, P))


@pytest.mark.parametrize("push_on", list(BUILT_IN))
@pytest.mark.parametrize("pair", [(pods(WEB), pods(WEB, CRON)), (pods(WEB, CRON), pods(WEB))])
def test_a_cron_job_s_pods_coming_and_going_make_no_commit_of_their_own(
    push_on: str, pair: tuple[App, App]
) -> None:
    assert not Rules(push_on).recorded_by_itself(*pair)
    assert not Rules(push_on).worth_pushing(*pair).push


V1 = make_app(revision=1)
V2 = make_app(revision=2)


@pytest.mark.parametrize(
    ("push_on", "before", "after", "push", "because"),
    [
        ("HelmUpdate", None, V1, True, "HelmUpdate pushes an install"),
        ("Never", None, V1, False, "Never does not push an install"),
        ("AnyChange", V1, None, True, "AnyChange pushes an uninstall"),
        ("Never", V1, None, False, "Never does not push an uninstall"),
        ("AnyChange", None, None, False, "there is nothing to tell"),
        ("HelmUpdate", V1, V2, True, "HelmUpdate pushes a change of helm_info.revision"),
        ("Never", V1, V2, False, "Never does not push a change of helm_info.revision"),
        (
            "HelmUpdate",
            V1,
            make_app(hosts=["a"]),
            False,
            "HelmUpdate does not push a change of ingress_info, record.routes",
        ),
        ("AnyChange", V1, make_app(hosts=["a"]), True, "AnyChange pushes a change of ingress_info"),
        ("AnyChange", V1, record(V1, chart_version="19"), False, "the API has acknowledged the same"),
        (
            "AnyChange",
            V1,
            make_app(pod_status="Failed"),
            False,
            "AnyChange does not push a change of pod_info.status",
        ),
        (
            "HelmUpdate",
            V1,
            make_app(revision=2, chart_version="19", hosts=["a"]),
            True,
            "HelmUpdate pushes a change of helm_info.revision, chart_version",
        ),
    ],
)
def test_a_push_is_decided_by_a_field_and_says_by_which(
    push_on: str, before: App | None, after: App | None, push: bool, because: str
) -> None:
    rules = Rules(push_on)
    assert rules.worth_pushing(before, after) == Decision(push, because)
    assert rules.worth(before, after) == (because if push else None)


@given(apps(), apps())
@settings(max_examples=30)
def test_never_pushes_nothing_and_no_list_pushes_what_is_told_the_same(before: App, after: App) -> None:
    assert not Rules("Never").worth_pushing(before, after).push
    if tells_the_same(before, after):
        assert not Rules("AnyChange").worth_pushing(before, after).push


@given(apps(), apps())
@settings(max_examples=30)
def test_any_change_pushes_whatever_helm_update_pushes(before: App, after: App) -> None:
    if Rules("HelmUpdate").worth_pushing(before, after).push:
        assert Rules("AnyChange").worth_pushing(before, after).push


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (V1, V1, ()),
        (None, None, ()),
        (None, V1, (Ruling(None, P, "HelmUpdate"),)),
        (V1, None, (Ruling(None, P, "HelmUpdate"),)),
        (
            V1,
            make_app(revision=2, pod_status="Failed"),
            (
                Ruling(Detail(Field.REVISION, "", "1", "2"), P, "HelmUpdate"),
                Ruling(Detail(Field.POD_STATUS, "test-keycloak-0", "Running", "Failed"), D, "HelmUpdate"),
            ),
        ),
    ],
)
def test_each_difference_has_an_action_and_the_rule_that_decided(
    before: App | None, after: App | None, expected: tuple[Ruling, ...]
) -> None:
    assert Rules("HelmUpdate").actions(before, after) == expected


@pytest.mark.parametrize("push_on", list(BUILT_IN))
def test_a_policy_s_rules_end_with_the_list_that_push_on_names(push_on: str) -> None:
    assert rules_of(PolicyInEffect(push=PushPolicy(on=push_on))) == Rules(push_on)
