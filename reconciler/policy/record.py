"""What goes into the next snapshot: of each app, what is recorded or what is there.

An app is taken whole or not at all. It is taken when something of it differs that makes a revision
(``rules``) and it has settled (``quiet``); what was deferred goes with it. Three things it guarantees:

- Nothing leaves that is not proven gone, uninstalled with its history kept, or in a denied namespace.
- What is only deferred changes nothing, except once: the first quiet state after a Helm change that was
  recorded as it stood is recorded as the rest of that change. A mark in the ledger remembers which.
- Recording twice what one look saw is recording it once.
"""

from collections.abc import Mapping, Set

import msgspec

from reconciler.changes.change import Field
from reconciler.changes.diff import diff_app
from reconciler.differing import differing, with_these
from reconciler.inventory.inventory import Inventory
from reconciler.model import App, AppKey, PolicyInEffect
from reconciler.policy.quiet import Verdict, has_left
from reconciler.policy.rules import Rules, rules_of

_HELM_CHANGE = frozenset(
    {Field.REVISION, Field.STATUS, Field.UPDATED, Field.CHART, Field.CHART_VERSION, Field.APP_VERSION}
)


SETTLED = ""
"""The mark of an app whose first quiet state is what was recorded as it stood: that is still to be told,
unless the API has it already."""


class Recordable(msgspec.Struct, frozen=True):
    """``apps``: the next snapshot's, in key order.

    ``mark_unsettled``: marks to set in the ledger before ``apps`` is recorded, each the digest of an app
    taken as it stands in the wake of a Helm change, or ``SETTLED``. A mark whose app was completed stays
    for the push to see.
    """

    apps: Mapping[AppKey, App]
    mark_unsettled: Mapping[AppKey, str]


def recordable(
    previous: Mapping[AppKey, App],
    inventory: Inventory,
    verdicts: Mapping[AppKey, Verdict],
    *,
    policy: PolicyInEffect,
    unsettled: Mapping[AppKey, str],
    differ: Set[AppKey] | None = None,
) -> Recordable:
    """Choose for each app. ``unsettled``: the ledger's marks; ``verdicts``: of the same look; ``differ``: as
    ``quiet.observe`` has it.

    What is recorded and live is the same stays, unless it is marked: so only the others are gone through.
    """
    rules = rules_of(policy)
    chosen: dict[AppKey, App | None] = {}
    marks: dict[AppKey, str] = {}
    differ = differing(previous, inventory.apps) if differ is None else differ
    among = differ | unsettled.keys()
    if inventory.policy.denyNamespaces != policy.denyNamespaces:  # else none of its apps is denied
        among |= inventory.apps.keys()
    for key in sorted(among):
        was, live = previous.get(key), inventory.apps.get(key)
        verdict = verdicts.get(key, Verdict.WAIT)
        if policy.denies(key.namespace):
            chosen[key] = None
            continue
        if live is None:
            if has_left(inventory, key) and verdict is not Verdict.WAIT:
                chosen[key] = None
            continue
        marked = was is not None and unsettled.get(key) == was.digest
        if not _taken(was, live, verdict, rules, marked=marked):
            if was is not None and marked and verdict is Verdict.QUIET and was.digest == live.digest:
                marks[key] = SETTLED
            continue
        chosen[key] = live
        if verdict is Verdict.AS_IT_STANDS and (marked or _in_the_wake_of_helm(was, live)):
            marks[key] = live.digest
    return Recordable(with_these(previous, chosen), marks)


def _taken(was: App | None, live: App, verdict: Verdict, rules: Rules, *, marked: bool) -> bool:
    """Whether the live app takes the recorded one's place."""
    if verdict is Verdict.WAIT:
        return False
    if was is None:
        return True
    if was.digest == live.digest:
        return False
    completes = marked and verdict is Verdict.QUIET
    return completes or rules.recorded_by_itself(was, live)


def _in_the_wake_of_helm(was: App | None, live: App) -> bool:
    """Whether an app differs from its record by an install, an upgrade, a rollback."""
    return was is None or any(detail.field in _HELM_CHANGE for detail in diff_app(was, live))
