"""The Hossted API, of which the HTTP client is made when something is first sent.

To import the client and to read the public authorities takes as long as looking at a small cluster, and a
process that has nothing to tell needs neither. What a person can have got wrong (the URL, the files) is
looked at when this is made.
"""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.delivery.answers import Again, Answer
from reconciler.delivery.credentials import Credentials
from reconciler.delivery.endpoint import endpoint_of
from reconciler.errors import SettingsError
from reconciler.settings import ApiSettings

if TYPE_CHECKING:
    from reconciler.delivery.api import Api


class LateApi:
    """An ``Api``, later. Close it when done."""

    def __init__(self, settings: ApiSettings) -> None:
        """Raises SettingsError when the URL, or a file that is named, cannot be used."""
        self.endpoint = endpoint_of(settings.url)
        self._settings = settings
        self._credentials = Credentials(settings)
        self._making = asyncio.Lock()
        self._api: Api | None = None

    @property
    def notice(self) -> str:
        """As ``Api.notice``."""
        return self._credentials.notice

    @property
    def may_renew(self) -> bool:
        """As ``Api.may_renew``."""
        return self._credentials.in_files

    async def renew(self) -> bool:
        """As ``Api.renew``."""
        if self._api is not None:
            return await self._api.renew()
        return self.may_renew and await asyncio.to_thread(self._credentials.read_again)

    async def prepare(self) -> None:
        """Have the client ready; nothing is sent. What is wrong with it is said when something is."""
        with suppress(SettingsError):
            await self._made()

    async def push(self, body: bytes, key: str, timeout: float) -> Answer:  # noqa: ASYNC109 - as Api.push
        """As ``Api.push``; to make the client is part of the time. SettingsError for a URL that only it
        refuses."""
        now = asyncio.get_running_loop().time
        began = now()
        api = await self._made()
        left = timeout - (now() - began)
        return await api.push(body, key, left) if left > 0 else Again(f"no answer within {timeout:.3g} s")

    async def close(self) -> None:
        """Let go of the connections, if there are any."""
        if self._api is not None:
            await self._api.close()

    async def _made(self) -> "Api":
        async with self._making:
            if self._api is None:
                self._api = await asyncio.to_thread(self._make)
            return self._api

    def _make(self) -> "Api":
        from reconciler.delivery.api import Api  # noqa: PLC0415 - see the module's docstring

        return Api(self._settings, self._credentials)
