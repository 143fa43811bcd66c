"""The next page is asked for while one is read, on a real HTTP server that answers as it is told."""

import threading
from collections.abc import Callable
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import KubernetesError
from reconciler.kube import protobuf
from reconciler.kube.client import EITHER, METADATA_EITHER, Page
from reconciler.kube.configmaps import ConfigMaps
from tests.unit.kube.server import Answerer, Reply, Request, Server, in_turn, status
from tests.unit.kube.test_protobuf import answer, has, number

Serve = Callable[[Answerer], Server]

GONE = status(410, "expired")


def body(token: str, *names: str) -> bytes:
    metadata = has(1, has(2, "7"), has(3, token), number(4, 3))
    return answer(metadata, *(has(2, has(1, has(1, name))) for name in names))


def page(token: str, *names: str) -> Reply:
    return Reply(body=body(token, *names))


def read(data: bytes) -> Page[str]:
    found = protobuf.listed("Object", data)
    return Page([item.metadata.name for item in found.items], found.resource_version, found.token)


async def test_the_next_page_is_asked_for_while_one_is_read_and_none_beyond(serve: Serve) -> None:
    pages = {"": page("t1", "a", "b"), "t1": page("t2", "c"), "t2": page("t3", "d"), "t3": page("", "e")}
    asked = {token: threading.Event() for token in pages}
    came = []

    def answered(request: Request) -> Reply:
        token = request.query.get("continue", "")
        asked[token].set()
        return pages[token]

    def reading(data: bytes) -> Page[str]:
        found = read(data)
        if found.token:
            assert asked[found.token].wait(30)
        came.append(len(server.requests))
        return found

    server = serve(answered)
    listed = await server.client(page_size=2).list_all("/x", reading)
    assert (listed.items, listed.resource_version) == (["a", "b", "c", "d", "e"], "7")
    assert came == [2, 3, 4, 4]
    assert [request.query.get("continue", "") for request in server.requests] == ["", "t1", "t2", "t3"]


async def test_a_token_that_expires_ahead_begins_the_list_again_and_leaves_nothing_twice(
    serve: Serve,
) -> None:
    server = serve(in_turn(page("t1", "a"), page("t2", "b"), GONE, page("t3", "a"), page("", "c")))
    assert (await server.client().list_all("/x", read)).items == ["a", "c"]
    assert [request.query.get("continue", "") for request in server.requests] == ["", "t1", "t2", "", "t3"]


async def test_what_came_before_a_token_expired_is_given_first(serve: Serve) -> None:
    server = serve(in_turn(page("t1", "a"), GONE))
    async with aclosing(server.client().pages("/x", read)) as pages:
        assert (await anext(pages)).items == ["a"]
        with pytest.raises(KubernetesError) as caught:
            await anext(pages)
    assert caught.value.status == 410


async def test_a_page_that_cannot_be_read_is_the_error_whatever_became_of_the_next(serve: Serve) -> None:
    def broken(_: bytes) -> Page[str]:
        raise ValueError("it is broken")

    server = serve(in_turn(page("t1", "a"), GONE))
    with pytest.raises(KubernetesError, match="GET /x: the answer cannot be understood"):
        await server.client().list_all("/x", broken)


async def test_leaving_after_a_page_does_not_wait_for_the_next(serve: Serve) -> None:
    left = threading.Event()

    def answered(request: Request) -> Reply:
        if "continue" in request.query:
            left.wait()
        return page("t1", "a")

    server = serve(answered)
    async with aclosing(server.client().pages("/x", read)) as pages:
        async for found in pages:
            assert found.items == ["a"]
            break
    assert not left.is_set()
    left.set()


async def test_pages_in_json_are_asked_for_in_turn(serve: Serve) -> None:
    server = serve(in_turn(Reply(body={"page": 1}), Reply(body={"page": 2})))
    counts = []

    def reading(data: bytes) -> Page[str]:
        counts.append(len(server.requests))
        return Page([], "7", "t" if b"1" in data else "")

    await server.client().list_all("/x", reading)
    assert counts == [1, 2]


async def test_config_maps_with_what_they_hold_come_a_few_at_a_time(serve: Serve) -> None:
    found = {"metadata": {"name": "it", "namespace": "ours", "uid": "u", "resourceVersion": "5"}}
    replies = ({"metadata": {"continue": token}, "items": [found]} for token in ("t", ""))
    server = serve(in_turn(*(Reply(body=each) for each in replies)))
    assert len(await ConfigMaps(server.client()).list_config_maps("ours", "a=b")) == 2
    assert [request.query for request in server.requests] == [
        {"labelSelector": "a=b", "limit": "100"},
        {"labelSelector": "a=b", "limit": "100", "continue": "t"},
    ]


@pytest.mark.parametrize(("accept", "limits"), [(METADATA_EITHER, ["2000", "500"]), (EITHER, ["500", "500"])])
async def test_of_metadata_the_first_page_is_large_which_the_server_has_in_its_memory(
    accept: str, limits: list[str], serve: Serve
) -> None:
    server = serve(in_turn(page("t1", "a"), page("", "b")))
    assert (await server.client().list_all("/x", read, accept=accept)).items == ["a", "b"]
    assert [request.query["limit"] for request in server.requests] == limits


@given(st.text(max_size=200), st.lists(st.text(max_size=5), max_size=3))
def test_a_token_is_told_as_the_whole_page_tells_it(token: str, names: list[str]) -> None:
    data = body(token, *names)
    assert protobuf.token(data) == protobuf.listed("Object", data).token == token


def test_what_has_no_metadata_first_has_no_token_yet() -> None:
    assert protobuf.token(answer(has(2, "item"), has(1, has(3, "t")))) == ""
    assert protobuf.token(answer()) == ""
