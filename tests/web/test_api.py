"""The API's client over real sockets: what is sent, and what is said of it. Answers: ``test_answers``."""

import asyncio
import json
import logging
from base64 import b64encode

import pytest

from reconciler.delivery.answers import Acknowledged, Again, Answer, Stop
from reconciler.delivery.api import Api
from reconciler.settings import ApiSettings
from tests.web.wire import answer, wire
from tests.web.world import TOKEN

KEY = "019f3a50-0000-7000-8000-000000000000"
BODY = b'{"app":"x"}'


async def push(url: str, seconds: float = 30.0, scheme: str = "Bearer") -> Answer:
    api = Api(ApiSettings(url=url, token=TOKEN, scheme=scheme))
    try:
        return await api.push(BODY, KEY, seconds)
    finally:
        await api.close()


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


async def test_nobody_there_is_tried_again() -> None:
    async with wire(answer(200)) as served:
        pass
    assert isinstance(await push(served.url), Again)


async def test_a_host_that_has_no_address_is_tried_again() -> None:
    assert isinstance(await push("http://no-such-host.invalid/apps"), Again)


@pytest.mark.parametrize(
    "echo",
    [
        TOKEN,
        json.dumps({"token": TOKEN}).replace("-", "\\-"),
        b64encode(f"Bearer {TOKEN}".encode()).decode(),
        "POST /apps?code=s3cr3t",
    ],
    ids=["the header", "in JSON", "in base64", "the query"],
)
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
