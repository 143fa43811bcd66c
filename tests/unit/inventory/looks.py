"""Small factories of the objects of a look, and one look in which everything occurs."""

from datetime import UTC, datetime

from reconciler.inventory.objects import (
    Claim,
    Gap,
    Ingress,
    Kind,
    Look,
    Meta,
    Namespace,
    Owner,
    Pod,
    PodContainer,
    ReleasePayload,
    Service,
    StoredRelease,
    UuidSecret,
    Workload,
)

NOW = datetime(2026, 11, 21, 9, 42, tzinfo=UTC)
UPDATED = "2026-11-21T09:42:49.227889695Z"


def meta(
    name: str,
    namespace: str = "shop",
    *,
    release: str = "",
    release_namespace: str = "",
    instance: str = "",
    managed: bool = False,
    owner: Owner | None = None,
    uid: str = "",
) -> Meta:
    """Metadata; ``release`` annotates it, in its own namespace unless another is given."""
    return Meta(
        namespace=namespace,
        name=name,
        uid=uid or f"uid-{namespace}-{name}",
        release_name=release,
        release_namespace=(release_namespace or namespace) if release else "",
        instance=instance,
        helm_managed=managed,
        owner=owner,
    )


def owned_by(workload: Workload) -> Owner:
    return Owner(workload.kind, workload.meta.name, workload.meta.uid)


def workload(kind: str, at: Meta, *templates: str) -> Workload:
    return Workload(kind=kind, meta=at, claim_templates=templates)


def pod(at: Meta, *images: str, phase: str = "Running") -> Pod:
    containers = tuple(
        PodContainer(f"c{i}", image, digest=f"sha256:{image}") for i, image in enumerate(images or ("app:1",))
    )
    return Pod(at, phase, containers)


def release(
    name: str = "web",
    namespace: str = "shop",
    version: int | str = 1,
    status: str = "deployed",
    *,
    driver: Kind = Kind.RELEASE_SECRETS,
    problem: str = "",
    read: bool = True,
    created: datetime = NOW,
    modified: datetime | None = None,
    payload_name: str = "",
    rolled_back_to: int = 0,
) -> StoredRelease:
    """One revision of chart ``<name>-chart`` 1.2.<version>; without a body when it has a problem."""
    payload = ReleasePayload(
        name=payload_name or name,
        last_deployed=UPDATED,
        chart_name=f"{name}-chart",
        chart_version=f"1.2.{version}",
        app_version="9",
        rolled_back_to=rolled_back_to,
    )
    return StoredRelease(
        driver=driver,
        namespace=namespace,
        object_name=f"sh.helm.release.v1.{name}.v{version}",
        uid=f"{driver}-{namespace}-{name}-{version}",
        name=name,
        version=str(version),
        status=status,
        created=created,
        modified=modified,
        payload=None if problem or not read else payload,
        problem=problem,
    )


def look(
    *objects: StoredRelease | UuidSecret | Pod | Service | Claim | Ingress | Workload,
    gaps: tuple[Gap, ...] = (),
    never_listed: tuple[Gap, ...] = (),
) -> Look:
    """A look that saw these objects, and the namespaces that they are in."""
    places = {
        each.namespace if isinstance(each, StoredRelease | UuidSecret) else each.meta.namespace
        for each in objects
    }
    return Look(
        taken_at=NOW,
        kube_system_uid="kube-system-uid",
        namespaces=tuple(Namespace(name, f"uid-{name}") for name in sorted(places)),
        releases=tuple(each for each in objects if isinstance(each, StoredRelease)),
        uuid_secrets=tuple(each for each in objects if isinstance(each, UuidSecret)),
        pods=tuple(each for each in objects if isinstance(each, Pod)),
        services=tuple(each for each in objects if isinstance(each, Service)),
        claims=tuple(each for each in objects if isinstance(each, Claim)),
        ingresses=tuple(each for each in objects if isinstance(each, Ingress)),
        workloads=tuple(each for each in objects if isinstance(each, Workload)),
        gaps=gaps,
        never_listed=never_listed,
    )


def deployment(name: str, namespace: str = "shop", release: str = "") -> tuple[Workload, ...]:
    """A Deployment that is annotated and its ReplicaSet that is not."""
    top = workload("Deployment", meta(name, namespace, release=release))
    return top, workload("ReplicaSet", meta(f"{name}-rs", namespace, owner=owned_by(top)))


def a_cluster() -> tuple[StoredRelease | UuidSecret | Pod | Service | Claim | Ingress | Workload, ...]:
    """The objects of four releases in three namespaces: ``web`` in shop without labels anywhere, ``web-db``
    whose name it begins, ``web`` in ``test``, and ``spread`` in ops with an object in shop."""
    web, web_rs = deployment("web", release="web")
    db = workload("StatefulSet", meta("web-db", release="web-db"), "data")
    cron = workload("CronJob", meta("tidy", "ops", release="spread"))
    job = workload("Job", meta("tidy-1", "ops", owner=owned_by(cron)))
    return (
        release("web", version=1, status="superseded"),
        release("web", version=2),
        release("web-db", driver=Kind.RELEASE_CONFIGMAPS),
        release("web", "test", status="failed"),
        release("spread", "ops", version=10, rolled_back_to=7),
        release("spread", "ops", version=9, status="superseded", read=False),
        UuidSecret("shop", "0d9771b2"),
        web,
        web_rs,
        db,
        cron,
        job,
        pod(meta("web-1", owner=owned_by(web_rs)), "web:2", "proxy:1"),
        pod(meta("web-db-0", owner=owned_by(db)), "db:1"),
        pod(meta("tidy-1-x", "ops", owner=owned_by(job)), "tidy:1", phase="Succeeded"),
        pod(meta("lonely", "test"), "busybox"),
        pod(meta("web-l", "test", instance="web", managed=True), "web:1", phase="Pending"),
        Service(meta("web", release="web"), "ClusterIP", (80, 443)),
        Service(meta("outside", "ops", release="spread"), "ExternalName"),
        Claim(meta("data-web-db-0"), 8 * 2**30),
        Claim(meta("data-web-db-1"), 8 * 2**30),
        Claim(meta("files", "test", instance="web"), 2**20),
        Ingress(meta("web", release="web"), ("a.example.com", "b.example.com")),
        Ingress(meta("door", "shop", release="spread", release_namespace="ops")),
    )
