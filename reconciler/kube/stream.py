"""One streamed answer of the API server, read by a thread and iterated by a task."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress

import urllib3
from urllib3.exceptions import HTTPError

from reconciler.kube.transport import Answer, Transport, lines


class Stream:
    """The lines of a streamed answer, in order; an Answer in their place when its status is not 2xx.

    Raises Unanswered when the connection cannot be made, breaks or falls silent, SettingsError when the
    credentials were refused and cannot be loaded again. The thread owns the answer and closes it; ``stop``
    unblocks its read, so that neither task nor program waits for it. ``accepted`` is called on the loop
    when the answer begins with 200, and never after ``stop``.
    """

    def __init__(
        self,
        transport: Transport,
        path: str,
        headers: Mapping[str, str],
        read_timeout: float,
        accepted: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._path = path
        self._headers = headers
        self._read_timeout = read_timeout
        self._accepted = accepted
        self._queue: asyncio.Queue[bytes | Answer | BaseException | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._stopped = False
        self._response: urllib3.BaseHTTPResponse | None = None
        threading.Thread(target=self._run, name="kubernetes watch", daemon=True).start()

    async def __aiter__(self) -> AsyncIterator[bytes | Answer]:
        while (item := await self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def stop(self) -> None:
        """End the connection at once; harmless when it has ended."""
        with self._lock:
            self._stopped = True
            if self._response is not None:
                # Whatever cannot be shut down has broken or ended by itself.
                with suppress(OSError, ValueError, RuntimeError):
                    self._response.shutdown()

    def _run(self) -> None:
        try:
            self._read()
        except (HTTPError, OSError, ValueError) as error:
            # ValueError: what http.client raises when a read meets a connection that was shut down.
            self._put(self._transport.unanswered(error))
        except BaseException as error:  # whoever iterates must not wait for ever
            self._put(error)
        self._put(None)

    def _read(self) -> None:
        response = self._transport.open(self._path, self._headers, self._read_timeout)
        with response:
            with self._lock:
                if self._stopped:
                    return
                self._response = response
            try:
                if response.status == 200:
                    self._call(self._accept)
                    for line in lines(response):
                        self._put(line)
                else:
                    body = response.read(65_536)
                    self._put(Answer(response.status, body, response.headers.get("retry-after", "")))
            finally:
                with self._lock:
                    self._response = None

    def _accept(self) -> None:
        if not self._stopped:
            self._accepted()

    def _put(self, item: bytes | Answer | BaseException | None) -> None:
        self._call(lambda: self._queue.put_nowait(item))

    def _call(self, what: Callable[[], None]) -> None:
        # RuntimeError: the loop is closed, so nobody reads any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what)
