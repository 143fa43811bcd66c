"""What is kept of the API's objects, and how each kind is asked for."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from reconciler.inventory.objects import (
    Claim,
    Ingress,
    Kind,
    Meta,
    Namespace,
    Owner,
    Pod,
    PodContainer,
    RouteKind,
    Service,
    StoredRelease,
    Workload,
)
from reconciler.kube import resources
from reconciler.kube.resources import ListedRelease, Resource

META = {"name": "it", "namespace": "shop", "uid": "u", "resourceVersion": "5"}
PLAIN = Meta("shop", "it", "u")


def read(resource: Resource[Any], item: dict[str, object]) -> object:
    body = msgspec.json.encode({"metadata": {"resourceVersion": "9", "continue": "t"}, "items": [item]})
    page = resource.read(body)
    assert (page.resource_version, page.token) == ("9", "t")
    (kept,) = page.items
    return kept


@pytest.mark.parametrize(
    ("resource", "item", "kept"),
    [
        (resources.NAMESPACES, {"metadata": {"name": "shop", "uid": "u"}}, Namespace("shop", "u")),
        (
            resources.NAMESPACES,
            {"metadata": {"name": "shop", "uid": "u", "deletionTimestamp": "2026-11-21T09:00:00Z"}},
            Namespace("shop", "u", terminating=True),
        ),
        (resources.PODS, {"metadata": META}, Pod(PLAIN, "")),
        (
            resources.PODS,
            {
                "metadata": META,
                "spec": {
                    "containers": [{"name": "a", "image": "web:1"}, {"name": "b", "image": "log:2"}],
                    "initContainers": [{"name": "i", "image": "init:3"}],
                },
                "status": {
                    "phase": "Pending",
                    "containerStatuses": [
                        {"name": "a", "imageID": "docker.io/web@sha256:aa"},
                        {"name": "b", "imageID": "sha256:bb"},
                    ],
                    "initContainerStatuses": [{"name": "i", "imageID": ""}],
                },
            },
            Pod(
                PLAIN,
                "Pending",
                (
                    PodContainer("a", "web:1", digest="sha256:aa"),
                    PodContainer("b", "log:2"),
                    PodContainer("i", "init:3", init=True),
                ),
            ),
        ),
        (
            resources.SERVICES,
            {"metadata": META, "spec": {"type": "NodePort", "ports": [{"port": 80}, {"port": 443}]}},
            Service(PLAIN, "NodePort", (80, 443)),
        ),
        (
            resources.SERVICES,
            {"metadata": META, "spec": {"type": "ExternalName"}},
            Service(PLAIN, "ExternalName", ()),
        ),
        (
            resources.CLAIMS,
            {"metadata": META, "spec": {"resources": {"requests": {"storage": "1500m"}}}},
            Claim(PLAIN, 2),
        ),
        (resources.CLAIMS, {"metadata": META, "spec": {"resources": {}}}, Claim(PLAIN, 0)),
        (
            resources.INGRESSES,
            {"metadata": META, "spec": {"rules": [{"host": "a.example"}, {"http": {}}]}},
            Ingress(PLAIN, ("a.example", "")),
        ),
        (resources.INGRESSES, {"metadata": META, "spec": {"rules": None}}, Ingress(PLAIN, ())),
        (
            resources.ROUTES[1],
            {"metadata": META, "spec": {"hostnames": ["a.example", "*.b.example"], "rules": []}},
            Ingress(PLAIN, ("a.example", "*.b.example"), RouteKind.HTTP_ROUTE),
        ),
        (
            resources.ROUTES[2],
            {"metadata": META, "spec": {"parentRefs": [{"name": "gate"}]}},
            Ingress(PLAIN, (), RouteKind.GRPC_ROUTE),
        ),
        (
            resources.WORKLOADS[0],
            {"metadata": META, "spec": {"volumeClaimTemplates": [{"metadata": {"name": "data"}}]}},
            Workload("StatefulSet", PLAIN, ("data",)),
        ),
    ],
)
def test_of_an_object_only_what_is_needed_is_kept(
    resource: Resource[Any], item: dict[str, object], kept: object
) -> None:
    assert read(resource, item) == kept


def test_of_metadata_helms_marks_and_the_controlling_owner_are_kept() -> None:
    metadata = {
        **META,
        "annotations": {"meta.helm.sh/release-name": "r", "meta.helm.sh/release-namespace": "n", "x": "y"},
        "labels": {"app.kubernetes.io/instance": "i", "app.kubernetes.io/managed-by": "Helm"},
        "ownerReferences": [
            {"kind": "ConfigMap", "name": "c", "uid": "1"},
            {"kind": "ReplicaSet", "name": "s", "uid": "2", "controller": True},
        ],
    }
    kept = read(resources.PODS, {"metadata": metadata})
    assert kept == Pod(Meta("shop", "it", "u", "r", "n", "i", True, Owner("ReplicaSet", "s", "2")), "")


def test_what_is_alike_is_kept_once() -> None:
    metadata = {
        **META,
        "labels": {"app.kubernetes.io/instance": "an instance"},
        "namespace": "a namespace",
        "ownerReferences": [{"kind": "ReplicaSet", "name": "s", "uid": "2", "controller": True}],
    }
    spec = {"containers": [{"name": "a", "image": "web:1"}]}
    one, other = (
        read(resources.PODS, {"metadata": {**metadata, "name": name}, "spec": spec}) for name in ("p", "q")
    )
    assert isinstance(one, Pod)
    assert isinstance(other, Pod)
    assert one.containers[0] is other.containers[0]
    assert one.meta.owner is other.meta.owner
    assert one.meta.namespace is other.meta.namespace
    assert one.meta.instance is other.meta.instance


def test_a_release_is_kept_as_its_labels_tell_it() -> None:
    metadata = {
        **META,
        "creationTimestamp": "2026-11-21T09:00:00Z",
        "labels": {"name": "app", "status": "deployed", "version": "10", "modifiedAt": "1795254180"},
    }
    created = datetime(2026, 11, 21, 9, tzinfo=UTC)
    modified = datetime.fromtimestamp(1795254180, UTC)
    for resource in (resources.RELEASE_SECRETS, resources.RELEASE_CONFIGMAPS):
        release = StoredRelease(resource.kind, "shop", "it", "u", "app", "10", "deployed", created, modified)
        assert read(resource, {"metadata": metadata}) == ListedRelease(release, "5")


@pytest.mark.parametrize(
    ("resource", "namespace", "name", "path"),
    [
        (resources.PODS, "", "", "/api/v1/pods"),
        (resources.PODS, "shop", "", "/api/v1/namespaces/shop/pods"),
        (resources.RELEASE_SECRETS, "shop", "a b", "/api/v1/namespaces/shop/secrets/a%20b"),
        (resources.NAMESPACES, "", "kube-system", "/api/v1/namespaces/kube-system"),
        (resources.INGRESSES, "", "", "/apis/networking.k8s.io/v1/ingresses"),
        (resources.ROUTES[1], "", "", "/apis/gateway.networking.k8s.io/v1/httproutes"),
        (resources.ROUTES[2], "shop", "", "/apis/gateway.networking.k8s.io/v1/namespaces/shop/grpcroutes"),
    ],
)
def test_the_path_of_a_kind(resource: Resource[Any], namespace: str, name: str, path: str) -> None:
    assert resource.path(namespace, name) == path


def test_namespaces_to_leave_out_join_a_kinds_own_selectors() -> None:
    assert resources.RELEASE_SECRETS.params(["b", "a"]) == {
        "fieldSelector": "type=helm.sh/release.v1,metadata.namespace!=a,metadata.namespace!=b",
        "labelSelector": "owner=helm",
    }
    assert resources.PODS.params() == {}


def test_every_kind_is_listed_by_exactly_one_resource() -> None:
    single: list[Resource[Any]] = [
        resources.NAMESPACES,
        resources.RELEASE_SECRETS,
        resources.RELEASE_CONFIGMAPS,
        resources.UUID_SECRETS,
        resources.PODS,
        resources.SERVICES,
        resources.CLAIMS,
    ]
    kinds = [one.kind for one in (*single, *resources.ROUTES, *resources.WORKLOADS)]
    assert sorted(kinds) == sorted(Kind)
