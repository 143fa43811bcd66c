"""Which differences matter: an action for each field, by the list that ``push.on`` names (section 5.1).

Rules that a project states itself will be asked before these lists: ``action`` is where.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from reconciler.changes.change import Detail, Field, Operation
from reconciler.changes.diff import diff_app
from reconciler.model import App, tells_the_same


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


def action(what: Subject, push_on: str) -> Action:
    """The action for a field, an install or an uninstall. ``push_on``: a name in ``BUILT_IN``."""
    return BUILT_IN[push_on][what]


def strongest(details: Iterable[Detail], push_on: str) -> Action:
    """The action for an app that differs so; Ignore when there is no difference."""
    actions = (action(detail.field, push_on) for detail in details)
    return max(actions, key=_STRENGTH.__getitem__, default=Action.IGNORE)


def recorded_by_itself(before: App, after: App, push_on: str) -> bool:
    """Whether a difference makes a revision: any of it is more than deferred."""
    return strongest(diff_app(before, after), push_on) in (Action.RECORD, Action.PUSH)


class Decision(msgspec.Struct, frozen=True):
    """``because``: which rule decided, a fragment of a sentence."""

    push: bool
    because: str


def worth_pushing(push_on: str, before: App | None, after: App | None) -> Decision:
    """Whether the API should be told. It says nothing of what is in doubt, held or denied.

    ``before``: what the API acknowledged, None if nothing or its end; ``after``: None for an uninstall.
    """
    if before is None and after is None:
        return Decision(False, "there is nothing to tell")
    if before is None or after is None:
        what = Operation.UNINSTALL if after is None else Operation.INSTALL
        pushed = action(what, push_on) is Action.PUSH
        return Decision(pushed, f"{push_on} {'pushes' if pushed else 'does not push'} an {what}")
    if tells_the_same(before, after):
        return Decision(False, "the API has acknowledged the same")
    actions = {detail.field: action(detail.field, push_on) for detail in diff_app(before, after)}
    pushed_fields = [field for field, one in actions.items() if one is Action.PUSH]
    if pushed_fields:
        return Decision(True, f"{push_on} pushes a change of {', '.join(pushed_fields)}")
    return Decision(False, f"{push_on} does not push a change of {', '.join(actions)}")


def worth(push_on: str) -> Callable[[App | None, App | None], str | None]:
    """``worth_pushing`` as the plan asks it: why it is pushed, None if it is not."""

    def why(before: App | None, after: App | None, /) -> str | None:
        decision = worth_pushing(push_on, before, after)
        return decision.because if decision.push else None

    return why
