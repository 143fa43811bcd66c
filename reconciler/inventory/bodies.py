"""The bodies of Secrets and ConfigMaps, each read once: of newest releases, and of Secrets named ``uuid``.

Each is asked for by itself, or many by one list, where that brings hardly more than them. What could not be
read is tried again when the object has changed; where only the request failed, at the next look; where it
was forbidden, slowly.
"""

import asyncio
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import msgspec

from reconciler.errors import ForbiddenError, NotFoundError, ReconcilerError, ReleaseError
from reconciler.inventory.helm import by_key, newest, read_payload, revision_number
from reconciler.inventory.listing import FORBIDDEN_AGAIN
from reconciler.inventory.objects import Kind, ReleasePayload, StoredRelease, UuidSecret
from reconciler.kube.bodies import (
    SUPERSEDED,
    current_params,
    release_bodies,
    release_body,
    uuid_bodies,
    uuid_body,
)
from reconciler.kube.client import EITHER, Client, Page, Params
from reconciler.kube.resources import (
    RELEASE_CONFIGMAPS,
    RELEASE_SECRETS,
    UUID_SECRETS,
    ListedRelease,
    ListedSecret,
)

T = TypeVar("T")

FEWEST_LISTED = 20
"""Bodies that are worth a list: of fewer, each is asked for by itself."""

MOST_SPARE = 0.25
"""How many bodies a list may bring for nothing, for each that is wanted. With as many again it would still be
faster, but a Secret that is not needed is not to be read."""

BODIES_AT_FIRST = 1_000
"""On a list's first page. None is held here, so what counts is the server, which has that page in its memory:
at 1,000 releases pages of 50 cost it five times as much as one page."""

BODIES_A_PAGE = 100
"""On the others, which it reads from etcd: up to three times as many, of which it selects. With pages of
1,000 it came to hold 18 GB at 5,000 releases."""

_AT_THE_NEXT_LOOK = timedelta()

_RESOURCES = {Kind.RELEASE_SECRETS: RELEASE_SECRETS, Kind.RELEASE_CONFIGMAPS: RELEASE_CONFIGMAPS}


class Body(msgspec.Struct, Generic[T], frozen=True):
    """What was made of an object's body: a value, or a problem in words for people."""

    uid: str
    value: T | None = None
    problem: str = ""


class _Read(msgspec.Struct, Generic[T], frozen=True):
    """``version``: of the object; ``again``: when to try again, None when only a new version helps."""

    body: Body[T]
    version: str
    again: datetime | None = None


class Bodies(Generic[T]):
    """Bodies by the UID of their object.

    ``lasting``: a value stands for as long as its object does, whatever else of the object changes.
    """

    def __init__(self, client: Client, *, lasting: bool) -> None:
        self._client = client
        self._lasting = lasting
        self._read: dict[str, _Read[T]] = {}

    def get(self, uid: str) -> Body[T]:
        """What is known of a body; neither value nor problem when it was never wanted."""
        read = self._read.get(uid)
        return read.body if read else Body(uid)

    def keep(self, uids: Iterable[str]) -> None:
        """Forget all other objects."""
        self._read = {uid: self._read[uid] for uid in uids if uid in self._read}

    def forget(self, uid: str) -> None:
        """Forget one object."""
        self._read.pop(uid, None)

    def is_settled(self, uid: str, version: str, now: datetime | None) -> bool:
        """Whether reading this version of the object would tell nothing new; ever, for None."""
        read = self._read.get(uid)
        if read is None:
            return False
        if self._lasting and read.body.value is not None:
            return True
        soon = read.again is None or (now is not None and now < read.again)
        return read.version == version and soon

    async def fetch(
        self, uid: str, version: str, path: str, read: Callable[[bytes], Body[T]], now: datetime
    ) -> bool:
        """Read a body and remember it; False when the object is gone, or another is in its place."""
        # At least as new as it is known: the server has that in its memory, and need not ask its store.
        at_least = {"resourceVersion": version} if version else None
        try:
            body = await self._client.read(path, read, at_least, EITHER)
        except NotFoundError:
            body = Body("")
        except ReconcilerError as error:
            wait = FORBIDDEN_AGAIN if isinstance(error, ForbiddenError) else _AT_THE_NEXT_LOOK
            self._read[uid] = _Read(Body(uid, problem=f"cannot be read: {error}"), version, now + wait)
            return True
        if body.uid == uid:
            self._read[uid] = _Read(body, version)
            return True
        self._read[uid] = _Read(Body(uid, problem="was replaced while it was read"), version, now)
        return False

    async def fetch_listed(
        self,
        versions: Mapping[str, str],
        path: str,
        params: Params,
        read: Callable[[Iterable[bytes]], Page[Body[T]]],
        slots: asyncio.Semaphore,
    ) -> None:
        """Read the bodies of these objects (versions by UID) by a list, page by page, and remember them.

        Which of them did not come, because they have gone or a page failed, is for ``fetch`` to find out.
        """
        pages = self._client.flowing(path, read, params, BODIES_AT_FIRST, BODIES_A_PAGE)
        with suppress(ReconcilerError):  # the request for each of the others says what is wrong
            async with slots, aclosing(pages):
                async for page in pages:
                    for body in page.items:
                        self._read[body.uid] = _Read(body, versions[body.uid])


