"""Requests to the Kubernetes API: bodies are bytes, decoded with typed structs by whoever asks.

Every failure is one of our errors: ForbiddenError (403), NotFoundError (404), ConflictError (409),
TooLargeError (413, or a field too long), KubernetesError (anything else; ``status`` 0: no answer).
Requests run in threads; a cancelled task goes on at once.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from reconciler.errors import KubernetesError, ReconcilerError
from reconciler.kube import answers, protobuf
from reconciler.kube.stream import NotUnderstood, Stream
from reconciler.kube.threads import heed, in_thread
from reconciler.kube.transport import Answer, Transport, Unanswered

FIELD_MANAGER = "hossted-reconciler"
"""The name under which the server notes what we wrote (``metadata.managedFields``)."""

PAGE_SIZE = 500
"""Objects a page: what kubectl and client-go use, about 10 MB of real pods."""

METADATA_A_PAGE = 2_000
"""Objects on the first page where only their metadata is asked for, some 4 MB. A server has a list's first
page in memory: of 1,000 releases the second 500 took it 200 ms, all 1,000 in one page 10. For other pages,
of ``PAGE_SIZE``, it reads the objects from etcd, whole, and up to three times as many where it is to select:
large pages would have it hold gigabytes of releases."""

RESTARTS = 2
"""How often a list whose continue token expired is begun again before it is asked for as a whole."""

JSON = "application/json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""``Accept`` for a list without bodies: metadata only."""
METADATA_WATCH = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""``Accept`` for a watch of the same."""

PROTOBUF = "application/vnd.kubernetes.protobuf"
EITHER = f"{PROTOBUF},{JSON}"
"""``Accept`` of whoever reads both forms: protobuf, or JSON from a server or proxy that has no other."""
METADATA_EITHER = f"{METADATA_LIST.replace(JSON, PROTOBUF)},{METADATA_LIST}"
"""The same, for a list without bodies."""
METADATA_WATCH_EITHER = f"{METADATA_WATCH.replace(JSON, PROTOBUF)},{METADATA_WATCH}"
"""The same, for a watch of metadata only, or for the answer to a write."""

_METADATA = ";as=PartialObjectMetadataList;"

MERGE_PATCH = "application/merge-patch+json"

T = TypeVar("T")

Params = Mapping[str, str]


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A page of a list as its reader gives it. ``token``: for the next page, "" on the last; ``versions``: of
    the items, where somebody wants them."""

    items: list[T]
    resource_version: str
    token: str = ""
    versions: list[str] = []


class Listed(msgspec.Struct, Generic[T], frozen=True):
    """A whole list, the version from which a watch goes on, and those of the items, where they are wanted."""

    items: list[T]
    resource_version: str
    versions: list[str] = []


class _Request(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path.partition('?')[0]}"


class _Unread(NamedTuple):
    """A page of which so far only the token is known."""

    body: bytes
    token: str


