"""Listing and watching one kind, against a server that answers as each test says.

Each test is done twice: with watches in JSON, and in protobuf.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from reconciler.errors import ReconcilerError
from reconciler.inventory.objects import Service
from reconciler.kube import reflector as module
from reconciler.kube.reflector import REFUSED_AGAIN, Reflector
from reconciler.kube.resources import SERVICES, Resource
from tests.unit.kube.server import Reply, Request, Server, status
from tests.unit.kube.watching import in_protobuf

ServerOf = Callable[[Callable[[Request], Reply]], Server]


@pytest.fixture(params=["json", "protobuf"])
def serve(serve: ServerOf, request: pytest.FixtureRequest) -> ServerOf:
    """Starts servers whose watches are in either form, whatever was asked for."""
    if request.param == "json":
        return serve
    return lambda answer: serve(lambda asked: in_protobuf(answer(asked)))


def service(name: str, version: int, *ports: int) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": str(version)},
        "spec": {"type": "ClusterIP", "ports": [{"port": port} for port in ports]},
    }


def listed(version: int, *items: dict[str, Any]) -> Reply:
    return Reply(body={"metadata": {"resourceVersion": str(version)}, "items": list(items)})


def event(type_: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": type_, "object": item}


def bookmark(version: int) -> dict[str, Any]:
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


def expired() -> dict[str, Any]:
    return event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})


class Keeper:
    """What a holder is told, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.news = asyncio.Event()

    def _say(self, word: str) -> None:
        self.told.append(word)
        self.news.set()

    def listed(self, items: Sequence[Service], versions: Sequence[str]) -> None:
        assert len(versions) == len(items)
        self._say("listed " + " ".join(item.meta.name for item in items))

    def put(self, item: Service, version: str) -> None:
        assert version.isdigit()
        self._say(f"put {item.meta.name} {item.ports}")

    def gone(self, item: Service, version: str) -> None:
        assert version.isdigit()
        self._say(f"gone {item.meta.name}")

    def current(self) -> None:
        self._say("current")

    def failed(self, error: ReconcilerError) -> None:
        self._say(f"failed {type(error).__name__}")


