"""A changeset as JSON, for programs. The types below are the documentation of its shape."""

import msgspec

from reconciler.changes.change import AppChange, Changeset, Detail, Operation, UnseenRevision
from reconciler.changes.describe import is_reinstall, sentence
from reconciler.changes.message import cluster_lines
from reconciler.model import App


class Release(msgspec.Struct, frozen=True):
    """One side of an app's change."""

    revision: int
    status: str
    updated: str
    chart: str
    chart_version: str
    app_version: str
    app_uuid: str
    digest: str


class JsonChange(msgspec.Struct, frozen=True):
    """One app. ``before`` is null for what was not there, ``after`` for what left.

    ``details``: see ``diff.diff_app``; empty unless there are two sides.
    """

    namespace: str
    name: str
    operation: Operation
    reinstall: bool
    sentence: str
    before: Release | None
    after: Release | None
    details: tuple[Detail, ...]
    unseen: tuple[UnseenRevision, ...]


class JsonChangeset(msgspec.Struct, frozen=True):
    """``apps`` in key order; ``cluster``: what else differs (policy, what cannot be read), in sentences."""

    apps: tuple[JsonChange, ...]
    cluster: tuple[str, ...]


def changeset_as_json(changes: Changeset) -> JsonChangeset:
    """The document as values."""
    return JsonChangeset(
        apps=tuple(_change(change) for change in changes),
        cluster=tuple(cluster_lines(changes.cluster_before, changes.cluster_after)),
    )


def render_json(changes: Changeset) -> str:
    """The document as indented text that ends in a newline."""
    return msgspec.json.format(msgspec.json.encode(changeset_as_json(changes)), indent=2).decode() + "\n"


def _change(change: AppChange) -> JsonChange:
    return JsonChange(
        namespace=change.key.namespace,
        name=change.key.name,
        operation=change.operation,
        reinstall=is_reinstall(change),
        sentence=sentence(change),
        before=_release(change.before),
        after=_release(change.after),
        details=change.details,
        unseen=change.unseen,
    )


def _release(app: App | None) -> Release | None:
    if app is None:
        return None
    return Release(
        revision=app.helm.revision,
        status=app.helm.status,
        updated=app.helm.updated,
        chart=app.helm.chart,
        chart_version=app.record.chart_version,
        app_version=app.helm.appVersion,
        app_uuid=app.app_uuid,
        digest=app.digest,
    )
