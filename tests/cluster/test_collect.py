"""Looking at a real cluster: what is asked of the API server, and what comes of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.inventory.live import LiveSource
from reconciler.inventory.objects import Kind, Look
from reconciler.kube.client import Client
from reconciler.model import PolicyInEffect
from tests.cluster.agreement import assert_look_agrees_with_helm
from tests.controlplane.audit import AuditEvent
from tests.controlplane.cluster import CHARTS, CommandError
from tests.controlplane.plane import ControlPlane

DENY_SYSTEM = PolicyInEffect(denyNamespaces=("kube-*",))
KINDS = 14  # lists of one look
ROUTES = 2  # kinds that a cluster may not have, and this one has not


class Eye:
    """A source under test, with a clock that stands until it is moved."""

    def __init__(self, kubeconfig: Path, page_size: int = 500) -> None:
        self.at = datetime(2026, 11, 21, 12, tzinfo=UTC)
        self.source = LiveSource(Client.connect(kubeconfig=kubeconfig, page_size=page_size), lambda: self.at)

    async def look(self, policy: PolicyInEffect = DENY_SYSTEM) -> Look:
        return await self.source.look(policy)

    def wait(self, minutes: float) -> None:
        self.at += timedelta(minutes=minutes)


@pytest.fixture
def plane(fresh_cluster: ControlPlane) -> ControlPlane:
    return fresh_cluster


@pytest.fixture
def eye(plane: ControlPlane) -> Eye:
    return Eye(plane.kubeconfig)


@pytest.fixture
def asked(plane: ControlPlane) -> Callable[[], list[AuditEvent]]:
    """What was asked of the API server since it was last asked for."""
    marks = [plane.mark()]

    def since() -> list[AuditEvent]:
        requests = plane.api_requests(marks[-1], user_agent="hossted-reconciler")
        marks.append(plane.mark())
        return requests

    return since


def install(plane: ControlPlane, name: str, chart: str = "bare", **options: Any) -> None:
    plane.helm("install", name, str(CHARTS / chart), **options)


def namespace(plane: ControlPlane, *names: str) -> None:
    plane.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names))


def secret(name: str, namespace: str = "default", **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}


def copies(plane: ControlPlane, of: str, count: int, namespaces: int) -> None:
    """More releases like one that Helm installed, spread over new namespaces."""
    names = [f"copies-{number}" for number in range(namespaces)]
    namespace(plane, *names)
    copy(plane, of, [(names[number % namespaces], f"copy-{number}", 1) for number in range(count)])


def copy(plane: ControlPlane, of: str, wanted: list[tuple[str, str, int]]) -> None:
    """What Helm stored for a release's first revision, again under another (namespace, name, revision)."""
    original = plane.get("secret", f"sh.helm.release.v1.{of}.v1")
    items = []
    for where, name, revision in wanted:
        labels = {**original["metadata"]["labels"], "name": name, "version": str(revision)}
        full_name = f"sh.helm.release.v1.{name}.v{revision}"
        metadata = {"name": full_name, "namespace": where, "labels": labels}
        items.append({**original, "metadata": metadata})
    plane.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def places(look: Look) -> set[str]:
    """The namespaces of what belongs to releases."""
    metas = [item.meta for item in look.pods] + [item.meta for item in look.services]
    metas += [item.meta for item in look.claims] + [item.meta for item in look.ingresses]
    return {meta.namespace for meta in (*metas, *(item.meta for item in look.workloads))}


def bodies(requests: list[AuditEvent]) -> list[str]:
    """The objects that were read one by one."""
    return sorted(f"{one.namespace}/{one.name}" for one in requests if one.verb == "get" and one.resource)


READ = ("get", "list")


def role(
    plane: ControlPlane,
    name: str,
    *resources: str,
    namespaces: tuple[str, ...] = (),
    verbs: tuple[str, ...] = READ,
) -> Path:
    """A ServiceAccount that may read these resources: everywhere, or in these namespaces only."""
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": "default"},
    }
    plane.apply(account)
    grant(plane, name, *resources, namespaces=namespaces, verbs=verbs)
    return plane.kubeconfig_for("default", name)


