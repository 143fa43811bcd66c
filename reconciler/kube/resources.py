"""The kinds that an inventory is made of: where each is listed, how, and what is kept of an object."""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from sys import intern
from typing import Generic, TypeVar

import msgspec

from reconciler.inventory import objects
from reconciler.inventory.objects import Kind
from reconciler.kube import protobuf, wire
from reconciler.kube.client import EITHER, JSON, METADATA_EITHER, METADATA_WATCH_EITHER, Page, segment
from reconciler.kube.quantity import whole_bytes
from reconciler.kube.watched_event import Versioned

T = TypeVar("T")
W = TypeVar("W", bound=wire.Listable)


class Resource(msgspec.Struct, Generic[T], frozen=True):
    """How a kind is listed and watched, in the form that costs least.

    ``prefix``: of its API group; ``reader``: what is kept of it; ``optional``: a server may not have the
    kind, as its discovery tells. Of any other a 404 is a failure: nothing is gone because a gateway, or a
    server that starts, has not found it.
    """

    kind: Kind
    prefix: str
    plural: str
    reader: "Reader[T]"
    accept: str = EITHER
    field_selector: str = ""
    label_selector: str = ""
    optional: bool = False

    @property
    def read(self) -> Callable[[bytes], Page[T]]:
        """What is kept of a page's body."""
        return self.reader.page

    @property
    def watch_accept(self) -> str:
        """``Accept`` for a watch."""
        return METADATA_WATCH_EITHER if self.accept == METADATA_EITHER else self.accept

    def path(self, namespace: str = "", name: str = "") -> str:
        """Of the kind in all namespaces, of it in one, or of one object."""
        scope = f"{self.prefix}/namespaces/{segment(namespace)}" if namespace else self.prefix
        return f"{scope}/{self.plural}" + (f"/{segment(name)}" if name else "")

    def params(self, without: Collection[str] = (), name: str = "") -> Mapping[str, str]:
        """The selectors, namespaces in ``without`` left out by the server; ``name``: of objects so called."""
        fields = [self.field_selector] if self.field_selector else []
        fields += [f"metadata.name={name}"] if name else []
        fields += [f"metadata.namespace!={namespace}" for namespace in sorted(without)]
        selectors = {"fieldSelector": ",".join(fields), "labelSelector": self.label_selector}
        return {key: value for key, value in selectors.items() if value}


class Reader(msgspec.Struct, Generic[T], frozen=True):
    """What is kept of a page of a kind, and of one object, in either form."""

    page: Callable[[bytes], Page[T]]
    one: Callable[[bytes], Versioned[T]]


class ListedRelease(msgspec.Struct, frozen=True):
    """A stored release without its body, and the version of its object."""

    release: objects.StoredRelease
    resource_version: str


class ListedSecret(msgspec.Struct, frozen=True):
    """A Secret of which only the metadata is known."""

    namespace: str
    name: str
    uid: str
    resource_version: str


def object_uid(body: bytes) -> str:
    """The UID of any object."""
    return _OBJECT.decode(body).metadata.uid


_OBJECT = msgspec.json.Decoder(wire.Object)


_ALIKE = 4096
"""Values that are remembered to be kept once. What is alike is listed together, or changes together."""

# The pods of a controller have the same owner and containers, and are most of what is kept.
_owner = lru_cache(_ALIKE)(objects.Owner)
_container = lru_cache(_ALIKE)(objects.PodContainer)


