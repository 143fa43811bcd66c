"""Small factories of the values that many tests need: an app, a snapshot, a changeset of two.

Every argument has a default, and one argument changes one thing, so that a test names only what it is about.
"""

from collections.abc import Iterable

from reconciler.changes.change import AppChange, Changeset, Operation
from reconciler.model import (
    App,
    AppApiInfo,
    AppInfo,
    Cluster,
    Container,
    HelmInfo,
    IngressInfo,
    PodInfo,
    Record,
    Route,
    ServiceInfo,
    ServiceRecord,
    Snapshot,
    VolumeInfo,
    snapshot_of,
)

CLUSTER_UUID = "K-a0d3cdd6-d93e-4be6-8e60-6683fcb9a23e"
OTHER_CLUSTER_UUID = "K-5a4d1a0c-1111-4222-8333-0123456789ab"
APP_UUID = "A-2d9771b2-42d2-4b32-bcac-41d0f65e261c"
KUBE_SYSTEM_UID = "7f1b6c1e-0a63-4e4f-9d1c-3a2d7c1f5b10"


def make_app(
    namespace: str = "default",
    name: str = "test",
    revision: int = 1,
    chart: str = "keycloak",
    *,
    chart_version: str = "18.3.3",
    app_version: str = "23.0.4",
    status: str = "deployed",
    updated: str = "2026-11-21T09:42:49.227889695Z",
    image: str = "docker.io/bitnami/keycloak:23.0.4",
    digest: str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    pods: int = 1,
    pod_status: str = "Running",
    ports: Iterable[int] = (80,),
    volumes: Iterable[int] = (),
    hosts: Iterable[str] = (),
    rolled_back_to: int = 0,
    cluster_uuid: str = CLUSTER_UUID,
    app_uuid: str = APP_UUID,
    hossted_helm: bool = False,
) -> App:
    """An app. ``pods``: how many; ``volumes``: their sizes in bytes; ``hosts``: of one ingress."""
    workload = f"{name}-{chart}"
    ports, volumes, hosts = sorted(ports), tuple(volumes), sorted(hosts)
    return App(
        app_api_info=AppApiInfo(
            cluster_uuid=cluster_uuid, app_uuid=app_uuid, app_name=name, hossted_helm=hossted_helm
        ),
        app_info=AppInfo(
            helm_info=HelmInfo(
                name=name,
                namespace=namespace,
                revision=revision,
                updated=updated,
                status=status,
                chart=chart,
                appVersion=app_version,
            ),
            pod_info=tuple(
                sorted(PodInfo(f"{workload}-{i}", namespace, image, pod_status) for i in range(pods))
            ),
            service_info=tuple(ServiceInfo(workload, namespace, port) for port in ports),
            volume_info=tuple(
                sorted(VolumeInfo(f"data-{workload}-{i}", namespace, size) for i, size in enumerate(volumes))
            ),
            ingress_info=tuple(IngressInfo(workload, namespace, host) for host in hosts),
        ),
        record=Record(
            chart_version=chart_version,
            rolled_back_to=rolled_back_to,
            containers=tuple(
                sorted(Container(f"{workload}-{i}", chart, "app", image, digest) for i in range(pods))
            ),
            services=(ServiceRecord(workload, "ClusterIP"),) if ports else (),
            routes=(Route("Ingress", namespace, workload),) if hosts else (),
        ),
    )


def make_cluster(name: str = "test", kube_system_uid: str = KUBE_SYSTEM_UID) -> Cluster:
    return Cluster(name=name, kube_system_uid=kube_system_uid)


def make_snapshot(*apps: App, cluster: Cluster | None = None, cluster_uuid: str = CLUSTER_UUID) -> Snapshot:
    """A snapshot of exactly these apps (none: an empty one)."""
    return snapshot_of(cluster_uuid, cluster or make_cluster(), apps)


def changes_between(before: Snapshot | None, after: Snapshot) -> Changeset:
    """A changeset that names what differs, without details: enough for a store."""
    old = {} if before is None else before.apps
    changed = []
    for key in sorted(old.keys() | after.apps.keys()):
        was, now = old.get(key), after.apps.get(key)
        if was == now:
            continue
        operation = (
            Operation.INSTALL if was is None else Operation.UNINSTALL if now is None else Operation.CHANGE
        )
        changed.append(AppChange(key=key, operation=operation, before=was, after=now))
    return Changeset(
        apps=tuple(changed),
        cluster_before=None if before is None else before.cluster,
        cluster_after=after.cluster,
    )
