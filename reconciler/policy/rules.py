"""Which differences matter: an action for each difference, and the rule that decided it (section 5.1).

``Rules`` is a policy's list as it is applied; ``rules_of`` makes it. The list that ``push.on`` names has an
action for everything.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType

import msgspec

from reconciler.changes.change import Detail, Field, Operation
from reconciler.changes.diff import diff_app
from reconciler.model import App, PolicyInEffect, tells_the_same


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
_NEVER_EMITTED = (Field.RECORD_CONTAINERS, Field.RECORD_SERVICES, Field.RECORD_ROUTES)


def _list(push: Iterable[Subject]) -> Mapping[Subject, Action]:
    actions: dict[Subject, Action] = dict.fromkeys((*Field, *_COMING_AND_GOING), Action.RECORD)
    actions.update(dict.fromkeys(push, Action.PUSH))
    actions.update(dict.fromkeys(_DEFERRED, Action.DEFER))
    return MappingProxyType(actions)


BUILT_IN: Mapping[str, Mapping[Subject, Action]] = MappingProxyType(
    {
        "HelmUpdate": _list((*_HELM, *_COMING_AND_GOING)),
        "AnyChange": _list((*(f for f in Field if f not in _NEVER_EMITTED), *_COMING_AND_GOING)),
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


class Rules(msgspec.Struct, frozen=True):
    """A policy's rules as they are applied. ``push_on``: the built-in list's name, one of ``BUILT_IN``."""

    push_on: str = "HelmUpdate"

    def actions(self, before: App | None, after: App | None) -> tuple[Ruling, ...]:
        """What becomes of each difference, in the order of ``Field``; one ruling for an app that comes
        (``before`` is None) or goes (``after`` is None), none where nothing differs."""
        if before is None and after is None:
            return ()
        if before is None or after is None:
            what = Operation.UNINSTALL if after is None else Operation.INSTALL
            return (Ruling(None, BUILT_IN[self.push_on][what], self.push_on),)
        details = diff_app(before, after)
        return tuple(Ruling(one, BUILT_IN[self.push_on][one.field], self.push_on) for one in details)

    def recorded_by_itself(self, was: App | None, live: App | None) -> bool:
        """Whether a difference makes a revision: any of it is more than deferred."""
        return strongest(self.actions(was, live)) in (Action.RECORD, Action.PUSH)

    def masked(self, was: App | None, live: App) -> App:
        """The app as it is compared and recorded: what is ignored has its recorded value. An app of which
        nothing is recorded is taken as it is."""
        del was
        return live

    def worth_pushing(self, before: App | None, after: App | None) -> Decision:
        """Whether the API should be told. It says nothing of what is in doubt, held or denied.

        ``before``: what the API acknowledged, None if nothing or its end; ``after``: None for an uninstall.
        """
        if before is None and after is None:
            return Decision(False, "there is nothing to tell")
        rulings = self.actions(before, after)
        if before is None or after is None:
            what = Operation.UNINSTALL if after is None else Operation.INSTALL
            (one,) = rulings
            pushed = one.action is Action.PUSH
            return Decision(pushed, f"{one.by} {'pushes' if pushed else 'does not push'} an {what}")
        if tells_the_same(before, after):
            return Decision(False, "the API has acknowledged the same")
        fields = {one.detail.field: one.action for one in rulings if one.detail is not None}
        pushed_fields = [field for field, action in fields.items() if action is Action.PUSH]
        if pushed_fields:
            return Decision(True, f"{self.push_on} pushes a change of {', '.join(pushed_fields)}")
        return Decision(False, f"{self.push_on} does not push a change of {', '.join(fields)}")

    def worth(self, before: App | None, after: App | None, /) -> str | None:
        """``worth_pushing`` as the plan asks it: why it is pushed, None if it is not."""
        decision = self.worth_pushing(before, after)
        return decision.because if decision.push else None


def strongest(rulings: Iterable[Ruling]) -> Action:
    """The action for an app that differs so; Ignore when there is no difference."""
    return max((one.action for one in rulings), key=_STRENGTH.__getitem__, default=Action.IGNORE)


@lru_cache(maxsize=64)
def rules_of(policy: PolicyInEffect) -> Rules:
    """The rules that a policy states, and then the list that its ``push.on`` names."""
    return Rules(push_on=policy.push.on)
