"""The values that everything else speaks of: an app, a snapshot, their bytes and their digests.

All structs are frozen and hashable, their field order is the key order of the emitted and the stored
JSON, and their lists are sorted tuples without duplicates, so that one cluster state has one encoding.

The emitted form of an app is ``{"app_api_info", "app_info"}``; the stored form has no ``email_id`` and
one more block, ``record``, which is never emitted.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cached_property
from hashlib import blake2b
from operator import attrgetter
from typing import NamedTuple

import msgspec

FORMAT = 1
"""The version of the stored form; a program refuses to write over a newer one."""

UNINSTALLED = "uninstalled"
"""Helm's status of a release that is gone; also what the API is told of one."""


class AppKey(NamedTuple):
    """What identifies an app within its cluster. ``str()`` gives ``namespace/name``."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> "AppKey":
        """Read ``namespace/name``; ValueError for anything else."""
        namespace, slash, name = text.partition("/")
        if not (namespace and slash and name) or "/" in name:
            raise ValueError(f"{text!r} is not of the form NAMESPACE/NAME")
        return cls(namespace, name)


class Value(msgspec.Struct, frozen=True, order=True, forbid_unknown_fields=True, gc=False):
    """Base of the stored values: immutable, comparable, strict when decoded; none ever leads to itself."""


class HelmInfo(Value, frozen=True):
    """A release's newest revision. ``updated`` is RFC 3339 as Helm recorded it; ``chart`` a name."""

    name: str
    namespace: str
    revision: int
    updated: str
    status: str
    chart: str
    appVersion: str  # noqa: N815 - the wire's spelling


class PodInfo(Value, frozen=True):
    """One container image of a pod (regular containers only). ``status`` is the pod's phase."""

    name: str
    namespace: str
    image: str
    status: str


class ServiceInfo(Value, frozen=True):
    """One port of a service; port 0 stands for a service without ports."""

    name: str
    namespace: str
    port: int


class VolumeInfo(Value, frozen=True):
    """A persistent volume claim. ``size``: bytes requested, rounded up."""

    name: str
    namespace: str
    size: int


class IngressInfo(Value, frozen=True):
    """One host of an ingress, or of a route; domain "" stands for one without hosts."""

    name: str
    namespace: str
    domain: str


class AppInfo(Value, frozen=True):
    helm_info: HelmInfo
    pod_info: tuple[PodInfo, ...] = ()
    service_info: tuple[ServiceInfo, ...] = ()
    volume_info: tuple[VolumeInfo, ...] = ()
    ingress_info: tuple[IngressInfo, ...] = ()


class AppApiInfo(Value, frozen=True):
    """Whose app it is. ``hossted_helm``: the app_uuid came from the namespace's Secret ``uuid``."""

    cluster_uuid: str
    app_uuid: str
    app_name: str
    hossted_helm: bool


class Container(Value, frozen=True):
    """``kind``: ``app`` or ``init``; ``digest``: of the image that runs, "" until known."""

    pod: str
    container: str
    kind: str
    image: str
    digest: str


class ServiceRecord(Value, frozen=True):
    name: str
    type: str


class Route(Value, frozen=True):
    """Where hosts come from. ``kind``: ``Ingress``, ``HTTPRoute`` or ``GRPCRoute``."""

    kind: str
    namespace: str
    name: str


class Record(Value, frozen=True):
    """What is recorded of an app and never emitted.

    ``rolled_back_to``: the number in Helm's own description "Rollback to N", else 0.
    """

    chart_version: str
    rolled_back_to: int = 0
    containers: tuple[Container, ...] = ()
    services: tuple[ServiceRecord, ...] = ()
    routes: tuple[Route, ...] = ()


class App(Value, frozen=True, dict=True, weakref=True, gc=True):
    """A release with what belongs to it, in the stored form."""

    app_api_info: AppApiInfo
    app_info: AppInfo
    record: Record

    @cached_property
    def key(self) -> AppKey:
        return AppKey(self.app_info.helm_info.namespace, self.app_info.helm_info.name)

    @cached_property
    def pods(self) -> int:
        """How many pods it has: each is in ``pod_info`` once for every image."""
        return len({(pod.namespace, pod.name) for pod in self.app_info.pod_info})

    @property
    def app_uuid(self) -> str:
        return self.app_api_info.app_uuid

    @property
    def helm(self) -> HelmInfo:
        return self.app_info.helm_info

    @cached_property
    def digest(self) -> str:
        """blake2b-256 (hex) of the canonical JSON of the stored form."""
        return digest_of(encode(self))

    @cached_property
    def line(self) -> str:
        """Its line of what a snapshot's digest is of."""
        return f"{self.key} {self.digest}\n"

    def as_uninstalled(self) -> "App":
        """What the API is told when the app is gone: its identity, the status, empty lists."""
        helm = msgspec.structs.replace(self.helm, status=UNINSTALLED)
        return msgspec.structs.replace(
            self,
            app_info=AppInfo(helm_info=helm),
            record=Record(chart_version=self.record.chart_version),
        )

    @property
    def is_uninstalled(self) -> bool:
        return self.helm.status == UNINSTALLED


