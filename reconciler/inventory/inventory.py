"""The live inventory as a value: what a cluster has, put together from what was judged of each release."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar

import msgspec

from reconciler.differing import with_these
from reconciler.inventory.helm import HelmRevision
from reconciler.inventory.judge import Judged, Problem
from reconciler.inventory.objects import Meta
from reconciler.model import App, AppKey, PolicyInEffect

_Value = TypeVar("_Value")


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """What one look says that the cluster has; mappings are in key order."""

    apps: Mapping[AppKey, App]
    """Every app whose state is known, those on their way or stuck included."""
    carried: frozenset[AppKey]
    """Apps of which all or a part is the last known state, not what this look saw."""
    in_transit: Mapping[AppKey, datetime]
    """Releases whose newest revision is pending-* or uninstalling, and since when."""
    settling: frozenset[AppKey]
    """Apps with a pod that is Pending."""
    kept: Mapping[AppKey, App]
    """Releases that were uninstalled with their history kept: no apps, but in ``helm list --all``."""
    waiting: Mapping[AppKey, str]
    """New releases that cannot be recorded yet, and what they wait for."""
    unreadable: frozenset[AppKey]
    """Releases whose newest revision cannot be read; ``problems`` says why."""
    revisions: Mapping[AppKey, tuple[HelmRevision, ...]]
    """The revisions that Helm still keeps, ascending."""
    unattributed: tuple[Meta, ...]
    """Pods that belong to no release, whatever their phase: finished ones of hooks are among them."""
    problems: tuple[Problem, ...]
    unproven: frozenset[str]
    """Namespaces whose releases were not listed completely; "" stands for all."""
    policy: PolicyInEffect
    namespaces: Mapping[str, bool] = {}
    """Those that there are and that are not denied, and whether each is being deleted."""

    @property
    def pods(self) -> int:
        """How many pods its apps have."""
        return sum(app.pods for app in self.apps.values())

    def is_gone(self, key: AppKey) -> bool:
        """Whether this look proves that the app is uninstalled.

        Never for a denied namespace, nor unless namespaces and both of Helm's drivers were listed there.
        """
        return (
            key not in self.apps
            and key not in self.waiting
            and key not in self.unreadable
            and self.unproven.isdisjoint(("", key.namespace))
            and not self.policy.denies(key.namespace)
        )

    def is_ending(self, namespace: str) -> bool:
        """Whether a namespace is being deleted, or is not there any more.

        Never when not one was seen: no cluster is without namespaces.
        """
        return bool(self.namespaces) and self.namespaces.get(namespace, True)


def inventory_of(
    judged: Mapping[AppKey, Judged],
    *,
    problems: Iterable[Problem],
    unattributed: tuple[Meta, ...],
    unproven: frozenset[str],
    policy: PolicyInEffect,
    namespaces: Mapping[str, bool],
) -> Inventory:
    """All that was judged. ``problems``: those that are of no release."""
    ordered = dict(sorted(judged.items()))
    found = {*problems, *(one.problem for one in judged.values() if one.problem)}
    return Inventory(
        apps=_of(ordered, lambda one: one.app),
        carried=frozenset(key for key, one in ordered.items() if one.carried),
        in_transit=_of(ordered, lambda one: one.in_transit),
        settling=frozenset(key for key, one in ordered.items() if one.is_settling),
        kept=_of(ordered, lambda one: one.kept),
        waiting=_of(ordered, lambda one: one.waiting or None),
        unreadable=frozenset(key for key, one in ordered.items() if one.unreadable),
        revisions=_of(ordered, lambda one: one.revisions),
        unattributed=unattributed,
        problems=tuple(sorted(found, key=lambda each: (each.subject, each.message))),
        unproven=unproven,
        policy=policy,
        namespaces=dict(sorted(namespaces.items())),
    )


def patched(
    inventory: Inventory,
    judged: Mapping[AppKey, tuple[Judged, Judged]],
    unattributed: tuple[Meta, ...] | None = None,
) -> Inventory | None:
    """The same with these releases as they are now: each as it was judged in it, and as it is judged since.

    None where it takes more than that, because one of them is read no more, or is so again.
    """
    if any(_differ_in_kind(was, now) for was, now in judged.values()):
        return None
    apps = {key: now.app for key, (_, now) in judged.items() if now.app is not None}
    revisions = dict(inventory.revisions)
    in_transit, kept = dict(inventory.in_transit), dict(inventory.kept)
    settling = set(inventory.settling)
    for key, (_, now) in judged.items():
        if now.kept is not None:
            kept[key] = now.kept
        if now.revisions is not None:
            revisions[key] = now.revisions
        in_transit.pop(key, None)
        if now.in_transit is not None:
            in_transit[key] = now.in_transit
        (settling.add if now.is_settling else settling.discard)(key)
    return msgspec.structs.replace(
        inventory,
        apps=with_these(inventory.apps, apps),
        revisions=revisions,
        kept=kept,
        in_transit=dict(sorted(in_transit.items())),
        settling=frozenset(settling),
        unattributed=inventory.unattributed if unattributed is None else unattributed,
    )


def _differ_in_kind(was: Judged, now: Judged) -> bool:
    """Whether a release has come into one of an inventory's mappings, or left one, being on its way aside."""
    before = (was.app is None, was.kept is None, was.revisions is None, was.waiting, was.problem)
    after = (now.app is None, now.kept is None, now.revisions is None, now.waiting, now.problem)
    return before != after or (was.carried, was.unreadable) != (now.carried, now.unreadable)


def _of(judged: Mapping[AppKey, Judged], what: Callable[[Judged], _Value | None]) -> dict[AppKey, _Value]:
    return {key: found for key, one in judged.items() if (found := what(one)) is not None}
