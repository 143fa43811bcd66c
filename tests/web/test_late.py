"""The API whose client is made when something is first sent: over real sockets, or in another process."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.delivery.answers import Acknowledged, Again
from reconciler.delivery.api import Api
from reconciler.delivery.credentials import Credentials
from reconciler.delivery.late import LateApi
from reconciler.errors import SettingsError
from reconciler.settings import ApiSettings
from tests.web.wire import answer, wire
from tests.web.world import TOKEN

KEY = "019f3a50-0000-7000-8000-000000000000"
BODY = b'{"app":"x"}'


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[ApiSettings]:
    """Of what clients were made."""
    settings: list[ApiSettings] = []
    make = Api.__init__

    def noted(self: Api, given: ApiSettings, credentials: Credentials | None = None) -> None:
        settings.append(given)
        make(self, given, credentials)

    monkeypatch.setattr(Api, "__init__", noted)
    return settings


async def test_what_is_sent_at_one_time_is_sent_by_one_client(made: list[ApiSettings]) -> None:
    async with wire(answer(200)) as served:
        api = LateApi(ApiSettings(url=served.url, token=TOKEN))
        answers = await asyncio.gather(*(api.push(BODY, KEY, 30.0) for _ in range(4)))
        await api.close()
    assert answers == [Acknowledged(200)] * 4
    assert [request.body for request in served.requests] == [BODY] * 4
    assert len(made) == 1


async def test_it_can_be_made_before_without_asking_anybody(made: list[ApiSettings]) -> None:
    async with wire(answer(200)) as served:
        api = LateApi(ApiSettings(url=served.url, token=TOKEN))
        await api.prepare()
        await api.prepare()
        assert (len(made), served.requests) == (1, [])
        assert await api.push(BODY, KEY, 30.0) == Acknowledged(200)
        await api.close()
    assert len(made) == 1


async def test_what_cannot_be_used_is_said_when_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="HOSSTED_API_URL is not a URL"):
        LateApi(ApiSettings(url="https://[x/", token=TOKEN))
    with pytest.raises(SettingsError, match=r"HOSSTED_AUTH_TOKEN_FILE: .* cannot be read"):
        LateApi(ApiSettings(url="https://x/", token="", token_file=tmp_path / "none"))


async def test_a_url_that_only_the_client_refuses_is_an_error_that_names_it() -> None:
    api = LateApi(ApiSettings(url=f"https://x/{'y' * 70_000}", token=TOKEN))
    await api.prepare()
    with pytest.raises(SettingsError, match="HOSSTED_API_URL"):
        await api.push(BODY, KEY, 30.0)
    await api.close()


async def test_the_token_that_is_there_when_something_is_sent_is_used(tmp_path: Path) -> None:
    """Be it replaced before the client is made, or after."""
    file = tmp_path / "token"
    file.write_text("first")
    async with wire(answer(200), answer(200)) as served:
        api = LateApi(ApiSettings(url=served.url, token="", token_file=file))
        assert api.may_renew
        file.write_text("second")
        assert await api.renew()
        assert not await api.renew()
        await api.push(BODY, KEY, 30.0)
        file.write_text("")
        assert not await api.renew()
        assert "is empty" in api.notice
        file.write_text("third")
        assert await api.renew()
        assert api.notice == ""
        await api.push(BODY, KEY, 30.0)
        await api.close()
    assert [one.headers["authorization"] for one in served.requests] == ["Bearer second", "Bearer third"]


async def test_a_token_that_was_given_is_not_looked_for() -> None:
    api = LateApi(ApiSettings(url="https://x/", token=TOKEN))
    assert not api.may_renew
    assert not await api.renew()
    await api.close()


async def test_to_make_the_client_is_part_of_the_time_that_a_push_has() -> None:
    async with wire(answer(200)) as served:
        api = LateApi(ApiSettings(url=served.url, token=TOKEN))
        assert await api.push(BODY, KEY, 1e-6) == Again("no answer within 1e-06 s")
        await api.close()
    assert served.requests == []


def test_with_nothing_to_send_there_is_no_client() -> None:
    program = (
        "import asyncio, ssl, sys\n"
        "from reconciler.delivery.late import LateApi\n"
        "from reconciler.settings import ApiSettings\n"
        "ssl.SSLContext.load_verify_locations = ssl.create_default_context = None  # would fail\n"
        "async def life():\n"
        "    api = LateApi(ApiSettings(url='https://x/', token='t'))\n"
        "    await api.renew()\n"
        "    await api.close()\n"
        "    return api.endpoint\n"
        "print(asyncio.run(life()), [name for name in ('httpx', 'certifi') if name in sys.modules])\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (child.stdout, child.stderr) == ("https://x/ []\n", "")