def grant(
    plane: ControlPlane,
    name: str,
    *resources: str,
    namespaces: tuple[str, ...] = (),
    verbs: tuple[str, ...] = READ,
) -> None:
    api = "rbac.authorization.k8s.io"
    rule_name = f"{name}-{'-'.join(namespaces) or 'all'}"
    rules = [{"apiGroups": ["*"], "resources": list(resources), "verbs": list(verbs)}]
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": "default"}]
    plane.apply(
        {"apiVersion": f"{api}/v1", "kind": "ClusterRole", "metadata": {"name": rule_name}, "rules": rules}
    )
    for where in namespaces or ("",):
        plane.apply(
            {
                "apiVersion": f"{api}/v1",
                "kind": "RoleBinding" if where else "ClusterRoleBinding",
                "metadata": {"name": rule_name, **({"namespace": where} if where else {})},
                "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": rule_name},
                "subjects": subjects,
            }
        )


ALL_BUT_INGRESSES = (
    "namespaces",
    "secrets",
    "configmaps",
    "pods",
    "services",
    "persistentvolumeclaims",
    "statefulsets",
    "replicasets",
    "deployments",
    "daemonsets",
    "jobs",
    "cronjobs",
)


async def test_an_unchanged_cluster_costs_the_same_requests_with_5_and_with_100_releases(
    plane: ControlPlane, eye: Eye, asked: Callable[[], list[AuditEvent]]
) -> None:
    for number in range(5):
        install(plane, f"app-{number}")
    first = await eye.look()
    assert len(bodies(asked())) == 5
    await eye.look()
    with_five = asked()
    copies(plane, "app-0", 95, namespaces=20)
    grown = await eye.look()
    requests = asked()
    pages = [one for one in requests if "superseded" in one.query.get("labelSelector", "")]
    assert (bodies(requests), len(pages)) == ([], 1)
    await eye.look()
    with_hundred = asked()
    assert (len(first.releases), len(grown.releases)) == (5, 100)
    assert len(with_hundred) == len(with_five) == KINDS
    assert bodies(with_hundred) == []


async def test_releases_are_listed_by_metadata_only_and_bodies_read_of_the_newest_only(
    plane: ControlPlane, eye: Eye, asked: Callable[[], list[AuditEvent]]
) -> None:
    install(plane, "app")
    plane.helm("upgrade", "app", str(CHARTS / "bare"))
    plane.helm("upgrade", "app", str(CHARTS / "bare"))
    look = await eye.look()
    assert bodies(asked()) == ["default/sh.helm.release.v1.app.v3"]
    assert [(one.version, one.status, one.payload is not None) for one in look.releases] == [
        ("1", "superseded", False),
        ("2", "superseded", False),
        ("3", "deployed", True),
    ]
    plane.helm("upgrade", "app", str(CHARTS / "bare"))
    await eye.look()
    assert bodies(asked()) == ["default/sh.helm.release.v1.app.v4"]


async def test_revisions_are_compared_as_integers(
    plane: ControlPlane, eye: Eye, asked: Callable[[], list[AuditEvent]]
) -> None:
    install(plane, "app")
    copy(plane, "app", [("default", "app", revision) for revision in range(2, 11)])
    await eye.look()
    assert bodies(asked()) == ["default/sh.helm.release.v1.app.v10"]


async def test_a_reinstalled_release_is_read_anew_though_it_is_revision_1_again(
    plane: ControlPlane, eye: Eye, asked: Callable[[], list[AuditEvent]]
) -> None:
    install(plane, "app")
    (before,) = (await eye.look()).releases
    asked()
    plane.helm("uninstall", "app")
    install(plane, "app", "web")
    look = await eye.look()
    (after,) = look.releases
    assert bodies(asked()) == ["default/sh.helm.release.v1.app.v1"]
    assert (before.version, after.version) == ("1", "1")
    assert before.payload
    assert after.payload
    assert (before.payload.chart_name, after.payload.chart_name) == ("bare", "web")


async def test_the_status_comes_from_the_label_and_costs_no_body(
    plane: ControlPlane, eye: Eye, asked: Callable[[], list[AuditEvent]]
) -> None:
    install(plane, "app")
    await eye.look()
    asked()
    plane.helm("uninstall", "app", "--keep-history")
    (release,) = (await eye.look()).releases
    assert (release.status, bodies(asked())) == ("uninstalled", [])
    assert release.payload