class Naps:
    """Stands for sleeping: nobody waits, and how long was asked for is known."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


async def reflected(
    server: Server, until: str, naps: Naps | None = None, resource: Resource[Service] = SERVICES
) -> list[str]:
    """What the holder was told until it was told that."""
    keeper = Keeper()
    reflector = Reflector(server.client(), resource, keeper, sleep=naps or Naps(), random=lambda: 0.5)
    task = asyncio.create_task(reflector.run())
    async with asyncio.timeout(20):
        while until not in keeper.told:
            keeper.news.clear()
            await keeper.news.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return keeper.told[: keeper.told.index(until) + 1]


def answers(*replies: Reply) -> Callable[[Request], Reply]:
    """These, one after the other, and then nothing more."""
    waiting = iter(replies)
    return lambda _: next(waiting, Reply(body=[], hang=True))


async def test_a_list_and_then_what_happens(serve: ServerOf) -> None:
    server = serve(
        answers(
            listed(7, service("a", 5, 80), service("b", 6)),
            Reply(
                body=[
                    event("ADDED", service("c", 8)),
                    event("MODIFIED", service("a", 9, 443)),
                    bookmark(20),
                    event("DELETED", service("b", 21)),
                ]
            ),
        )
    )
    told = await reflected(server, "gone b")
    assert told == ["listed a b", "current", "put c ()", "put a (443,)", "gone b"]
    watch = server.requests[1].query
    assert (watch["resourceVersion"], watch["allowWatchBookmarks"]) == ("7", "true")
    assert 300 <= int(watch["timeoutSeconds"]) <= 450


async def test_a_watch_that_ended_goes_on_from_what_was_seen_last(serve: ServerOf) -> None:
    server = serve(
        answers(
            listed(7, service("a", 5)),
            Reply(body=[event("ADDED", service("b", 8)), bookmark(30)]),
            Reply(body=[event("ADDED", service("c", 31))]),
        )
    )
    naps = Naps()
    assert await reflected(server, "put c ()", naps) == [
        *("listed a", "current", "put b ()"),
        *("current", "put c ()"),
    ]
    assert [request.query.get("resourceVersion") for request in server.requests[:3]] == [None, "7", "30"]
    assert naps.seconds == []


@pytest.mark.parametrize("as_event", [True, False])
async def test_a_forgotten_version_is_listed_again_at_once(serve: ServerOf, *, as_event: bool) -> None:
    forgotten = Reply(body=[bookmark(9), expired()]) if as_event else status(410, "too old")
    server = serve(
        answers(
            listed(7, service("a", 5)), forgotten, listed(50, service("b", 40)), Reply(body=[bookmark(60)])
        )
    )
    naps = Naps()
    told = await reflected(server, "listed b", naps)
    assert "failed KubernetesError" not in told
    assert naps.seconds == []


async def test_a_server_that_forgets_at_once_again_and_again_is_not_pressed(serve: ServerOf) -> None:
    server = serve(lambda request: listed(7) if "watch" not in request.query else status(410, "too old"))
    naps = Naps()
    told = await reflected(server, "failed KubernetesError", naps)
    assert told.count("listed ") == 2


async def test_a_broken_watch_is_tried_again_from_where_it_was(serve: ServerOf) -> None:
    server = serve(
        answers(
            listed(7, service("a", 5)),
            Reply(body=[bookmark(9)]),
            status(500, "etcd is away"),
            Reply(reset=True),
            Reply(body=[event("ADDED", service("b", 10))]),
        )
    )
    naps = Naps()
    told = await reflected(server, "put b ()", naps)
    assert told == [
        *("listed a", "current", "failed KubernetesError", "failed KubernetesError"),
        *("current", "put b ()"),
    ]
    assert [request.query.get("resourceVersion") for request in server.requests[2:5]] == ["9", "9", "9"]
    assert naps.seconds == [0.75, 1.5]


async def test_what_is_forbidden_is_asked_for_again_soon_and_then_slowly(serve: ServerOf) -> None:
    server = serve(answers(*[status(403, "no")] * 11, listed(7, service("a", 5))))
    naps = Naps()
    assert await reflected(server, "listed a", naps) == ["failed ForbiddenError"] * 11 + ["listed a"]
    assert naps.seconds == [4, 8, 16, 32, 64, 128, 256, 512, *[REFUSED_AGAIN] * 3]


async def test_a_refusal_after_a_watch_is_the_first_again(serve: ServerOf) -> None:
    no, watched = status(403, "no"), Reply(body=[bookmark(9)])
    server = serve(answers(no, no, listed(7), watched, no, listed(10, service("a", 5))))
    naps = Naps()
    await reflected(server, "listed a", naps)
    assert naps.seconds == [4, 8, 4]


async def test_what_fails_is_tried_again_soon_whatever_the_failure(serve: ServerOf) -> None:
    server = serve(answers(*[status(404, "starting")] * 3, listed(7, service("a", 5))))
    naps = Naps()
    await reflected(server, "listed a", naps)
    assert naps.seconds == [0.75, 1.5, 3.0]


async def test_what_is_not_found_is_not_missing(serve: ServerOf) -> None:
    watched = Reply(body=[event("ADDED", service("b", 8))])
    server = serve(answers(listed(7, service("a", 5)), status(404, "starting"), watched))
    assert await reflected(server, "put b ()") == [
        *("listed a", "failed NotFoundError", "current", "put b ()")
    ]


OPTIONAL = msgspec.structs.replace(SERVICES, optional=True, prefix="/apis/shops.example/v1")
HAS_IT = Reply(
    body={"kind": "APIResourceList", "resources": [{"name": "services"}, {"name": "services/status"}]}
)
HAS_ANOTHER = Reply(body={"kind": "APIResourceList", "resources": [{"name": "servers"}]})


def groups(*versions: str) -> Reply:
    listed = [{"versions": [{"groupVersion": version}]} for version in versions]
    return Reply(body={"kind": "APIGroupList", "groups": listed})


NO_GROUP = groups("apps/v1", "shops.example/v1beta1")
NOT_FOUND = status(404, "the server could not find the requested resource")


async def test_of_a_kind_that_the_server_does_not_have_there_is_none_until_it_comes(serve: ServerOf) -> None:
    server = serve(answers(*(NOT_FOUND, NO_GROUP), HAS_ANOTHER, HAS_IT, listed(7, service("a", 5))))
    naps = Naps()
    assert await reflected(server, "listed a", naps, OPTIONAL) == ["listed ", "listed ", "listed a"]
    assert naps.seconds == [4, 8]
    assert [request.path for request in server.requests[:5]] == [
        *("/apis/shops.example/v1", "/apis", "/apis/shops.example/v1", "/apis/shops.example/v1"),
        "/apis/shops.example/v1/services",
    ]


async def test_a_kind_that_goes_takes_its_objects_with_it_at_once(serve: ServerOf) -> None:
    server = serve(answers(HAS_IT, listed(7, service("a", 5)), NOT_FOUND, NOT_FOUND, NO_GROUP))
    naps = Naps()
    assert await reflected(server, "listed ", naps, OPTIONAL) == ["listed a", "listed "]


@pytest.mark.parametrize(
    "instead",
    [
        (NOT_FOUND, NOT_FOUND, status(500, "starting")),
        (NOT_FOUND, NOT_FOUND, Reply(body=b"<html>404</html>")),
        (NOT_FOUND, NOT_FOUND, groups("apps/v1", "shops.example/v1")),
        (NOT_FOUND, status(503, "starting"), status(503, "starting"), status(503, "starting")),
        (NOT_FOUND, Reply(body={"kind": "Greeting"})),
    ],
    ids=["no groups", "a page", "the group is there", "starting", "another answer"],
)  # fmt: skip
async def test_a_404_is_no_proof_that_a_kind_is_gone(serve: ServerOf, instead: tuple[Reply, ...]) -> None:
    server = serve(answers(HAS_IT, listed(7, service("a", 5)), *instead, HAS_IT, listed(9, service("b", 8))))
    told = await reflected(server, "listed b", resource=OPTIONAL)
    assert [word for word in told if not word.startswith("failed")] == ["listed a", "listed b"]


async def test_where_discovery_is_forbidden_the_kinds_own_list_tells(serve: ServerOf) -> None:
    server = serve(answers(status(403, "no"), listed(7, service("a", 5))))
    assert await reflected(server, "listed a", resource=OPTIONAL) == ["listed a"]


async def test_a_watch_that_was_accepted_and_brings_nothing_is_one(
    serve: ServerOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.01)
    server = serve(answers(listed(7), Reply(reset=True), Reply(body=[], hang=True)))
    assert await reflected(server, "current") == ["listed ", "failed KubernetesError", "current"]


async def test_permission_that_was_taken_away_ends_the_watch_and_not_what_is_held(serve: ServerOf) -> None:
    server = serve(answers(listed(7, service("a", 5)), status(403, "no"), listed(9, service("a", 5))))
    assert await reflected(server, "listed a") == ["listed a"]
    server = serve(answers(listed(7), status(403, "no"), listed(9, service("a", 5))))
    assert await reflected(server, "listed a") == ["listed ", "failed ForbiddenError", "listed a"]


async def test_a_watch_without_a_word_is_not_tried_again_at_once(serve: ServerOf) -> None:
    server = serve(answers(listed(7), *[Reply(body=[])] * 4, Reply(body=[event("ADDED", service("a", 8))])))
    naps = Naps()
    told = await reflected(server, "put a ()", naps)
    assert told == ["listed ", *["failed KubernetesError"] * 3, "current", "put a ()"]
    assert naps.seconds == [1.5, 3.0, 6.0]


async def test_what_cannot_be_understood_is_trouble_and_no_end(serve: ServerOf) -> None:
    server = serve(
        answers(
            listed(7),
            Reply(body=[event("ADDED", {"metadata": {"name": 5}})]),
            Reply(body=[event("ADDED", service("a", 8))]),
        )
    )
    assert await reflected(server, "put a ()") == ["listed ", "failed KubernetesError", "current", "put a ()"]


async def test_a_dead_connection_is_given_up(serve: ServerOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.2)
    server = serve(
        answers(
            listed(7), Reply(body=[bookmark(8)], hang=True), Reply(body=[event("ADDED", service("a", 9))])
        )
    )
    assert await reflected(server, "put a ()") == [
        *("listed ", "current", "failed KubernetesError"),
        *("current", "put a ()"),
    ]


@pytest.fixture
def soon_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.2)
    monkeypatch.setattr(module, "GRACE", 0.01)


@pytest.mark.usefixtures("soon_silent")
@pytest.mark.parametrize("version", ["9", "699", "AQ=="])
async def test_a_server_whose_history_was_put_back_is_listed_again(serve: ServerOf, version: str) -> None:
    """It waits for the version that it has not reached yet, in silence."""
    behind = Reply(body={"metadata": {"resourceVersion": version}, "items": []})
    server = serve(
        answers(listed(700, service("a", 5)), Reply(body=[], hang=True), behind, listed(9, service("b", 8)))
    )
    told = await reflected(server, "listed b")
    assert told == ["listed a", "current", "failed KubernetesError", "listed b"]
    assert server.requests[2].query["limit"] == "1"


@pytest.mark.usefixtures("soon_silent")
async def test_a_kind_to_which_nothing_happens_may_go_without_bookmarks(serve: ServerOf) -> None:
    """A server has none where etcd does not tell of its progress."""
    silent = Reply(body=[], hang=True)
    server = serve(
        answers(
            *(listed(700, service("a", 5)), silent, listed(700, service("a", 5))),
            *(silent, listed(705, service("a", 5))),
            Reply(body=[event("ADDED", service("b", 706))]),
        )
    )
    assert await reflected(server, "put b ()") == ["listed a", *["current"] * 3, "put b ()"]
    watched = [request.query["resourceVersion"] for request in server.requests if "watch" in request.query]
    assert watched[:3] == ["700", "700", "700"]


@pytest.mark.usefixtures("soon_silent")
async def test_a_silent_server_that_does_not_say_where_it_is_is_trouble(serve: ServerOf) -> None:
    server = serve(
        answers(
            *(listed(700, service("a", 5)), Reply(body=[], hang=True), Reply(500)),
            Reply(body=[event("ADDED", service("b", 706))]),
        )
    )
    told = await reflected(server, "put b ()")
    assert told == ["listed a", "current", "failed KubernetesError", "current", "put b ()"]
