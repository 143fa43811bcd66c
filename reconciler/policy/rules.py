"""Which differences matter: an action for each difference, and the rule that decided it (section 5.1).

``Rules`` is a policy's list as it is applied: the project's own rules, of which the first that matches wins,
and then the list that ``push.on`` names, which has an action for everything. A difference is one field of one
app, and the operation is that of the two states which are compared: recorded and live for what is recorded,
acknowledged and approved for what is pushed. What follows from more than one difference:

- An app that comes or goes is judged as a whole, by the rules without ``fields``. It is always recorded:
  Defer and Ignore count as Record there, also for a new release under the old name.
- What only the record has follows its block, at most Record.
- ``helm_info.updated`` is the revision's time, so it is ignored wherever the revision is; and where it is
  ignored, a later time alone is no reinstall.
"""

import fnmatch
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import cached_property, lru_cache
from types import MappingProxyType

import msgspec

from reconciler.changes.change import Detail, Field, Operation
from reconciler.changes.diff import diff_app, operation_of
from reconciler.inventory.inventory import Inventory
from reconciler.model import App, AppKey, MatchInEffect, PolicyInEffect, RuleInEffect, tells_the_same
from reconciler.policy.masked import effective, is_starting, masked


class Action(StrEnum):
    """What becomes of a difference, weakest first; of several differences the strongest decides."""

    IGNORE = "Ignore"  # masked on both sides of every comparison
    DEFER = "Defer"  # makes no revision of its own, is recorded with that app's next
    RECORD = "Record"  # recorded, not pushed
    PUSH = "Push"  # recorded and pushed


_STRENGTH = {action: strength for strength, action in enumerate(Action)}

Subject = Field | Operation
"""What a list has an action for: a field, or an app that comes or goes."""

_DEFERRED = (Field.POD, Field.POD_STATUS, Field.RECORD_CONTAINERS)
_HELM = (
    Field.REVISION,
    Field.STATUS,
    Field.UPDATED,
    Field.CHART,
    Field.CHART_VERSION,
    Field.APP_VERSION,
    Field.APP_UUID,
)
_COMING_AND_GOING = (Operation.INSTALL, Operation.UNINSTALL)
_FOLLOWED = {
    Field.RECORD_CONTAINERS: Field.POD,
    Field.RECORD_SERVICES: Field.SERVICE,
    Field.RECORD_ROUTES: Field.INGRESS,
}


def _list(push: Iterable[Subject]) -> Mapping[Subject, Action]:
    actions: dict[Subject, Action] = dict.fromkeys((*Field, *_COMING_AND_GOING), Action.RECORD)
    actions.update(dict.fromkeys(push, Action.PUSH))
    actions.update(dict.fromkeys(_DEFERRED, Action.DEFER))
    return MappingProxyType(actions)


BUILT_IN: Mapping[str, Mapping[Subject, Action]] = MappingProxyType(
    {
        "HelmUpdate": _list((*_HELM, *_COMING_AND_GOING)),
        "AnyChange": _list((*(f for f in Field if f not in _FOLLOWED), *_COMING_AND_GOING)),
        "Never": _list(()),
    }
)
"""The lists by the name that ``push.on`` has for them."""


class Ruling(msgspec.Struct, frozen=True):
    """What becomes of one difference. ``detail``: None for an app that comes or goes; ``by``: the rule that
    decided, in words (``rule 2``, ``HelmUpdate``)."""

    detail: Detail | None
    action: Action
    by: str


class Decision(msgspec.Struct, frozen=True):
    """``because``: which rule decided, a fragment of a sentence."""

    push: bool
    because: str


class _Verdict(msgspec.Struct, frozen=True):
    action: Action
    by: str


_Table = Mapping[tuple[Operation, Field | None], _Verdict]
"""What an app's differences come to: by the operation and the field, None for an app that comes or goes."""

_OPERATIONS = (
    Operation.INSTALL,
    Operation.UPGRADE,
    Operation.ROLLBACK,
    Operation.CHANGE,
    Operation.UNINSTALL,
)
_MOST_KNOWN = 20_000
"""Apps of which a policy's table is remembered."""