async def test_all_lists_are_paged(plane: ControlPlane, asked: Callable[[], list[AuditEvent]]) -> None:
    for number in range(4):
        install(plane, f"app-{number}")
    plane.rolled_out()
    whole = await Eye(plane.kubeconfig).look()
    asked()
    paged = await Eye(plane.kubeconfig, page_size=3).look()
    lists = [one for one in asked() if one.verb == "list"]
    assert {one.query["limit"] for one in lists} == {"3"}
    assert not any("resourceVersion" in one.query for one in lists)
    pages = Counter(one.path for one in lists)
    assert pages["/api/v1/secrets"] == 3  # two for the releases, one for the uuid Secrets
    assert paged.releases == whole.releases
    assert paged.pods == whole.pods
    assert paged.workloads == whole.workloads


async def test_denied_namespaces_are_left_out_by_the_server_and_their_bodies_never_read(
    plane: ControlPlane, eye: Eye, asked: Callable[[], list[AuditEvent]]
) -> None:
    namespace(plane, "secret-a", "secret-b", "open")
    for where in ("secret-a", "secret-b", "open"):
        install(plane, "app", namespace=where)
        plane.apply(secret("uuid", where, uuid="u-1"))
    look = await eye.look(PolicyInEffect(denyNamespaces=("kube-*", "secret-*")))
    requests = asked()
    assert bodies(requests) == ["open/sh.helm.release.v1.app.v1", "open/uuid"]
    assert {one.namespace for one in requests if one.verb == "get" and one.resource} == {"open"}
    selectors = [one.query["fieldSelector"] for one in requests if one.resource == "pods"]
    assert [selector.split(",") for selector in selectors] == [
        [f"metadata.namespace!={name}" for name in ("kube-node-lease", "kube-public", "kube-system")]
        + ["metadata.namespace!=secret-a", "metadata.namespace!=secret-b"]
    ]
    assert {item.name for item in look.namespaces} == {"default", "open"}
    assert places(look) <= {"default", "open"}


async def test_too_many_denied_namespaces_are_left_out_on_arrival(
    plane: ControlPlane, eye: Eye, asked: Callable[[], list[AuditEvent]]
) -> None:
    denied = [f"secret-{number}" for number in range(51)]
    namespace(plane, *denied)
    install(plane, "app", namespace="secret-7")
    install(plane, "app")
    look = await eye.look(PolicyInEffect(denyNamespaces=("secret-*",)))
    requests = asked()
    assert bodies(requests) == ["default/sh.helm.release.v1.app.v1"]
    assert not any("metadata.namespace" in one.uri for one in requests)
    assert {one.namespace for one in look.releases} == {"default"}
    assert not any(name.startswith("secret-") for name in places(look))


async def test_what_was_seen_of_a_namespace_is_dropped_when_it_becomes_denied(
    plane: ControlPlane, eye: Eye, asked: Callable[[], list[AuditEvent]]
) -> None:
    install(plane, "app")
    await eye.look()
    asked()
    denied = await eye.look(PolicyInEffect(denyNamespaces=("kube-*", "default")))
    assert (denied.releases, bodies(asked())) == ((), [])
    allowed = await eye.look()
    assert allowed.releases[0].payload
    assert bodies(asked()) == ["default/sh.helm.release.v1.app.v1"]


async def test_the_secret_uuid_is_read_only_beside_a_release_and_only_when_it_has_changed(
    plane: ControlPlane, eye: Eye, asked: Callable[[], list[AuditEvent]]
) -> None:
    namespace(plane, "empty")
    plane.apply(secret("uuid", "empty", uuid="u-0"), secret("uuid", uuid="u-1"))
    install(plane, "app")
    first = await eye.look()
    assert bodies(asked()) == ["default/sh.helm.release.v1.app.v1", "default/uuid"]
    assert [(one.namespace, one.value) for one in first.uuid_secrets] == [("default", "u-1")]
    assert (await eye.look()).uuid_secrets == first.uuid_secrets
    assert bodies(asked()) == []
    plane.apply(secret("uuid", uuid="u-2"))
    (changed,) = (await eye.look()).uuid_secrets
    assert (changed.value, bodies(asked())) == ("u-2", ["default/uuid"])
    plane.kubectl("delete", "secret", "uuid")
    assert (await eye.look()).uuid_secrets == ()


async def test_a_secret_uuid_that_cannot_be_used_says_why(plane: ControlPlane, eye: Eye) -> None:
    install(plane, "app")
    plane.apply(secret("uuid", other="x"))
    (without,) = (await eye.look()).uuid_secrets
    assert (without.value, without.problem) == ("", "it has no key uuid")
    plane.kubectl("delete", "secret", "uuid")
    binary = {**secret("uuid"), "stringData": {}, "data": {"uuid": "/w=="}}
    plane.apply(binary)
    (rubbish,) = (await eye.look()).uuid_secrets
    assert (rubbish.value, rubbish.problem) == ("", "the value of its key uuid is not text")


