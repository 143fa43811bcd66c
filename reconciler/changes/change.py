"""What differs between two snapshots, as our own values: the vocabulary of policy, commits and commands."""

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from reconciler.model import App, AppKey, Cluster


class Field(StrEnum):
    """The fields that a rule may name, in the order in which a change is told."""

    REVISION = "helm_info.revision"
    STATUS = "helm_info.status"
    UPDATED = "helm_info.updated"
    CHART = "helm_info.chart"
    CHART_VERSION = "chart_version"
    APP_VERSION = "helm_info.appVersion"
    APP_UUID = "app_uuid"
    POD_IMAGE = "pod_info.image"
    POD_STATUS = "pod_info.status"
    POD = "pod_info"
    SERVICE_PORT = "service_info.port"
    SERVICE = "service_info"
    VOLUME_SIZE = "volume_info.size"
    VOLUME = "volume_info"
    INGRESS_DOMAIN = "ingress_info.domain"
    INGRESS = "ingress_info"
    # Followers: what only the record block has. They never push by themselves (at most Record).
    RECORD_CONTAINERS = "record.containers"
    RECORD_SERVICES = "record.services"
    RECORD_ROUTES = "record.routes"


class Operation(StrEnum):
    """What happened to an app between two snapshots."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    ROLLBACK = "rollback"
    CHANGE = "change"
    UNINSTALL = "uninstall"
    DENY = "deny"  # its namespace became denied: it leaves the snapshot, it is not gone
    ALLOW = "allow"  # its namespace is allowed again


class Detail(msgspec.Struct, frozen=True, order=True):
    """One difference. ``item`` names the object ("" for the release itself); None means: not there.

    ``before`` and ``after`` are texts for people and machines alike (a number as its digits).
    """

    field: Field
    item: str
    before: str | None
    after: str | None


class UnseenRevision(msgspec.Struct, frozen=True, order=True):
    """A revision that came and went between two looks, known from its labels."""

    revision: int
    status: str


class AppChange(msgspec.Struct, frozen=True):
    """How one app differs. ``before`` is None for an install, ``after`` for what left the snapshot.

    ``again``: nothing happened to the app; what the record had lost of it is recorded again.
    """

    key: AppKey
    operation: Operation
    before: App | None
    after: App | None
    details: tuple[Detail, ...] = ()
    unseen: tuple[UnseenRevision, ...] = ()
    again: bool = False

    @property
    def fields(self) -> frozenset[Field]:
        return frozenset(detail.field for detail in self.details)


class Changeset(msgspec.Struct, frozen=True):
    """What differs between two snapshots, apps in key order; and the two cluster documents."""

    apps: tuple[AppChange, ...]
    cluster_before: Cluster | None
    cluster_after: Cluster

    def __bool__(self) -> bool:
        return bool(self.apps) or self.cluster_before != self.cluster_after

    def __iter__(self) -> Iterator[AppChange]:
        return iter(self.apps)

    @property
    def by_key(self) -> Mapping[AppKey, AppChange]:
        return {change.key: change for change in self.apps}
