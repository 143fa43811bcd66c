"""The one list of rules, as it is applied."""

import pytest

from reconciler.changes.change import Field, Operation
from reconciler.model import MatchInEffect, PolicyInEffect, PushPolicy, RuleInEffect
from reconciler.policy.listing import Listed, listing
from reconciler.policy.rules import BUILT_IN

DEV = MatchInEffect(namespaces=("dev-*", "test", "try", "x"), fields=("pod_info.status",))
OWN = (RuleInEffect(match=DEV, action="Ignore"), RuleInEffect(action="Record"), RuleInEffect(action="Push"))


def test_the_project_s_rules_come_first_and_are_told_whole() -> None:
    own = listing(PolicyInEffect(rules=OWN))[:3]
    assert [(one.number, one.by, str(one.action), one.what, one.match) for one in own] == [
        (1, "rule 1", "Ignore", "pod_info.status in dev-*, test, try and x", DEV),
        (2, "rule 2", "Record", "everything", MatchInEffect()),
        (3, "rule 3", "Push", "everything", MatchInEffect()),
    ]


@pytest.mark.parametrize("push_on", list(BUILT_IN))
def test_the_built_in_list_follows_with_an_action_for_everything(push_on: str) -> None:
    policy = PolicyInEffect(push=PushPolicy(on=push_on), rules=OWN[:1])
    lines: tuple[Listed, ...] = listing(policy)[1:]
    said = {what: one.action for one in lines for what in (*one.fields, *one.operations)}
    assert said == BUILT_IN[push_on]
    assert {*said} == {*Field, Operation.INSTALL, Operation.UNINSTALL}
    assert [one.number for one in lines] == [*range(2, 2 + len(lines))]
    assert {one.by for one in lines} == {push_on}


def test_what_stands_behind_a_rule_that_matches_everything_is_never_reached() -> None:
    lines = listing(PolicyInEffect(rules=OWN))
    assert [one.reached for one in lines] == [True, True, *[False] * (len(lines) - 2)]
