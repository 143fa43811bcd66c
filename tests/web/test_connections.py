"""How requests get there: connections that servers close, certificates, proxies."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from reconciler.delivery.answers import Acknowledged, Again, Answer, Stop
from reconciler.delivery.api import Api
from reconciler.settings import ApiSettings, load
from tests.git.servers.certificates import Authority
from tests.web.wire import Behaviour, answer, wire
from tests.web.world import TOKEN

KEY = "019f3a50-0000-7000-8000-000000000000"
BODY = b'{"app":"' + b"x" * 3000 + b'"}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Idle:
    """A server that answers the first request of each connection, and then does what ``then`` says."""

    def __init__(self, then: Callable[["Idle", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]):
        self._then = then
        self.connections = 0
        self.requests: list[bytes] = []

    async def take(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head + await reader.readexactly(len(BODY)))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.take(reader)
            writer.write(OK)
            await writer.drain()
            await self._then(self, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has closed it
        finally:
            writer.close()


async def close_at_once(_: Idle, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def close_at_the_first_byte(
    _: Idle, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await reader.readexactly(1)
    writer.close()


async def reset_at_the_first_byte(
    _: Idle, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await reader.readexactly(1)
    writer.transport.abort()


async def close_after_the_head(_: Idle, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def close_after_the_body(
    idle: Idle, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await idle.take(reader)
    writer.close()


async def break_off(idle: Idle, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await idle.take(reader)
    writer.write(b"HTTP/1.1 2")
    writer.close()


async def say_408(idle: Idle, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await idle.take(reader)
    writer.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def say_408_at_once(_: Idle, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    writer.close()


@asynccontextmanager
async def serving(idle: Idle) -> AsyncIterator[Api]:
    async with await asyncio.start_server(idle.serve, "127.0.0.1", 0) as server:
        api = Api(ApiSettings(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", token=TOKEN))
        yield api
        await api.close()


@pytest.mark.parametrize(
    "then",
    [
        close_at_once,
        close_at_the_first_byte,
        reset_at_the_first_byte,
        close_after_the_head,
        close_after_the_body,
        break_off,
        say_408,
        say_408_at_once,
    ],
)
async def test_a_server_that_closes_idle_connections_costs_no_push(
    then: Callable[[Idle, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> None:
    idle = Idle(then)
    async with serving(idle) as api:
        for _ in range(10):
            assert await api.push(BODY, KEY, 30.0) == Acknowledged(200)
    assert idle.connections == 10
    assert len(set(idle.requests)) == 1, "the same bytes under the same key"


async def test_eight_connections_that_are_closed_at_once_cost_no_push_either() -> None:
    idle = Idle(close_after_the_body)
    async with serving(idle) as api:
        for _ in range(5):
            answers = await asyncio.gather(*(api.push(BODY, KEY, 30.0) for _ in range(8)))
            assert answers == [Acknowledged(200)] * 8


async def test_what_fails_on_a_new_connection_too_is_not_sent_a_third_time() -> None:
    arrived = 0

    async def only_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        while True:
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(BODY))
            arrived += 1
            if arrived > 1:
                break
            writer.write(OK)
        writer.close()

    async with await asyncio.start_server(only_the_first, "127.0.0.1", 0) as server:
        api = Api(ApiSettings(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", token=TOKEN))
        assert await api.push(BODY, KEY, 30.0) == Acknowledged(200)
        assert isinstance(await api.push(BODY, KEY, 30.0), Again)
        await api.close()
    assert arrived == 3


# Certificates


async def pushed(settings: ApiSettings) -> Answer:
    api = Api(settings)
    try:
        return await api.push(BODY, KEY, 30.0)
    finally:
        await api.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    authority = Authority(tmp_path)
    (tmp_path / "ca.crt").write_text(authority.pem)
    return authority


def of_another_authority(folder: Path, _: Authority) -> ssl.SSLContext:
    return Authority(folder, "Another authority").server("127.0.0.1")


def of_another_host(_: Path, authority: Authority) -> ssl.SSLContext:
    return authority.server("192.0.2.1", "localhost")


def expired(_: Path, authority: Authority) -> ssl.SSLContext:
    return authority.server("127.0.0.1", expired=True)


def not_valid_yet(_: Path, authority: Authority) -> ssl.SSLContext:
    return authority.server("127.0.0.1", early=True)


@pytest.mark.parametrize(
    ("server", "what"),
    [
        (of_another_authority, "its certificate is of an authority that is not trusted: give that one's in"),
        (of_another_host, "its certificate is for another host: check HOSSTED_API_URL"),
        (expired, "its certificate has expired: it needs a new one"),
        (not_valid_yet, "its certificate is not valid yet: check the clocks"),
    ],
)
async def test_a_server_that_does_not_prove_who_it_is_gets_no_push_and_the_reason_is_said(
    server: Callable[[Path, Authority], ssl.SSLContext],
    what: str,
    authority: Authority,
    tmp_path: Path,
) -> None:
    async with wire(answer(200), tls=server(tmp_path, authority)) as served:
        result = await pushed(ApiSettings(url=served.url, token=TOKEN, ca_file=tmp_path / "ca.crt"))
    assert isinstance(result, Again)
    assert result.what.startswith(f"no answer: {what}"), result.what
    assert served.requests == []


async def test_a_server_that_speaks_no_tls_gets_no_push_and_the_reason_is_said() -> None:
    came = bytearray()

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.extend(await reader.read(1000))
        writer.write(answer(400, "The plain HTTP request was sent to HTTPS port"))
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        result = await pushed(ApiSettings(url=url, token=TOKEN))
    assert isinstance(result, Again)
    assert result.what.startswith("no answer: no TLS can be spoken with it: check HOSSTED_API_URL (")
    assert TOKEN.encode() not in came


async def test_an_authority_of_ones_own_is_believed_and_public_ones_are_not_needed(
    authority: Authority, tmp_path: Path
) -> None:
    async with wire(answer(200), tls=authority.server("127.0.0.1")) as served:
        settings = ApiSettings(url=served.url, token=TOKEN, ca_file=tmp_path / "ca.crt")
        assert await pushed(settings) == Acknowledged(200)
        without = await pushed(ApiSettings(url=served.url, token=TOKEN))
    assert isinstance(without, Again)
    assert "not trusted" in without.what


def renew_authorities(file: Path, *authorities: Authority) -> None:
    file.write_text("".join(one.pem for one in authorities))


async def test_an_authority_that_is_replaced_is_believed_without_a_new_process(
    authority: Authority, tmp_path: Path
) -> None:
    later = Authority(tmp_path, "Later authority")
    async with wire(answer(200), tls=later.server("127.0.0.1")) as served:
        api = Api(ApiSettings(url=served.url, token=TOKEN, ca_file=tmp_path / "ca.crt"))
        assert isinstance(await api.push(BODY, KEY, 30.0), Again)
        renew_authorities(tmp_path / "ca.crt", later)
        assert await api.renew()
        assert await api.push(BODY, KEY, 30.0) == Acknowledged(200)
        await api.close()


# Proxies

PROXY_PASSWORD = "pr0xy-p4ss"


def through(port: int, url: str = "http://api.example/apps", **more: str) -> ApiSettings:
    """The settings of an environment with a proxy for everything on this port."""
    proxy = f"http://jo:{PROXY_PASSWORD}@127.0.0.1:{port}"
    env = {"HOSSTED_API_URL": url, "HOSSTED_AUTH_TOKEN": TOKEN, "ALL_PROXY": proxy, **more}
    settings = load(env).api
    assert settings is not None
    return settings


async def test_a_proxy_of_the_environment_is_asked_with_its_credentials() -> None:
    async with wire(answer(200)) as proxy:
        assert await pushed(through(proxy.port)) == Acknowledged(200)
    (request,) = proxy.requests
    assert request.line == "POST http://api.example/apps HTTP/1.1"
    assert request.headers["proxy-authorization"].startswith("Basic ")


@pytest.mark.parametrize("exception", ["127.0.0.1", "*"])
async def test_no_proxy_is_asked_where_there_is_an_exception(exception: str) -> None:
    async with wire(answer(200)) as served:
        settings = through(1, served.url, NO_PROXY=exception)
        assert await pushed(settings) == Acknowledged(200)


async def test_a_proxy_that_is_not_there_is_tried_again() -> None:
    async with wire(answer(200)) as proxy:
        pass
    result = await pushed(through(proxy.port))
    assert isinstance(result, Again)
    assert PROXY_PASSWORD not in result.what


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        pytest.param(answer(407), Stop, id="407"),
        pytest.param(answer(403), Stop, id="403"),
        pytest.param(answer(503), Again, id="503"),
        pytest.param(b"HTTP/1.1 nonsense\r\n\r\n", Again, id="nonsense"),
        pytest.param(b"", Again, id="nothing"),
    ],
)
async def test_a_proxy_that_opens_no_tunnel(said: Behaviour, kind: type[Answer]) -> None:
    async with wire(said) as proxy:
        result = await pushed(through(proxy.port, "https://api.example/apps"))
    assert isinstance(result, kind)
    (request,) = proxy.requests
    assert request.line == "CONNECT api.example:443 HTTP/1.1"
    assert "authorization" not in request.headers, "the token is not the proxy's business"


async def test_a_proxy_that_echoes_its_credentials_is_not_quoted() -> None:
    said = f"HTTP/1.1 407 {PROXY_PASSWORD} is wrong\r\nContent-Length: 0\r\n\r\n".encode()
    async with wire(said) as proxy:
        result = await pushed(through(proxy.port, "https://api.example/apps"))
    assert isinstance(result, Stop)
    assert PROXY_PASSWORD not in result.what
    assert "407" in result.what
