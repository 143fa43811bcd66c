"""Requests, against a real HTTP server that answers as it is told."""

import asyncio
import json
import stat
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from reconciler.errors import ForbiddenError, KubernetesError, NotFoundError, SettingsError
from reconciler.kube.client import Client, Page
from tests.unit.kube.server import Answerer, Reply, Request, Server, in_turn, status
from tests.unit.kube.watching import PROTOBUF, framed

Serve = Callable[[Answerer], Server]


class _List(msgspec.Struct):
    items: list[int]
    metadata: dict[str, str]


def read(body: bytes) -> Page[int]:
    page = msgspec.json.decode(body, type=_List)
    return Page(page.items, page.metadata["resourceVersion"], page.metadata.get("continue", ""))


async def watched(client: Client, params: dict[str, str] | None = None) -> AsyncIterator[bytes]:
    """The events of a watch as they are, one by one."""
    async for events in client.watch("/x", bytes, params or {}, read_timeout=5):
        for event in events:
            yield event


def page(items: list[int], version: str, token: str = "") -> Reply:
    return Reply(body={"items": items, "metadata": {"resourceVersion": version, "continue": token}})


async def test_a_request_says_who_asks(serve: Serve) -> None:
    server = serve(lambda _: Reply(body={"a": 1}))
    assert await server.client().get("/x", {"limit": "5"}) == b'{"a": 1}'
    (request,) = server.requests
    assert request.headers["authorization"] == "Bearer t0ken"
    assert request.headers["user-agent"].startswith("hossted-reconciler/")
    assert request.query == {"limit": "5"}


async def test_a_list_is_paged_by_token_alone_and_watched_from_its_first_page(serve: Serve) -> None:
    server = serve(in_turn(page([1, 2], "7", "t1"), page([3, 4], "7", "t2"), page([5], "7")))
    listed = await server.client(page_size=2).list_all("/x", read, {"labelSelector": "a=b"})
    assert (listed.items, listed.resource_version) == ([1, 2, 3, 4, 5], "7")
    assert [request.query for request in server.requests] == [
        {"labelSelector": "a=b", "limit": "2"},
        {"labelSelector": "a=b", "limit": "2", "continue": "t1"},
        {"labelSelector": "a=b", "limit": "2", "continue": "t2"},
    ]


async def test_an_expired_token_begins_the_list_again_and_leaves_nothing_twice(serve: Serve) -> None:
    gone = status(410, "expired", metadata={"continue": "inconsistent"})
    server = serve(in_turn(page([1, 2], "7", "t1"), gone, page([1, 2], "9", "t2"), page([3], "9")))
    listed = await server.client(page_size=2).list_all("/x", read)
    assert (listed.items, listed.resource_version) == ([1, 2, 3], "9")
    assert "continue" not in server.requests[2].query


async def test_a_list_whose_tokens_keep_expiring_is_read_as_a_whole(serve: Serve) -> None:
    first, gone = page([1], "7", "t"), status(410, "expired")
    server = serve(in_turn(first, gone, first, gone, page([1, 2, 3], "9")))
    assert (await server.client(page_size=1).list_all("/x", read)).items == [1, 2, 3]
    assert server.requests[-1].query == {}


@pytest.mark.parametrize(
    "passing",
    [
        Reply(reset=True),
        Reply(429, headers={"retry-after": "0"}),
        Reply(503, headers={"retry-after": "0"}),
    ],
)
async def test_a_read_is_tried_again_when_the_server_is_busy_or_the_connection_breaks(
    serve: Serve, passing: Reply
) -> None:
    server = serve(in_turn(passing, passing, Reply(body={"ok": True})))
    assert await server.client().get("/x") == b'{"ok": true}'


async def test_a_read_that_keeps_failing_is_an_error_with_the_servers_words(serve: Serve) -> None:
    busy = Reply(503, {"kind": "Status", "message": "starting"}, {"retry-after": "0"})
    server = serve(lambda _: busy)
    with pytest.raises(KubernetesError, match="GET /x: starting") as caught:
        await server.client().get("/x", {"limit": "1"})
    assert caught.value.status == 503
    assert len(server.requests) == 3


async def test_a_write_whose_connection_broke_is_not_sent_again(serve: Serve) -> None:
    server = serve(lambda _: Reply(reset=True))
    with pytest.raises(KubernetesError, match=r"POST /x: the connection to .* broke") as caught:
        await server.client().create("/x", b"{}", bytes)
    assert caught.value.status == 0
    assert len(server.requests) == 1


async def test_a_write_that_was_put_off_is_sent_again(serve: Serve) -> None:
    server = serve(in_turn(Reply(429, headers={"retry-after": "0"}), Reply(201)))
    await server.client().create("/x", b'{"a":1}', bytes)
    assert [request.body for request in server.requests] == [b'{"a":1}'] * 2


