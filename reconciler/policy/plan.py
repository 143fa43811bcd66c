"""What is still to be told: a pure function of the approved snapshot, the ledger and the policy.

It is recomputed whenever it is needed and never stored, so a crash has nothing to corrupt.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

import msgspec

from reconciler.model import App, AppKey, PolicyInEffect
from reconciler.policy.entry import EMPTY, Entry
from reconciler.policy.protocol import Held, Reason, decide, resumes

NEVER = "Never"
"""The ``push.on`` that holds everything."""


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


def plan(
    approved: Mapping[AppKey, App],
    entries: Mapping[AppKey, Entry],
    *,
    policy: PolicyInEffect,
    is_gone: Callable[[AppKey], bool],
    worth: Worth,
    unsettled: Mapping[AppKey, str],
    retry_rejected_before: datetime,
) -> Plan:
    """Compare what is approved with what the API knows.

    ``is_gone``: whether a complete, permitted look at the cluster did not find the app; ``unsettled``: the
    digests of apps as they were recorded before they had settled in the wake of a Helm change;
    ``retry_rejected_before``: what was rejected earlier than this is tried again.
    """
    pushes: list[Push] = []
    held: dict[AppKey, Held] = {}
    for key in sorted(approved.keys() | entries.keys()):
        entry, app = entries.get(key, EMPTY), approved.get(key)
        verdict = decide(entry, app, gone=is_gone(key), retry_rejected_before=retry_rejected_before)
        if verdict is None:
            continue
        verdict = _held_by_policy(key, policy) or verdict
        if isinstance(verdict, Held):
            held[key] = verdict
        elif (why := _why(entry, app, verdict, worth, unsettled.get(key))) is not None:
            pushes.append(Push(key, verdict, why))
    return Plan(tuple(pushes), held)


def _held_by_policy(key: AppKey, policy: PolicyInEffect) -> Held | None:
    if policy.denies(key.namespace):
        return Held(Reason.DENIED, f"the namespace {key.namespace} is denied")
    if policy.stop:
        return Held(Reason.STOPPED, "the project says stop")
    if policy.push.on == NEVER:
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
    before = entry.acked.app if entry.acked is not None else None
    why = worth(before, approved)
    if why is None and _completes(unsettled, before, approved):
        return "completes what was told before it had settled"
    return why


def _completes(unsettled: str | None, before: App | None, approved: App | None) -> bool:
    """Whether this is a later state of a Helm change that the API was told of before it had settled."""
    return (
        before is not None
        and approved is not None
        and unsettled not in (None, approved.digest)
        and before.helm.revision == approved.helm.revision
    )
