import msgspec
import pytest

from reconciler.changes.change import Field, Operation
from reconciler.model import MatchInEffect, PolicyInEffect, PushPolicy, RuleInEffect
from reconciler.project import (
    Author,
    Brake,
    ConfigMapState,
    Duration,
    GitState,
    Match,
    PushSpec,
    Rule,
    Spec,
)
from reconciler.project.spec import OPERATIONS, RULE_FIELDS
from reconciler.state.git import layout


def test_an_empty_spec_means_the_documented_defaults() -> None:
    spec = Spec()
    assert (spec.cluster_name, spec.stop, spec.deny_namespaces, spec.rules) == ("", False, (), ())
    assert (spec.interval, spec.settle) == (Duration(minutes=10), Duration(seconds=5))
    assert spec.brake == Brake(percent=30)
    assert spec.state == ConfigMapState(namespace="", name="hossted-state", history=200)
    assert spec.push == PushSpec(on=None, approval="Automatic")


def test_the_defaults_in_effect_are_those_that_the_model_records() -> None:
    assert Spec().in_effect() == PolicyInEffect()


def test_the_policy_in_effect_is_the_same_whatever_the_order_it_was_written_in() -> None:
    one = Spec(
        deny_namespaces=("b", "a-*", "b"), interval=Duration(seconds=90), settle=Duration(milliseconds=500)
    )
    other = Spec(
        deny_namespaces=("a-*", "b"), interval=Duration.parse("1m30s"), settle=Duration.parse("500ms")
    )
    assert one.in_effect() == other.in_effect()
    assert one.in_effect() == PolicyInEffect(
        denyNamespaces=("a-*", "b"), interval="1m30s", settle="500ms", push=PushPolicy()
    )


@pytest.mark.parametrize(
    ("on", "has_api", "resolved"),
    [
        (None, True, "HelmUpdate"),
        (None, False, "Never"),
        ("AnyChange", True, "AnyChange"),
        ("AnyChange", False, "AnyChange"),
        ("Never", True, "Never"),
    ],
)
def test_push_on_is_helm_update_by_default_and_never_without_an_api(
    on: str | None, has_api: bool, resolved: str
) -> None:
    spec = Spec(push=PushSpec(on=on))
    assert spec.push.resolved(has_api=has_api) == resolved
    assert spec.in_effect(has_api=has_api).push.on == resolved


def test_a_rule_may_name_what_happens_to_an_app_in_the_cluster() -> None:
    of_the_policy = {Operation.DENY, Operation.ALLOW}
    assert sorted(OPERATIONS) == sorted(one for one in Operation if one not in of_the_policy)


def test_the_rules_in_effect_keep_their_order_and_are_canonical_inside() -> None:
    match = Match(
        namespaces=("b", "a", "b"),
        releases=("y", "x"),
        charts=("B", "A"),
        fields=("pod_info", "app_uuid"),
        operations=("change", "upgrade"),
    )
    rules = (Rule(action="Record", match=match), Rule(action="Push"), Rule(action="Defer"))
    assert Spec(rules=rules).in_effect().rules == (
        RuleInEffect(
            match=MatchInEffect(
                namespaces=("a", "b"),
                releases=("x", "y"),
                charts=("A", "B"),
                fields=("app_uuid", "pod_info"),
                operations=("upgrade", "change"),
            ),
            action="Record",
        ),
        RuleInEffect(action="Push"),
        RuleInEffect(action="Defer"),
    )


def test_a_policy_without_rules_does_not_mention_them() -> None:
    assert "rules" not in msgspec.to_builtins(Spec().in_effect())


@pytest.mark.parametrize("action", ["Push", "Record"])
def test_a_rule_about_installs_and_uninstalls_may_say_whether_they_are_told(action: str) -> None:
    match = Match(operations=("install", "uninstall"))
    assert Rule(action=action, match=match).in_effect().action == action


def test_a_rule_about_more_than_installs_may_leave_the_rest_out() -> None:
    match = Match(operations=("install", "change"), fields=("pod_info",))
    assert Rule(action="Ignore", match=match).in_effect().action == "Ignore"


def test_a_rule_may_name_every_field_of_a_change_but_the_followers() -> None:
    assert sorted(RULE_FIELDS) == sorted(field for field in Field if not field.startswith("record."))


def test_the_default_author_is_the_one_that_the_git_store_has() -> None:
    author = Author()
    assert f"{author.name} <{author.email}>" == layout.AUTHOR


@pytest.mark.parametrize("branch", ["main", "a/b.c_d+e", "observed/{cluster_uuid}", "{cluster_uuid}"])
def test_a_branch_that_is_accepted_is_one_that_the_git_store_can_use(branch: str) -> None:
    assert layout.checked_branch(GitState(url="file:///x", branch=branch).branch) == branch