async def test_a_write_names_its_field_manager_and_content_type(serve: Serve) -> None:
    server = serve(lambda _: Reply())
    client = server.client()
    await client.create("/x", b"{}", bytes)
    await client.replace("/x/y", b"{}", bytes)
    await client.patch("/x/y/status", b"{}")
    await client.delete("/x/y")
    assert [(one.method, one.headers["content-type"], one.query) for one in server.requests] == [
        ("POST", "application/json", {"fieldManager": "hossted-reconciler"}),
        ("PUT", "application/json", {"fieldManager": "hossted-reconciler"}),
        ("PATCH", "application/merge-patch+json", {"fieldManager": "hossted-reconciler"}),
        ("DELETE", "application/json", {}),
    ]


async def test_a_redirect_is_not_followed(serve: Serve) -> None:
    server = serve(lambda _: Reply(302, headers={"location": "/elsewhere"}))
    with pytest.raises(KubernetesError, match="answered 302"):
        await server.client().get("/x")
    assert len(server.requests) == 1


async def test_an_answer_that_is_not_what_was_asked_for_is_an_error_of_ours(serve: Serve) -> None:
    server = serve(lambda _: Reply(body=b"<html>"))
    with pytest.raises(KubernetesError, match="GET /x: the answer cannot be understood"):
        await server.client().list_all("/x", read)


async def test_of_a_head_that_broke_off_only_what_comes_of_it_is_told(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(lambda _: Reply(headers={"x": "1\r\nContent-T"}, body=[]))
    with pytest.raises(KubernetesError, match="GET /x: the answer cannot be understood"):
        await server.client().list_all("/x", read)
    assert caplog.records == []


async def test_a_server_that_is_not_there_is_named(serve: Serve) -> None:
    server = serve(lambda _: Reply())
    client = server.client()
    server.close()
    with pytest.raises(KubernetesError, match=f"cannot connect to {server.url}"):
        await client.get("/x")


async def test_a_refused_credential_is_loaded_again_once(serve: Serve, tmp_path: Path) -> None:
    token = tmp_path / "token"

    def answer(request: Request) -> Reply:
        if request.headers["authorization"] == "Bearer new":
            return Reply()
        token.write_text("new")
        return status(401, "Unauthorized")

    server = serve(answer)
    token.write_text("old")
    client = Client.connect(kubeconfig=server.kubeconfig(tokenFile=str(token)))
    await client.create("/x", b"{}", bytes)
    assert [one.headers["authorization"] for one in server.requests] == ["Bearer old", "Bearer new"]


async def test_a_watch_whose_credential_is_refused_loads_it_again_once(serve: Serve, tmp_path: Path) -> None:
    token = tmp_path / "token"

    def answer(request: Request) -> Reply:
        if request.headers["authorization"] == "Bearer new":
            return Reply(body=[{"a": 1}])
        token.write_text("new")
        return status(401, "Unauthorized")

    server = serve(answer)
    token.write_text("old")
    client = Client.connect(kubeconfig=server.kubeconfig(tokenFile=str(token)))
    assert [one async for one in watched(client)] == [b'{"a": 1}']
    assert [one.headers["authorization"] for one in server.requests] == ["Bearer old", "Bearer new"]


async def test_a_watch_whose_configuration_cannot_be_loaded_again_is_an_error(serve: Serve) -> None:
    server = serve(lambda _: status(401, "Unauthorized"))
    client = server.client()
    (server.folder / "kubeconfig").write_text("{")
    with pytest.raises(SettingsError, match="cannot be used"):
        await anext(watched(client))


async def test_a_credential_that_stays_refused_is_an_error(serve: Serve) -> None:
    server = serve(lambda _: status(401, "Unauthorized"))
    with pytest.raises(KubernetesError, match="Unauthorized"):
        await server.client().get("/x")
    assert len(server.requests) == 2


async def test_an_exec_plugin_gives_the_token(serve: Serve, tmp_path: Path) -> None:
    credential = {
        "kind": "ExecCredential",
        "apiVersion": "client.authentication.k8s.io/v1",
        "status": {"token": "from-plugin"},
    }
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(credential)}'\n")
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    server = serve(lambda _: Reply())
    run = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(plugin),
        "interactiveMode": "Never",
    }
    await Client.connect(kubeconfig=server.kubeconfig(exec=run)).get("/x")
    assert server.requests[0].headers["authorization"] == "Bearer from-plugin"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the kubeconfig .* cannot be used"),
        ("{", "the kubeconfig .* cannot be used"),
        ('{"current-context": "x", "contexts": []}', "the kubeconfig .* cannot be used .*x"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(SettingsError, match=sentence):
        Client.connect(kubeconfig=path)


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=str(tmp_path / "none")):
        Client.connect(kubeconfig=tmp_path / "none")


