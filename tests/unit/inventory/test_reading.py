"""Bodies that are read as soon as it is known of them, from a server that fails as each test says."""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from reconciler.inventory.bodies import FEWEST_LISTED
from reconciler.inventory.fold import Folding
from reconciler.inventory.inventory import Inventory
from reconciler.inventory.objects import Kind, StoredRelease
from reconciler.inventory.ownership import Ref
from reconciler.inventory.reading import Reading, release_ref
from reconciler.kube.resources import ListedRelease, ListedSecret
from reconciler.model import AppKey, PolicyInEffect
from tests.builders import CLUSTER_UUID
from tests.unit.inventory.test_live import payload
from tests.unit.kube.server import Reply, Request, Server, status
from tests.unit.kube.test_protobuf import answer, entry, has

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MANY = range(FEWEST_LISTED)
WEB, OTHER = AppKey("shop", "web"), AppKey("shop", "other")
SECRET = Ref(Kind.RELEASE_SECRETS, "shop", "sh.helm.release.v1.web.v1")


def listed(name: str = "web", uid: str = "1") -> ListedRelease:
    release = StoredRelease(
        driver=Kind.RELEASE_SECRETS,
        namespace="shop",
        object_name=SECRET.name,
        uid=uid,
        name=name,
        version="1",
        status="deployed",
        created=NOW,
    )
    return ListedRelease(release, "5")


class Bench:
    """A reading that runs. ``answers``: what becomes of the next requests; ``changed``: set by news."""

    def __init__(self, folder: Path) -> None:
        self.answers: list[Callable[[], Reply]] = []
        self.server = Server(folder, self._answer)
        self.folding = Folding()
        self.changed = asyncio.Event()
        self.without: tuple[str, ...] | None = ()
        self.reading = Reading(
            self.server.client(), self.folding, lambda: NOW, self.changed.set, self._left_out
        )
        self._task = asyncio.create_task(self.reading.run())

    async def _left_out(self) -> tuple[str, ...] | None:
        return self.without

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.server.close()

    def _answer(self, request: Request) -> Reply:
        if self.answers:
            return self.answers.pop(0)()
        if "limit" in request.query:
            return self.listed_bodies()
        if request.path.endswith("/uuid"):
            value = b64encode(b"A-1").decode()
            return Reply(body={"metadata": {"uid": "u"}, "data": {"uuid": value}})
        return Reply(body={"metadata": {"uid": "1"}, "data": {"release": payload("web", "web")}})

    def listed_bodies(self) -> Reply:
        items = [
            has(
                2,
                has(1, has(5, f"u-{number}")),
                entry(2, "release", b64decode(payload(f"app-{number}", "web"))),
            )
            for number in MANY
        ]
        return Reply(body=answer(has(1, has(2, "9")), *items))

    def put(self, one: ListedRelease) -> None:
        self.reading.put_release(release_ref(one), one)

    def inventory(self) -> Inventory:
        return self.folding.inventory(
            cluster_uuid=CLUSTER_UUID, policy=PolicyInEffect(), adopted={}, previous={}, gaps=()
        )

    async def until(self, is_so: Callable[[Inventory], bool]) -> Inventory:
        async with asyncio.timeout(20):
            while True:
                self.changed.clear()
                if is_so(found := self.inventory()):
                    return found
                await self.changed.wait()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    found = Bench(tmp_path)
    yield found
    await found.close()


async def test_a_body_whose_request_failed_is_read_again_though_nobody_looks(bench: Bench) -> None:
    bench.answers = [lambda: status(500, "etcd is away")] * 2
    bench.put(listed())
    assert (await bench.until(lambda seen: WEB in seen.unreadable)).apps == {}
    assert WEB in (await bench.until(lambda seen: WEB in seen.apps)).apps
    assert len(bench.server.requests) == 3


