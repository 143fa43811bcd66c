"""What each answer makes the client believe, at the wire: the table of ``docs/delivery.md``.

Servers that are slow, broken or hostile included. What the delivery does about it is in ``test_deliver``.
"""

import asyncio
import gzip
import tracemalloc
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from reconciler.delivery import api as delivery_api
from reconciler.delivery.answers import Acknowledged, Again, Answer, Outdated, Rejected, Stop
from reconciler.delivery.api import MOST_READ, Api
from reconciler.settings import ApiSettings
from tests.web.wire import Behaviour, Request, Wire, answer, silence, wire
from tests.web.world import TOKEN

KEY = "019f3a50-0000-7000-8000-000000000000"
NEWER = "019f3a50-0001-7000-8000-000000000000"
BODY = b'{"app":"x"}'
TEXT = {"Content_Type": "text/plain"}

OK = Acknowledged(200)
NO_ANSWER = Again("no answer: ")
"""Stands for any reason: what is compared is how it begins."""


async def pushed_to(*behaviours: Behaviour, seconds: float = 30.0) -> tuple[Answer, Wire]:
    async with wire(*behaviours) as served:
        api = Api(ApiSettings(url=served.url, token=TOKEN))
        try:
            return await api.push(BODY, KEY, seconds), served
        finally:
            await api.close()


def is_like(result: Answer, expected: Answer) -> bool:
    if expected is NO_ANSWER:
        return isinstance(result, Again) and result.status == 0 and result.what.startswith(expected.what)
    return result == expected


