"""What is held is compared with a list of versions, and repaired, against a server that answers as told."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import KubernetesError
from reconciler.inventory.comparing import MOST_READ, PAUSES, Comparing
from reconciler.inventory.held import Held
from reconciler.inventory.index import part_ref
from reconciler.inventory.objects import Kind, Meta, Part, Service
from reconciler.inventory.ownership import Ref
from reconciler.kube import resources
from reconciler.kube.resources import Resource
from tests.unit.kube.server import Reply, Request, Server, status


class Kept:
    """Services whose reflector the test is. ``heard``: up to what version; ``begun``: how often anew."""

    def __init__(self) -> None:
        self.resource: Resource[Any] = resources.SERVICES
        self.held: Held[Any] = Held[Part](
            part_ref, lambda *_: None, lambda *_: None, lambda namespace: namespace != "denied"
        )
        self.without: tuple[str, ...] = ("left-out",)
        self.heard = "10"
        self.begun = 0

    def start_over(self) -> None:
        self.begun += 1

    @property
    def names(self) -> dict[str, str]:
        """What is held, and of what version."""
        assert self.held.items.keys() == self.held.versions.keys()
        return {ref.name: version for ref, version in self.held.versions.items()}


def service(name: str, *ports: int, namespace: str = "shop") -> Service:
    return Service(Meta(namespace, name, "u"), "ClusterIP", ports)


class Cluster:
    """Answers lists with the services that there are, by name their versions, as of version 10."""

    def __init__(self, **versions: str) -> None:
        self.versions = versions
        self.at = "10"
        self.meanwhile: Callable[[], object] = lambda: None
        """What happens, on the event loop, before a service is read by its name."""
        self._loop = asyncio.get_running_loop()

    def __call__(self, request: Request) -> Reply:
        names = sorted(self.versions)
        if "metadata.name=" in request.query.get("fieldSelector", ""):
            self._loop.call_soon_threadsafe(self.meanwhile)
            name = request.query["fieldSelector"].partition("metadata.name=")[2]
            names = [name] if name in names else []
        items = [
            {
                "metadata": {
                    "name": name,
                    "namespace": "denied" if name == "secret" else "shop",
                    "uid": "u",
                    "resourceVersion": self.versions[name],
                },
                "spec": {"type": "ClusterIP", "ports": [{"port": int(self.versions[name])}]},
            }
            for name in names
        ]
        return Reply(body={"metadata": {"resourceVersion": self.at}, "items": items})


class Bench:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.kept = Kept()
        self.pauses: list[float] = []
        self.in_pauses: Callable[[], object] = lambda: None
        self.comparing = Comparing(server.client(), self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.in_pauses()
        await asyncio.sleep(0)

    def hold(self, **versions: str) -> None:
        names = sorted(versions)
        self.kept.held.listed(
            [service(name, int(versions[name])) for name in names], [versions[name] for name in names]
        )

    async def compare(self) -> int:
        """How much differed."""
        before = self.comparing.differences
        await self.comparing.compare([self.kept])
        return self.comparing.differences - before


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[[Callable[[Request], Reply]], Bench]]:
    servers: list[Server] = []

    def start(answer: Callable[[Request], Reply]) -> Bench:
        servers.append(Server(tmp_path, answer))
        return Bench(servers[-1])

    yield start
    for server in servers:
        server.close()


Start = Callable[[Callable[[Request], Reply]], Bench]


async def test_what_is_as_listed_costs_one_list_of_metadata(start: Start) -> None:
    bench = start(Cluster(web="5", db="6", secret="7"))
    bench.hold(web="5", db="6")
    assert await bench.compare() == 0
    (request,) = bench.server.requests
    assert "PartialObjectMetadataList" in request.headers["accept"]
    assert request.query == {"limit": "2000", "fieldSelector": "metadata.namespace!=left-out"}
    assert (bench.pauses, bench.kept.begun) == ([], 0)


async def test_what_was_missed_is_counted_said_and_read_again(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    bench = start(Cluster(same="1", changed="6", came="7", secret="8"))
    bench.hold(same="1", changed="5", went="4")
    with caplog.at_level(logging.WARNING):
        assert await bench.compare() == 3
    assert bench.kept.names == {"same": "1", "changed": "6", "came": "7"}
    assert bench.kept.held.items[Ref(Kind.SERVICES, "shop", "changed")] == service("changed", 6)
    (record,) = caplog.records
    assert "services: 3 of them" in record.message
    assert "(shop/came, shop/changed, shop/went)" in record.message
    paths = {request.path for request in bench.server.requests[1:]}
    assert (paths, len(bench.server.requests)) == ({"/api/v1/namespaces/shop/services"}, 4)
    assert await bench.compare() == 0


async def test_what_is_on_its_way_is_waited_for(start: Start) -> None:
    bench = start(Cluster(changed="9", came="8"))
    bench.hold(changed="5", went="4")
    bench.kept.heard = "7"

    def comes() -> None:
        bench.kept.heard = "9"
        bench.kept.held.put(service("changed", 9), "9")
        bench.kept.held.put(service("came", 8), "8")
        bench.kept.held.gone(service("went"), "9")

    bench.in_pauses = comes
    assert await bench.compare() == 0
    assert (bench.pauses, len(bench.server.requests)) == ([PAUSES[0]], 1)


async def test_what_does_not_come_was_missed_once_a_bookmark_says_so(start: Start) -> None:
    bench = start(Cluster(changed="9"))
    bench.hold(changed="5", went="4")
    bench.kept.heard = "7"

    def bookmark() -> None:
        if len(bench.pauses) == 3:
            bench.kept.heard = "10"

    bench.in_pauses = bookmark
    assert await bench.compare() == 2
    assert bench.kept.names == {"changed": "9"}
    assert len(bench.pauses) == 3


async def test_a_kind_of_which_too_little_is_heard_is_listed_again_and_nothing_counts(start: Start) -> None:
    bench = start(Cluster(changed="9"))
    bench.hold(changed="5")
    bench.kept.heard = "7"
    assert await bench.compare() == 0
    assert (bench.pauses, bench.kept.begun) == (list(PAUSES), 1)


async def test_what_was_heard_while_it_was_read_again_is_newer(start: Start) -> None:
    cluster = Cluster(changed="6", came="7")
    bench = start(cluster)
    bench.hold(changed="5", went="4")

    def meanwhile() -> None:
        bench.kept.held.put(service("changed", 11), "11")
        bench.kept.held.gone(service("came"), "12")
        bench.kept.held.put(service("went", 13), "13")

    cluster.meanwhile = meanwhile
    assert await bench.compare() == 3
    assert bench.kept.names == {"changed": "11", "went": "13"}


async def test_where_very_much_was_missed_all_is_listed_again(start: Start) -> None:
    bench = start(Cluster(**{f"s{number}": "5" for number in range(MOST_READ + 1)}))
    bench.hold(web="5")
    assert await bench.compare() == MOST_READ + 2
    assert (len(bench.server.requests), bench.kept.begun) == (1, 1)


@pytest.mark.parametrize(("at", "version", "heard"), [("10", "x5", "10"), ("x", "5", "10"), ("9", "5", "10")])
async def test_where_versions_cannot_be_compared_all_is_listed_again(
    start: Start, at: str, version: str, heard: str
) -> None:
    cluster = Cluster(web="6")
    bench = start(cluster)
    bench.kept.held.listed([service("web")], [version])
    cluster.at, bench.kept.heard = at, heard
    assert await bench.compare() == 0
    assert bench.kept.begun == 1


async def test_what_is_in_trouble_or_not_yet_listed_is_left_alone(start: Start) -> None:
    bench = start(Cluster())
    bench.hold(web="5")
    bench.kept.held.failed(KubernetesError("WATCH: broke"))
    assert await bench.compare() == 0
    bench.kept.held.current()
    bench.kept.heard = ""
    assert await bench.compare() == 0
    assert (bench.server.requests, bench.kept.names) == ([], {"web": "5"})


async def test_what_cannot_be_listed_is_not_compared_this_time(start: Start) -> None:
    bench = start(lambda _: status(403, "no"))
    bench.hold(web="5")
    assert await bench.compare() == 0
    assert (bench.kept.names, bench.kept.begun) == ({"web": "5"}, 0)


async def test_what_cannot_be_read_again_is_listed_again(start: Start) -> None:
    cluster = Cluster(web="6")
    bench = start(
        lambda request: status(500, "no") if "metadata.name%3D" in request.uri else cluster(request)
    )
    bench.hold(web="5")
    assert await bench.compare() == 1
    assert bench.kept.begun == 1


async def test_a_kind_that_was_listed_meanwhile_needs_no_comparison(start: Start) -> None:
    bench = start(Cluster(web="9"))
    bench.hold(web="5")
    bench.kept.heard = "7"

    def listed() -> None:
        bench.hold(web="9")
        bench.kept.held.put(service("old"), "3")  # as if it had not been
        bench.kept.heard = "10"

    bench.in_pauses = listed
    assert await bench.compare() == 0
    assert len(bench.pauses) == 1