async def test_a_kind_that_was_never_permitted_is_a_gap_and_never_listed(
    plane: ControlPlane, asked: Callable[[], list[AuditEvent]]
) -> None:
    install(plane, "app", "network")
    eye = Eye(role(plane, "half-blind", *ALL_BUT_INGRESSES))
    look = await eye.look()
    (gap,) = look.gaps
    assert (gap.kind, gap.namespace, gap.forbidden) == (Kind.INGRESSES, "", True)
    assert "half-blind" in gap.message
    assert look.never_listed == look.gaps
    assert (look.ingresses, bool(look.services)) == ((), True)
    asked()
    assert (await eye.look()).gaps == look.gaps
    assert not any(one.resource == "ingresses" for one in asked())


async def test_a_permission_that_comes_is_found_slowly(plane: ControlPlane) -> None:
    install(plane, "app", "network")
    eye = Eye(role(plane, "soon", *ALL_BUT_INGRESSES))
    await eye.look()
    grant(plane, "soon", "ingresses", *ALL_BUT_INGRESSES)
    assert (await eye.look()).gap(Kind.INGRESSES, "default")
    eye.wait(minutes=11)
    look = await eye.look()
    assert look.gaps == ()
    assert len(look.ingresses) == 4


async def test_a_permission_that_goes_leaves_what_was_seen_and_a_gap(plane: ControlPlane) -> None:
    install(plane, "app", "network")
    eye = Eye(role(plane, "going", "*"))
    before = await eye.look()
    grant(plane, "going", *ALL_BUT_INGRESSES)
    look = await eye.look()
    assert look.ingresses == before.ingresses
    assert [(gap.kind, gap.forbidden) for gap in look.gaps] == [(Kind.INGRESSES, True)]
    assert look.never_listed == ()
    plane.helm("uninstall", "app")
    assert (await eye.look()).ingresses == before.ingresses
    namespace(plane, "later")
    later = await eye.look()
    assert [(gap.kind, gap.namespace) for gap in later.never_listed] == [(Kind.INGRESSES, "later")]


async def test_a_kind_that_may_be_listed_only_in_some_namespaces_is_listed_there(
    plane: ControlPlane, asked: Callable[[], list[AuditEvent]]
) -> None:
    namespace(plane, "one", "two")
    install(plane, "app", "network", namespace="one")
    install(plane, "app", "network", namespace="two")
    role(plane, "local", *ALL_BUT_INGRESSES)
    eye = Eye(role(plane, "local", "ingresses", namespaces=("one", "default")))
    look = await eye.look()
    assert {item.meta.namespace for item in look.ingresses} == {"one"}
    assert [(gap.kind, gap.namespace, gap.forbidden) for gap in look.gaps] == [(Kind.INGRESSES, "two", True)]
    assert look.never_listed == look.gaps
    asked()
    await eye.look()
    lists = [one.path for one in asked() if one.resource == "ingresses"]
    assert sorted(lists) == [
        f"/apis/networking.k8s.io/v1/namespaces/{name}/ingresses" for name in ("default", "one")
    ]


async def test_bodies_that_may_not_be_read_are_a_problem_of_their_release_alone(plane: ControlPlane) -> None:
    install(plane, "app")
    plane.apply(secret("uuid", uuid="u"))
    eye = Eye(
        role(plane, "shallow", *(name for name in (*ALL_BUT_INGRESSES, "ingresses") if name != "secrets"))
    )
    api = "rbac.authorization.k8s.io"
    plane.apply(
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "lists"},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}],
        },
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "lists"},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "lists"},
            "subjects": [{"kind": "ServiceAccount", "name": "shallow", "namespace": "default"}],
        },
    )
    look = await eye.look()
    (release,) = look.releases
    assert (release.payload, look.gaps) == (None, ())
    assert "cannot be read" in release.problem
    assert "cannot be read" in look.uuid_secrets[0].problem


