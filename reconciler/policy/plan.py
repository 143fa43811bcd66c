"""What is still to be told: a pure function of the record, what is approved of it, the ledger and the policy.

It is recomputed whenever it is needed and never stored, so a crash has nothing to corrupt.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Protocol

import msgspec

from reconciler.differing import Comparison, differing
from reconciler.model import App, AppKey, PolicyInEffect
from reconciler.policy.approval import Approval, counts_as_gone, waiting
from reconciler.policy.entry import EMPTY, Entry
from reconciler.policy.protocol import Held, Reason, decide, resumes, told
from reconciler.policy.rules import rules_of

NEVER = "Never"
"""The ``push.on`` that holds every app of which no rule of the project's pushes anything."""


class Worth(Protocol):
    """Whether a difference is worth a push, by the rules; why (a fragment of a sentence), or None.

    ``before``: what the API acknowledged, None if nothing; ``after``: None for an uninstall.
    """

    def __call__(self, before: App | None, after: App | None, /) -> str | None: ...


class Push(msgspec.Struct, frozen=True):
    """One app to tell: ``app`` is what the API should have of it, ``why`` a fragment of a sentence."""

    key: AppKey
    app: App
    why: str


class Plan(msgspec.Struct, frozen=True):
    """``pushes`` in key order; ``held``: what differs as well, and why it waits. No app is in both."""

    pushes: tuple[Push, ...]
    held: Mapping[AppKey, Held]


class Settled:
    """What the last plan of a record was made from, and the apps that it could not be done with.

    Of the others there was nothing to tell: while app and entry are the same values, and the app is not gone,
    there still is nothing.
    """

    def __init__(self) -> None:
        self._recorded: Mapping[AppKey, App] = {}
        self._entries: Mapping[AppKey, Entry] = {}
        self._open: frozenset[AppKey] = frozenset()
        self._seen = Comparison[AppKey, object]()

    def left(
        self, recorded: Mapping[AppKey, App], entries: Mapping[AppKey, Entry], live: Mapping[AppKey, object]
    ) -> set[AppKey]:
        """The apps that must be gone through. ``live``: those that are not gone."""
        away = {key for key in self._seen.of(recorded, live) if key not in live}
        changed = differing(self._recorded, recorded) | differing(self._entries, entries)
        return {key for key in self._open | changed | away if key in recorded or key in entries}

    def keep(
        self, recorded: Mapping[AppKey, App], entries: Mapping[AppKey, Entry], left: Iterable[AppKey]
    ) -> None:
        """There is nothing to tell of the apps that are recorded but those that are ``left``."""
        self._recorded, self._entries, self._open = recorded, entries, frozenset(left)


def plan(
    recorded: Mapping[AppKey, App],
    entries: Mapping[AppKey, Entry],
    *,
    policy: PolicyInEffect,
    is_gone: Callable[[AppKey], bool],
    worth: Worth,
    unsettled: Mapping[AppKey, str],
    retry_rejected_before: datetime,
    approval: Approval | None = None,
    settled: Settled | None = None,
    live: Mapping[AppKey, object] | None = None,
) -> Plan:
    """Compare what is approved with what the API knows.

    ``is_gone``: whether a complete, permitted look at the cluster did not find the app; ``unsettled``: the
    digests of apps as they were recorded before they had settled in the wake of a Helm change;
    ``retry_rejected_before``: what was rejected earlier than this is tried again; ``approval``: what people
    approved, None where everything that is recorded is; ``settled``: what the plans before found, kept up to
    date here, so that a plan costs what has changed; ``live``: with it, apps that are not gone for certain.
    """
    pushes: list[Push] = []
    held: dict[AppKey, Held] = {}
    left: set[AppKey] = set()
    if approval is not None:
        known = recorded.keys() | entries.keys() | approval.apps.keys() | approval.refused.keys()
    elif settled is not None:
        known = settled.left(recorded, entries, live or {})
    else:
        known = recorded.keys() | entries.keys()
    for key in sorted(known):
        entry, app, gone = entries.get(key, EMPTY), recorded.get(key), is_gone(key)
        mark = unsettled.get(key)
        approved = app
        if approval is not None:
            approved = approval.state_of(key, entry)
            gone = counts_as_gone(approved, app, gone=gone)
        verdict = decide(entry, approved, gone=gone, retry_rejected_before=retry_rejected_before)
        why = _why(entry, approved, verdict, worth, mark) if isinstance(verdict, App) else None
        if approval is not None and why is None and not _is_rejected(verdict):
            by_rules = partial(_worth, worth=worth, unsettled=mark)
            verdict = waiting(key, entry, app, approval, by_rules) or verdict
        if verdict is not None or app is None or gone:
            left.add(key)
        if verdict is None:
            continue
        verdict = _held_by_policy(key, app or approved or told(entry), policy) or verdict
        if isinstance(verdict, Held):
            held[key] = verdict
        elif why is not None:
            pushes.append(Push(key, verdict, why))
    if settled is not None and approval is None:
        settled.keep(recorded, entries, left)
    return Plan(tuple(pushes), held)


def _held_by_policy(key: AppKey, app: App | None, policy: PolicyInEffect) -> Held | None:
    """What holds an app whatever differs. ``app``: as it is known best."""
    if policy.denies(key.namespace):
        return Held(Reason.DENIED, f"the namespace {key.namespace} is denied")
    if policy.stop:
        return Held(Reason.STOPPED, "the project says stop")
    if policy.push.on == NEVER and not (app is not None and rules_of(policy).pushes_some_of(app)):
        return Held(Reason.NEVER, "the policy is to push nothing")
    return None


def _why(entry: Entry, approved: App | None, want: App, worth: Worth, unsettled: str | None) -> str | None:
    """Why this is pushed now; None where the rules say that the difference is not worth it."""
    if entry.sending is not None:
        return (
            "retried: not acknowledged yet"
            if resumes(entry, want)
            else "what was sent before was not acknowledged"
        )
    return _worth(entry.acked.app if entry.acked is not None else None, approved, worth, unsettled)


def _worth(before: App | None, after: App | None, worth: Worth, unsettled: str | None) -> str | None:
    why = worth(before, after)
    if why is None and _completes(unsettled, before, after):
        return "completes what was told before it had settled"
    return why


def _is_rejected(verdict: App | Held | None) -> bool:
    return isinstance(verdict, Held) and verdict.reason is Reason.REJECTED


def _completes(unsettled: str | None, before: App | None, approved: App | None) -> bool:
    """Whether this is a later state of a Helm change that the API was told of before it had settled."""
    return (
        before is not None
        and approved is not None
        and unsettled not in (None, approved.digest)
        and before.helm.revision == approved.helm.revision
    )
