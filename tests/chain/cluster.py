"""A stand-in for a cluster: a few releases that the test installs, changes and takes away, and what a look
sees of them. Everything else in these tests is real; the chain on a real cluster is tested in
``tests/cluster``.

As with a live source, what of a look fails is as it was last seen by the same process.
"""

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from reconciler.errors import KubernetesError
from reconciler.inventory.objects import (
    Claim,
    Gap,
    Ingress,
    Kind,
    Look,
    Meta,
    Namespace,
    Pod,
    PodContainer,
    ReleasePayload,
    Service,
    StoredRelease,
    UuidSecret,
)
from reconciler.model import AppKey, PolicyInEffect
from tests.builders import KUBE_SYSTEM_UID
from tests.chain.clock import VirtualClock


class Release(msgspec.Struct, frozen=True):
    """A release and what belongs to it. ``broken``: why its body cannot be read; ``ports``: of its service;
    ``sizes``: bytes that each of its claims asks for; ``hosts``: of its ingress, if it has any."""

    revision: int = 1
    status: str = "deployed"
    chart_version: str = "1.0.0"
    image: str = "web:1"
    pods: int = 1
    phase: str = "Running"
    ports: tuple[int, ...] = (80,)
    sizes: tuple[int, ...] = ()
    hosts: tuple[str, ...] = ()
    rolled_back_to: int = 0
    broken: str = ""
    updated: str = ""


Objects = Mapping[Kind, Mapping[str, tuple[object, ...]]]
"""Objects by kind and namespace."""


class StandInCluster:
    """``gaps``: what cannot be listed at present; ``away``: nothing can. ``empty``: namespaces that are
    there even with nothing in them; ``ending``: those that are being deleted. Names: ``namespace/name``."""

    def __init__(self, clock: VirtualClock, uid: str = KUBE_SYSTEM_UID) -> None:
        self.uid = uid
        self.releases: dict[AppKey, Release] = {}
        self.secrets: dict[str, UuidSecret] = {}
        self.gaps: tuple[Gap, ...] = ()
        self.away = False
        self.lies = False
        self.empty: set[str] = set()
        self.ending: set[str] = set()
        self._clock = clock
        self._before: dict[AppKey, int] = {}

    def install(self, *names: str, pods: int = 1, phase: str = "Running", image: str = "web:1") -> None:
        for name in names:
            self._put(name, Release(pods=pods, phase=phase, image=image))

    def upgrade(self, *names: str, image: str = "", status: str = "deployed", phase: str = "Running") -> None:
        """To the next revision, which has a chart version and an image of its own unless one is given."""
        for name in names:
            number = self[name].revision + 1
            changed = msgspec.structs.replace(
                self[name],
                revision=number,
                chart_version=f"1.{number - 1}.0",
                image=image or f"web:{number}",
                status=status,
                phase=phase,
                rolled_back_to=0,
            )
            self._put(name, changed)

    def roll_back(self, name: str, to: Release) -> None:
        """To an earlier revision, under the next number, as Helm does it."""
        number = self[name].revision + 1
        self._put(name, msgspec.structs.replace(to, revision=number, rolled_back_to=to.revision))

    def change(self, name: str, **changes: object) -> None:
        """What happens without Helm: its revision and its time stay."""
        key = AppKey.parse(name)
        self.releases[key] = msgspec.structs.replace(self.releases[key], **changes)

    def uninstall(self, *names: str) -> None:
        for name in names:
            del self.releases[AppKey.parse(name)]

    def uuid(self, namespace: str, value: str = "", problem: str = "") -> None:
        """Put the Secret ``uuid`` into a namespace."""
        self.secrets[namespace] = UuidSecret(namespace, value, problem)

    def __getitem__(self, name: str) -> Release:
        return self.releases[AppKey.parse(name)]

    def _put(self, name: str, release: Release) -> None:
        self._clock.advance(0.001)  # two changes have two times
        updated = self._clock.now().isoformat()
        self.releases[AppKey.parse(name)] = msgspec.structs.replace(release, updated=updated)

    def objects(self) -> Objects:
        """Everything that there is now."""
        found: dict[Kind, dict[str, list[object]]] = {kind: {} for kind in Kind}
        for key, release in sorted(self.releases.items()) if not self.lies else ():
            put: dict[Kind, list[object]] = {
                Kind.NAMESPACES: [self._namespace(key.namespace)],
                Kind.RELEASE_SECRETS: _stored(key, release, self._clock),
                Kind.PODS: _pods(key, release),
                Kind.SERVICES: [Service(_meta(key, key.name), "ClusterIP", release.ports)],
                Kind.CLAIMS: _claims(key, release),
                Kind.INGRESSES: [Ingress(_meta(key, key.name), release.hosts)] if release.hosts else [],
            }
            for kind, some in put.items():
                found[kind].setdefault(key.namespace, []).extend(some)
        for namespace in self.empty:
            found[Kind.NAMESPACES].setdefault(namespace, []).append(self._namespace(namespace))
        for namespace, secret in self.secrets.items():
            found[Kind.UUID_SECRETS][namespace] = [secret]
        return {kind: {place: tuple(some) for place, some in where.items()} for kind, where in found.items()}

    def _namespace(self, name: str) -> Namespace:
        return Namespace(name, f"uid-{name}", terminating=name in self.ending)


