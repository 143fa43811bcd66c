"""A look at the cluster, as plain values: what a live cluster, a recording and a test all give to the fold.

Only what is needed of an object is kept; nothing of a Secret but a release's chart metadata and the
value of an app's ``uuid``. A look may be partial: ``gaps`` say what could not be read, and then nothing
may be concluded from what is missing (absence needs proof).
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """The kinds that are read, by the plural name of their resource."""

    NAMESPACES = "namespaces"
    RELEASE_SECRETS = "secrets"  # Helm's Secret driver
    RELEASE_CONFIGMAPS = "configmaps"  # Helm's ConfigMap driver
    UUID_SECRETS = "uuid secrets"  # the Secrets named uuid
    PODS = "pods"
    SERVICES = "services"
    CLAIMS = "persistentvolumeclaims"
    INGRESSES = "ingresses"
    HTTP_ROUTES = "httproutes"  # of the Gateway API, where the cluster has it
    GRPC_ROUTES = "grpcroutes"
    STATEFUL_SETS = "statefulsets"
    REPLICA_SETS = "replicasets"
    DEPLOYMENTS = "deployments"
    DAEMON_SETS = "daemonsets"
    JOBS = "jobs"
    CRON_JOBS = "cronjobs"


class Owner(msgspec.Struct, frozen=True, gc=False):
    """A controlling ownerReference: ``kind`` as in the reference (``ReplicaSet``)."""

    kind: str
    name: str
    uid: str


class Meta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What attribution needs of an object's metadata.

    ``release_name``/``release_namespace``: Helm's annotations; ``instance``: the label
    ``app.kubernetes.io/instance``; ``helm_managed``: the label ``app.kubernetes.io/managed-by`` is Helm.
    """

    namespace: str
    name: str
    uid: str = ""
    release_name: str = ""
    release_namespace: str = ""
    instance: str = ""
    helm_managed: bool = False
    owner: Owner | None = None


class Namespace(msgspec.Struct, frozen=True, omit_defaults=True):
    """``terminating``: it is being deleted, with everything in it."""

    name: str
    uid: str
    terminating: bool = False


class StoredRelease(msgspec.Struct, frozen=True, omit_defaults=True):
    """One revision of a release as its Secret's or ConfigMap's labels tell it, and its payload.

    ``version`` is the label's text: it may be no number. ``payload`` is None where the body was not
    needed (older revisions) or could not be read (``problem`` then says why, in words for people).
    """

    driver: Kind
    namespace: str
    object_name: str
    uid: str
    name: str
    version: str
    status: str
    created: datetime
    modified: datetime | None = None
    payload: "ReleasePayload | None" = None
    problem: str = ""


class ReleasePayload(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a release's body. ``last_deployed``: RFC 3339 as Helm wrote it, "" for never.

    Namespace, revision and status come from the object and its labels: in the body they stand behind
    the chart, the values and the manifest, which are never read.
    """

    name: str
    last_deployed: str
    chart_name: str
    chart_version: str
    app_version: str = ""
    rolled_back_to: int = 0


class PodContainer(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    name: str
    image: str
    init: bool = False
    digest: str = ""


class Pod(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    meta: Meta
    phase: str
    containers: tuple[PodContainer, ...] = ()


class Service(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    meta: Meta
    type: str
    ports: tuple[int, ...] = ()


class Claim(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """``size``: bytes requested, rounded up as Kubernetes does; 0 when none are."""

    meta: Meta
    size: int = 0


class RouteKind(StrEnum):
    """The kinds of objects that have hosts, as the API names an object's kind."""

    INGRESS = "Ingress"
    HTTP_ROUTE = "HTTPRoute"
    GRPC_ROUTE = "GRPCRoute"


class Ingress(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An ingress, or a route of the Gateway API."""

    meta: Meta
    hosts: tuple[str, ...] = ()
    kind: RouteKind = RouteKind.INGRESS


Part = Pod | Service | Claim | Ingress
"""What an app has besides its release."""


class Workload(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A controller of pods. ``kind`` as in an ownerReference; ``claim_templates``: StatefulSets only."""

    kind: str
    meta: Meta
    claim_templates: tuple[str, ...] = ()


class UuidSecret(msgspec.Struct, frozen=True, omit_defaults=True):
    """The Secret ``uuid`` of a namespace: its value, or why there is none that can be used."""

    namespace: str
    value: str = ""
    problem: str = ""


class Gap(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """A kind that could not be read: in ``namespace``, or everywhere when that is "".

    ``forbidden``: the API says that we may not (it lasts, and is recorded); else it just failed.
    ``message``: for people.
    """

    kind: Kind
    namespace: str = ""
    forbidden: bool = False
    message: str = ""


class Look(msgspec.Struct, frozen=True):
    """Everything one look saw. ``kube_system_uid``: the UID of the namespace kube-system.

    Objects of a kind that has a gap are those last seen by the same source (none right after a start);
    ``never_listed`` names the gaps for which nothing was ever seen. ``differences``: of how many objects a
    change was missed since the source began, by comparisons of what is watched with fresh lists: must stay 0.
    """

    taken_at: datetime
    kube_system_uid: str
    namespaces: tuple[Namespace, ...]
    releases: tuple[StoredRelease, ...]
    uuid_secrets: tuple[UuidSecret, ...] = ()
    pods: tuple[Pod, ...] = ()
    services: tuple[Service, ...] = ()
    claims: tuple[Claim, ...] = ()
    ingresses: tuple[Ingress, ...] = ()
    workloads: tuple[Workload, ...] = ()
    gaps: tuple[Gap, ...] = ()
    never_listed: tuple[Gap, ...] = ()
    differences: int = 0

    @property
    def names(self) -> int:
        """How many releases there are, whatever their revisions."""
        return len({(release.namespace, release.name) for release in self.releases})

    def gap(self, kind: Kind, namespace: str) -> Gap | None:
        """The gap that covers a kind in a namespace, if any."""
        return _covering(self.gaps, kind, namespace)

    def unseen(self, kind: Kind, namespace: str) -> Gap | None:
        """As ``gap``, for what this source has never been able to list."""
        return _covering(self.never_listed, kind, namespace)


def _covering(gaps: tuple[Gap, ...], kind: Kind, namespace: str) -> Gap | None:
    for gap in gaps:
        if gap.kind is kind and gap.namespace in ("", namespace):
            return gap
    return None


ROUTE_KINDS: Mapping[str, Kind] = {
    RouteKind.INGRESS: Kind.INGRESSES,
    RouteKind.HTTP_ROUTE: Kind.HTTP_ROUTES,
    RouteKind.GRPC_ROUTE: Kind.GRPC_ROUTES,
}
"""The kinds that have hosts, by what ``Ingress.kind`` and ``Route.kind`` call them."""

OWNER_KINDS: Mapping[str, Kind] = {
    "ReplicaSet": Kind.REPLICA_SETS,
    "Deployment": Kind.DEPLOYMENTS,
    "StatefulSet": Kind.STATEFUL_SETS,
    "DaemonSet": Kind.DAEMON_SETS,
    "Job": Kind.JOBS,
    "CronJob": Kind.CRON_JOBS,
}
"""The owners that attribution walks through, by the kind that an ownerReference names."""