def raw(*lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join([*lines, "", ""]).encode() + body


CHUNKED = ("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
BOMB = gzip.compress(b"x" * 10_000_000)

ANSWERS: dict[str, tuple[Behaviour, Answer]] = {
    "200": (answer(200), OK),
    "201": (answer(201, "made"), Acknowledged(201)),
    "202": (answer(202), Acknowledged(202)),
    "204": (raw("HTTP/1.1 204 No Content"), Acknowledged(204)),
    "299": (answer(299), Acknowledged(299)),
    "200 and a text": (answer(200, "thanks", **TEXT), OK),
    "200 and HTML": (
        answer(200, "<html>", Content_Type="text/html; charset=utf-8"),
        Stop(200, "200 with a web page: this is a portal, not the Hossted API"),
    ),
    "400": (answer(400, "no such cluster", **TEXT), Rejected(400, "answered 400: no such cluster")),
    "413": (answer(413), Rejected(413, "answered 413")),
    "422": (answer(422, '{"x":1}', Content_Type="application/json"), Rejected(422, 'answered 422: {"x":1}')),
    "408": (answer(408), Again("answered 408", 408)),
    "425": (answer(425), Again("answered 425", 425)),
    "409 without a key": (answer(409), Again("answered 409", 409)),
    "409 with a key": (answer(409, Idempotency_Key=NEWER), Outdated(NEWER)),
    "409 with a quoted key": (answer(409, Idempotency_Key=f'"{NEWER}"'), Outdated(NEWER)),
    "409 with nonsense": (answer(409, Idempotency_Key="newest"), Again("answered 409", 409)),
    "429 and seconds": (answer(429, Retry_After="7"), Again("answered 429", 429, 7.0)),
    "429 and nonsense": (answer(429, Retry_After="soon"), Again("answered 429", 429)),
    "503 and a day": (answer(503, Retry_After="86400"), Again("answered 503", 503, 3600.0)),
    "500": (answer(500, "<h1>oh</h1>", Content_Type="text/html"), Again("answered 500", 500)),
    "599": (answer(599), Again("answered 599", 599)),
    "401": (
        answer(401),
        Stop(401, "answered 401 (check HOSSTED_AUTH_TOKEN and HOSSTED_AUTH_SCHEME)"),
    ),
    "404": (answer(404), Stop(404, "answered 404 (check HOSSTED_API_URL; redirects are not followed)")),
    "407": (
        answer(407),
        Stop(407, "answered 407 (a proxy wants other credentials: check HTTPS_PROXY or HTTP_PROXY)"),
    ),
    "418": (answer(418, "short and stout", **TEXT), Stop(418, "answered 418: short and stout")),
    "301": (
        answer(301, Location="http://127.0.0.1:1/"),
        Stop(301, "answered 301 (check HOSSTED_API_URL; redirects are not followed)"),
    ),
    "600": (answer(600), Stop(600, "answered 600")),
    # Not the HTTP/1.1 that one expects
    "HTTP/1.0": (raw("HTTP/1.0 200 OK", body=b"ok"), OK),
    "HTTP/1.0 and a refusal": (
        raw("HTTP/1.0 400 no", "Content-Type: text/plain", body=b"no"),
        Rejected(400, "answered 400: no"),
    ),
    "100 before": (raw("HTTP/1.1 100 Continue") + answer(200), OK),
    "103 before, thrice": (
        raw("HTTP/1.1 103 Early Hints", "Link: </x>") * 3 + answer(202),
        Acknowledged(202),
    ),
    "101": (raw("HTTP/1.1 101 Switching Protocols", "Upgrade: x", "Connection: upgrade"), NO_ANSWER),
    "HTTP/2": (b"\0\0\x12\x04\0\0\0\0\0", NO_ANSWER),
    "TLS": (b"\x15\x03\x01\0\x02\x02\x50", NO_ANSWER),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.9\r\n", NO_ANSWER),
    "no status": (b"HTTP/1.1 oops\r\n\r\n", NO_ANSWER),
    "half a head": (b"HTTP/1.1 200 OK\r\nX: y", NO_ANSWER),
    "nothing": (b"", NO_ANSWER),
    # What is said of the body is not so
    "less than was said": (raw("HTTP/1.1 200 OK", "Content-Length: 50", body=b"ab"), OK),
    "more than was said": (raw("HTTP/1.1 200 OK", "Content-Length: 2", body=b"abcdefgh"), OK),
    "a length that is none": (raw("HTTP/1.1 200 OK", "Content-Length: much"), NO_ANSWER),
    "a length below 0": (raw("HTTP/1.1 200 OK", "Content-Length: -5"), NO_ANSWER),
    "two lengths": (raw("HTTP/1.1 200 OK", "Content-Length: 1", "Content-Length: 2", body=b"ab"), NO_ANSWER),
    "a length without end": (raw("HTTP/1.1 200 OK", f"Content-Length: {'9' * 18}", body=b"ab"), OK),
    "chunks that are none": (raw(*CHUNKED, body=b"zz\r\nxx"), OK),
    "a chunk that breaks off": (raw(*CHUNKED, body=b"ff\r\nxx"), OK),
    "a chunk without end": (raw(*CHUNKED, body=b"fffffffffff\r\nxx"), OK),
    "another encoding": (raw("HTTP/1.1 200 OK", "Transfer-Encoding: rot13", body=b"ab"), NO_ANSWER),
    "a bomb": (
        raw("HTTP/1.1 422 no", "Content-Type: text/plain", "Content-Encoding: gzip", body=BOMB)[:9000],
        Rejected(422, "answered 422"),
    ),
    # Heads
    "a header of 200 kB": (raw("HTTP/1.1 200 OK", f"X: {'x' * 200_000}"), NO_ANSWER),
    "3,000 headers": (raw("HTTP/1.1 200 OK", *(f"X-{n}: y" for n in range(3000)), "Content-Length: 0"), OK),
    "50,000 headers": (raw("HTTP/1.1 200 OK", *(f"X-{n}: y" for n in range(50_000))), NO_ANSWER),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_means(name: str) -> None:
    behaviour, expected = ANSWERS[name]
    result, served = await pushed_to(behaviour)
    if name == "a bomb":  # which is not opened, so that what is quoted of it is no text
        assert isinstance(result, Rejected)
        assert len(result.what) <= len("answered 422: ") + 200
    else:
        assert is_like(result, expected), result
    assert len(served.requests) == 1


async def test_retry_after_may_be_a_date() -> None:
    moment = datetime.now(UTC) + timedelta(minutes=20)
    result, _ = await pushed_to(answer(503, Retry_After=format_datetime(moment, usegmt=True)))
    assert isinstance(result, Again)
    assert result.after is not None
    assert 0 < result.after <= 1200


async def hang_up_hard(_: Request, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()  # a reset, where the kernel has unread data


async def half_close(_: Request, writer: asyncio.StreamWriter) -> None:
    writer.write_eof()
    await asyncio.Event().wait()


async def answer_and_half_close(_: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(raw("HTTP/1.1 200 OK", "Content-Length: 50", body=b"ab"))
    writer.write_eof()
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [(hang_up_hard, NO_ANSWER), (half_close, NO_ANSWER), (answer_and_half_close, OK)],
    ids=["it dies", "it closes its half", "it closes its half after the status"],
)
async def test_a_server_that_goes_away(behaviour: Behaviour, expected: Answer) -> None:
    result, served = await pushed_to(behaviour)
    assert is_like(result, expected), result
    assert len(served.requests) == 1


async def test_one_that_dies_before_it_reads() -> None:
    async def dies(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with await asyncio.start_server(dies, "127.0.0.1", 0) as server:
        api = Api(ApiSettings(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", token=TOKEN))
        assert is_like(await api.push(BODY, KEY, 30.0), NO_ANSWER)
        await api.close()


async def test_one_that_never_answers_is_given_up_by_the_timeout_of_it_all() -> None:
    result, _ = await pushed_to(silence, seconds=0.05)
    assert result == Again("no answer within 0.05 s")


async def test_one_that_says_nothing_is_given_up_before_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_api, "READ", 0.05)
    result, _ = await pushed_to(silence)
    assert result == Again("no answer: it says nothing for 0.05 s")


async def test_one_that_takes_no_data_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_api, "WRITE", 0.05)
    gone = asyncio.Event()

    async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a socket it is
        await gone.wait()
        writer.close()

    async with await asyncio.start_server(deaf, "127.0.0.1", 0) as server:
        api = Api(ApiSettings(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", token=TOKEN))
        result = await api.push(b"x" * 30_000_000, KEY, 30.0)
        gone.set()
        await api.close()
    assert result == Again("no answer: it takes no data for 0.05 s")


def dripping(head: bytes, drop: bytes) -> Behaviour:
    """A server that keeps the connection busy for ever: a drop at a time."""

    async def drip(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.01)  # what is tested is a server that is slow

    return drip


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"", raw("HTTP/1.1 100 Continue")),
        (b"", raw("HTTP/1.1 103 Early Hints", f"Link: {'x' * 5000}")),
    ],
    ids=["a header, byte by byte", "100 without end", "103 without end"],
)
async def test_one_that_drips_is_given_up_by_the_timeout_of_it_all(head: bytes, drop: bytes) -> None:
    result, _ = await pushed_to(dripping(head, drop), seconds=0.2)
    assert result == Again("no answer within 0.2 s")


@pytest.mark.parametrize(("status", "expected"), [(200, OK), (422, Rejected(422, "answered 422"))])
async def test_a_text_that_drips_is_not_waited_for(
    status: int, expected: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_api, "TEXT", 0.05)
    head = raw(f"HTTP/1.1 {status} X", "Content-Length: 100000")
    result, _ = await pushed_to(dripping(head, b"x"))
    assert result == expected


GIGABYTE = 1 << 30
PIECE = b"x" * (1 << 20)


@pytest.mark.parametrize(
    "head",
    [
        raw("HTTP/1.1 422 no", "Content-Type: text/plain", f"Content-Length: {GIGABYTE}"),
        raw(
            "HTTP/1.1 422 no", "Content-Type: text/plain", "Transfer-Encoding: chunked", body=b"40000000\r\n"
        ),
        raw("HTTP/1.1 422 no", "Content-Type: text/plain"),
    ],
    ids=["of that length", "in one chunk", "until it closes"],
)
async def test_of_a_body_of_a_gigabyte_a_little_is_read_and_less_kept(head: bytes) -> None:
    sent, gone = 0, asyncio.Event()

    async def generous(_: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(head)
        try:
            while sent < GIGABYTE:
                writer.write(PIECE)
                await writer.drain()
                sent += len(PIECE)
        finally:
            gone.set()

    async with wire(generous) as served:
        api = Api(ApiSettings(url=served.url, token=TOKEN))
        tracemalloc.start()
        try:
            result = await api.push(BODY, KEY, 30.0)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        await gone.wait()  # it was told that nobody listens
        await api.close()
    assert isinstance(result, Rejected)
    assert sent < 32 * len(PIECE), "what the kernel's buffers hold, and the server's own"
    assert peak < 8 * len(PIECE) + 4 * MOST_READ


async def test_no_cookie_is_kept() -> None:
    async with wire(answer(200, Set_Cookie="session=abc; Path=/"), answer(200)) as served:
        api = Api(ApiSettings(url=served.url, token=TOKEN))
        for _ in range(2):
            assert await api.push(BODY, KEY, 30.0) == OK
        await api.close()
    assert ["cookie" in request.headers for request in served.requests] == [False, False]


async def test_garbage_that_has_the_token_in_it_is_not_quoted() -> None:
    result, _ = await pushed_to(f"Bearer {TOKEN}\r\n\r\n".encode())
    assert isinstance(result, Again)
    assert result.what == "no answer: RemoteProtocolError"