class ReleaseBodies:
    """The payloads of releases.

    One is current for its object's UID: what Helm writes into an object later is the status, which is
    taken from the label, and the description of how it ended.
    """

    def __init__(self, client: Client) -> None:
        self._bodies: Bodies[ReleasePayload] = Bodies(client, lasting=True)

    async def read_new(
        self,
        listed: Iterable[ListedRelease],
        now: datetime,
        slots: asyncio.Semaphore,
        without: Collection[str] | None,
    ) -> bool:
        """Read the newest revisions that are new; False when one of them has gone since it was listed.

        ``without``: as in ``read_many``.
        """
        known = {one.release.uid: one for one in listed}
        self._bodies.keep(known)
        groups = by_key(one.release for one in known.values())
        latest = [known[newest(group).uid] for group in groups.values()]
        await self.read_many(latest, known.values(), now, slots, without)
        return all(await asyncio.gather(*(self.read(one, now, slots) for one in latest)))

    async def read_many(
        self,
        wanted: Iterable[ListedRelease],
        every: Iterable[ListedRelease],
        now: datetime,
        slots: asyncio.Semaphore,
        without: Collection[str] | None,
    ) -> None:
        """Of these revisions read by a list what is best read so; ``every``: all that are stored.

        ``without``: the namespaces of which nothing may be read; None when they cannot all be named.
        """
        if without is None:
            return
        new = [one for one in wanted if _is_current(one) and not self._is_done(one, now)]
        stored = [one.release.driver for one in every if _is_current(one)]
        for driver, resource in _RESOURCES.items():
            versions = {one.release.uid: one.resource_version for one in new if one.release.driver is driver}
            if is_worth_a_list(len(versions), stored.count(driver)):
                params = current_params(resource, without)
                read = _payloads_reader(driver, versions)
                await self._bodies.fetch_listed(versions, resource.path(), params, read, slots)

    async def read(self, one: ListedRelease, now: datetime, slots: asyncio.Semaphore) -> bool:
        """Read the body of one revision, unless that would tell nothing new; False when it has gone."""
        if self._is_done(one, now):
            return True
        release = one.release
        path = _RESOURCES[release.driver].path(release.namespace, release.object_name)
        read = _payload_reader(release.driver)
        async with slots:
            return await self._bodies.fetch(release.uid, one.resource_version, path, read, now)

    def _is_done(self, one: ListedRelease, now: datetime) -> bool:
        """Whether there is nothing to read of it: what has no number is a problem, whatever is in it."""
        return revision_number(one.release) is None or self.is_settled(one, now)

    def is_settled(self, one: ListedRelease, now: datetime | None = None) -> bool:
        """Whether reading a revision would tell nothing new; ever, for None."""
        return self._bodies.is_settled(one.release.uid, one.resource_version, now)

    def forget(self, uid: str) -> None:
        """An object that is gone."""
        self._bodies.forget(uid)

    def keep(self, uids: Iterable[str]) -> None:
        """Forget all other objects."""
        self._bodies.keep(uids)

    def complete(self, listed: ListedRelease) -> StoredRelease:
        """The release with its payload, or its problem, where these are known."""
        body = self._bodies.get(listed.release.uid)
        return msgspec.structs.replace(listed.release, payload=body.value, problem=body.problem)


