"""A list in protobuf comes in pieces of any size, and is the same; what breaks off on the way is an error."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import ForbiddenError, KubernetesError
from reconciler.kube import protobuf
from reconciler.kube.client import Page
from tests.unit.kube.server import Answerer, Reply, Server, in_turn, status
from tests.unit.kube.test_protobuf import answer, has, listed

Serve = Callable[[Answerer], Server]

NAMES = st.lists(st.text(max_size=300), max_size=4)


def body(token: str, *names: str) -> bytes:
    return answer(has(1, has(2, "7"), has(3, token)), *(has(2, has(1, has(1, name))) for name in names))


def page(token: str, *names: str) -> Reply:
    return Reply(body=body(token, *names))


def read(pieces: Iterator[bytes]) -> Page[str]:
    found = protobuf.flowing("Object", pieces)
    return Page([item.metadata.name for item in found.items], found.resource_version, found.token)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    ends = sorted(each % (len(data) + 1) for each in at)
    pieces = [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]
    return [piece for piece in pieces if piece]


@given(st.text(max_size=200), NAMES, st.lists(st.integers(0, 10_000), max_size=12))
def test_however_it_comes_it_is_the_same(token: str, names: list[str], at: list[int]) -> None:
    data = body(token, *names)
    pieces = iter(cut(data, at))
    found, whole = protobuf.flowing("Object", pieces), protobuf.listed("Object", data)
    assert list(found.items) == list(whole.items)
    assert (found.resource_version, found.token) == (whole.resource_version, whole.token) == ("7", token)
    assert next(pieces, None) is None  # or the connection could not be used again


@given(NAMES, st.integers(0, 10_000))
def test_what_ends_too_early_is_a_value_error(names: list[str], length: int) -> None:
    data = body("t", *names)
    rest = len(has(3, "") + has(4, ""))  # of the envelope, behind the list
    with pytest.raises(ValueError, match=r"too early|no ListMeta"):
        list(protobuf.flowing("Object", [data[: length % (len(data) - rest)]]).items)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"items": []}', "not in protobuf"),
        (answer(has(2, "item")), "no list"),
        (answer(b"\x08\x01"), "no list"),
        (listed(b"\xff"), "no Object"),
    ],
)
def test_what_is_no_list_is_a_value_error(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        list(protobuf.flowing("Object", [data]).items)


async def names_of(server: Server) -> list[str]:
    pages = server.client().flowing("/x", read, {"labelSelector": "a=b"}, 3, 2)
    return [name async for page in pages for name in page.items]


async def test_pages_are_asked_for_in_turn(serve: Serve) -> None:
    server = serve(in_turn(page("t1", "a", "b"), page("", "c")))
    assert await names_of(server) == ["a", "b", "c"]
    assert [request.query for request in server.requests] == [
        {"labelSelector": "a=b", "limit": "3"},
        {"labelSelector": "a=b", "limit": "2", "continue": "t1"},
    ]
    assert {one.headers["accept"] for one in server.requests} == {"application/vnd.kubernetes.protobuf"}


async def test_a_page_is_asked_for_again_when_the_server_is_busy_or_the_connection_breaks(
    serve: Serve,
) -> None:
    server = serve(in_turn(Reply(reset=True), Reply(503, headers={"retry-after": "0"}), page("", "a")))
    assert await names_of(server) == ["a"]


async def test_what_the_server_refuses_or_nobody_understands_is_an_error_of_ours(serve: Serve) -> None:
    server = serve(in_turn(status(403, "no"), Reply(body={"items": []}), page("", "a")))
    with pytest.raises(ForbiddenError, match="GET /x: no"):
        await names_of(server)
    with pytest.raises(KubernetesError, match="GET /x: the answer cannot be understood"):
        await names_of(server)
    assert await names_of(server) == ["a"]
