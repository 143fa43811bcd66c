"""The project's charts on the real control plane, by each Helm and both of its storage drivers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.controlplane.cluster import CHARTS, Cluster, CommandError, large_values

Version = Literal[3, 4]
Driver = Literal["secret", "configmap"]
each_helm = pytest.mark.parametrize("version", [3, 4])


def names(cluster: Cluster, kind: str) -> set[str]:
    """The names of all objects of a kind in the test's namespace."""
    return {one["metadata"]["name"] for one in cluster.get(kind)}


def history(cluster: Cluster, version: Version, driver: Driver) -> list[tuple[int, str]]:
    """The revisions of release `test`, and the status of each."""
    said = cluster.helm("history", "test", "-o", "json", version=version, driver=driver)
    entries: list[dict[str, Any]] = json.loads(said)
    return [(one["revision"], one["status"]) for one in entries]


@each_helm
@pytest.mark.parametrize("driver", ["secret", "configmap"])
def test_a_release_goes_through_its_life(cluster: Cluster, version: Version, driver: Driver) -> None:
    def helm(*args: str) -> str:
        return cluster.helm(*args, version=version, driver=driver)

    helm("install", "test", str(CHARTS / "keycloak"))
    cluster.rolled_out()
    helm("upgrade", "test", cluster.package("keycloak", version="18.4.0"), "--set", "replicas=2")
    cluster.rolled_out()
    assert names(cluster, "pods") == {"test-keycloak-0", "test-keycloak-1", "test-postgresql-0"}
    helm("rollback", "test", "1")
    cluster.rolled_out()
    assert names(cluster, "pods") == {"test-keycloak-0", "test-postgresql-0"}
    with pytest.raises(CommandError):
        helm("upgrade", "test", str(CHARTS / "keycloak"), "--set", "ingress.name=Not_A_Name")
    assert history(cluster, version, driver) == [
        *((1, "superseded"), (2, "superseded"), (3, "deployed"), (4, "failed"))
    ]
    kind = {"secret": "secrets", "configmap": "configmaps"}[driver]
    records = cluster.get(kind, "-l", "owner=helm")
    assert {one["metadata"]["name"] for one in records} == {
        f"sh.helm.release.v1.test.v{revision}" for revision in (1, 2, 3, 4)
    }
    helm("uninstall", "test", "--keep-history")
    assert history(cluster, version, driver)[-1] == (4, "uninstalled")
    helm("uninstall", "test")
    assert cluster.get(kind, "-l", "owner=helm") == []


@each_helm
def test_keycloak_has_the_objects_of_the_sample(cluster: Cluster, version: Version) -> None:
    cluster.helm("install", "test", str(CHARTS / "keycloak"), version=version)
    cluster.rolled_out()
    assert names(cluster, "pods") == {"test-keycloak-0", "test-postgresql-0"}
    assert names(cluster, "pvc") == {"data-test-postgresql-0"}
    assert {one["metadata"]["name"]: one["spec"]["ports"][0]["port"] for one in cluster.get("services")} == {
        "test-postgresql-hl": 5432,
        "test-keycloak-headless": 80,
        "test-postgresql": 5432,
        "test-keycloak": 80,
    }
    (ingress,) = cluster.get("ingresses")
    assert ingress["metadata"]["name"] == "keycloak"
    assert [one["host"] for one in ingress["spec"]["rules"]] == ["keycloak.example.com"]


@each_helm
def test_web_has_two_containers_an_init_container_and_something_elsewhere(
    cluster: Cluster, version: Version
) -> None:
    there = cluster.in_namespace(f"{cluster.namespace}-elsewhere")
    flags = ("--set", f"elsewhere={there.namespace}")
    cluster.helm("install", "test", str(CHARTS / "web"), *flags, version=version)
    cluster.rolled_out()
    there.rolled_out()
    status = cluster.get("pods")[0]["status"]
    assert [one["name"] for one in status["containerStatuses"]] == ["app", "proxy"]
    assert [one["name"] for one in status["initContainerStatuses"]] == ["migrate"]
    assert all("@sha256:" in one["imageID"] for one in status["initContainerStatuses"])
    assert names(there, "deployments") == {"test-elsewhere"}
    there.kubectl("delete", "namespace", there.namespace, "--wait=false")


@each_helm
def test_network_has_services_and_ingresses_of_unusual_forms(cluster: Cluster, version: Version) -> None:
    cluster.helm("install", "test", str(CHARTS / "network"), version=version)
    ports = {
        one["metadata"]["name"]: [port["port"] for port in one["spec"].get("ports", ())]
        for one in cluster.get("services")
    }
    assert ports == {"test-external": [], "test-portless": [], "test-dns": [53, 53]}
    hosts = {
        one["metadata"]["name"]: [rule.get("host") for rule in one["spec"].get("rules", ())]
        for one in cluster.get("ingresses")
    }
    assert hosts == {
        "test-hosts": ["one.example.com", "two.example.com", "one.example.com"],
        "test-default": [],
        "test-no-rules": [],
        "test-any-host": [None],
    }


@each_helm
def test_batch_runs_its_hooks_and_jobs(cluster: Cluster, version: Version) -> None:
    cluster.helm("install", "test", str(CHARTS / "batch"), version=version)
    cluster.helm("upgrade", "test", str(CHARTS / "batch"), version=version)
    cluster.kubectl("create", "job", "now", "--from=cronjob/test-backup")
    cluster.rolled_out()
    assert names(cluster, "jobs") == {"test-pre-install", "test-post-upgrade", "test-load-2", "now"}
    assert {one["status"]["phase"] for one in cluster.get("pods")} == {"Succeeded"}
    cluster.kubectl("wait", "job", "--all", "--for=condition=Complete", "--timeout=30s")


@each_helm
def test_a_hook_can_make_an_upgrade_fail(cluster: Cluster, version: Version) -> None:
    chart = str(CHARTS / "batch")
    cluster.helm("install", "test", chart, version=version)
    with pytest.raises(CommandError):
        cluster.helm("upgrade", "test", chart, "--set", "hooks.fail=true", version=version)
    assert history(cluster, version, "secret") == [(1, "deployed"), (2, "failed")]


@each_helm
def test_bare_leaves_the_claims_of_pods_that_were_scaled_away(cluster: Cluster, version: Version) -> None:
    chart = str(CHARTS / "bare")
    cluster.helm("install", "test", chart, version=version)
    cluster.rolled_out()
    cluster.helm("upgrade", "test", chart, "--set", "nodes=1", version=version)
    cluster.rolled_out()
    assert names(cluster, "pvc") == {"data-test-node-0", "data-test-node-1"}
    labels = {key for one in cluster.get("pods") for key in one["metadata"]["labels"]}
    assert not any(key.startswith("app.kubernetes.io/") and "pod-index" not in key for key in labels)


@each_helm
def test_bulky_makes_a_large_record(cluster: Cluster, version: Version, tmp_path: Path) -> None:
    values = large_values(tmp_path / "values.yaml")
    assert values.stat().st_size > 300_000
    chart = str(CHARTS / "bulky")
    cluster.helm("install", "test", chart, "--values", str(values), version=version)
    (record,) = cluster.get("secrets", "-l", "owner=helm")
    assert len(record["data"]["release"]) > 200_000