def _reader(of: type[W], keep: Callable[[W], T]) -> Reader[T]:
    """A reader of objects that have a wire type, and what is kept of each."""
    pages: msgspec.json.Decoder[wire.ListOf[W]] = msgspec.json.Decoder(wire.ListOf[of])  # type: ignore[valid-type]  # a type made while running
    ones: msgspec.json.Decoder[W] = msgspec.json.Decoder(of)

    def kept(items: Iterable[W], version: str, token: str) -> Page[T]:
        page = Page[T]([], version, token)
        for item in items:
            page.items.append(keep(item))
            page.versions.append(item.metadata.resource_version)
        return page

    def page(body: bytes) -> Page[T]:
        if protobuf.is_protobuf(body):
            name, read = protobuf.FORMS[of]
            listed = protobuf.listed(name, body)
            return kept(map(read, listed.items), listed.resource_version, listed.token)
        found = pages.decode(body)
        return kept(found.items or (), found.metadata.resource_version, found.metadata.token)

    def one(body: bytes) -> Versioned[T]:
        if protobuf.is_protobuf(body):
            name, read = protobuf.FORMS[of]
            item: W = read(protobuf.one(name, body))
        else:
            item = ones.decode(body)
        return Versioned(keep(item), item.metadata.resource_version)

    return Reader(page, one)


def _meta(meta: wire.ObjectMeta) -> objects.Meta:
    annotations = meta.annotations or wire.Annotations()
    labels = meta.labels or wire.Labels()
    owner = next((one for one in meta.owner_references or () if one.controller), None)
    return objects.Meta(
        namespace=intern(meta.namespace),
        name=intern(meta.name),  # the record has it as well
        uid=meta.uid,
        release_name=intern(annotations.release_name),
        release_namespace=intern(annotations.release_namespace),
        instance=intern(labels.instance),
        helm_managed=labels.managed_by == "Helm",
        owner=_owner(owner.kind, owner.name, owner.uid) if owner else None,
    )


def _namespace(item: wire.Namespace) -> objects.Namespace:
    meta = item.metadata
    return objects.Namespace(meta.name, meta.uid, terminating=bool(meta.deletion_timestamp))


def _release(driver: Kind) -> Callable[[wire.Release], ListedRelease]:
    def keep(item: wire.Release) -> ListedRelease:
        meta = item.metadata
        labels = meta.labels or wire.ReleaseLabels()
        release = objects.StoredRelease(
            driver=driver,
            namespace=meta.namespace,
            object_name=meta.name,
            uid=meta.uid,
            name=labels.name,
            version=labels.version,
            status=labels.status,
            created=meta.creation_timestamp,
            modified=_seconds(labels.modified_at),
        )
        return ListedRelease(release, meta.resource_version)

    return keep


