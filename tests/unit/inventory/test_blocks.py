"""What is emitted and recorded of an app's objects."""

import msgspec

from reconciler.inventory.blocks import last_known, seen
from reconciler.inventory.objects import Claim, Ingress, Kind, Pod, PodContainer, RouteKind, Service
from reconciler.model import (
    Container,
    HelmInfo,
    IngressInfo,
    PodInfo,
    Route,
    ServiceInfo,
    ServiceRecord,
    VolumeInfo,
)
from tests.builders import make_app
from tests.unit.inventory.looks import meta, pod

HELM = HelmInfo("web", "shop", 1, "", "deployed", "web", "")


def test_a_pod_is_one_element_per_distinct_image_of_its_regular_containers() -> None:
    containers = (
        PodContainer("setup", "init:1", init=True, digest="sha256:a"),
        PodContainer("web", "web:1", digest="sha256:b"),
        PodContainer("proxy", "proxy:1"),
        PodContainer("worker", "web:1", digest="sha256:b"),
    )
    blocks = seen([Pod(meta("p"), "Running", containers)])
    assert blocks.app_info(HELM).pod_info == (
        PodInfo("p", "shop", "proxy:1", "Running"),
        PodInfo("p", "shop", "web:1", "Running"),
    )
    assert blocks.record("1.0", 0).containers == (
        Container("p", "proxy", "app", "proxy:1", ""),
        Container("p", "setup", "init", "init:1", "sha256:a"),
        Container("p", "web", "app", "web:1", "sha256:b"),
        Container("p", "worker", "app", "web:1", "sha256:b"),
    )


def test_a_service_is_one_element_per_port_and_port_0_without_any() -> None:
    # The same number may be there for TCP and for UDP.
    services = (Service(meta("dns"), "ClusterIP", (53, 53, 9153)), Service(meta("out"), "ExternalName"))
    blocks = seen([*services])
    assert blocks.app_info(HELM).service_info == (
        ServiceInfo("dns", "shop", 53),
        ServiceInfo("dns", "shop", 9153),
        ServiceInfo("out", "shop", 0),
    )
    assert blocks.record("1.0", 0).services == (
        ServiceRecord("dns", "ClusterIP"),
        ServiceRecord("out", "ExternalName"),
    )


def test_an_ingress_is_one_element_per_host_and_an_empty_domain_without_any() -> None:
    blocks = seen([Ingress(meta("door"), ("b.example", "a.example", "b.example")), Ingress(meta("any"))])
    assert blocks.app_info(HELM).ingress_info == (
        IngressInfo("any", "shop", ""),
        IngressInfo("door", "shop", "a.example"),
        IngressInfo("door", "shop", "b.example"),
    )
    assert blocks.record("1.0", 0).routes == (
        Route("Ingress", "shop", "any"),
        Route("Ingress", "shop", "door"),
    )


def test_a_route_of_the_gateway_api_is_told_as_an_ingress_is_and_recorded_by_its_kind() -> None:
    blocks = seen(
        [
            Ingress(meta("door"), ("a.example",)),
            Ingress(meta("door"), ("a.example", "b.example"), RouteKind.HTTP_ROUTE),
            Ingress(meta("calls"), (), RouteKind.GRPC_ROUTE),
        ]
    )
    assert blocks.app_info(HELM).ingress_info == (
        IngressInfo("calls", "shop", ""),
        IngressInfo("door", "shop", "a.example"),
        IngressInfo("door", "shop", "b.example"),
    )
    assert blocks.record("1.0", 0).routes == (
        Route("GRPCRoute", "shop", "calls"),
        Route("HTTPRoute", "shop", "door"),
        Route("Ingress", "shop", "door"),
    )


def test_hosts_are_chosen_by_the_kinds_that_have_them() -> None:
    blocks = seen(
        [
            Ingress(meta("both"), ("i.example",)),
            Ingress(meta("both"), ("h.example",), RouteKind.HTTP_ROUTE),
            Ingress(meta("calls"), ("c.example",), RouteKind.GRPC_ROUTE),
            Ingress(meta("door"), ("d.example",)),
        ]
    )
    for kind, routes, hosts in (
        (Kind.INGRESSES, {"both", "door"}, {"i.example", "h.example", "d.example"}),
        (Kind.HTTP_ROUTES, {"both"}, {"i.example", "h.example"}),
        (Kind.GRPC_ROUTES, {"calls"}, {"c.example"}),
    ):
        chosen = blocks.where(lambda each, _, kind=kind: each is kind)  # type: ignore[misc] # bound early
        assert {route.name for route in chosen.routes} == routes
        assert {one.domain for one in chosen.ingresses} == hosts


def test_a_host_of_which_no_route_is_recorded_is_an_ingress() -> None:
    app = make_app(hosts=("a.example",))
    bare = msgspec.structs.replace(app, record=msgspec.structs.replace(app.record, routes=()))
    blocks = last_known(bare)
    assert blocks.where(lambda kind, _: kind is Kind.INGRESSES).ingresses == blocks.ingresses != frozenset()
    assert not blocks.where(lambda kind, _: kind is Kind.HTTP_ROUTES).ingresses


def test_a_claim_has_its_size_in_bytes() -> None:
    blocks = seen([Claim(meta("data"), 8 * 2**30)])
    assert blocks.app_info(HELM).volume_info == (VolumeInfo("data", "shop", 8589934592),)


def test_the_blocks_of_an_app_are_the_blocks_that_made_it() -> None:
    app = make_app(pods=2, ports=(80, 443), volumes=(1, 2), hosts=("b", "a"))
    blocks = last_known(app)
    assert blocks.app_info(app.helm) == app.app_info
    assert blocks.record(app.record.chart_version, app.record.rolled_back_to) == app.record


def test_items_are_chosen_by_kind_and_namespace_and_what_is_recorded_follows() -> None:
    blocks = seen(
        [
            *(pod(meta("here")), pod(meta("there", "ops"))),
            *(Service(meta("here"), "ClusterIP"), Service(meta("there", "ops"), "ClusterIP")),
            *(Ingress(meta("here")), Ingress(meta("there", "ops"))),
            *(Claim(meta("here")), Claim(meta("there", "ops"))),
        ]
    )
    in_ops = blocks.where(lambda _, namespace: namespace == "ops")
    assert {container.pod for container in in_ops.containers} == {"there"}
    assert {service.name for service in in_ops.service_records} == {"there"}
    assert {route.name for route in in_ops.routes} == {"there"}
    assert {volume.name for volume in in_ops.volumes} == {"there"}
    assert in_ops | blocks.where(lambda _, namespace: namespace != "ops") == blocks
    pods = blocks.where(lambda kind, _: kind is Kind.PODS)
    assert (pods.pods, pods.containers) == (blocks.pods, blocks.containers)
    assert not (pods.services | pods.volumes | pods.ingresses | pods.service_records | pods.routes)
