# ruff: noqa: N815 - the fields are spelled as the resource spells them
"""What a project reports: its status, read with patience, built from a result, and patched.

The status found may be an upstream operator's, and its UUIDs are worth having: whatever can be read of it
is, and the rest is replaced by the next patch.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from reconciler.model import AppKey, rfc3339
from reconciler.project.moment import moment
from reconciler.project.releases import HelmStatus, Releases

LONGEST_MESSAGE = 1_024

_T = TypeVar("_T")


class Condition(msgspec.Struct, frozen=True):
    """A condition of the status, as metav1.Condition; ``build_status`` sets ``lastTransitionTime``.

    ``status``: True, False or Unknown; ``reason``: one CamelCase word; ``message``: cut at 1,024 characters.
    """

    type: str
    status: str
    reason: str = ""
    message: str = ""
    observedGeneration: int = 0
    lastTransitionTime: str = ""


class Summary(msgspec.Struct, frozen=True):
    """Counts; ``pending`` is the size of the plan."""

    releases: int = 0
    pods: int = 0
    pending: int = 0
    rejected: int = 0
    unreadable: int = 0
    unattributed: int = 0


class SnapshotRef(msgspec.Struct, frozen=True):
    """The newest recorded snapshot and the revision that holds it."""

    digest: str = ""
    revision: str = ""


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """``observedGeneration`` is -1 while nobody has looked. Timestamps are RFC 3339."""

    observedGeneration: int = -1
    conditions: tuple[Condition, ...] = ()
    clusterUUID: str = ""
    kubeSystemUID: str = ""
    email_id: str = ""
    lastReconcileTimestamp: str = ""
    reconcileHelmReleases: Mapping[str, str] = {}
    helmStatus: tuple[HelmStatus, ...] = ()
    revision: tuple[int, ...] = ()
    summary: Summary | None = None
    snapshot: SnapshotRef | None = None
    signingKey: str = ""
    lastHandledReconcileAt: str = ""

    def condition(self, kind: str) -> Condition | None:
        return next((one for one in self.conditions if one.type == kind), None)

    @property
    def last_reconcile(self) -> datetime | None:
        return moment(self.lastReconcileTimestamp)

    def app_uuids(self) -> dict[AppKey, str]:
        """The UUIDs that ``helmStatus`` gives to apps, whoever wrote it; the first one of an app counts."""
        found: dict[AppKey, str] = {}
        for one in self.helmStatus:
            if one.namespace and one.name and one.appUUID:
                found.setdefault(AppKey(one.namespace, one.name), one.appUUID)
        return found


def build_status(
    old: Status,
    *,
    at: datetime,
    generation: int,
    conditions: Iterable[Condition],
    cluster_uuid: str | None = None,
    kube_system_uid: str | None = None,
    email_id: str | None = None,
    releases: Releases | None = None,
    summary: Summary | None = None,
    snapshot: SnapshotRef | None = None,
    signing_key: str | None = None,
    handled: str | None = None,
) -> Status:
    """The status after a reconcile at ``at``; what is None stays as it was.

    ``handled``: the value of REQUESTED_AT that this reconcile answered. A condition keeps its
    ``lastTransitionTime`` while its status stays the same.
    """
    status = msgspec.structs.replace(
        old,
        observedGeneration=generation,
        conditions=tuple(_dated(one, old.condition(one.type), generation, at) for one in conditions),
        clusterUUID=old.clusterUUID if cluster_uuid is None else cluster_uuid,
        kubeSystemUID=old.kubeSystemUID if kube_system_uid is None else kube_system_uid,
        email_id=old.email_id if email_id is None else email_id,
        lastReconcileTimestamp=rfc3339(at),
        summary=summary or old.summary,
        snapshot=snapshot or old.snapshot,
        signingKey=old.signingKey if signing_key is None else signing_key,
        lastHandledReconcileAt=old.lastHandledReconcileAt if handled is None else handled,
    )
    if releases is None:
        return status
    return msgspec.structs.replace(
        status,
        reconcileHelmReleases=releases.lines,
        helmStatus=releases.helm,
        revision=releases.revisions,
    )


def status_patch(old: Status, new: Status) -> dict[str, object] | None:
    """The JSON merge patch (RFC 7386) of the object that turns one status into the other, or None."""
    none = Status()
    same = {
        name: getattr(none, name)
        for name in Status.__struct_fields__
        if getattr(old, name) == getattr(new, name)
    }
    old, new = msgspec.structs.replace(old, **same), msgspec.structs.replace(new, **same)
    changes = _merge_patch(_as_json(old), _as_json(new))
    return {"status": changes} if changes else None


def _as_json(status: Status) -> dict[str, object]:
    return msgspec.json.decode(msgspec.json.encode(status), type=dict[str, object])


def _merge_patch(old: dict[str, object], new: dict[str, object]) -> dict[str, object]:
    patch: dict[str, object] = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            if inner := _merge_patch(before, value):
                patch[key] = inner
        elif value != before:
            patch[key] = value
    return patch


def read_status(raw: dict[str, object]) -> Status:
    """Whatever of a status can be read, field by field and item by item.

    What cannot be read is left out and not an error: the next patch replaces it.
    """
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(Status):
        value = raw.get(field.encode_name)
        if field.name in ("helmStatus", "conditions") and isinstance(value, list):
            item = HelmStatus if field.name == "helmStatus" else Condition
            found[field.name] = tuple(one for each in value for one in _readable(each, item))
        else:
            found.update((field.name, one) for one in _readable(value, field.type))
    return Status(**found)


def _readable(value: object, kind: type[_T]) -> tuple[_T, ...]:
    """The value in a tuple, or an empty one."""
    try:
        return () if value is None else (msgspec.convert(value, kind),)
    except msgspec.ValidationError:
        return ()


def _dated(now: Condition, was: Condition | None, generation: int, at: datetime) -> Condition:
    same = was is not None and was.status == now.status and was.lastTransitionTime
    too_long = len(now.message) > LONGEST_MESSAGE
    return msgspec.structs.replace(
        now,
        message=f"{now.message[: LONGEST_MESSAGE - 1]}…" if too_long else now.message,
        observedGeneration=generation,
        lastTransitionTime=was.lastTransitionTime if was is not None and same else rfc3339(at),
    )
