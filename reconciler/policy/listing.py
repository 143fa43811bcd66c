"""A policy's rules as one numbered list, in the order in which they are asked."""

from collections.abc import Iterator

import msgspec

from reconciler.changes.change import Field, Operation
from reconciler.changes.rule import rule_in_words
from reconciler.model import MatchInEffect, PolicyInEffect, RuleInEffect
from reconciler.policy.rules import BUILT_IN, Action, Rules, Subject, rules_of


class Listed(msgspec.Struct, frozen=True):
    """One line. ``by``: as rulings name it (``rule 2``, ``HelmUpdate``); ``what``: in words what it is about;
    ``match``: of a rule of the project's; ``fields``, ``operations``: what a line of the built-in list is
    about; ``reached``: whether no line before it matches everything."""

    number: int
    by: str
    action: Action
    what: str
    match: MatchInEffect | None = None
    fields: tuple[Field, ...] = ()
    operations: tuple[Operation, ...] = ()
    reached: bool = True


def listing(policy: PolicyInEffect) -> tuple[Listed, ...]:
    """The project's rules, and then the list that ``push.on`` names, a line for each of its actions."""
    rules = rules_of(policy)
    return (*_own(rules), *_built_in(rules))


def _own(rules: Rules) -> Iterator[Listed]:
    for number, rule in enumerate(rules.own, start=1):
        action = Action(rule.action)
        what = rule_in_words(rule, whole=True).removeprefix(f"{action} ")
        yield Listed(number, f"rule {number}", action, what, rule.match, reached=_is_reached(rules, number))


def _built_in(rules: Rules) -> Iterator[Listed]:
    actions = BUILT_IN[rules.push_on]
    used = [action for action in reversed(Action) if action in actions.values()]
    for number, action in enumerate(used, start=len(rules.own) + 1):
        about: list[Subject] = [subject for subject, one in actions.items() if one is action]
        operations = tuple(subject for subject in about if isinstance(subject, Operation))
        fields = tuple(subject for subject in about if isinstance(subject, Field))
        what = ", ".join((*operations, *fields))
        reached = _is_reached(rules, number)
        yield Listed(number, rules.push_on, action, what, None, fields, operations, reached)


def _is_reached(rules: Rules, number: int) -> bool:
    return not any(_matches_everything(rule) for rule in rules.own[: number - 1])


def _matches_everything(rule: RuleInEffect) -> bool:
    return rule.match == MatchInEffect()
