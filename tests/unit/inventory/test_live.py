"""A live source against a server on which lists and bodies fail, and objects come and go in between."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.inventory.live import LiveSource
from reconciler.inventory.objects import Kind, Look
from reconciler.model import PolicyInEffect
from tests.unit.kube.server import Reply, Request, Server, status

CREATED = "2026-11-21T09:00:00Z"
SECRETS = "/api/v1/secrets"


def payload(name: str, chart: str) -> str:
    release = {
        "name": name,
        "info": {"last_deployed": "2026-11-21T09:00:00.5Z"},
        "chart": {"metadata": {"name": chart, "version": "1.0.0"}, "lock": None},
    }
    packed = gzip.compress(json.dumps(release, separators=(",", ":")).encode())
    return base64.b64encode(base64.b64encode(packed)).decode()


class FakeCluster:
    """Lists and bodies by path; `failing` answers in their place."""

    def __init__(self) -> None:
        self.namespaces = ["kube-system", "shop"]
        self.releases: dict[str, dict[str, object]] = {}
        self.pods: list[dict[str, object]] = []
        self.failing: Callable[[Request], Reply | None] = lambda _: None
        self.asked: list[str] = []

    def install(self, name: str, uid: str, version: str = "1", chart: str = "web") -> None:
        full_name = f"sh.helm.release.v1.{name}.v{version}"
        labels = {"name": name, "owner": "helm", "status": "deployed", "version": version, "modifiedAt": "x"}
        metadata = {
            "name": full_name,
            "namespace": "shop",
            "uid": uid,
            "resourceVersion": f"rv-{uid}",
            "creationTimestamp": CREATED,
            "labels": labels,
        }
        self.releases[full_name] = {"metadata": metadata, "data": {"release": payload(name, chart)}}

    def __call__(self, request: Request) -> Reply:
        self.asked.append(request.path)
        if (reply := self.failing(request)) is not None:
            return reply
        if (reply := _nothing_optional(request)) is not None:
            return reply
        name = request.path.rpartition("/")[2]
        if request.path.startswith("/api/v1/namespaces/shop/secrets/"):
            return Reply(body=self.releases[name]) if name in self.releases else status(404, "not found")
        selector = request.query.get("fieldSelector", "")
        if request.path == "/api/v1/namespaces":
            return _list([{"metadata": {"name": one, "uid": f"uid-{one}"}} for one in self.namespaces])
        if request.path == SECRETS and selector.startswith("type="):
            return _list([{"metadata": one["metadata"]} for one in self.releases.values()])
        return _list(list(self.pods) if name == "pods" else [])


def _nothing_optional(request: Request) -> Reply | None:
    if request.path == "/apis/gateway.networking.k8s.io/v1":
        return status(404, "not found")
    return Reply(body={"kind": "APIGroupList", "groups": []}) if request.path == "/apis" else None


def _list(items: list[dict[str, object]]) -> Reply:
    return Reply(body={"metadata": {"resourceVersion": "1"}, "items": items})


class Eye:
    def __init__(self, server: Server) -> None:
        self.at = datetime(2026, 11, 21, 12, tzinfo=UTC)
        self._source = LiveSource(server.client(), lambda: self.at)

    async def look(self, *denied: str) -> Look:
        self.at += timedelta(seconds=30)
        return await self._source.look(PolicyInEffect(denyNamespaces=denied))


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def eye(cluster: FakeCluster, tmp_path: Path) -> Iterator[Eye]:
    server = Server(tmp_path, cluster)
    yield Eye(server)
    server.close()


def bodies(cluster: FakeCluster) -> list[str]:
    found = [path.rpartition("/")[2] for path in cluster.asked if "/namespaces/shop/secrets/" in path]
    cluster.asked.clear()
    return found


async def test_a_release_that_goes_between_list_and_body_is_listed_again(
    cluster: FakeCluster, eye: Eye
) -> None:
    cluster.install("gone", "u-1")
    cluster.install("stays", "u-2")

    def uninstall(request: Request) -> None:
        if request.path.endswith("release.v1.gone.v1"):
            cluster.releases.pop("sh.helm.release.v1.gone.v1", None)

    cluster.failing = uninstall
    look = await eye.look()
    assert [(one.name, bool(one.payload), one.problem) for one in look.releases] == [("stays", True, "")]
    assert look.gaps == ()


async def test_a_release_that_is_replaced_between_list_and_body_is_read_as_what_it_is_now(
    cluster: FakeCluster, eye: Eye
) -> None:
    cluster.install("app", "u-1", chart="old")

    def replace(request: Request) -> None:
        if request.path.endswith("release.v1.app.v1"):
            cluster.install("app", "u-2", chart="new")

    cluster.failing = replace
    (release,) = (await eye.look()).releases
    assert release.payload
    assert (release.uid, release.payload.chart_name) == ("u-2", "new")


async def test_a_release_that_is_replaced_again_and_again_is_a_problem_until_it_rests(
    cluster: FakeCluster, eye: Eye
) -> None:
    cluster.install("app", "u-0")
    serial = iter(range(1, 100))

    def replace(request: Request) -> None:
        if request.path.endswith("release.v1.app.v1"):
            cluster.install("app", f"u-{next(serial)}")

    cluster.failing = replace
    (release,) = (await eye.look()).releases
    assert (release.payload, release.problem) == (None, "was replaced while it was read")
    cluster.failing = lambda _: None
    (release,) = (await eye.look()).releases
    assert release.payload
    assert release.problem == ""


async def test_a_body_whose_request_failed_is_read_at_the_next_look(cluster: FakeCluster, eye: Eye) -> None:
    cluster.install("app", "u-1")
    cluster.failing = lambda request: status(500, "broken") if "/secrets/" in request.path else None
    look = await eye.look()
    (release,) = look.releases
    assert (release.payload, look.gaps) == (None, ())
    assert release.problem.startswith("cannot be read: GET /api/v1/namespaces/shop/secrets/")
    cluster.failing = lambda _: None
    assert (await eye.look()).releases[0].payload


async def test_a_list_that_fails_carries_that_kind_alone(cluster: FakeCluster, eye: Eye) -> None:
    cluster.pods = [{"metadata": {"name": "p", "namespace": "shop"}, "status": {"phase": "Running"}}]
    before = await eye.look()
    cluster.pods = []
    cluster.install("app", "u-1")
    cluster.failing = lambda request: status(500, "broken") if request.path.endswith("/pods") else None
    look = await eye.look()
    assert look.pods == before.pods
    assert [(gap.kind, gap.namespace, gap.forbidden) for gap in look.gaps] == [(Kind.PODS, "", False)]
    assert look.never_listed == ()
    assert len(look.releases) == 1
    cluster.failing = lambda _: None
    assert (await eye.look()).pods == ()


async def test_namespaces_that_cannot_be_listed_hold_up_no_other_kind(cluster: FakeCluster, eye: Eye) -> None:
    cluster.install("app", "u-1")
    cluster.failing = lambda one: status(403, "no") if one.path == "/api/v1/namespaces" else None
    look = await eye.look()
    assert [(gap.kind, gap.forbidden) for gap in look.gaps] == [(Kind.NAMESPACES, True)]
    assert look.namespaces == ()
    assert look.releases[0].payload


async def test_the_uid_of_kube_system_is_asked_for_when_namespaces_may_not_be_listed(
    cluster: FakeCluster, eye: Eye
) -> None:
    def answer(request: Request) -> Reply | None:
        if request.path == "/api/v1/namespaces/kube-system":
            return Reply(body={"metadata": {"name": "kube-system", "uid": "uid-1"}})
        return status(403, "no") if request.path == "/api/v1/namespaces" else None

    cluster.failing = answer
    assert (await eye.look()).kube_system_uid == "uid-1"
    cluster.asked.clear()
    assert (await eye.look()).kube_system_uid == "uid-1"
    assert "/api/v1/namespaces/kube-system" not in cluster.asked


async def test_a_kind_that_is_forbidden_in_every_namespace_is_one_gap_and_not_asked_for_each_time(
    cluster: FakeCluster, eye: Eye
) -> None:
    cluster.failing = lambda request: status(403, "no") if request.path.endswith("/jobs") else None
    look = await eye.look()
    assert [(gap.kind, gap.namespace) for gap in look.gaps] == [(Kind.JOBS, "")]
    assert look.never_listed == look.gaps
    cluster.asked.clear()
    assert (await eye.look()).gaps == look.gaps
    assert not any(path.endswith("/jobs") for path in cluster.asked)
    eye.at += timedelta(minutes=10)
    await eye.look()
    assert any(path.endswith("/jobs") for path in cluster.asked)


async def test_of_a_namespace_that_was_denied_while_a_kind_failed_nothing_was_ever_seen(
    cluster: FakeCluster, eye: Eye
) -> None:
    await eye.look("shop")
    cluster.failing = lambda request: status(500, "no") if request.path.endswith("/pods") else None
    look = await eye.look()
    assert look.gap(Kind.PODS, "kube-system")
    assert look.unseen(Kind.PODS, "shop")
    assert look.unseen(Kind.PODS, "kube-system") is None


@pytest.mark.parametrize("version", ["latest", "", "-1", "01x"])
async def test_a_version_that_is_no_number_costs_no_body_and_no_other_release(
    cluster: FakeCluster, eye: Eye, version: str
) -> None:
    cluster.install("odd", "u-1", version)
    cluster.install("even", "u-2")
    look = await eye.look()
    assert {one.name: bool(one.payload) for one in look.releases} == {"odd": False, "even": True}
    assert bodies(cluster) == ["sh.helm.release.v1.even.v1"]


async def test_a_label_modified_at_that_is_no_time_is_none(cluster: FakeCluster, eye: Eye) -> None:
    cluster.install("app", "u-1")
    (release,) = (await eye.look()).releases
    assert release.modified is None
    assert release.created == datetime(2026, 11, 21, 9, tzinfo=UTC)