class EmittedApiInfo(Value, frozen=True):
    cluster_uuid: str
    app_uuid: str
    app_name: str
    email_id: str
    hossted_helm: bool


class EmittedApp(Value, frozen=True):
    """What one push carries."""

    app_api_info: EmittedApiInfo
    app_info: AppInfo


def emitted(app: App, email_id: str) -> EmittedApp:
    """The emitted form of a stored app."""
    who = app.app_api_info
    return EmittedApp(
        app_api_info=EmittedApiInfo(
            cluster_uuid=who.cluster_uuid,
            app_uuid=who.app_uuid,
            app_name=who.app_name,
            email_id=email_id,
            hossted_helm=who.hossted_helm,
        ),
        app_info=app.app_info,
    )


def tells_the_same(one: App, other: App) -> bool:
    """Whether two apps have the same emitted form, ``email_id`` aside."""
    return one.app_api_info == other.app_api_info and one.app_info == other.app_info


class PushPolicy(Value, frozen=True):
    on: str = "HelmUpdate"
    approval: str = "Automatic"


class MatchInEffect(Value, frozen=True, omit_defaults=True):
    """What a rule is about; an empty list matches everything. Lists are sorted and without duplicates.

    ``namespaces``, ``releases``, ``charts``: names or shell globs, case-sensitive.
    """

    namespaces: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    charts: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()


class RuleInEffect(Value, frozen=True, omit_defaults=True, kw_only=True):
    """One rule of a project. ``action``: ``Push``, ``Record``, ``Defer`` or ``Ignore``."""

    match: MatchInEffect = MatchInEffect()
    action: str


class PolicyInEffect(Value, frozen=True):
    """The part of a project's spec that explains a snapshot, as ``cluster.yaml`` records it.

    ``rules``: in the order in which they are asked; unset where there are none, and then not written.
    """

    stop: bool = False
    denyNamespaces: tuple[str, ...] = ()  # noqa: N815 - the spec's spelling
    interval: str = "10m"
    settle: str = "5s"
    push: PushPolicy = PushPolicy()
    rules: tuple[RuleInEffect, ...] | msgspec.UnsetType = msgspec.UNSET

    def denies(self, namespace: str) -> bool:
        """Whether a namespace is off limits (exact names or shell globs, case-sensitive)."""
        return any(fnmatchcase(namespace, pattern) for pattern in self.denyNamespaces)


class Cluster(Value, frozen=True):
    """What ``cluster.yaml`` says. ``unreadable``: sorted ``kind`` or ``kind in namespace``."""

    format: int = FORMAT
    name: str = ""
    kube_system_uid: str = ""
    policy: PolicyInEffect = PolicyInEffect()
    unreadable: tuple[str, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, dict=True):
    """An immutable inventory: whose it is, and its apps by key."""

    cluster_uuid: str
    cluster: Cluster
    apps: Mapping[AppKey, App]

    @cached_property
    def digest(self) -> str:
        """blake2b-256 (hex) over the cluster UUID and the sorted lines ``<ns>/<name> <app digest>``."""
        lines = sorted(map(_LINE, self.apps.values()))
        return digest_of((self.cluster_uuid + "\n" + "".join(lines)).encode())


_LINE = attrgetter("line")


def snapshot_of(cluster_uuid: str, cluster: Cluster, apps: Iterable[App]) -> Snapshot:
    """A snapshot of these apps, in key order."""
    return Snapshot(cluster_uuid, cluster, {app.key: app for app in sorted(apps, key=lambda a: a.key)})


def encode(value: object) -> bytes:
    """Canonical JSON: UTF-8, no white space, keys in field order."""
    return msgspec.json.encode(value)


def digest_of(data: bytes) -> str:
    return blake2b(data, digest_size=32).hexdigest()


def rfc3339(moment: datetime) -> str:
    """A moment in UTC to the second, with Z: the form of Kubernetes' own timestamps."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
