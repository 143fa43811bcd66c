"""Routes of the Gateway API: read where the cluster has them, whenever they come, and never missed.

The CRDs are not the project's own but minimal ones, with the fields that are read: the group, version, kinds,
names and scope are the real ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.inventory.live import LiveSource
from reconciler.inventory.objects import Kind
from reconciler.inventory.recording import RecordedSource, write_recording
from reconciler.kube.client import Client
from reconciler.model import App, IngressInfo, Route
from tests.cluster.test_collect import DENY_SYSTEM, Eye, install, role
from tests.cluster.test_watched import EVERYTHING, WATCH, WEB, Watching, asked, folded
from tests.controlplane.cluster import CHARTS
from tests.controlplane.plane import ControlPlane

GROUP = "gateway.networking.k8s.io"
HOSTS = (
    IngressInfo("web", "default", "*.shop.example.com"),
    IngressInfo("web", "default", "shop.example.com"),
    IngressInfo("web-any-host", "default", ""),
)
CALLS = IngressInfo("web-calls", "default", "calls.example.com")
HTTP_ROUTES = (Route("HTTPRoute", "default", "web"), Route("HTTPRoute", "default", "web-any-host"))
GRPC_ROUTE = Route("GRPCRoute", "default", "web-calls")


def crd(kind: str) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    spec = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"hostnames": {"type": "array", "items": {"type": "string"}}},
    }
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a stand-in for tests"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def bring(plane: ControlPlane, *kinds: str) -> None:
    plane.apply(*map(crd, kinds))
    plane.kinds_served()
    wanted = {f"{GROUP}/v1/{kind}" for kind in kinds}
    plane.wait(lambda: wanted <= served(plane), "the kinds being served")


def served(plane: ControlPlane) -> set[str]:
    """What is served, as charts see it; kubectl and Helm ask the same."""
    lines = plane.kubectl(
        "api-resources", "--api-group", GROUP, "--no-headers", "--cached=false"
    ).splitlines()
    return {f"{words[-3]}/{words[-1]}" for line in lines if (words := line.split())}


def told(app: App) -> tuple[tuple[IngressInfo, ...], tuple[Route, ...]]:
    return app.app_info.ingress_info, app.record.routes


@pytest.fixture
def plane(another_cluster: ControlPlane) -> ControlPlane:
    return another_cluster


@pytest.fixture
async def watching(plane: ControlPlane) -> AsyncIterator[Callable[[Path], Watching]]:
    started: list[Watching] = []

    def start(kubeconfig: Path = plane.kubeconfig) -> Watching:
        started.append(Watching(kubeconfig))
        return started[-1]

    yield start
    for each in started:
        await each.close()


async def until(watching: Watching, hosts: tuple[IngressInfo, ...]) -> App:
    """The app when it has these hosts."""
    while True:
        watching.source.changed.clear()
        app = (await watching.seen()).apps[WEB]
        if app.app_info.ingress_info == hosts:
            return app
        await watching.source.changed.wait()


async def test_hosts_of_routes_are_the_apps_and_their_kinds_recorded(
    plane: ControlPlane, watching: Callable[..., Watching], tmp_path: Path
) -> None:
    bring(plane, "HTTPRoute", "GRPCRoute")
    install(plane, "web", "gateway")
    seen = watching()
    app = (await seen.agreed()).apps[WEB]
    assert told(app) == ((*HOSTS, CALLS), (GRPC_ROUTE, *HTTP_ROUTES))
    plane.helm("upgrade", "web", str(CHARTS / "gateway"), "--set", "hosts={new.example.com}")
    now = (IngressInfo("web", "default", "new.example.com"), *HOSTS[2:], CALLS)
    assert told(await until(seen, now)) == (now, (GRPC_ROUTE, *HTTP_ROUTES))
    look = await LiveSource(Client.connect(kubeconfig=plane.kubeconfig)).look(DENY_SYSTEM)
    write_recording(look, tmp_path)
    recorded = await RecordedSource(tmp_path).look(DENY_SYSTEM)
    assert folded(recorded, DENY_SYSTEM) == await seen.agreed()


async def test_a_cluster_without_them_is_not_asked_for_them_at_each_look(plane: ControlPlane) -> None:
    install(plane, "web", "gateway")
    eye = Eye(plane.kubeconfig)
    mark = plane.mark()
    look = await eye.look()
    assert (look.gaps, look.ingresses) == ((), ())
    assert not any("routes" in one.path for one in asked(plane, mark))
    mark = plane.mark()
    await eye.look()
    assert not any(GROUP in one.path for one in asked(plane, mark))
    bring(plane, "HTTPRoute")
    plane.helm("upgrade", "web", str(CHARTS / "gateway"))
    assert (await eye.look()).ingresses == ()
    eye.wait(minutes=11)
    look = await eye.look()
    assert (look.gaps, len(look.ingresses)) == ((), 2)
    mark = plane.mark()
    await eye.look()
    assert [one.resource for one in asked(plane, mark) if GROUP in one.path] == ["httproutes"]


async def test_kinds_that_come_are_seen_and_those_that_go_take_their_hosts_with_them(
    plane: ControlPlane, watching: Callable[..., Watching]
) -> None:
    install(plane, "web", "gateway")
    seen, eye = watching(), Eye(plane.kubeconfig)
    assert told((await seen.agreed()).apps[WEB]) == ((), ())
    bring(plane, "GRPCRoute")
    plane.helm("upgrade", "web", str(CHARTS / "gateway"))
    assert told(await until(seen, (CALLS,))) == ((CALLS,), (GRPC_ROUTE,))
    assert len((await eye.look()).ingresses) == 1
    plane.kubectl("delete", "crd", f"grpcroutes.{GROUP}")
    assert told(await until(seen, ())) == ((), ())
    plane.wait(lambda: not served(plane), "the group being gone")
    look = await eye.look()
    assert (look.gaps, look.ingresses) == ((), ())
    bring(plane, "GRPCRoute")
    plane.helm("upgrade", "web", str(CHARTS / "gateway"))
    await until(seen, (CALLS,))


async def test_what_may_not_be_read_is_a_gap_only_where_it_is(
    plane: ControlPlane, watching: Callable[..., Watching]
) -> None:
    kubeconfig = role(plane, "half", *EVERYTHING, verbs=WATCH)
    install(plane, "web", "gateway")
    for source in (watching(kubeconfig).source, Eye(kubeconfig).source):
        assert (await source.look(DENY_SYSTEM)).gaps == ()
    bring(plane, "HTTPRoute")
    for source in (watching(kubeconfig).source, Eye(kubeconfig).source):
        look = await source.look(DENY_SYSTEM)
        assert [(gap.kind, gap.forbidden) for gap in look.gaps] == [(Kind.HTTP_ROUTES, True)]
