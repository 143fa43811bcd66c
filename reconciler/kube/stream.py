"""One streamed answer of the API server, read by a thread and iterated by a task.

What is read is decoded by who iterates: two threads that both run Python, each a moment at a time, cost more
than they share. In a storm the thread rests between two reads (``gathering``), but only when it has read all
that there was, so that it never falls behind.
"""

import asyncio
import select
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from time import monotonic

import urllib3
from urllib3.exceptions import HTTPError

from reconciler.kube.framing import framing_of
from reconciler.kube.gathering import Gathering
from reconciler.kube.transport import Answer, Transport, pieces


class NotUnderstood(Exception):  # noqa: N818 - not an error of ours: it becomes a KubernetesError
    """The answer is not what it should be."""


class Stream:
    """The events of a streamed answer, in order, as many at a time as have come; an Answer in their place
    when its status is not 200.

    Raises Unanswered when the connection cannot be made, breaks or falls silent, SettingsError when the
    credentials were refused and cannot be loaded again, NotUnderstood for an event that is too long: what
    came before is given first. The thread owns the answer and closes it; ``stop`` unblocks its read, so that
    neither task nor program waits for it. ``accepted`` is called on the loop when the answer begins with 200,
    and never after ``stop``.
    """

    def __init__(
        self,
        transport: Transport,
        path: str,
        headers: Mapping[str, str],
        *,
        read_timeout: float,
        accepted: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._path = path
        self._headers = headers
        self._read_timeout = read_timeout
        self._accepted = accepted
        self._waiting: deque[list[bytes] | Answer | BaseException | None] = deque()
        self._news = asyncio.Event()
        self._told = False
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._response: urllib3.BaseHTTPResponse | None = None
        threading.Thread(target=self._run, name="kubernetes watch", daemon=True).start()

    async def __aiter__(self) -> AsyncIterator[list[bytes] | Answer]:
        while True:
            await self._news.wait()
            self._news.clear()
            self._told = False  # from here on the thread says so again, so that nothing is left waiting
            while self._waiting:
                item = self._waiting.popleft()
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item

    def stop(self) -> None:
        """End the connection at once; harmless when it has ended."""
        with self._lock:
            self._stopped.set()
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
                if self._stopped.is_set():
                    return
                self._response = response
            try:
                if response.status == 200:
                    self._call(self._accept)
                    self._read_events(response)
                else:
                    body = response.read(65_536)
                    self._put(Answer(response.status, body, response.headers.get("retry-after", "")))
            finally:
                with self._lock:
                    self._response = None

    def _read_events(self, response: urllib3.BaseHTTPResponse) -> None:
        framing = framing_of(response.headers.get("content-type", ""))
        gathering, arrived = Gathering(), select.poll()
        arrived.register(response, select.POLLIN)
        for piece in pieces(response):
            events: list[bytes] = []
            try:
                for event in framing.cut(piece):
                    events.append(event)  # those before a bad one count
            except ValueError as error:
                raise NotUnderstood(str(error)) from error
            finally:
                if events:
                    self._put(events)
            if not arrived.poll(0):
                self._stopped.wait(gathering.read(monotonic()))

    def _accept(self) -> None:
        if not self._stopped.is_set():
            self._accepted()

    def _put(self, item: list[bytes] | Answer | BaseException | None) -> None:
        self._waiting.append(item)
        if not self._told:  # one word is enough for all that waits
            self._told = True
            self._call(self._news.set)

    def _call(self, what: Callable[[], None]) -> None:
        # RuntimeError: the loop is closed, so nobody reads any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what)