class Client:
    """One API server, as one user."""

    def __init__(self, transport: Transport, page_size: int | None = None) -> None:
        self._transport = transport
        self._page_size = page_size

    @classmethod
    def connect(
        cls, context: str | None = None, *, kubeconfig: Path | None = None, page_size: int | None = None
    ) -> "Client":
        """A client for a kubeconfig's context, or for the cluster that we run in.

        Nothing is sent yet. Raises SettingsError when there is no usable configuration.
        """
        return cls(Transport(context, kubeconfig), page_size)

    @property
    def server(self) -> str:
        """The API server's URL, without credentials."""
        return self._transport.server

    async def get(self, path: str, params: Params | None = None, accept: str = JSON) -> bytes:
        return await self.read(path, bytes, params, accept)

    async def read(
        self, path: str, read: Callable[[bytes], T], params: Params | None = None, accept: str = JSON
    ) -> T:
        """GET, and what ``read`` makes of the body, in the request's thread."""
        return await self._ask(_Request("GET", _url(path, params), {"accept": accept}), read)

    async def list_all(
        self,
        path: str,
        read: Callable[[bytes], Page[T]],
        params: Params | None = None,
        accept: str = JSON,
        page_size: int | None = None,
    ) -> Listed[T]:
        """Every object of a list, page by page; ``read`` decodes a page, in the request's thread.

        The first page is asked for without a resourceVersion, the next by their token alone. A token that
        expired on the way (410) begins the list again, and after that it is read as a whole.
        """
        for _ in range(RESTARTS):
            with suppress(_Expired):
                return await self._list_paged(path, read, params or {}, accept, page_size)
        page = await self.read(path, read, params, accept)
        return Listed(page.items, page.resource_version, page.versions)

    async def pages(
        self,
        path: str,
        read: Callable[[bytes], Page[T]],
        params: Params | None = None,
        accept: str = JSON,
        page_size: int | None = None,
    ) -> AsyncGenerator[Page[T], None]:
        """The pages of a list, as of one version, each as it comes; ``read`` as in ``list_all``.

        While a page is read the next is asked for, and none beyond: in protobuf a page begins with its token.
        KubernetesError with status 410 when the server has forgotten that version on the way.
        """

        given = page_size or self._page_size
        size, others = given or (METADATA_A_PAGE if _METADATA in accept else PAGE_SIZE), given or PAGE_SIZE

        def page_of(token: str) -> _Request:
            return _page_of(path, params or {}, accept, others if token else size, token)

        def first(body: bytes) -> Page[T] | _Unread:
            token = protobuf.token(body) if protobuf.is_protobuf(body) else ""
            return _Unread(body, token) if token else read(body)

        request = page_of("")
        found = await self._ask(request, first)
        while True:
            if not isinstance(found, _Unread):
                yield found
                if not found.token:
                    return
                request = page_of(found.token)
                found = await self._ask(request, first)
                continue
            following = page_of(found.token)
            ahead = asyncio.create_task(self._ask(following, first))
            ahead.add_done_callback(heed)
            try:
                page = await in_thread(partial(_read, request, read, found.body))
                del found  # its body, of megabytes
                yield page
                request, found = following, await ahead
            finally:
                ahead.cancel()

    async def flowing(
        self,
        path: str,
        read: Callable[[Iterator[bytes]], Page[T]],
        params: Params,
        page_size: int,
        others: int,
    ) -> AsyncGenerator[Page[T], None]:
        """As ``pages``, of what is large: ``read`` has the pieces of a page as they come, in the request's
        thread, so that no page is ever held, and takes them all. In protobuf only. ``others``: objects on
        each page but the first."""
        token = ""
        while True:
            request = _page_of(path, params, PROTOBUF, others if token else page_size, token)
            page = await self._until_answered(request, partial(self._flow, request, read))
            yield page
            token = page.token
            if not token:
                return

    async def create(
        self, path: str, body: bytes, read: Callable[[bytes], T], form: str = JSON, accept: str = JSON
    ) -> T:
        """POST, and what ``read`` makes of the answer; ConflictError when it is there already. ``form``: of
        the body."""
        return await self._write("POST", path, body, form, read, accept=accept)

    async def replace(
        self, path: str, body: bytes, read: Callable[[bytes], T], form: str = JSON, accept: str = JSON
    ) -> T:
        """PUT, as ``create``; ConflictError when ``body`` names a resourceVersion that is not the newest."""
        return await self._write("PUT", path, body, form, read, accept=accept)

    async def patch(self, path: str, body: bytes, accept: str = JSON) -> bytes:
        """A JSON merge patch (RFC 7386)."""
        return await self._write("PATCH", path, body, MERGE_PATCH, bytes, accept=accept)

    async def delete(self, path: str, options: bytes | None = None) -> bytes:
        headers = {"accept": JSON, "content-type": JSON}
        return await self._ask(_Request("DELETE", path, headers, options), bytes)

    async def watch(
        self,
        path: str,
        read: Callable[[bytes], T],
        params: Params,
        *,
        read_timeout: float,
        accept: str = JSON,
        accepted: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[list[T], None]:
        """The events of a watch until the server ends it, as many at a time as have come; ``read`` decodes
        one, and may raise our errors. ``read_timeout``: seconds without a byte.

        ``accepted`` is called when the server has begun to answer, before any event, if need be alone.
        Leaving the iteration, by ``aclose`` or by cancellation, ends the connection at once.
        """
        request = f"WATCH {path}"
        url = _url(path, {**params, "watch": "1"})
        stream = Stream(
            self._transport, url, {"accept": accept}, read_timeout=read_timeout, accepted=accepted
        )
        try:
            async for item in stream:
                if isinstance(item, Answer):
                    raise answers.error_for(request, item)
                events: list[T] = []
                failure: ReconcilerError | None = None
                try:
                    for frame in item:
                        events.append(read(frame))  # those before a bad one count
                except (msgspec.DecodeError, ValueError) as error:
                    failure = _not_understood(request, error)
                except ReconcilerError as error:
                    failure = error
                if events:
                    yield events
                if failure is not None:
                    raise failure
        except Unanswered as failure:
            raise KubernetesError(f"{request}: {failure}") from failure
        except NotUnderstood as failure:
            raise _not_understood(request, failure) from failure
        finally:
            stream.stop()

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    async def _list_paged(
        self,
        path: str,
        read: Callable[[bytes], Page[T]],
        params: Params,
        accept: str,
        page_size: int | None,
    ) -> Listed[T]:
        items: list[T] = []
        versions: list[str] = []
        first: Page[T] | None = None
        try:
            async with aclosing(self.pages(path, read, params, accept, page_size)) as pages:
                async for page in pages:
                    items += page.items
                    versions += page.versions
                    first = first or page
        except KubernetesError as error:
            if first and error.status == 410:
                raise _Expired from error
            raise
        return Listed(items, first.resource_version if first else "", versions)

    async def _write(
        self,
        method: str,
        path: str,
        body: bytes,
        content_type: str,
        read: Callable[[bytes], T],
        *,
        accept: str = JSON,
    ) -> T:
        headers = {"accept": accept, "content-type": content_type}
        url = _url(path, {"fieldManager": FIELD_MANAGER})
        return await self._ask(_Request(method, url, headers, body), read)

    async def _ask(self, request: _Request, read: Callable[[bytes], T]) -> T:
        """Send a request until it is answered, at most ``answers.ATTEMPTS`` times, and read the answer."""
        return await self._until_answered(request, lambda: self._send(request, read))

    async def _until_answered(self, request: _Request, send: Callable[[], tuple[Answer, T | None]]) -> T:
        attempt = 0
        while True:
            attempt += 1
            last = attempt == answers.ATTEMPTS
            retry_after = ""
            try:
                answer, value = await in_thread(send)
            except Unanswered as failure:
                harmless = request.method == "GET" or not failure.sent
                if last or not (failure.reset and harmless):
                    raise KubernetesError(f"{request}: {failure}") from failure
            else:
                if value is not None:
                    return value
                if last or not answers.asks_again(request.method, answer):
                    raise answers.error_for(str(request), answer)
                retry_after = answer.retry_after
            await asyncio.sleep(answers.pause(attempt, retry_after, random.random()))  # noqa: S311

    def _send(self, request: _Request, read: Callable[[bytes], T]) -> tuple[Answer, T | None]:
        answer = self._transport.send(request.method, request.path, request.headers, request.body)
        if not 200 <= answer.status < 300:
            return answer, None
        return answer, _read(request, read, answer.body)

    def _flow(self, request: _Request, read: Callable[[Iterator[bytes]], T]) -> tuple[Answer, T | None]:
        try:
            return self._transport.flow(request.path, request.headers, read)
        except ValueError as error:
            raise _not_understood(str(request), error) from error


def _page_of(path: str, params: Params, accept: str, size: int, token: str) -> _Request:
    paging = {"limit": str(size), **({"continue": token} if token else {})}
    return _Request("GET", _url(path, {**params, **paging}), {"accept": accept})


def _read(request: _Request, read: Callable[[bytes], T], body: bytes) -> T:
    try:
        return read(body)
    except (msgspec.DecodeError, ValueError) as error:
        raise _not_understood(str(request), error) from error


def _not_understood(request: str, error: Exception) -> KubernetesError:
    return KubernetesError(f"{request}: the answer cannot be understood ({error})")


class _Expired(Exception):  # noqa: N818 - a turn in a loop, not an error
    """The continue token of a list is too old."""


def segment(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def _url(path: str, params: Params | None) -> str:
    return f"{path}?{urlencode(params)}" if params else path
