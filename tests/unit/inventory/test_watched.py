"""A kind that may not be reflected, listed where it may be, against a server that answers as told."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.errors import ForbiddenError, KubernetesError
from reconciler.inventory.held import Held
from reconciler.inventory.listing import Scope
from reconciler.inventory.objects import Namespace
from reconciler.inventory.ownership import Ref
from reconciler.inventory.watched_kind import WatchedKind
from reconciler.kube.resources import NAMESPACES
from reconciler.project import Duration
from tests.unit.kube.server import Reply, Request, Server, status

SCOPE = Scope(frozenset(), frozenset(), lambda _: False, datetime(2026, 11, 21, 12, tzinfo=UTC))
FORBIDDEN, BROKEN = ForbiddenError("LIST: no", 403), KubernetesError("LIST: 500", 500)
OLD, NEW = Namespace("old", "1"), Namespace("new", "2")


def old(_: Request) -> Reply:
    return Reply(
        body={
            "metadata": {"resourceVersion": "5"},
            "items": [{"metadata": {"name": "old", "uid": "1", "resourceVersion": "5"}}],
        }
    )


class Bench:
    """A kind whose reflector the test is."""

    def __init__(self, folder: Path, answer: Callable[[Request], Reply]) -> None:
        self.server = Server(folder, answer)
        self.held = Held[Namespace](
            lambda one: Ref(NAMESPACES.kind, "", one.name), lambda *_: None, lambda *_: None
        )
        self.kind = WatchedKind(self.server.client(), NAMESPACES, self.held)

    async def check(self) -> None:
        try:
            await self.kind.check(SCOPE, Duration.parse("10m"), asyncio.Semaphore(1))
        finally:
            self.server.close()

    @property
    def names(self) -> set[str]:
        return {ref.name for ref in self.held.items}


async def test_a_list_that_comes_after_the_kind_was_reflected_again_changes_nothing(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()

    def answer(request: Request) -> Reply:
        loop.call_soon_threadsafe(bench.held.listed, [NEW], ["1"])
        return old(request)

    bench = Bench(tmp_path, answer)
    bench.held.failed(FORBIDDEN)
    await bench.check()
    assert (bench.names, bench.kind.find_gaps()) == ({"new"}, ())


@pytest.mark.parametrize("error", [None, BROKEN])
async def test_what_is_forbidden_only_since_it_was_checked_is_as_complete_as_it_was(
    tmp_path: Path, error: KubernetesError | None
) -> None:
    bench = Bench(tmp_path, old)
    bench.held.listed([NEW], ["1"])
    if error is not None:
        bench.held.failed(error)
    await bench.check()
    bench.held.failed(FORBIDDEN)
    assert [gap.message for gap in bench.kind.find_gaps()] == ([str(error)] if error else [])


async def test_what_may_not_be_seen_any_more_stays_as_it_was_seen(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lambda _: status(403, "no"))
    bench.held.listed([NEW], ["1"])
    bench.held.failed(FORBIDDEN)
    await bench.check()
    assert bench.names == {"new"}
    assert [gap.forbidden for gap in bench.kind.find_gaps()] == [True]


async def test_what_may_be_listed_and_not_watched_is_what_was_listed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, old)
    bench.held.listed([NEW], ["1"])
    bench.held.failed(FORBIDDEN)
    await bench.check()
    assert (bench.names, bench.kind.find_gaps()) == ({"old"}, ())


async def test_what_failed_where_it_may_be_listed_is_listed_again_at_the_next_look(tmp_path: Path) -> None:
    replies = iter([status(500, "etcd is away")])
    bench = Bench(tmp_path, lambda request: next(replies, old(request)))
    bench.held.failed(FORBIDDEN)
    await bench.kind.check(SCOPE, Duration.parse("10m"), asyncio.Semaphore(1))
    assert [gap.forbidden for gap in bench.kind.find_gaps()] == [False]
    await bench.check()
    assert (bench.names, bench.kind.find_gaps()) == ({"old"}, ())
