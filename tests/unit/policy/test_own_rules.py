"""A project's own rules: what each matches, which of them decides, and what that comes to."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.changes.change import Field
from reconciler.model import App, MatchInEffect, RuleInEffect
from reconciler.policy.rules import BUILT_IN, Action, Decision, Rules
from reconciler.project.spec import OPERATIONS, RULE_FIELDS
from tests.builders import make_app
from tests.unit.changes.strategies import apps

P, R, D = Action.PUSH, Action.RECORD, Action.DEFER
F = Field
V1 = make_app(revision=1)
V2 = make_app(revision=2)


def rule(action: str, **match: str | tuple[str, ...]) -> RuleInEffect:
    """A rule; a text stands for a list of one."""
    lists = {name: (value,) if isinstance(value, str) else value for name, value in match.items()}
    return RuleInEffect(match=MatchInEffect(**lists), action=action)


def rules(*own: RuleInEffect, on: str = "HelmUpdate") -> Rules:
    return Rules(on, own)


def said(of: Rules, before: App | None, after: App | None) -> dict[str, tuple[Action, str]]:
    """By the field ("" for an app that comes or goes), the action and the rule that decided."""
    found = of.actions(before, after)
    return {"" if one.detail is None else one.detail.field: (one.action, one.by) for one in found}


IG, BUILT = Action.IGNORE, "HelmUpdate"
V1_HOST = make_app(hosts=["a"])
V2_BACK = make_app(revision=2, rolled_back_to=1)
SHOP = make_app("shop", "web", chart="Nginx")
SHOP2 = make_app("shop", "web", chart="Nginx", revision=2)
LATER = "2026-11-22T00:00:00Z"
NEW = make_app(updated=LATER, pod_status="Failed")  # a new release under the old name


@pytest.mark.parametrize(
    ("own", "before", "after", "expected"),
    [
        pytest.param((), V1, V2, {F.REVISION: (P, BUILT)}, id="no rules"),
        pytest.param(
            (rule("Record"),),
            V1,
            V2,
            {F.REVISION: (R, "rule 1")},
            id="no match: all of it",
        ),
        pytest.param(
            (rule("Record", fields="helm_info.revision"), rule("Defer")),
            V1,
            make_app(revision=2, pod_status="Failed"),
            {F.REVISION: (R, "rule 1"), F.POD_STATUS: (D, "rule 2")},
            id="the first rule that matches wins, field by field",
        ),
        pytest.param(
            (rule("Record", fields=("helm_info.status", "chart_version")),),
            V1,
            make_app(revision=2, chart_version="19"),
            {F.REVISION: (P, BUILT), F.CHART_VERSION: (R, "rule 1")},
            id="what no rule matches is the built-in list's",
        ),
        pytest.param(
            (rule("Record", namespaces=("team-?", "sh*")),),
            SHOP,
            SHOP2,
            {F.REVISION: (R, "rule 1")},
            id="a namespace's glob",
        ),
        pytest.param(
            (rule("Record", namespaces="shop-*"),),
            SHOP,
            SHOP2,
            {F.REVISION: (P, BUILT)},
            id="a namespace's glob that does not match",
        ),
        pytest.param(
            (rule("Record", releases="we[ab]"),),
            SHOP,
            SHOP2,
            {F.REVISION: (R, "rule 1")},
            id="a release's glob",
        ),
        pytest.param(
            (rule("Defer", releases="we"), rule("Record", releases="web")),
            SHOP,
            SHOP2,
            {F.REVISION: (R, "rule 2")},
            id="a name is the whole name",
        ),
        pytest.param(
            (rule("Defer", charts="nginx"), rule("Record", charts="Ng*")),
            SHOP,
            SHOP2,
            {F.REVISION: (R, "rule 2")},
            id="a chart's glob, in its letters",
        ),
        pytest.param(
            (rule("Record", charts="new"),),
            make_app(),
            make_app(chart="new", pods=0, ports=()),
            {
                F.CHART: (R, "rule 1"),
                F.POD_IMAGE: (R, "rule 1"),
                F.POD: (R, "rule 1"),
                F.SERVICE: (R, "rule 1"),
                F.RECORD_CONTAINERS: (R, "rule 1"),
                F.RECORD_SERVICES: (R, "rule 1"),
            },
            id="the chart that it has now",
        ),
        pytest.param(
            (rule("Record", charts="keycloak"),), V1, None, {"": (R, "rule 1")}, id="the chart that it had"
        ),
        pytest.param(
            (rule("Record", namespaces="default", releases="other"),),
            V1,
            V2,
            {F.REVISION: (P, BUILT)},
            id="all parts of a match must match",
        ),
        pytest.param(
            (rule("Record", operations="rollback"), rule("Defer", operations="upgrade")),
            V1,
            V2,
            {F.REVISION: (D, "rule 2")},
            id="an upgrade",
        ),
        pytest.param(
            (rule("Record", operations=("upgrade", "rollback")),),
            V1,
            V2_BACK,
            {F.REVISION: (R, "rule 1")},
            id="a rollback",
        ),
        pytest.param(
            (rule("Push", operations="change"),),
            V1,
            V1_HOST,
            {F.INGRESS: (P, "rule 1"), F.RECORD_ROUTES: (R, "rule 1")},
            id="a change, and what follows it at most recorded",
        ),
        pytest.param(
            (rule("Push", operations="change"),),
            V1,
            V2,
            {F.REVISION: (P, BUILT)},
            id="no change",
        ),
        pytest.param((rule("Record", operations="install"),), None, V1, {"": (R, "rule 1")}, id="an install"),
        pytest.param((rule("Record", operations="install"),), V1, None, {"": (P, BUILT)}, id="no uninstall"),
        pytest.param(
            (rule("Record", operations="uninstall"),), V1, None, {"": (R, "rule 1")}, id="an uninstall"
        ),
        pytest.param(
            (rule("Ignore"),), None, V1, {"": (R, "rule 1")}, id="an install is recorded whatever a rule says"
        ),
        pytest.param((rule("Defer"),), V1, None, {"": (R, "rule 1")}, id="and so is an uninstall"),
        pytest.param(
            (rule("Ignore", fields="pod_info.status"), rule("Defer")),
            V1,
            NEW,
            {F.UPDATED: (R, "rule 2"), F.POD_STATUS: (R, "rule 1")},
            id="and all of a reinstall",
        ),
        pytest.param(
            (rule("Ignore"),),
            V1,
            NEW,
            {F.UPDATED: (IG, "rule 1"), F.POD_STATUS: (IG, "rule 1")},
            id="but a time that is ignored is no reinstall",
        ),
        pytest.param(
            (rule("Ignore", fields="helm_info.updated"), rule("Record", operations="install")),
            V1,
            NEW,
            {F.UPDATED: (IG, "rule 1"), F.POD_STATUS: (D, BUILT)},
            id="nor is it for the rules about installs",
        ),
        pytest.param(
            (rule("Record", fields="pod_info", operations=("install", "change")),),
            None,
            V1,
            {"": (P, BUILT)},
            id="a rule with fields says nothing of an app that comes",
        ),
        pytest.param(
            (rule("Ignore", fields="helm_info.revision"),),
            V1,
            make_app(revision=2, updated=LATER),
            {F.REVISION: (IG, "rule 1"), F.UPDATED: (IG, "rule 1")},
            id="the revision's time goes with it",
        ),
        pytest.param(
            (rule("Push", fields="pod_info"),),
            make_app(pods=1),
            make_app(pods=2),
            {F.POD: (P, "rule 1"), F.RECORD_CONTAINERS: (R, "rule 1")},
            id="containers follow the pods",
        ),
        pytest.param(
            (rule("Ignore", fields=("service_info", "ingress_info")),),
            make_app(ports=()),
            V1_HOST,
            {
                F.SERVICE: (IG, "rule 1"),
                F.INGRESS: (IG, "rule 1"),
                F.RECORD_SERVICES: (IG, "rule 1"),
                F.RECORD_ROUTES: (IG, "rule 1"),
            },
            id="services and routes follow theirs, also when they are ignored",
        ),
        pytest.param(
            (rule("Ignore", fields="service_info.port"),),
            make_app(ports=(80,)),
            make_app(ports=(81,)),
            {F.SERVICE_PORT: (IG, "rule 1")},
            id="ports by themselves",
        ),
    ],
)
def test_a_rule_decides_by_what_it_matches(
    own: tuple[RuleInEffect, ...],
    before: App | None,
    after: App | None,
    expected: dict[str, tuple[Action, str]],
) -> None:
    assert said(rules(*own), before, after) == expected


@pytest.mark.parametrize(
    ("of", "before", "after", "expected"),
    [
        pytest.param(
            rules(rule("Push", fields="ingress_info")),
            V1,
            make_app(revision=2, hosts=["a"]),
            Decision(
                True,
                "HelmUpdate pushes a change of helm_info.revision; rule 1 pushes a change of ingress_info",
            ),
            id="who pushes what",
        ),
        pytest.param(
            rules(rule("Record", fields="helm_info.revision")),
            V1,
            make_app(revision=2, hosts=["a"]),
            Decision(
                False,
                "rule 1 does not push a change of helm_info.revision; "
                "HelmUpdate does not push a change of ingress_info, record.routes",
            ),
            id="who does not push what",
        ),
        pytest.param(
            rules(rule("Record", operations="install")),
            None,
            V1,
            Decision(False, "rule 1 does not push an install"),
            id="an install is not told",
        ),
        pytest.param(
            rules(rule("Push", namespaces="default"), on="Never"),
            V1,
            None,
            Decision(True, "rule 1 pushes an uninstall"),
            id="a rule comes before Never",
        ),
        pytest.param(
            rules(rule("Push", fields="pod_info")),
            make_app(digest=""),
            make_app(),
            Decision(False, "the API has acknowledged the same"),
            id="what is not emitted is not pushed by what it follows",
        ),
        pytest.param(
            rules(rule("Ignore", fields="pod_info.status"), on="AnyChange"),
            V1,
            make_app(pod_status="Failed"),
            Decision(False, "rule 1 does not push a change of pod_info.status"),
            id="what is ignored",
        ),
    ],
)
def test_a_push_says_which_rules_decided(
    of: Rules, before: App | None, after: App | None, expected: Decision
) -> None:
    assert of.worth_pushing(before, after) == expected
    assert of.worth(before, after) == (expected.because if expected.push else None)


@pytest.mark.parametrize(
    ("of", "pushes"),
    [
        (rules(), True),
        (rules(on="Never"), False),
        (rules(rule("Record")), False),
        (rules(rule("Record", operations="change")), True),
        (rules(rule("Push", fields="pod_info.image"), on="Never"), True),
        (rules(rule("Record"), rule("Push"), on="Never"), False),
        (rules(rule("Push", namespaces="other"), on="Never"), False),
        (rules(rule("Push", charts="keycloak", releases="t*"), on="Never"), True),
    ],
)
def test_something_of_an_app_is_pushed_if_a_rule_that_is_reached_says_so(of: Rules, pushes: bool) -> None:
    assert of.pushes_some_of(V1) is pushes


FIELDS = st.lists(st.sampled_from(RULE_FIELDS), max_size=3, unique=True).map(tuple)
OPERATION_LISTS = st.lists(st.sampled_from(OPERATIONS), max_size=2, unique=True).map(tuple)
OWN = st.builds(
    RuleInEffect,
    match=st.builds(
        MatchInEffect,
        namespaces=st.sampled_from(((), ("def*",), ("other",))),
        charts=st.sampled_from(((), ("a",), ("?",))),
        fields=FIELDS,
        operations=OPERATION_LISTS,
    ),
    action=st.sampled_from(Action).map(str),
)
LISTS = st.lists(OWN, max_size=4).map(tuple)


@given(
    LISTS,
    OWN.filter(lambda one: one.action != Action.IGNORE),
    st.sampled_from(list(BUILT_IN)),
    apps(),
    apps(),
)
@settings(max_examples=40)
def test_the_first_match_wins(
    own: tuple[RuleInEffect, ...], extra: RuleInEffect, push_on: str, before: App, after: App
) -> None:
    """A rule at the end changes only what no rule before it decided. (What it ignores may also make another
    operation of the comparison.)"""
    less, more = Rules(push_on, own), Rules(push_on, (*own, extra))
    for one, other in zip(less.actions(before, after), more.actions(before, after), strict=True):
        assert other == one or (one.by, other.by) == (push_on, f"rule {len(own) + 1}")
        assert one.detail == other.detail


@given(st.sampled_from(list(BUILT_IN)), LISTS, apps(), apps())
@settings(max_examples=40)
def test_without_a_rule_that_matches_it_is_as_without_rules(
    push_on: str, own: tuple[RuleInEffect, ...], before: App, after: App
) -> None:
    elsewhere = tuple(
        msgspec.structs.replace(one, match=msgspec.structs.replace(one.match, namespaces=("nowhere",)))
        for one in own
    )
    plain = Rules(push_on)
    for of in (Rules(push_on, elsewhere), plain):
        assert of.actions(before, after) == plain.actions(before, after)
        assert of.worth_pushing(before, after) == plain.worth_pushing(before, after)
        assert of.masked(before, after) is after
    for one in plain.actions(before, after):
        assert one.detail is not None
        assert (one.action, one.by) == (BUILT_IN[push_on][one.detail.field], push_on)
