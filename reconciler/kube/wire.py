"""The API's objects on the wire, with only the fields that are needed: what is not named is skipped.

Optional lists and maps may be null, because Go writes an empty one so where a field has no omitempty.
"""

from datetime import datetime
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Wire(msgspec.Struct, frozen=True, rename="camel"):
    """Base: the API's spelling, unknown fields skipped."""


class ListMeta(Wire, frozen=True):
    resource_version: str = ""
    token: str = msgspec.field(default="", name="continue")


class ListOf(Wire, Generic[T], frozen=True):
    """A list of anything, or a page of one."""

    metadata: ListMeta
    items: list[T] | None = None


class Annotations(Wire, frozen=True):
    release_name: str = msgspec.field(default="", name="meta.helm.sh/release-name")
    release_namespace: str = msgspec.field(default="", name="meta.helm.sh/release-namespace")


class Labels(Wire, frozen=True):
    """The labels of an object that may belong to a release."""

    instance: str = msgspec.field(default="", name="app.kubernetes.io/instance")
    managed_by: str = msgspec.field(default="", name="app.kubernetes.io/managed-by")


class OwnerReference(Wire, frozen=True):
    kind: str
    name: str
    uid: str
    controller: bool = False


class ObjectMeta(Wire, frozen=True):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    annotations: Annotations | None = None
    labels: Labels | None = None
    owner_references: list[OwnerReference] | None = None


class Object(Wire, frozen=True):
    """An object of which only the metadata is read."""

    metadata: ObjectMeta


class BookmarkMeta(Wire, frozen=True):
    resource_version: str


class Bookmark(Wire, frozen=True):
    """What a watch says of how far it is: an object that has nothing but a version."""

    metadata: BookmarkMeta


class NameMeta(Wire, frozen=True):
    name: str
    namespace: str = ""
    resource_version: str = ""


class Name(Wire, frozen=True):
    """An object of which only its name and version are read."""

    metadata: NameMeta


class NamespaceMeta(Wire, frozen=True):
    name: str
    uid: str
    deletion_timestamp: str = ""
    resource_version: str = ""


class Namespace(Wire, frozen=True):
    metadata: NamespaceMeta


class ReleaseLabels(Wire, frozen=True):
    """Helm's labels, by its storage drivers' ``newSecretsObject`` and ``newConfigMapsObject``."""

    name: str = ""
    status: str = ""
    version: str = ""
    modified_at: str = ""


class ReleaseMeta(Wire, frozen=True):
    name: str
    namespace: str
    uid: str
    resource_version: str
    creation_timestamp: datetime
    labels: ReleaseLabels | None = None


class Release(Wire, frozen=True):
    metadata: ReleaseMeta


class BodyMeta(Wire, frozen=True):
    uid: str


class ReleaseData(Wire, frozen=True):
    release: str | None = None


class ReleaseBody(Wire, frozen=True):
    """The Secret or ConfigMap of a release; a Secret's value is still in the API's base64."""

    metadata: BodyMeta
    data: ReleaseData | None = None


class UuidData(Wire, frozen=True):
    uuid: bytes | None = None


class UuidBody(Wire, frozen=True):
    """The Secret ``uuid``: one key, its base64 decoded."""

    metadata: BodyMeta
    data: UuidData | None = None


class Container(Wire, frozen=True):
    name: str
    image: str = ""


class ContainerStatus(Wire, frozen=True):
    name: str
    image_id: str = msgspec.field(default="", name="imageID")


class PodSpec(Wire, frozen=True):
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None


class PodStatus(Wire, frozen=True):
    phase: str = ""
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class Pod(Wire, frozen=True):
    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class ServicePort(Wire, frozen=True):
    port: int


class ServiceSpec(Wire, frozen=True):
    type: str = ""
    ports: list[ServicePort] | None = None


class Service(Wire, frozen=True):
    metadata: ObjectMeta
    spec: ServiceSpec = ServiceSpec()


class Requests(Wire, frozen=True):
    storage: str = ""


class Resources(Wire, frozen=True):
    requests: Requests | None = None


class ClaimSpec(Wire, frozen=True):
    resources: Resources | None = None


class Claim(Wire, frozen=True):
    metadata: ObjectMeta
    spec: ClaimSpec = ClaimSpec()


class IngressRule(Wire, frozen=True):
    host: str = ""


class IngressSpec(Wire, frozen=True):
    rules: list[IngressRule] | None = None


class Ingress(Wire, frozen=True):
    metadata: ObjectMeta
    spec: IngressSpec = IngressSpec()


class RouteSpec(Wire, frozen=True):
    hostnames: list[str] | None = None


class Route(Wire, frozen=True):
    """An HTTPRoute or a GRPCRoute of the Gateway API."""

    metadata: ObjectMeta
    spec: RouteSpec = RouteSpec()


class TemplateMeta(Wire, frozen=True):
    name: str = ""


class ClaimTemplate(Wire, frozen=True):
    metadata: TemplateMeta = TemplateMeta()


class StatefulSetSpec(Wire, frozen=True):
    volume_claim_templates: list[ClaimTemplate] | None = None


class StatefulSet(Wire, frozen=True):
    metadata: ObjectMeta
    spec: StatefulSetSpec = StatefulSetSpec()


Listable = Object | Name | Namespace | Release | Pod | Service | Claim | Ingress | Route | StatefulSet
"""What is listed and watched: its metadata has a version."""
