"""Many bodies at once: by a list where that brings hardly more than them, else one by one."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from reconciler.inventory import bodies
from reconciler.inventory.bodies import (
    FEWEST_LISTED,
    ReleaseBodies,
    UuidBodies,
    is_worth_a_list,
)
from reconciler.inventory.objects import Kind, StoredRelease, UuidSecret
from reconciler.kube.resources import ListedRelease, ListedSecret
from tests.unit.inventory.payloads import body, stored, wrapped
from tests.unit.kube.server import Reply, Request, Server, status
from tests.unit.kube.test_protobuf import answer, entry, has

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
A_PAGE = 50
MANY = 2 * A_PAGE + 7


@pytest.mark.parametrize(
    ("wanted", "listed", "worth"),
    [
        (0, 0, False),
        (FEWEST_LISTED - 1, FEWEST_LISTED - 1, False),
        (FEWEST_LISTED, FEWEST_LISTED, True),
        (1000, 1000, True),
        (1000, 1250, True),
        (1000, 1251, False),  # releases of which many revisions failed
        (1000, 10_000, False),
        (25, 1000, False),  # what failed at a start, say
    ],
)
def test_a_list_is_worth_it_when_it_brings_many_and_hardly_any_for_nothing(
    wanted: int, listed: int, worth: bool
) -> None:
    assert is_worth_a_list(wanted, listed) is worth


class Revision(msgspec.Struct, frozen=True):
    """A revision as the server has it, and knows it listed."""

    name: str
    version: str = "1"
    status: str = "deployed"
    driver: Kind = Kind.RELEASE_SECRETS
    broken: bool = False

    @property
    def uid(self) -> str:
        return f"{self.driver}-{self.name}-{self.version}"

    @property
    def data(self) -> str:
        """As JSON has it."""
        return wrapped(bytes(40), self.driver) if self.broken else stored(body(name=self.name), self.driver)

    @property
    def listed(self) -> ListedRelease:
        object_name = f"sh.helm.release.v1.{self.name}.v{self.version}"
        release = StoredRelease(
            *(self.driver, "shop", object_name, self.uid, self.name, self.version, self.status, NOW)
        )
        return ListedRelease(release, "5")


class Stored:
    """A server that has these revisions, in protobuf or in JSON. ``failing``: answers in its place."""

    def __init__(self, folder: Path) -> None:
        self.revisions: list[Revision] = []
        self.in_protobuf = True
        self.failing: Callable[[Request], Reply | None] = lambda _: None
        self.server = Server(folder, self._answer)
        self.bodies = ReleaseBodies(self.server.client())

    def _answer(self, request: Request) -> Reply:
        other = "" if "limit" in request.query else ",application/json"
        assert request.headers["accept"] == f"application/vnd.kubernetes.protobuf{other}"
        if reply := self.failing(request):
            return reply
        plural, _, name = request.path.removeprefix("/api/v1/").rpartition("/")
        if not name.startswith("sh.helm"):
            return self._list(Kind(name), request)
        driver = Kind(plural.rpartition("/")[2])
        for one in self.revisions:
            if one.driver is driver and one.listed.release.object_name == name:
                return Reply(body=answer(in_protobuf(one)) if self.in_protobuf else in_json(one))
        return status(404, "not found")

    def _list(self, driver: Kind, request: Request) -> Reply:
        assert request.query["labelSelector"] == "owner=helm,status!=superseded"
        ones = [one for one in self.revisions if one.driver is driver and one.status != "superseded"]
        start, limit = int(request.query.get("continue", 0)), int(request.query["limit"])
        token = str(start + limit) if start + limit < len(ones) else ""
        page = ones[start : start + limit]
        if self.in_protobuf:
            metadata = has(1, has(2, "9"), has(3, token))
            return Reply(body=answer(metadata, *(has(2, in_protobuf(one)) for one in page)))
        return Reply(body={"metadata": {"continue": token}, "items": [in_json(one) for one in page]})

    async def read(self, *, without: Collection[str] | None = ()) -> bool:
        """All that is known of is read, as at a start."""
        listed = [one.listed for one in self.revisions]
        return await self.bodies.read_new(listed, NOW, asyncio.Semaphore(6), without)

    @property
    def found(self) -> dict[str, str]:
        """Of each release whose body is known: its name by that, or the problem."""
        complete = [self.bodies.complete(one.listed) for one in self.revisions]
        return {one.object_name: one.payload.name if one.payload else one.problem for one in complete}

    @property
    def asked(self) -> Counter[str]:
        """How often for a list, and how often for an object."""
        return Counter("list" if "limit" in one.query else "get" for one in self.server.requests)


def in_protobuf(one: Revision) -> bytes:
    data = one.data.encode()
    value = base64.b64decode(data) if one.driver is Kind.RELEASE_SECRETS else data
    return has(1, has(1, one.name), has(5, one.uid)) + entry(2, "release", value)


def in_json(one: Revision) -> dict[str, object]:
    return {"metadata": {"name": one.name, "uid": one.uid}, "data": {"release": one.data}}


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stored]:
    monkeypatch.setattr(bodies, "BODIES_AT_FIRST", A_PAGE)
    monkeypatch.setattr(bodies, "BODIES_A_PAGE", A_PAGE)
    found = Stored(tmp_path)
    yield found
    found.server.close()


def releases(count: int, driver: Kind = Kind.RELEASE_SECRETS) -> list[Revision]:
    return [Revision(f"app-{number}", driver=driver) for number in range(count)]


@pytest.mark.parametrize("driver", [Kind.RELEASE_SECRETS, Kind.RELEASE_CONFIGMAPS])
async def test_many_are_read_by_a_list_in_pages(there: Stored, driver: Kind) -> None:
    there.revisions = releases(MANY, driver)
    assert await there.read()
    assert set(there.found.values()) == {one.name for one in there.revisions}
    assert there.asked == {"list": 3}
    assert await there.read()
    assert there.asked == {"list": 3}


async def test_of_a_server_that_answers_in_json_no_page_is_held(there: Stored) -> None:
    there.revisions, there.in_protobuf = releases(MANY), False
    assert await there.read()
    assert set(there.found.values()) == {one.name for one in there.revisions}
    assert there.asked == {"list": 1, "get": MANY}


@pytest.mark.parametrize("in_protobuf", [True, False])
async def test_few_are_asked_for_one_by_one(there: Stored, in_protobuf: bool) -> None:
    there.revisions, there.in_protobuf = releases(FEWEST_LISTED - 1), in_protobuf
    assert await there.read()
    # As they are known to be, or newer: from the server's memory.
    assert {one.query["resourceVersion"] for one in there.server.requests} == {"5"}
    assert set(there.found.values()) == {one.name for one in there.revisions}
    assert there.asked == {"get": FEWEST_LISTED - 1}


async def test_each_driver_is_read_as_is_best_for_it(there: Stored) -> None:
    few = [Revision(f"other-{number}", driver=Kind.RELEASE_CONFIGMAPS) for number in range(3)]
    there.revisions = releases(FEWEST_LISTED) + few
    assert await there.read()
    assert set(there.found.values()) == {one.name for one in there.revisions}
    assert there.asked == {"list": 1, "get": 3}


async def test_what_a_list_does_not_bring_is_asked_for_by_itself(there: Stored) -> None:
    odd = [
        Revision("odd", "2", "superseded"),  # the newest all the same
        Revision("upgrading", "2", "pending-upgrade"),
        Revision("upgrading", "1", "deployed"),
        Revision("broken", broken=True),
    ]
    unnumbered = Revision("unnumbered", "latest")  # the newest, and a problem whatever is in it
    there.revisions = [*releases(MANY), *odd, Revision("app-0", "0", "superseded"), unnumbered]
    assert await there.read()
    assert there.asked == {"list": 3, "get": 1}
    assert there.server.requests[-1].path.endswith("/sh.helm.release.v1.odd.v2")
    found = there.found
    assert [found[one.listed.release.object_name] for one in odd] == ["odd", "upgrading", "", "is not gzip"]
    assert found[unnumbered.listed.release.object_name] == ""


async def test_a_body_that_goes_meanwhile_is_said_to_be_gone(there: Stored) -> None:
    there.revisions = every = releases(MANY)

    def uninstall(request: Request) -> None:
        there.revisions = every[:-1]

    there.failing = uninstall
    assert not await there.read()
    assert there.asked == {"list": 3, "get": 1}
    assert await there.read()
    assert len(there.found) == MANY - 1


@pytest.mark.parametrize("reply", [status(410, "expired", reason="Expired"), status(403, "no")])
async def test_what_comes_no_more_because_a_page_fails_is_asked_for_one_by_one(
    there: Stored, reply: Reply
) -> None:
    there.revisions = releases(MANY)
    there.failing = lambda request: reply if request.query.get("continue") == str(A_PAGE) else None
    assert await there.read()
    assert there.asked == {"list": 2, "get": MANY - A_PAGE}
    assert set(there.found.values()) == {one.name for one in there.revisions}


async def test_no_list_brings_many_for_nothing(there: Stored) -> None:
    failed = [Revision(f"app-{number}", "0", "failed") for number in range(FEWEST_LISTED)]
    there.revisions = [*releases(FEWEST_LISTED), *failed]
    assert await there.read()
    assert there.asked == {"get": FEWEST_LISTED}


async def test_no_list_brings_what_may_not_be_read(there: Stored) -> None:
    there.revisions = releases(MANY)
    assert await there.read(without=None)
    assert there.asked == {"get": MANY}
    there.bodies.keep(())
    there.server.requests.clear()
    assert await there.read(without=["secret", "other"])
    assert all(
        one.query["fieldSelector"].endswith(",metadata.namespace!=other,metadata.namespace!=secret")
        for one in there.server.requests
    )


async def test_of_what_a_list_brings_for_nothing_nothing_is_decoded(
    there: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.revisions = [*releases(FEWEST_LISTED), Revision("app-0", "0", "failed", broken=True)]
    decoded = []

    def read_payload(data: str | bytes, driver: Kind) -> object:
        decoded.append(data)
        return None

    monkeypatch.setattr(bodies, "read_payload", read_payload)
    await there.read()
    assert len(decoded) == FEWEST_LISTED
    assert there.asked == {"list": 1}


class Uuids:
    """A server that has Secrets named uuid, each with its namespace's name in it."""

    def __init__(self, folder: Path, count: int) -> None:
        self.namespaces = [f"shop-{number}" for number in range(count)]
        self.in_protobuf = True
        self.server = Server(folder, self._answer)
        self.bodies = UuidBodies(self.server.client())

    def _answer(self, request: Request) -> Reply:
        if request.path == "/api/v1/secrets":
            assert request.query["fieldSelector"].startswith("metadata.name=uuid")
            if self.in_protobuf:
                items = [has(2, self._in_protobuf(one)) for one in self.namespaces]
                return Reply(body=answer(has(1, has(2, "9")), *items))
            items_of_json = [self._in_json(one) for one in self.namespaces]
            return Reply(body={"metadata": {"resourceVersion": "9"}, "items": items_of_json})
        namespace = request.path.split("/")[4]
        if self.in_protobuf:
            return Reply(body=answer(self._in_protobuf(namespace)))
        return Reply(body=self._in_json(namespace))

    def _in_protobuf(self, namespace: str) -> bytes:
        key = "other" if namespace == "shop-1" else "uuid"
        return has(1, has(1, "uuid"), has(5, f"uid-{namespace}")) + entry(2, key, f"of-{namespace}")

    def _in_json(self, namespace: str) -> dict[str, object]:
        value = base64.b64encode(f"of-{namespace}".encode()).decode()
        key = "other" if namespace == "shop-1" else "uuid"
        return {"metadata": {"uid": f"uid-{namespace}"}, "data": {key: value}}

    async def read(self, wanted: int) -> tuple[UuidSecret, ...]:
        """The first so many of them."""
        listed = [ListedSecret(one, "uuid", f"uid-{one}", "5") for one in self.namespaces[:wanted]]
        stored = len(self.namespaces)
        return await self.bodies.read_new(listed, stored, NOW, asyncio.Semaphore(6), ())


@pytest.mark.parametrize("in_protobuf", [True, False])
@pytest.mark.parametrize(("wanted", "lists"), [(40, 1), (36, 1), (25, 0), (2, 0)])
async def test_the_values_of_many_uuid_secrets_are_read_by_a_list_too(
    tmp_path: Path, wanted: int, lists: int, in_protobuf: bool
) -> None:
    uuids = Uuids(tmp_path, 40)
    uuids.in_protobuf = in_protobuf
    try:
        found = await uuids.read(wanted)
        assert await uuids.read(wanted) == found
    finally:
        uuids.server.close()
    values = [f"of-shop-{number}" for number in range(wanted)]
    problems = [""] * wanted
    values[1], problems[1] = "", "it has no key uuid"
    assert [(one.value, one.problem) for one in found] == list(zip(values, problems, strict=True))
    by_list = lists if in_protobuf else lists + wanted  # which nothing came of
    assert len(uuids.server.requests) == (by_list or wanted)