class UuidBodies:
    """The values of the Secrets named ``uuid``."""

    def __init__(self, client: Client) -> None:
        self._bodies: Bodies[str] = Bodies(client, lasting=False)

    def is_settled(self, one: ListedSecret) -> bool:
        """Whether reading a Secret again would never tell anything new."""
        return self._bodies.is_settled(one.uid, one.resource_version, None)

    async def read_new(
        self,
        wanted: Iterable[ListedSecret],
        stored: int,
        now: datetime,
        slots: asyncio.Semaphore,
        without: Collection[str] | None,
    ) -> tuple[UuidSecret, ...]:
        """These Secrets with their values, or why there is none; without those that have gone since.

        ``stored``: how many there are; ``without``: as in ``ReleaseBodies.read_many``.
        """
        known = {one.uid: one for one in wanted}
        self._bodies.keep(known)
        new = {
            one.uid: one.resource_version
            for one in known.values()
            if not self._bodies.is_settled(one.uid, one.resource_version, now)
        }
        if without is not None and is_worth_a_list(len(new), stored):
            params = UUID_SECRETS.params(without)
            await self._bodies.fetch_listed(new, UUID_SECRETS.path(), params, _uuids_reader(new), slots)

        async def fetch(one: ListedSecret) -> bool:
            if self._bodies.is_settled(one.uid, one.resource_version, now):
                return True
            path = UUID_SECRETS.path(one.namespace, one.name)
            async with slots:
                return await self._bodies.fetch(one.uid, one.resource_version, path, _read_uuid, now)

        there = await asyncio.gather(*map(fetch, known.values()))
        return tuple(
            UuidSecret(one.namespace, body.value or "", body.problem)
            for one, found in zip(known.values(), there, strict=True)
            if found
            for body in (self._bodies.get(one.uid),)
        )


def is_worth_a_list(wanted: int, listed: int) -> bool:
    """Whether so many bodies are better read by a list that brings ``listed`` of them than one by one."""
    return wanted >= FEWEST_LISTED and listed <= wanted * (1 + MOST_SPARE)


def _is_current(one: ListedRelease) -> bool:
    """Whether a list brings it that leaves out what is superseded."""
    return one.release.status != SUPERSEDED


def _payload_reader(driver: Kind) -> Callable[[bytes], Body[ReleasePayload]]:
    def read(body: bytes) -> Body[ReleasePayload]:
        uid, data = release_body(body)
        return _payload(uid, data, driver)

    return read


def _payloads_reader(
    driver: Kind, wanted: Container[str]
) -> Callable[[Iterable[bytes]], Page[Body[ReleasePayload]]]:
    def read(pieces: Iterable[bytes]) -> Page[Body[ReleasePayload]]:
        found = release_bodies(pieces)
        bodies = [_payload(uid, data, driver) for uid, data in found.items if uid in wanted]
        return Page(bodies, "", found.token)

    return read


def _payload(uid: str, data: str | bytes | None, driver: Kind) -> Body[ReleasePayload]:
    # What came in protobuf has one base64 less in a Secret: it is as a ConfigMap's.
    form = Kind.RELEASE_CONFIGMAPS if isinstance(data, bytes) else driver
    try:
        return Body(uid, read_payload(data or "", form))
    except ReleaseError as error:
        return Body(uid, problem=str(error))


def _read_uuid(body: bytes) -> Body[str]:
    return _value(*uuid_body(body))


def _uuids_reader(wanted: Container[str]) -> Callable[[Iterable[bytes]], Page[Body[str]]]:
    def read(pieces: Iterable[bytes]) -> Page[Body[str]]:
        found = uuid_bodies(pieces)
        bodies = [_value(uid, value) for uid, value in found.items if uid in wanted]
        return Page(bodies, "", found.token)

    return read


def _value(uid: str, value: bytes | None) -> Body[str]:
    if value is None:
        return Body(uid, problem="it has no key uuid")
    try:
        return Body(uid, value.decode())
    except UnicodeDecodeError:
        return Body(uid, problem="the value of its key uuid is not text")
