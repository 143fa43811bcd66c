"""From one release's objects to its app: what its newest revision says, and what could not be told.

Pure, and about one release alone, so that a change of one costs what one costs. What could not be seen is
taken from the last known state, block by block:

- Releases not listed: the app stays as it was. Nothing is gone without a complete, permitted look.
- A block's kind not listed, or the listing of the owners failed that say whose pods and claims are: the
  block's items stay as they were.
- The newest revision cannot be read: the app stays as it was.
- An app without a last known state waits while any kind of its namespace fails to be listed, so that it
  is not recorded in part. A kind that is forbidden does not make it wait: that block is then empty.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from reconciler.errors import ReleaseError
from reconciler.inventory.app_uuid import AppUuid, app_uuid
from reconciler.inventory.blocks import Blocks, last_known, seen
from reconciler.inventory.gaps import Gaps, told
from reconciler.inventory.helm import HelmRevision, history, is_release_name, newest, revision_number
from reconciler.inventory.objects import Kind, Part, ReleasePayload, StoredRelease, UuidSecret
from reconciler.model import UNINSTALLED, App, AppApiInfo, AppKey, HelmInfo, PolicyInEffect

UNINSTALLING = "uninstalling"
PENDING = frozenset({"pending-install", "pending-upgrade", "pending-rollback"})
"""Helm's statuses of a release that is being put in place; ``uninstalling`` is the other that passes."""

_UNKNOWN = "unknown"  # Helm's word for a status that nobody wrote


class Problem(msgspec.Struct, frozen=True, order=True):
    """Something for a person to see to. ``subject`` names the object (``Secret shop/uuid``), ``message``
    goes behind it; ``key``: the app that it is about, None when it is about several or none."""

    subject: str
    message: str
    key: AppKey | None = None

    def __str__(self) -> str:
        return f"{self.subject} {self.message}"


class Allowed(dict[str, bool]):
    """Whether a namespace is not denied: a policy's globs are matched once per namespace."""

    def __init__(self, policy: PolicyInEffect) -> None:
        super().__init__()
        self._policy = policy

    def __missing__(self, namespace: str) -> bool:
        self[namespace] = not self._policy.denies(namespace)
        return self[namespace]


class Circumstances(msgspec.Struct, frozen=True):
    """What is the same for all releases of a look."""

    cluster_uuid: str
    policy: PolicyInEffect
    allowed: Allowed
    gaps: Gaps


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """All that an app is made of. ``parts``: the objects that belong to it, none from a denied namespace;
    ``secret``: the Secret uuid of its namespace; ``adopted``: a UUID taken over, or ""; ``last``: the app
    as last known."""

    key: AppKey
    revisions: Sequence[StoredRelease]
    parts: Iterable[Part]
    secret: UuidSecret | None
    adopted: str
    last: App | None


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What a look says of one release. ``carried``: all of ``app``, or a part of it, is the last known
    state; ``in_transit``: since when its newest revision is pending-* or uninstalling; ``kept``: it was
    uninstalled with its history kept; ``waiting``: what it waits for to be recorded at all, or "";
    ``unreadable``: ``problem`` says why; ``revisions``: None when none was listed."""

    app: App | None = None
    carried: bool = False
    in_transit: datetime | None = None
    kept: App | None = None
    waiting: str = ""
    unreadable: bool = False
    problem: Problem | None = None
    revisions: tuple[HelmRevision, ...] | None = None

    @property
    def is_settling(self) -> bool:
        """Whether a pod of it is Pending."""
        return self.app is not None and any(pod.status == "Pending" for pod in self.app.app_info.pod_info)


def judge(release: Release, at: Circumstances) -> Judged:
    """Decide what a release's newest revision says of its app."""
    key, stored, last = release.key, newest(release.revisions), release.last
    judged = Judged(in_transit=_since(stored), revisions=history(release.revisions))
    stale = at.gaps.covering(stored.driver, key.namespace)
    unproven = stored.status == UNINSTALLED and not at.gaps.proven(key.namespace)
    if last is not None and (stale is not None or unproven):
        return _carrying(judged, last, at)
    if stale is not None:
        return msgspec.structs.replace(judged, waiting=told(stale))
    try:
        return _read(judged, release, stored, at)
    except ReleaseError as error:
        judged = msgspec.structs.replace(judged, problem=Problem(subject(stored), str(error), key))
    if stored.status == UNINSTALLED:  # its label says enough
        return judged
    judged = msgspec.structs.replace(judged, unreadable=True)
    return judged if last is None else _carrying(judged, last, at)