def test_a_broken_kubeconfig_does_not_spill_its_token(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    config = {
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
        "clusters": [{"name": "c", "token": "s3cret"}],
        "users": [{"name": "u", "user": {"token": "s3cret"}}],
    }
    path.write_text(json.dumps(config))
    with pytest.raises(SettingsError) as caught:
        Client.connect(kubeconfig=path)
    assert "s3cret" not in str(caught.value)


def test_an_unknown_context_is_named(serve: Serve) -> None:
    server = serve(lambda _: Reply())
    with pytest.raises(SettingsError, match="kubeconfig"):
        Client.connect("nowhere", kubeconfig=server.kubeconfig(token="t"))


async def test_a_cancelled_request_does_not_wait_for_its_answer(serve: Serve) -> None:
    asked, answered = threading.Event(), threading.Event()

    def answer(_: Request) -> Reply:
        asked.set()
        answered.wait()
        return Reply()

    server = serve(answer)
    task = asyncio.create_task(server.client().get("/x"))
    await asyncio.to_thread(asked.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not answered.is_set()
    answered.set()


async def test_a_watch_gives_its_lines_until_the_server_ends_it(serve: Serve) -> None:
    events = [{"type": "ADDED", "object": {"n": n}} for n in range(3)]
    server = serve(lambda _: Reply(body=events))
    assert [json.loads(one) async for one in watched(server.client(), {"resourceVersion": "5"})] == events
    assert server.requests[0].query == {"resourceVersion": "5", "watch": "1"}


@pytest.mark.parametrize(
    ("code", "kind"), [(403, ForbiddenError), (404, NotFoundError), (410, KubernetesError)]
)
async def test_a_watch_that_is_refused_is_an_error(serve: Serve, code: int, kind: type[Exception]) -> None:
    server = serve(lambda _: status(code, "no"))
    with pytest.raises(kind, match="WATCH /x: no"):
        await anext(watched(server.client()))


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        ([framed(b"1"), b"\xff\xff\xff\xff"], "an event of 4294967295 bytes or more"),
        ([framed(b"1"), framed(b"2")[:-1], b"x" + framed(b"3")], "invalid literal"),
        ([framed(b"1") + framed(b"")], "invalid literal"),
    ],
    ids=["too long", "no number", "empty"],
)
async def test_what_comes_before_a_broken_event_is_given_first(
    serve: Serve, frames: list[bytes], why: str
) -> None:
    server = serve(lambda _: Reply(body=frames, headers=PROTOBUF, hang=True))
    watch = server.client().watch("/x", int, {}, read_timeout=3600)
    assert await anext(watch) == [1]
    with pytest.raises(KubernetesError, match=f"WATCH /x: the answer cannot be understood .{why}"):
        await anext(watch)


async def test_events_end_where_they_end_and_not_where_chunks_do(serve: Serve) -> None:
    events = [b"a" * 3, b"b" * 200_000, b"c", b"d" * 4096, b"e"]
    stream = b"".join(map(framed, events))
    sizes = (1, 2, 5, 100_000, 7, 30_000)
    parts = [stream[sum(sizes[:n]) : sum(sizes[: n + 1])] for n in range(len(sizes))]
    parts.append(stream[sum(sizes) :])
    chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
    headers = {**PROTOBUF, "transfer-encoding": "chunked"}
    server = serve(lambda _: Reply(body=[*chunks, b"0\r\n\r\n"], headers=headers))
    assert [one async for one in watched(server.client())] == events


async def test_a_chunk_that_is_cut_off_is_an_error_after_what_came(serve: Serve) -> None:
    whole = framed(b"1")
    chunks = [b"%x\r\n%b\r\n" % (len(whole), whole), b"%x\r\n%b" % (len(whole), whole[:-1])]
    headers = {**PROTOBUF, "transfer-encoding": "chunked"}
    server = serve(lambda _: Reply(body=chunks, headers=headers))
    watch = server.client().watch("/x", int, {}, read_timeout=5)
    assert await anext(watch) == [1]
    with pytest.raises(KubernetesError, match=r"WATCH /x: the connection to .* broke"):
        await anext(watch)


async def test_events_that_come_while_nobody_looks_wait_in_order(serve: Serve) -> None:
    count = 500
    frames = [framed(str(number).encode()) for number in range(count)]
    server = serve(lambda _: Reply(body=frames, headers=PROTOBUF))
    before = set(threading.enumerate())
    watch = server.client().watch("/x", int, {}, read_timeout=5)
    first = await anext(watch)
    for reader in set(threading.enumerate()) - before:  # unless it has read all already
        if reader.name == "kubernetes watch":
            await asyncio.to_thread(reader.join)
    rest = [event async for events in watch for event in events]
    assert [*first, *rest] == list(range(count))


async def test_a_watch_that_falls_silent_is_an_error(serve: Serve) -> None:
    server = serve(lambda _: Reply(body=[{"type": "ADDED"}], hang=True))
    watch = server.client().watch("/x", bytes, {}, read_timeout=0.05)
    await anext(watch)
    with pytest.raises(KubernetesError, match="did not answer in time"):
        await anext(watch)


async def test_a_watch_that_is_left_ends_its_connection_at_once(serve: Serve) -> None:
    server = serve(lambda _: Reply(body=[{"type": "ADDED"}], hang=True))
    watch = server.client().watch("/x", bytes, {}, read_timeout=3600)
    await anext(watch)
    reader = next(one for one in threading.enumerate() if one.name == "kubernetes watch")
    await watch.aclose()
    await asyncio.to_thread(reader.join)
    assert not reader.is_alive()
