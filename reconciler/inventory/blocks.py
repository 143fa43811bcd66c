"""The blocks of an app: emitted from the objects that belong to it, or taken over from its last state."""

from collections.abc import Callable, Iterable

import msgspec

from reconciler.inventory.objects import ROUTE_KINDS, Claim, Ingress, Kind, Part, Pod, Service
from reconciler.model import (
    App,
    AppInfo,
    Container,
    HelmInfo,
    IngressInfo,
    PodInfo,
    Record,
    Route,
    ServiceInfo,
    ServiceRecord,
    VolumeInfo,
)


class Blocks(msgspec.Struct, frozen=True):
    """What an app consists of besides its release."""

    pods: frozenset[PodInfo] = frozenset()
    services: frozenset[ServiceInfo] = frozenset()
    volumes: frozenset[VolumeInfo] = frozenset()
    ingresses: frozenset[IngressInfo] = frozenset()
    containers: frozenset[Container] = frozenset()
    service_records: frozenset[ServiceRecord] = frozenset()
    routes: frozenset[Route] = frozenset()

    def where(self, wanted: Callable[[Kind, str], bool]) -> "Blocks":
        """The items whose kind and namespace are wanted; what is recorded follows by its object's name.

        A host whose name an ingress and a route share is wanted when one of the two is.
        """
        pods = frozenset(pod for pod in self.pods if wanted(Kind.PODS, pod.namespace))
        services = frozenset(s for s in self.services if wanted(Kind.SERVICES, s.namespace))
        pod_names = {pod.name for pod in pods}
        service_names = {service.name for service in services}
        kinds: dict[tuple[str, str], set[Kind]] = {}
        for route in self.routes:
            kinds.setdefault((route.namespace, route.name), set()).add(_kind(route))
        return Blocks(
            pods=pods,
            services=services,
            volumes=frozenset(v for v in self.volumes if wanted(Kind.CLAIMS, v.namespace)),
            ingresses=frozenset(
                host
                for host in self.ingresses
                if any(
                    wanted(kind, host.namespace)
                    for kind in kinds.get((host.namespace, host.name), (Kind.INGRESSES,))
                )
            ),
            containers=frozenset(c for c in self.containers if c.pod in pod_names),
            service_records=frozenset(s for s in self.service_records if s.name in service_names),
            routes=frozenset(r for r in self.routes if wanted(_kind(r), r.namespace)),
        )

    def __or__(self, other: "Blocks") -> "Blocks":
        return Blocks(
            pods=self.pods | other.pods,
            services=self.services | other.services,
            volumes=self.volumes | other.volumes,
            ingresses=self.ingresses | other.ingresses,
            containers=self.containers | other.containers,
            service_records=self.service_records | other.service_records,
            routes=self.routes | other.routes,
        )

    def app_info(self, helm_info: HelmInfo) -> AppInfo:
        """The emitted block: lists sorted by all their fields."""
        return AppInfo(
            helm_info=helm_info,
            pod_info=tuple(sorted(self.pods)),
            service_info=tuple(sorted(self.services)),
            volume_info=tuple(sorted(self.volumes)),
            ingress_info=tuple(sorted(self.ingresses)),
        )

    def record(self, chart_version: str, rolled_back_to: int) -> Record:
        """The block that is never emitted."""
        return Record(
            chart_version=chart_version,
            rolled_back_to=rolled_back_to,
            containers=tuple(sorted(self.containers)),
            services=tuple(sorted(self.service_records)),
            routes=tuple(sorted(self.routes)),
        )


def _kind(route: Route) -> Kind:
    # A stored app may come from another program, or from a person.
    return ROUTE_KINDS.get(route.kind, Kind.INGRESSES)


def seen(parts: Iterable[Part]) -> Blocks:
    """One item per image of a pod's regular containers, per port of a service (none: 0), per host of an
    ingress or route (none: ""), and per claim."""
    pods: set[PodInfo] = set()
    services: set[ServiceInfo] = set()
    volumes: set[VolumeInfo] = set()
    ingresses: set[IngressInfo] = set()
    containers: set[Container] = set()
    service_records: set[ServiceRecord] = set()
    routes: set[Route] = set()
    for part in parts:
        namespace, name = part.meta.namespace, part.meta.name
        match part:
            case Pod():
                for one in part.containers:
                    role = "init" if one.init else "app"
                    containers.add(Container(name, one.name, role, one.image, one.digest))
                    if not one.init:
                        pods.add(PodInfo(name, namespace, one.image, part.phase))
            case Service():
                services.update(ServiceInfo(name, namespace, port) for port in part.ports or (0,))
                service_records.add(ServiceRecord(name, part.type))
            case Claim():
                volumes.add(VolumeInfo(name, namespace, part.size))
            case Ingress():
                ingresses.update(IngressInfo(name, namespace, host) for host in part.hosts or ("",))
                routes.add(Route(part.kind.value, namespace, name))
    return Blocks(
        pods=frozenset(pods),
        services=frozenset(services),
        volumes=frozenset(volumes),
        ingresses=frozenset(ingresses),
        containers=frozenset(containers),
        service_records=frozenset(service_records),
        routes=frozenset(routes),
    )


def last_known(app: App) -> Blocks:
    """The blocks that an app had."""
    info, record = app.app_info, app.record
    return Blocks(
        pods=frozenset(info.pod_info),
        services=frozenset(info.service_info),
        volumes=frozenset(info.volume_info),
        ingresses=frozenset(info.ingress_info),
        containers=frozenset(record.containers),
        service_records=frozenset(record.services),
        routes=frozenset(record.routes),
    )