def _seconds(text: str) -> datetime | None:
    """A moment from Helm's label ``modifiedAt``: Unix seconds; None when it is anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        return None
    return datetime.fromtimestamp(int(text), UTC)


def _secret(item: wire.Object) -> ListedSecret:
    meta = item.metadata
    return ListedSecret(meta.namespace, meta.name, meta.uid, meta.resource_version)


def _pod(item: wire.Pod) -> objects.Pod:
    spec, status = item.spec, item.status
    containers = _containers(spec.containers, status.container_statuses, init=False)
    containers += _containers(spec.init_containers, status.init_container_statuses, init=True)
    return objects.Pod(_meta(item.metadata), intern(status.phase), tuple(containers))


def _containers(
    specified: Iterable[wire.Container] | None, statuses: Iterable[wire.ContainerStatus] | None, *, init: bool
) -> list[objects.PodContainer]:
    if not specified:
        return []
    digests = {one.name: _digest(one.image_id) for one in statuses or ()}
    return [_container(one.name, one.image, init, digests.get(one.name, "")) for one in specified]


@lru_cache(_ALIKE)
def _digest(image_id: str) -> str:
    """What follows ``@`` in an imageID (``repository@sha256:…``), "" where that is no digest."""
    _, at, digest = image_id.rpartition("@")
    return digest if at and digest.startswith("sha256:") else ""


def _service(item: wire.Service) -> objects.Service:
    ports = tuple(one.port for one in item.spec.ports or ())
    return objects.Service(_meta(item.metadata), intern(item.spec.type), ports)


def _claim(item: wire.Claim) -> objects.Claim:
    requests = item.spec.resources.requests if item.spec.resources else None
    size = whole_bytes(requests.storage) if requests and requests.storage else 0
    return objects.Claim(_meta(item.metadata), size)


def _ingress(item: wire.Ingress) -> objects.Ingress:
    return objects.Ingress(_meta(item.metadata), tuple(rule.host for rule in item.spec.rules or ()))


def _route(kind: objects.RouteKind) -> Callable[[wire.Route], objects.Ingress]:
    def keep(item: wire.Route) -> objects.Ingress:
        return objects.Ingress(_meta(item.metadata), tuple(item.spec.hostnames or ()), kind)

    return keep


def _stateful_set(item: wire.StatefulSet) -> objects.Workload:
    templates = tuple(one.metadata.name for one in item.spec.volume_claim_templates or ())
    return objects.Workload("StatefulSet", _meta(item.metadata), templates)


def _workload(kind: str) -> Callable[[wire.Object], objects.Workload]:
    def keep(item: wire.Object) -> objects.Workload:
        return objects.Workload(kind, _meta(item.metadata))

    return keep


read_names: Callable[[bytes], Page[tuple[str, str]]] = _reader(
    wire.Name, lambda item: (intern(item.metadata.namespace), item.metadata.name)
).page
"""Reads a page of metadata of any kind: of each object its namespace and name; and their versions."""

_CORE, _APPS, _BATCH, _NETWORKING = "/api/v1", "/apis/apps/v1", "/apis/batch/v1", "/apis/networking.k8s.io/v1"
_GATEWAY = "/apis/gateway.networking.k8s.io/v1"

NAMESPACES = Resource(
    Kind.NAMESPACES, _CORE, "namespaces", _reader(wire.Namespace, _namespace), METADATA_EITHER
)
RELEASE_SECRETS = Resource(
    Kind.RELEASE_SECRETS,
    _CORE,
    "secrets",
    _reader(wire.Release, _release(Kind.RELEASE_SECRETS)),
    METADATA_EITHER,
    field_selector="type=helm.sh/release.v1",
    label_selector="owner=helm",
)
RELEASE_CONFIGMAPS = Resource(
    Kind.RELEASE_CONFIGMAPS,
    _CORE,
    "configmaps",
    _reader(wire.Release, _release(Kind.RELEASE_CONFIGMAPS)),
    METADATA_EITHER,
    label_selector="owner=helm",
)
UUID_SECRETS = Resource(
    Kind.UUID_SECRETS,
    _CORE,
    "secrets",
    _reader(wire.Object, _secret),
    METADATA_EITHER,
    field_selector="metadata.name=uuid",
)
PODS = Resource(Kind.PODS, _CORE, "pods", _reader(wire.Pod, _pod))
SERVICES = Resource(Kind.SERVICES, _CORE, "services", _reader(wire.Service, _service))
CLAIMS = Resource(Kind.CLAIMS, _CORE, "persistentvolumeclaims", _reader(wire.Claim, _claim))
INGRESSES = Resource(Kind.INGRESSES, _NETWORKING, "ingresses", _reader(wire.Ingress, _ingress))
ROUTES: tuple[Resource[objects.Ingress], ...] = (
    INGRESSES,
    *(
        Resource(kind, _GATEWAY, kind.value, _reader(wire.Route, _route(called)), JSON, optional=True)
        for kind, called in (
            (Kind.HTTP_ROUTES, objects.RouteKind.HTTP_ROUTE),
            (Kind.GRPC_ROUTES, objects.RouteKind.GRPC_ROUTE),
        )
    ),
)
WORKLOADS: tuple[Resource[objects.Workload], ...] = (
    # In full, for the claim templates; the others' metadata is enough.
    Resource(Kind.STATEFUL_SETS, _APPS, "statefulsets", _reader(wire.StatefulSet, _stateful_set)),
    *(
        Resource(kind, prefix, kind.value, _reader(wire.Object, _workload(name)), METADATA_EITHER)
        for kind, prefix, name in (
            (Kind.REPLICA_SETS, _APPS, "ReplicaSet"),
            (Kind.DEPLOYMENTS, _APPS, "Deployment"),
            (Kind.DAEMON_SETS, _APPS, "DaemonSet"),
            (Kind.JOBS, _BATCH, "Job"),
            (Kind.CRON_JOBS, _BATCH, "CronJob"),
        )
    ),
)