class StandInSource:
    """The looks of one process at a stand-in."""

    def __init__(self, cluster: StandInCluster, clock: VirtualClock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._seen: dict[Kind, dict[str, tuple[object, ...]]] = {}

    def rest(self) -> None:
        """It does nothing by itself."""

    async def look(self, policy: PolicyInEffect) -> Look:
        """Raises KubernetesError while the cluster is away."""
        if self._cluster.away:
            raise KubernetesError("the Kubernetes API did not answer")
        live = self._cluster.objects()
        never = []
        for kind in Kind:
            gaps = {gap.namespace: gap for gap in self._cluster.gaps if gap.kind is kind}
            known, now = self._seen.get(kind), live[kind]
            if "" in gaps:
                if known is None:
                    never.append(gaps[""])
                    continue
                now = known
            elif gaps:
                never += [gap for place, gap in gaps.items() if known is None or place not in known]
                now = {place: some for place, some in now.items() if place not in gaps}
                now |= {place: (known or {}).get(place, ()) for place in gaps if known and place in known}
            self._seen[kind] = {place: some for place, some in now.items() if not policy.denies(place)}

        def all_of(kind: Kind) -> tuple[object, ...]:
            places = sorted(self._seen.get(kind, {}).items())
            return tuple(dict.fromkeys(one for _, some in places for one in some))

        return Look(
            taken_at=self._clock.now(),
            kube_system_uid=self._cluster.uid,
            namespaces=all_of(Kind.NAMESPACES),  # type: ignore[arg-type] # of this kind by construction
            releases=all_of(Kind.RELEASE_SECRETS),  # type: ignore[arg-type] # likewise
            uuid_secrets=all_of(Kind.UUID_SECRETS),  # type: ignore[arg-type] # likewise
            pods=all_of(Kind.PODS),  # type: ignore[arg-type] # likewise
            services=all_of(Kind.SERVICES),  # type: ignore[arg-type] # likewise
            claims=all_of(Kind.CLAIMS),  # type: ignore[arg-type] # likewise
            ingresses=all_of(Kind.INGRESSES),  # type: ignore[arg-type] # likewise
            gaps=tuple(sorted(gap for gap in self._cluster.gaps if not policy.denies(gap.namespace))),
            never_listed=tuple(sorted(never)),
        )


def _meta(key: AppKey, name: str) -> Meta:
    return Meta(
        namespace=key.namespace,
        name=name,
        uid=f"uid-{key}-{name}",
        release_name=key.name,
        release_namespace=key.namespace,
    )


def _pods(key: AppKey, release: Release) -> list[object]:
    names = [f"{key.name}-{release.image.replace(':', '-')}-{number}" for number in range(release.pods)]
    container = PodContainer("web", release.image, digest=f"sha256:{release.image}")
    return [Pod(_meta(key, name), release.phase, (container,)) for name in names]


def _claims(key: AppKey, release: Release) -> list[object]:
    return [Claim(_meta(key, f"{key.name}-{number}"), size) for number, size in enumerate(release.sizes)]


def _stored(key: AppKey, release: Release, clock: VirtualClock) -> list[object]:
    """The revisions that Helm keeps: only the newest one's body matters."""
    payload = ReleasePayload(
        name=key.name,
        last_deployed=release.updated,
        chart_name="web",
        chart_version=release.chart_version,
        app_version="9",
        rolled_back_to=release.rolled_back_to,
    )
    updated = clock.parse(release.updated)
    older = [
        _revision(key, number, "superseded", updated - timedelta(minutes=1))
        for number in range(max(1, release.revision - 2), release.revision)
    ]
    newest = msgspec.structs.replace(
        _revision(key, release.revision, release.status, updated),
        payload=None if release.broken else payload,
        problem=release.broken,
    )
    return [*older, newest]


def _revision(key: AppKey, number: int, status: str, created: object) -> StoredRelease:
    return StoredRelease(
        driver=Kind.RELEASE_SECRETS,
        namespace=key.namespace,
        object_name=f"sh.helm.release.v1.{key.name}.v{number}",
        uid=f"uid-{key}-{number}",
        name=key.name,
        version=str(number),
        status=status,
        created=created,  # type: ignore[arg-type] # a datetime
    )