class Rules(msgspec.Struct, frozen=True, dict=True):
    """A policy's rules as they are applied. ``push_on``: the built-in list's name, one of ``BUILT_IN``;
    ``own``: the project's, which come before it."""

    push_on: str = "HelmUpdate"
    own: tuple[RuleInEffect, ...] = ()

    def actions(self, before: App | None, after: App | None) -> tuple[Ruling, ...]:
        """What becomes of each difference, in the order of ``Field``; one ruling for an app that comes
        (``before`` is None) or goes (``after`` is None), none where nothing differs."""
        app = after or before
        if app is None:
            return ()
        table = self._table(app)
        operation = self._operation(before, after, table)
        if before is None or after is None:
            verdict = table[operation, None]
            return (Ruling(None, verdict.action, verdict.by),)
        verdicts = ((detail, table[operation, detail.field]) for detail in diff_app(before, after))
        return tuple(Ruling(detail, verdict.action, verdict.by) for detail, verdict in verdicts)

    def recorded_by_itself(self, was: App | None, live: App | None) -> bool:
        """Whether a difference makes a revision: any of it is more than deferred."""
        return strongest(self.actions(was, live)) in (Action.RECORD, Action.PUSH)

    def ignored(self, was: App | None, live: App) -> frozenset[Field]:
        """The fields that are left out of this comparison."""
        if was is None or not self._ignores:
            return frozenset()
        table = self._table(live)
        operation = self._operation(was, live, table)
        fields = frozenset(field for field in Field if table[operation, field].action is Action.IGNORE)
        return effective(was, live, fields)

    def masked(self, was: App | None, live: App) -> App:
        """The app as it is compared and recorded: what is ignored has its recorded value. An app of which
        nothing is recorded is taken as it is."""
        if was is None or not self._ignores or was.digest == live.digest:
            return live
        ignored = self.ignored(was, live)
        return masked(was, live, ignored) if ignored else live

    def compared(self, inventory: Inventory, recorded: Mapping[AppKey, App]) -> Inventory:
        """The inventory with its apps masked: what is ignored neither differs nor is waited for."""
        if not self._ignores:
            return inventory
        apps = {key: self.masked(recorded.get(key), live) for key, live in inventory.apps.items()}
        settling = frozenset(
            key
            for key in inventory.settling
            if self._is_starting(recorded.get(key), inventory.apps[key], apps[key])
        )
        return msgspec.structs.replace(inventory, apps=apps, settling=settling)

    def _is_starting(self, was: App | None, live: App, app: App) -> bool:
        """Whether a pod of an app that has Pending ones is not ignored."""
        ignored = self.ignored(was, live)
        return was is None or not ignored or is_starting(was, live, app, ignored)

    def pushes_some_of(self, app: App) -> bool:
        """Whether there is anything of the app that would be pushed if it differed."""
        return any(verdict.action is Action.PUSH for verdict in self._table(app).values())

    def worth_pushing(self, before: App | None, after: App | None) -> Decision:
        """Whether the API should be told. It says nothing of what is in doubt, held or denied.

        ``before``: what the API acknowledged, None if nothing or its end; ``after``: None for an uninstall.
        """
        if before is None and after is None:
            return Decision(False, "there is nothing to tell")
        if before is not None and after is not None and tells_the_same(before, after):
            return Decision(False, "the API has acknowledged the same")
        rulings = self.actions(before, after)
        pushed = [one for one in rulings if one.action is Action.PUSH]
        said: defaultdict[str, list[str]] = defaultdict(list)
        for one in pushed or rulings:
            if one.detail is not None and one.detail.field not in said[one.by]:
                said[one.by].append(one.detail.field)
        does = "pushes" if pushed else "does not push"
        if before is None or after is None:
            what = Operation.UNINSTALL if after is None else Operation.INSTALL
            return Decision(bool(pushed), f"{rulings[0].by} {does} an {what}")
        clauses = (f"{by} {does} a change of {', '.join(fields)}" for by, fields in said.items())
        return Decision(bool(pushed), "; ".join(clauses))

    def worth(self, before: App | None, after: App | None, /) -> str | None:
        """``worth_pushing`` as the plan asks it: why it is pushed, None if it is not."""
        decision = self.worth_pushing(before, after)
        return decision.because if decision.push else None

    @cached_property
    def _ignores(self) -> bool:
        return any(rule.action == Action.IGNORE for rule in self.own)

    @cached_property
    def _tables(self) -> dict[tuple[str, str, str], _Table]:
        """By namespace, release and chart."""
        return {}

    def _table(self, app: App) -> _Table:
        about = (app.key.namespace, app.key.name, app.helm.chart)
        table = self._tables.get(about)
        if table is None:
            if len(self._tables) >= _MOST_KNOWN:
                self._tables.clear()
            numbered = enumerate(zip(self.own, self._abouts, strict=True), start=1)
            matching = tuple((number, rule) for number, (rule, is_about) in numbered if is_about(*about))
            table = self._tables[about] = _table_of(matching, self.push_on)
        return table

    @cached_property
    def _abouts(self) -> tuple[Callable[[str, str, str], bool], ...]:
        """Of each own rule, whether it is about an app, whatever happens to that."""
        return tuple(_about(rule.match) for rule in self.own)

    def _operation(self, before: App | None, after: App | None, table: _Table) -> Operation:
        """What happened between two states, by the fields that are not ignored."""
        if after is None:
            return Operation.UNINSTALL
        operation = operation_of(before, after)
        if before is None or operation is not Operation.INSTALL:
            return operation
        times = (table[each, Field.UPDATED].action for each in _OPERATIONS)
        return Operation.CHANGE if Action.IGNORE in times else operation