async def test_a_release_that_is_no_release_is_named_and_read_again_only_when_it_changes(
    plane: ControlPlane, eye: Eye, asked: Callable[[], list[AuditEvent]]
) -> None:
    install(plane, "good")
    install(plane, "bad")
    original = plane.get("secret", "sh.helm.release.v1.bad.v1")
    body = original["data"]["release"]
    plane.apply({**original, "data": {"release": "cnViYmlzaA=="}})
    look = await eye.look()
    by_name = {one.name: one for one in look.releases}
    assert by_name["good"].payload
    assert (by_name["bad"].payload, bool(by_name["bad"].problem)) == (None, True)
    asked()
    assert (await eye.look()).releases == look.releases
    assert bodies(asked()) == []
    plane.kubectl(
        "patch", "secret", "sh.helm.release.v1.bad.v1", "-p", json.dumps({"data": {"release": body}})
    )
    assert all(one.payload for one in (await eye.look()).releases)
    assert bodies(asked()) == ["default/sh.helm.release.v1.bad.v1"]


async def test_a_server_that_is_away_changes_nothing_that_was_seen(
    another_cluster: ControlPlane,
) -> None:
    install(another_cluster, "app", "network")
    eye, newcomer = Eye(another_cluster.kubeconfig), Eye(another_cluster.kubeconfig)
    before = await eye.look()
    another_cluster.stop()
    after = await eye.look()
    assert len(after.gaps) == KINDS
    assert not any(gap.forbidden for gap in after.gaps)
    assert after.never_listed == ()
    for field in ("kube_system_uid", "namespaces", "releases", "services", "ingresses", "workloads"):
        assert getattr(after, field) == getattr(before, field)
    assert len((await newcomer.look()).never_listed) == KINDS + ROUTES


async def test_what_is_kept_of_each_kind(plane: ControlPlane, eye: Eye) -> None:
    install(plane, "net", "network")
    install(plane, "kc", "keycloak")
    plane.rolled_out()
    look = await eye.look()
    services = {item.meta.name: (item.type, item.ports) for item in look.services}
    assert services["net-external"] == ("ExternalName", ())
    assert services["net-portless"] == ("ClusterIP", ())
    assert services["net-dns"] == ("ClusterIP", (53, 53))
    hosts = {item.meta.name: item.hosts for item in look.ingresses}
    assert hosts["net-default"] == hosts["net-no-rules"] == ()
    assert hosts["net-any-host"] == ("",)
    assert "one.example.com" in hosts["net-hosts"]
    (claim,) = look.claims
    assert (claim.meta.name, claim.size) == ("data-kc-postgresql-0", 8 * 2**30)
    sets = {item.meta.name: item for item in look.workloads if item.kind == "StatefulSet"}
    assert sets["kc-postgresql"].claim_templates == ("data",)
    assert sets["kc-postgresql"].meta.release_name == "kc"
    pod = next(item for item in look.pods if item.meta.name == "kc-keycloak-0")
    assert pod.phase == "Running"
    assert pod.meta.owner
    assert (pod.meta.owner.kind, pod.meta.owner.uid) == ("StatefulSet", sets["kc-keycloak"].meta.uid)
    assert all(one.digest.startswith("sha256:") for one in pod.containers)
    assert look.kube_system_uid == plane.get("namespace", "kube-system")["metadata"]["uid"]


async def test_what_we_see_agrees_with_helm_list_for_both_drivers_and_both_helms(
    plane: ControlPlane, eye: Eye
) -> None:
    chart = str(CHARTS / "web")
    other = plane.package("web", version="9.9.9-beta.7", app_version="v1 beta")
    for version in (3, 4):
        for driver in ("secret", "configmap"):
            where = f"helm{version}-{driver}"
            namespace(plane, where)

            def helm(*arguments: str, v: Any = version, d: Any = driver, n: str = where) -> None:
                plane.helm(*arguments, version=v, driver=d, namespace=n)

            helm("install", "installed", chart)
            helm("install", "upgraded", chart)
            helm("upgrade", "upgraded", other)
            helm("install", "back", chart)
            helm("upgrade", "back", chart)
            helm("rollback", "back", "1")
            helm("install", "kept", chart)
            helm("uninstall", "kept", "--keep-history")
            helm("install", "gone", chart)
            helm("uninstall", "gone")
            helm("install", "failed", chart)
            with pytest.raises(CommandError):
                helm("upgrade", "failed", chart, "--set", "replicas=nonsense")
    look = await eye.look()
    assert_look_agrees_with_helm(look, plane, DENY_SYSTEM)
    assert {one.status for one in look.releases} >= {"deployed", "superseded", "uninstalled"}
    assert len({one.namespace for one in look.releases}) == 4
    rolled_back = [one for one in look.releases if one.name == "back" and one.version == "3"]
    assert [one.payload.rolled_back_to for one in rolled_back if one.payload] == [1] * 4
