"""The Hosstedproject on a real API server: what it refuses, what it fills in, what it shows."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.model import AppKey
from reconciler.project import (
    Condition,
    GitState,
    SnapshotRef,
    Spec,
    Status,
    Summary,
    build_status,
    parse_project,
    releases_of,
    status_patch,
)
from tests.bad_specs import BAD_SPECS, BadSpec
from tests.builders import make_app
from tests.controlplane.cluster import Cluster, CommandError
from tests.controlplane.plane import ControlPlane

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "config/samples"


@pytest.fixture(scope="module")
def crd(controlplane: ControlPlane) -> Iterator[ControlPlane]:
    controlplane.reset()
    controlplane.kubectl("apply", "-k", str(ROOT / "config/crd"))
    controlplane.kinds_served()
    yield controlplane
    controlplane.reset()


@pytest.fixture
def cluster(crd: ControlPlane) -> Iterator[Cluster]:
    yield crd
    crd.kubectl("delete", "hosstedprojects", "--all")


def resource(spec: object, name: str = "hossted") -> str:
    return json.dumps(
        {"apiVersion": "hossted.com/v1", "kind": "Hosstedproject", "metadata": {"name": name}, "spec": spec}
    )


def created(cluster: Cluster, spec: object) -> dict[str, Any]:
    """The object as the server would make it, nothing kept."""
    path = "/apis/hossted.com/v1/hosstedprojects?dryRun=All&fieldValidation=Strict"
    answer = cluster.kubectl("create", "--raw", path, "-f", "-", stdin=resource(spec))
    found: dict[str, Any] = json.loads(answer)
    return found


def write_status(cluster: Cluster, patch: object) -> None:
    cluster.kubectl("patch", "hp", "hossted", "--subresource=status", "--type=merge", "-p", json.dumps(patch))


@pytest.mark.parametrize("bad", BAD_SPECS, ids=lambda bad: bad.what)
def test_the_server_refuses_a_mistake_with_the_message_that_a_person_needs(
    crd: ControlPlane, bad: BadSpec
) -> None:
    with pytest.raises(CommandError) as caught:
        created(crd, bad.spec)
    message = str(caught.value)
    assert f"spec.{bad.field}" in message
    assert bad.says in message


def test_a_message_about_a_url_does_not_repeat_its_credentials(crd: ControlPlane) -> None:
    with pytest.raises(CommandError) as caught:
        created(crd, {"state": {"git": {"url": "https://user:hunter2@example.com/x"}}})
    assert "hunter2" not in str(caught.value)


def test_a_field_that_does_not_exist_is_refused(crd: ControlPlane) -> None:
    with pytest.raises(CommandError, match=r'unknown field "spec\.denyNamespace"'):
        created(crd, {"denyNamespace": ["a"]})


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"clusterName": "Produktion Süd", "denyNamespaces": ["kube-*", "team-[!a-c]?", "x"]},
        {"interval": "1s", "settle": "0s"},
        {"interval": "24h", "settle": "10m"},
        {"brake": {}, "push": {}, "state": {"configMap": {}}},
        {"state": {}},
        {"state": {"git": {"url": "file:///srv/record.git", "author": {}}}},
        {
            "state": {
                "git": {"url": "ssh://git@example.com/x", "secretRef": {"name": "a.key"}, "branch": "a/b.c"}
            }
        },
        {
            "state": {"git": {"url": "https://example.com/x@1", "branch": "observed-{cluster_uuid}"}},
            "push": {"on": "Never", "approval": "Required"},
        },
        {"rules": [{"action": "Ignore"}, {"action": "Push", "match": {"fields": ["app_uuid"]}}]},
        {
            "rules": [
                {
                    "action": "Defer",
                    "match": {
                        "namespaces": ["dev-*"],
                        "releases": ["web.[!0-9]*", "db"],
                        "charts": ["Key_cloak-?"],
                        "fields": ["pod_info.image"],
                        "operations": ["install", "change"],
                    },
                },
                {"action": "Record", "match": {"operations": ["install", "uninstall"]}},
            ]
        },
    ],
    ids=json.dumps,
)
def test_what_the_server_accepts_and_fills_in_is_what_the_code_understands(
    crd: ControlPlane, spec: dict[str, object]
) -> None:
    ours = parse_project({"metadata": {"name": "hossted"}, "spec": spec}).spec
    assert parse_project(created(crd, spec)).spec == ours


def test_a_rule_of_every_possible_size_stays_within_the_servers_cost_budget(crd: ControlPlane) -> None:
    globs = ["-".join([f"{number:03}", "x" * 124]) for number in range(256)]
    match = {"namespaces": globs[:64], "releases": globs[:64], "charts": globs[:64], "operations": ["change"]}
    rule = {"action": "Record", "match": match}
    created(crd, {"denyNamespaces": globs, "rules": [rule] * 64})
    with pytest.raises(CommandError, match="at most 256 items"):
        created(crd, {"denyNamespaces": [*globs, "one-more"]})


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_sample_is_accepted_by_the_server_and_by_us(cluster: Cluster, sample: Path) -> None:
    cluster.kubectl("apply", "-f", str(sample))
    (found,) = cluster.get("hosstedprojects")
    assert parse_project(found).name == found["metadata"]["name"]


def test_the_git_sample_says_what_it_seems_to_say(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", str(SAMPLES / "git.yaml"))
    spec = parse_project(cluster.get("hp", "hossted")).spec
    assert isinstance(spec.state, GitState)
    assert (spec.state.url, spec.push.on) == ("file:///srv/git/record.git", "HelmUpdate")


def test_an_upstream_resource_is_accepted_unchanged(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", str(SAMPLES / "upstream.yaml"))
    found = cluster.get("hp", "hosstedproject-sample")
    assert found["spec"] == {
        "stop": False,
        "denyNamespaces": ["local-path-storage", "kube-node-lease", "kube-public"],
        "monitoring": {"enable": False},
        "cve": {"enable": False},
        "logging": {"enable": False},
        "ingress": {"enable": False},
        "helm": [
            {
                "releaseName": "grafana-agent",
                "namespace": "grafana-agent",
                "values": ["replicas=1"],
                "repoName": "grafana",
                "chartName": "grafana-agent",
                "repoUrl": "https://charts.example.com",
            }
        ],
        "interval": "10m",
        "settle": "5s",
    }
    assert parse_project(found).spec.ignored == ("monitoring", "cve", "logging", "ingress", "helm")


@pytest.mark.parametrize(
    "missing", ["releaseName", "namespace", "values", "repoName", "chartName", "repoUrl"]
)
def test_an_upstream_helm_item_needs_all_its_fields_as_it_did(crd: ControlPlane, missing: str) -> None:
    item = {
        "releaseName": "a",
        "namespace": "a",
        "values": [],
        "repoName": "a",
        "chartName": "a",
        "repoUrl": "a",
    }
    del item[missing]
    with pytest.raises(CommandError, match=rf"spec.helm\[0\].{missing}: Required value"):
        created(crd, {"helm": [item]})


def test_an_object_that_nobody_has_looked_at_has_observed_generation_minus_one(cluster: Cluster) -> None:
    cluster.apply(resource({}))
    found = cluster.get("hp", "hossted")
    assert found["status"] == {"observedGeneration": -1}
    assert parse_project(found).status == Status()


def test_the_status_of_an_upstream_operator_with_201_releases_is_kept_and_understood(
    cluster: Cluster,
) -> None:
    cluster.apply(resource({}))
    items = [
        {
            "name": f"app-{number}",
            "namespace": "default",
            "appUUID": f"A-{number}",
            "revision": 1,
            "updated": "2026-11-21 09:42:49.227889695 +0000 UTC",
            "status": "deployed",
            "chart": "keycloak",
            "appVersion": "23.0.4",
            "hossted_helm": False,
        }
        for number in range(201)
    ]
    written = {
        "clusterUUID": "K-a0d3cdd6-d93e-4be6-8e60-6683fcb9a23e",
        "lastReconcileTimestamp": "2026-11-21 09:50:53.461499722 +0000 UTC m=+313.775245571",
        "helmStatus": items,
        "revision": [1] * 201,
        "dnsUpdated": True,
    }
    write_status(cluster, {"status": written})
    found = cluster.get("hp", "hossted")
    assert found["status"] == written | {"observedGeneration": -1}
    uuids = parse_project(found).status.app_uuids()
    assert uuids == {AppKey("default", f"app-{number}"): f"A-{number}" for number in range(201)}


def test_a_status_that_the_code_builds_is_the_one_that_the_server_then_has(cluster: Cluster) -> None:
    cluster.apply(resource({}))
    at = datetime(2026, 11, 21, 10, tzinfo=UTC)
    first = build_status(
        Status(),
        at=at,
        generation=1,
        conditions=[
            Condition("Ready", "True", "Succeeded"),
            Condition("Reconciling", "True", "Progressing", "x"),
        ],
        cluster_uuid="K-1",
        kube_system_uid="uid",
        email_id="a@example.com",
        releases=releases_of([make_app(name="gone"), make_app(name="stays")]),
        summary=Summary(releases=2),
        snapshot=SnapshotRef("digest", "r1"),
        handled="1",
    )
    second = build_status(
        first,
        at=at,
        generation=1,
        conditions=[Condition("Ready", "False", "Failed", "y" * 2_000)],
        releases=releases_of([make_app(name="stays", revision=2)]),
    )
    for old, new in ((Status(), first), (first, second)):
        write_status(cluster, status_patch(old, new))
        assert parse_project(cluster.get("hp", "hossted")).status == new


def test_kubectl_get_shows_whether_it_works_and_how_much_there_is(cluster: Cluster) -> None:
    cluster.apply(resource({}))
    status = build_status(
        Status(),
        at=datetime.now(UTC),
        generation=1,
        conditions=[Condition("Ready", "False", "StoreUnavailable", "the repository is away")],
        summary=Summary(releases=7, pending=3),
    )
    write_status(cluster, status_patch(Status(), status))
    heading, line = cluster.kubectl("get", "hp", "-o", "wide").splitlines()
    assert heading.split() == ["NAME", "READY", "REASON", "RELEASES", "PENDING", "LAST", "AGE", "MESSAGE"]
    assert line.split()[:5] == ["hossted", "False", "StoreUnavailable", "7", "3"]
    assert line.endswith("the repository is away")


def test_a_store_can_be_changed_with_server_side_apply_although_the_server_filled_in_defaults(
    cluster: Cluster,
) -> None:
    states: list[dict[str, Any]] = [
        {"configMap": {"history": 3}},
        {"git": {"url": "file:///srv/record.git"}},
        {"configMap": {}},
    ]
    for state in states:
        cluster.kubectl("apply", "--server-side", "-f", "-", stdin=resource({"state": state}))
        found = cluster.get("hp", "hossted")["spec"]["state"]
        assert list(found) == list(state)


def test_a_store_can_be_changed_with_kubectl_apply_although_the_server_filled_in_defaults(
    cluster: Cluster,
) -> None:
    cluster.apply(resource({}))
    cluster.apply(resource({"state": {"git": {"url": "file:///srv/record.git"}}}))
    cluster.apply(resource({"state": {"configMap": {}}}))
    assert parse_project(cluster.get("hp", "hossted")).spec == Spec()