def _about(match: MatchInEffect) -> Callable[[str, str, str], bool]:
    """Whether an app of this namespace, release and chart is what a rule is about."""
    parts = tuple(
        re.compile("|".join(map(fnmatch.translate, globs))) if globs else None
        for globs in (match.namespaces, match.releases, match.charts)
    )

    def is_about(*names: str) -> bool:
        return all(part is None or part.match(name) for part, name in zip(parts, names, strict=True))

    return is_about


@lru_cache(maxsize=1024)
def _table_of(rules: tuple[tuple[int, RuleInEffect], ...], push_on: str) -> _Table:
    """The table of the apps that these of the project's rules are about, each with its number."""
    table = {
        (operation, field): _first(rules, operation, field) or _built_in(push_on, operation, field)
        for operation in _OPERATIONS
        for field in (None, *Field)
    }
    for operation in _OPERATIONS:
        if table[operation, Field.REVISION].action is Action.IGNORE:
            table[operation, Field.UPDATED] = table[operation, Field.REVISION]
    return MappingProxyType(table)


def _first(
    rules: Iterable[tuple[int, RuleInEffect]], operation: Operation, field: Field | None
) -> _Verdict | None:
    """What the first rule that matches says; None where none does."""
    asked = field if field is None else _FOLLOWED.get(field, field)
    for number, rule in rules:
        match = rule.match
        if (match.operations and operation not in match.operations) or (
            match.fields and asked not in match.fields
        ):
            continue
        action = Action(rule.action)
        if operation in _COMING_AND_GOING:
            action = max(action, Action.RECORD, key=_STRENGTH.__getitem__)
        if field in _FOLLOWED:
            action = min(action, Action.RECORD, key=_STRENGTH.__getitem__)
        return _Verdict(action, f"rule {number}")
    return None


def _built_in(push_on: str, operation: Operation, field: Field | None) -> _Verdict:
    """What the list says; an app only comes by an install and only goes by an uninstall."""
    actions = BUILT_IN[push_on]
    what: Subject = operation if field is None else field
    return _Verdict(actions.get(what, Action.RECORD), push_on)


def strongest(rulings: Iterable[Ruling]) -> Action:
    """The action for an app that differs so; Ignore when there is no difference."""
    return max((one.action for one in rulings), key=_STRENGTH.__getitem__, default=Action.IGNORE)


@lru_cache(maxsize=64)
def rules_of(policy: PolicyInEffect) -> Rules:
    """The rules that a policy states, and then the list that its ``push.on`` names."""
    return Rules(push_on=policy.push.on, own=policy.rules or ())