def _read(judged: Judged, release: Release, stored: StoredRelease, at: Circumstances) -> Judged:
    """What a revision's own words make of it; ReleaseError when they cannot be read."""
    number, payload = _readable(release.key, stored)
    uninstalled, failed = stored.status == UNINSTALLED, at.gaps.failed(release.key.namespace)
    if release.last is None and failed is not None and not uninstalled:
        return msgspec.structs.replace(judged, waiting=told(failed))
    blocks, carried = _blocks(release, at)
    helm = HelmInfo(
        name=release.key.name,
        namespace=release.key.namespace,
        revision=number,
        updated=payload.last_deployed,
        status=stored.status or _UNKNOWN,
        chart=payload.chart_name,
        appVersion=payload.app_version,
    )
    record = blocks.record(payload.chart_version, payload.rolled_back_to)
    app = App(app_api_info=_identity(release, at), app_info=blocks.app_info(helm), record=record)
    if release.last is not None and app == release.last:
        app = release.last  # what is recorded and live is one value: kept once, and seen to be the same
    if uninstalled:
        return msgspec.structs.replace(judged, kept=app)
    return msgspec.structs.replace(judged, app=app, carried=carried)


def _carrying(judged: Judged, last: App, at: Circumstances) -> Judged:
    return msgspec.structs.replace(judged, app=as_last_known(last, at.allowed), carried=True)


def as_last_known(last: App, allowed: Allowed) -> App:
    """An app as last known, without anything from a denied namespace."""
    blocks = last_known(last).where(lambda _, namespace: allowed[namespace])
    return msgspec.structs.replace(
        last,
        app_info=blocks.app_info(last.helm),
        record=blocks.record(last.record.chart_version, last.record.rolled_back_to),
    )


def subject(stored: StoredRelease) -> str:
    """A revision's object, for people."""
    kind = "Secret" if stored.driver is Kind.RELEASE_SECRETS else "ConfigMap"
    return f"{kind} {stored.namespace}/{stored.object_name}"


def _since(stored: StoredRelease) -> datetime | None:
    if stored.status in PENDING:
        return stored.created
    return (stored.modified or stored.created) if stored.status == UNINSTALLING else None


def _identity(release: Release, at: Circumstances) -> AppApiInfo:
    key, last = release.key, release.last
    uuid = app_uuid(
        key,
        secret=release.secret,
        hidden=at.gaps.covering(Kind.UUID_SECRETS, key.namespace) is not None,
        cluster_uuid=at.cluster_uuid,
        adopted=release.adopted,
        last=None if last is None else AppUuid(last.app_uuid, last.app_api_info.hossted_helm),
    )
    return AppApiInfo(
        cluster_uuid=at.cluster_uuid,
        app_uuid=uuid.app_uuid,
        app_name=key.name,
        hossted_helm=uuid.hossted_helm,
    )


def _blocks(release: Release, at: Circumstances) -> tuple[Blocks, bool]:
    """What was seen, with the last known items where nothing could be; whether there are any of those."""
    live = seen(release.parts)
    if release.last is None or not at.gaps:
        return live, False
    hides = at.gaps.hides
    kept = last_known(release.last).where(lambda kind, ns: hides(kind, ns) and at.allowed[ns])
    return live.where(lambda kind, ns: not hides(kind, ns)) | kept, kept != Blocks()


def _readable(key: AppKey, stored: StoredRelease) -> tuple[int, ReleasePayload]:
    """A revision's number and body; ReleaseError, with a message that goes behind the object's name."""
    number, payload = revision_number(stored), stored.payload
    if not is_release_name(key.name):
        raise ReleaseError(f"has the label name={key.name!r}, which is no name that Helm gives to a release")
    if number is None:
        raise ReleaseError(f"has the label version={stored.version!r}, which is no revision number")
    if payload is None:
        raise ReleaseError(stored.problem or "has a body that was not read")
    if payload.name != key.name:
        raise ReleaseError(f"says that it is of release {payload.name!r}, but is labelled {key.name!r}")
    return number, payload
