"""The API's client over real sockets: what no table of statuses shows."""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.delivery.answers import Acknowledged, Again, Answer, Rejected, Stop
from reconciler.delivery.api import MOST_READ, Api
from reconciler.settings import ApiSettings
from tests.web.wire import Behaviour, Request, Wire, answer, silence, wire
from tests.web.world import TOKEN

KEY = "019f3a50-0000-7000-8000-000000000000"
BODY = b'{"app":"x"}'

TLS = Path(__file__).parent / "tls"
"""A key and a certificate of its own making, for 127.0.0.1; they guard nothing."""


async def push(url: str, seconds: float = 30.0, scheme: str = "Bearer") -> Answer:
    api = Api(ApiSettings(url=url, token=TOKEN, scheme=scheme))
    try:
        return await api.push(BODY, KEY, seconds)
    finally:
        await api.close()


async def pushed_to(*answers: Behaviour, seconds: float = 30.0) -> tuple[Answer, Wire]:
    async with wire(*answers) as served:
        return await push(served.url, seconds), served


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
async def test_a_push_is_one_post_of_these_bytes_with_key_and_token(scheme: str) -> None:
    async with wire(answer(202)) as served:
        assert await push(served.url + "?region=eu", scheme=scheme) == Acknowledged(202)
    (request,) = served.requests
    assert request.line == "POST /apps?region=eu HTTP/1.1"
    assert request.body == BODY
    assert request.headers["idempotency-key"] == KEY
    assert request.headers["authorization"] == f"{scheme} {TOKEN}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("hossted-reconciler/")


async def test_a_redirect_is_not_followed() -> None:
    async with wire(answer(200)) as elsewhere:
        result, _ = await pushed_to(answer(307, Location=elsewhere.url))
    assert isinstance(result, Stop)
    assert elsewhere.requests == []


async def test_a_portal_that_says_200_has_not_acknowledged() -> None:
    result, _ = await pushed_to(answer(200, "<h1>Log in</h1>", Content_Type="text/html"))
    assert isinstance(result, Stop)


@pytest.mark.parametrize(
    "behaviour",
    [b"", b"HTTP/1.1 200", b"HTTP/1.1 oops\r\n\r\n", b"SSH-2.0-OpenSSH_9.9\r\n"],
    ids=["it hangs up", "it breaks off", "it is no HTTP status", "it is no HTTP"],
)
async def test_what_is_no_answer_is_tried_again(behaviour: bytes) -> None:
    result, _ = await pushed_to(behaviour)
    assert isinstance(result, Again)
    assert (result.status, result.what[:11]) == (0, "no answer: ")


async def test_nobody_there_is_tried_again() -> None:
    async with wire(answer(200)) as served:
        pass
    assert isinstance(await push(served.url), Again)


async def test_a_host_that_has_no_address_is_tried_again() -> None:
    assert isinstance(await push("http://no-such-host.invalid/apps"), Again)


async def test_a_server_that_never_answers_is_given_up_after_the_timeout() -> None:
    result, _ = await pushed_to(silence, seconds=0.05)
    assert result == Again("no answer within 0.05 s")


async def test_the_timeout_is_of_the_whole_request_not_of_each_byte() -> None:
    async def one_byte_at_a_time(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)  # what is tested is a server that is slow

    result, _ = await pushed_to(one_byte_at_a_time, seconds=0.1)
    assert result == Again("no answer within 0.1 s")


@pytest.mark.parametrize(
    ("status", "expected"), [(200, Acknowledged(200)), (422, Rejected(422, "answered 422: ab"))]
)
async def test_the_status_counts_even_if_the_text_after_it_breaks_off(status: int, expected: Answer) -> None:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: text/plain\r\nContent-Length: 50\r\n\r\n"
    result, _ = await pushed_to(head.encode() + b"ab")
    assert result in (expected, Rejected(422, "answered 422"))


async def test_no_more_of_an_answer_is_read_than_is_needed() -> None:
    sent = 0

    async def endless(_: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    result, _ = await pushed_to(endless)
    assert result == Acknowledged(200)
    assert sent < 500 * MOST_READ  # what the kernel buffers


@pytest.mark.parametrize("echo", [TOKEN, json.dumps({"token": TOKEN}).replace("-", "\\-")])
async def test_no_message_and_no_log_line_has_the_token_or_the_query(
    echo: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with wire(answer(401, f"wrong: Bearer {echo}", Content_Type="text/plain")) as served:
        result = await push(served.url + "?code=s3cr3t")
    assert isinstance(result, Stop)
    assert result.what == "answered 401 (check HOSSTED_AUTH_TOKEN and HOSSTED_AUTH_SCHEME)"
    assert "s3cr3t" not in caplog.text
    assert TOKEN not in caplog.text


async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    result, _ = await pushed_to(answer(200))
    assert result == Acknowledged(200)


@pytest.fixture
async def untrusted() -> AsyncIterator[str]:
    """The URL of a TLS server whose certificate nobody signed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    async with await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0, ssl=context) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/apps"


async def test_a_certificate_that_nobody_vouches_for_gets_no_push(untrusted: str) -> None:
    result = await push(untrusted)
    assert isinstance(result, Again)
    assert "certificate" in result.what.lower()


async def test_connections_are_used_again() -> None:
    accepted = 0

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        for _ in range(3):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(BODY))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        api = Api(ApiSettings(url=f"http://127.0.0.1:{port}/", token=TOKEN))
        for _ in range(3):
            assert await api.push(BODY, KEY, 30.0) == Acknowledged(200)
        await api.close()
    assert accepted == 1
