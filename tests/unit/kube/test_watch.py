"""What wakes the loop: every change that matters, and no status write."""

from collections.abc import Callable
from contextlib import aclosing, suppress

import pytest

from reconciler.kube.watch import LONGEST_WAIT, Event, Known, Matter, after, backoff, changes, differing
from tests.unit.kube.server import Answerer, Reply, Request, Server, status

Serve = Callable[[Answerer], Server]


def matter(generation: int = 1, uid: str = "u", deleting: bool = False, **annotations: str) -> Matter:
    return Matter(uid, generation, deleting, frozenset(annotations.items()))


KNOWN: Known = {"hossted": matter()}


@pytest.mark.parametrize(
    ("event", "matters"),
    [
        (Event("MODIFIED", "hossted", matter()), False),  # its status, or a label, was written
        (Event("ADDED", "hossted", matter()), False),  # the list had it already
        (Event("MODIFIED", "hossted", matter(generation=2)), True),
        (Event("MODIFIED", "hossted", matter(requestedAt="now")), True),
        (Event("MODIFIED", "hossted", matter(deleting=True)), True),
        (Event("ADDED", "hossted", matter(uid="another")), True),
        (Event("ADDED", "second", matter()), True),
        (Event("DELETED", "hossted", matter()), True),
        (Event("DELETED", "unknown", matter()), False),
    ],
)
def test_only_what_is_more_than_a_status_write_matters(event: Event, matters: bool) -> None:
    now = after(KNOWN, event)
    assert (now != KNOWN) is matters
    assert differing(KNOWN, now) == ({event.name} if matters else set())


@pytest.mark.parametrize(
    ("failures", "jitter", "seconds"),
    [(1, 0.0, 0.5), (1, 1.0, 1.0), (2, 1.0, 2.0), (5, 1.0, 16.0), (9, 1.0, LONGEST_WAIT), (999, 0.0, 30.0)],
)
def test_the_wait_grows_to_a_limit_and_is_never_nothing(failures: int, jitter: float, seconds: float) -> None:
    assert backoff(failures, jitter) == seconds


def project(
    generation: int = 1, version: int = 1, name: str = "hossted", **status: object
) -> dict[str, object]:
    metadata = {"name": name, "uid": "u", "generation": generation, "resourceVersion": str(version)}
    return {"metadata": metadata, "status": status}


class Cluster:
    """A server whose lists and watches are given in turn; a watch with nothing left hangs."""

    def __init__(self, lists: list[Reply], watches: list[Reply]) -> None:
        self.lists, self.watches = iter(lists), iter(watches)

    def __call__(self, request: Request) -> Reply:
        if "watch" in request.query:
            return next(self.watches, Reply(body=[], hang=True))
        return next(self.lists)


def listed(*items: dict[str, object], version: str = "10") -> Reply:
    return Reply(body={"metadata": {"resourceVersion": version}, "items": list(items)})


def watched(*events: tuple[str, dict[str, object]], hang: bool = False) -> Reply:
    return Reply(body=[{"type": kind, "object": item} for kind, item in events], hang=hang)


class Enough(Exception):  # noqa: N818 - the end of a test's loop
    """It has waited often enough."""


async def waits(server: Server, count: int) -> tuple[int, list[float]]:
    """How often the loop was woken before it waited for the `count`-th time, and how long it waited."""
    waited: list[float] = []
    woken = 0

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == count:
            raise Enough

    with suppress(Enough):
        async with aclosing(changes(server.client(), "/projects", sleep)) as stream:
            async for _ in stream:
                woken += 1
    return woken, waited


async def test_the_loop_is_woken_when_the_watch_begins_and_on_each_change_that_matters(serve: Serve) -> None:
    events = watched(
        ("MODIFIED", project(1, 11, lastReconcileTimestamp="now")),
        ("BOOKMARK", {"metadata": {"resourceVersion": "12"}}),
        ("MODIFIED", project(2, 13)),
        ("ADDED", project(1, 14, "second")),
        ("DELETED", project(1, 15, "second")),
    )
    server = serve(Cluster([listed(project())], [events]))
    assert (await waits(server, 1))[0] == 4
    listing, watching = server.requests
    assert listing.headers["accept"].startswith("application/json;as=PartialObjectMetadataList")
    assert watching.query["resourceVersion"] == "10"
    assert watching.query["allowWatchBookmarks"] == "true"


async def test_a_change_between_two_watches_is_found_by_the_list(serve: Serve) -> None:
    same, changed = listed(project()), listed(project(2))
    server = serve(Cluster([same, same, changed], [watched(), watched(), watched()]))
    woken, waited = await waits(server, 3)
    assert woken == 2
    assert waited[0] < waited[1] < waited[2]  # a watch that ends without a word is a failure each time


async def test_an_expired_version_begins_again_from_a_list(serve: Serve) -> None:
    expired = watched(("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"}))
    server = serve(Cluster([listed(project()), listed(project(), version="20")], [expired, watched()]))
    assert (await waits(server, 2))[0] == 1
    assert server.requests[-1].query["resourceVersion"] == "20"


async def test_trouble_is_logged_and_tried_again(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(Cluster([status(403, "no rights"), listed(project())], [status(500, "oh"), watched()]))
    woken, _ = await waits(server, 2)
    assert woken == 1
    assert [record.getMessage() for record in caplog.records] == [
        "cannot watch for changes, trying again: GET /projects: no rights",
        "cannot watch for changes, trying again: WATCH /projects: oh",
    ]


async def test_an_event_that_is_no_event_is_trouble_and_not_the_end(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(Cluster([listed(project())], [Reply(body=["nonsense"])]))
    assert (await waits(server, 1))[0] == 1
    assert "cannot be understood" in caplog.text


async def test_leaving_the_watch_ends_its_request(serve: Serve) -> None:
    server = serve(Cluster([listed(project())], [watched(("MODIFIED", project(2)), hang=True)]))
    stream = changes(server.client(), "/projects")
    await anext(stream)
    await anext(stream)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