async def test_a_uuid_secret_whose_request_failed_is_read_again(bench: Bench) -> None:
    bench.put(listed())
    await bench.reading.caught_up()
    bench.answers = [lambda: status(500, "etcd is away")]
    bench.reading.put_secret(ListedSecret("shop", "uuid", "u", "7"))
    await bench.until(lambda seen: any("shop/uuid" in one.subject for one in seen.problems))
    await bench.until(lambda seen: seen.apps[WEB].app_uuid == "A-A-1")


@pytest.mark.parametrize("reply", [status(404, "gone"), Reply(body={"metadata": {"uid": "another"}})])
async def test_a_uuid_secret_keeps_its_value_until_it_is_said_to_be_gone(bench: Bench, reply: Reply) -> None:
    bench.put(listed())
    bench.reading.put_secret(ListedSecret("shop", "uuid", "u", "7"))
    await bench.reading.caught_up()
    bench.answers = [lambda: reply]
    bench.reading.put_secret(ListedSecret("shop", "uuid", "u", "8"))
    await bench.reading.caught_up()
    assert bench.inventory().apps[WEB].app_api_info.hossted_helm
    bench.reading.drop_secret("shop")
    await bench.reading.caught_up()
    assert not bench.inventory().apps[WEB].app_api_info.hossted_helm


async def test_a_revision_whose_label_names_another_release_leaves_the_one_that_it_was_of(
    bench: Bench,
) -> None:
    bench.put(listed())
    await bench.reading.caught_up()
    bench.put(listed("other"))
    await bench.reading.caught_up()
    seen = bench.inventory()
    assert (set(seen.apps), set(seen.unreadable)) == (set(), {OTHER})  # the body says that it is web's
    bench.put(listed(""))
    await bench.reading.caught_up()
    assert (bench.inventory().apps, len(bench.inventory().problems)) == ({}, 1)
    bench.put(listed())
    bench.reading.drop_release(SECRET, listed())
    await bench.reading.caught_up()
    assert (bench.inventory().apps, bench.inventory().problems) == ({}, ())


async def test_what_failed_and_was_replaced_is_not_remembered(bench: Bench) -> None:
    bench.put(listed(uid="0"))  # whose body is another's by now
    await bench.reading.caught_up()
    assert WEB in bench.inventory().unreadable
    bench.put(listed())
    await bench.reading.caught_up()
    assert WEB in bench.inventory().apps
    bench.put(msgspec.structs.replace(listed(), resource_version="6"))
    await bench.reading.caught_up()
    assert len(bench.server.requests) == 2


def many() -> list[ListedRelease]:
    def of(number: int) -> ListedRelease:
        one = listed(f"app-{number}", f"u-{number}")
        object_name = f"sh.helm.release.v1.app-{number}.v1"
        return ListedRelease(msgspec.structs.replace(one.release, object_name=object_name), "5")

    return [of(number) for number in MANY]


async def test_many_that_are_due_at_once_are_read_by_a_list(bench: Bench) -> None:
    for one in many():
        bench.put(one)
    await bench.reading.caught_up()
    assert {key.name for key in bench.inventory().apps} == {f"app-{number}" for number in MANY}
    assert [one.path for one in bench.server.requests] == ["/api/v1/secrets"]
    bench.put(listed())
    await bench.reading.caught_up()
    assert len(bench.server.requests) == 2


async def test_what_has_gone_while_many_were_read_is_not_there(bench: Bench) -> None:
    ones = many()
    loop = asyncio.get_running_loop()

    def drop() -> None:
        bench.reading.drop_release(release_ref(ones[0]), ones[0])

    def drop_and_answer() -> Reply:
        loop.call_soon_threadsafe(drop)
        return bench.listed_bodies()

    bench.answers = [drop_and_answer]
    for one in ones:
        bench.put(one)
    await bench.reading.caught_up()
    await bench.reading.caught_up()
    assert {key.name for key in bench.inventory().apps} == {f"app-{number}" for number in MANY[1:]}


async def test_where_not_all_may_be_read_each_is_asked_for(bench: Bench) -> None:
    bench.without = None
    for one in many():
        bench.put(one)
    await bench.reading.caught_up()
    assert len(bench.server.requests) == len(MANY)
    assert not any("limit" in one.query for one in bench.server.requests)
