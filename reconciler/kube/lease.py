"""The Lease (coordination.k8s.io/v1) that lets one process work at a time, as client-go's leader election.

Other clocks are not trusted: another's lease has expired when it was seen unchanged for its whole
duration, by our own monotonic clock, or when its time is older than any clock can be wrong. Our own ends
a margin before the others may take it, counted from before the renewal was sent.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import msgspec

from reconciler.errors import ConflictError, KubernetesError, LeaseLostError, NotFoundError
from reconciler.kube.client import Client, segment
from reconciler.kube.wire import Wire

NAME = "hossted-reconciler"

DURATION = 60
"""Seconds that a renewal holds: the longest request of ours fits in what is always left of it."""

RENEW = 10.0
"""Seconds between renewals: five may fail."""

RETRY = 2.0
"""Seconds between attempts, to acquire as to renew when that has failed."""

MARGIN = 5.0
"""Seconds by which we stop before others may start."""

SKEW = timedelta(minutes=5)
"""How wrong clocks may be. A lease that is older than its duration and this is nobody's."""

_LOG = logging.getLogger(__name__)


class LeaseSpec(Wire, frozen=True):
    """``lease_transitions`` counts changes of holder; the server refuses an empty ``holder_identity``."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: datetime | None = None
    renew_time: datetime | None = None
    lease_transitions: int | None = None


class LeaseMeta(Wire, frozen=True, omit_defaults=True):
    name: str
    namespace: str
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class LeaseObject(Wire, frozen=True):
    metadata: LeaseMeta
    spec: LeaseSpec = LeaseSpec()


class Acquired(msgspec.Struct, frozen=True):
    """How we came to the lease.

    ``renewed_before``: when the last holder renewed it last, None when there never was one: since then
    nobody looked. ``released``: that holder stopped cleanly.
    """

    renewed_before: datetime | None
    released: bool


def is_free(spec: LeaseSpec, identity: str, unchanged_for: float, now: datetime) -> bool:
    """Whether we may take a lease: released, ours, or expired.

    ``unchanged_for``: seconds for which we have seen it as it is; ``now``: by our clock.
    """
    if not spec.holder_identity or spec.holder_identity == identity or spec.renew_time is None:
        return True
    duration = spec.lease_duration_seconds or DURATION
    if unchanged_for >= duration:
        return True
    return now - spec.renew_time > timedelta(seconds=duration) + SKEW


def taken(spec: LeaseSpec, identity: str, now: datetime) -> LeaseSpec:
    """The lease as we hold it from ``now`` on."""
    changes = spec.holder_identity != identity
    return LeaseSpec(
        holder_identity=identity,
        lease_duration_seconds=DURATION,
        acquire_time=now if changes or spec.acquire_time is None else spec.acquire_time,
        renew_time=now,
        lease_transitions=(spec.lease_transitions or 0) + (1 if changes and spec.acquire_time else 0),
    )


class Lease:
    """The lease of one namespace, as one process sees it.

    ``identity``: unique to a process that may run beside another of us; the pod's name is, since a pod
    does not run two. What it left when it crashed is then ours at once.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        identity: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._identity = identity
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep
        self._held: LeaseObject | None = None
        self._until = 0.0

    def remaining(self) -> float:
        """Seconds for which nobody else can hold the lease; 0 when we do not."""
        return max(0.0, self._until - self._monotonic()) if self._held else 0.0

    async def acquire(self) -> Acquired:
        """Wait until the lease is ours. Raises KubernetesError when it cannot be read or written."""
        seen: LeaseObject | None = None
        since = self._monotonic()
        waiting_for: str | None = None
        while True:
            found = await self._read()
            if found != seen:
                seen, since = found, self._monotonic()
            unchanged_for = self._monotonic() - since
            if found is None or is_free(found.spec, self._identity, unchanged_for, self._now()):
                try:
                    await self._take(found)
                except ConflictError:
                    continue  # somebody was quicker
                return _acquired(found)
            if found.spec.holder_identity != waiting_for:
                waiting_for = found.spec.holder_identity
                _LOG.info("the lease %s is held by %s: waiting", self, waiting_for)
            await self._sleep(RETRY)

    async def hold(self) -> NoReturn:
        """Renew the lease for as long as it can be; LeaseLostError when it cannot.

        Run it in the TaskGroup of everything that only the holder may do: its end cancels the rest.
        """
        pause = RENEW
        while True:
            await self._sleep(min(pause, self.remaining()))
            if self.remaining() <= 0:
                raise LeaseLostError(f"the lease {self} could not be renewed in time")
            try:
                async with asyncio.timeout(min(RENEW, self.remaining())):
                    await self._renew()
            except (KubernetesError, TimeoutError) as error:
                _LOG.warning("the lease %s could not be renewed, trying again: %s", self, error)
                pause = RETRY
            else:
                pause = RENEW

    async def release(self) -> None:
        """Give the lease up, so that the next need not wait; its time says when we looked last.

        A failure is logged: the lease then runs out by itself.
        """
        held, self._held = self._held, None
        if held is None:
            return
        spec = msgspec.structs.replace(held.spec, holder_identity=None, renew_time=self._now())
        try:
            await self._write(msgspec.structs.replace(held, spec=spec))
        except KubernetesError as error:
            _LOG.warning("the lease %s could not be released, it runs out by itself: %s", self, error)

    def __str__(self) -> str:
        return f"{self._namespace}/{NAME}"

    async def _renew(self) -> None:
        try:
            await self._take(self._held)
        except ConflictError:
            # Somebody wrote to it: an annotation, or a new holder.
            found = await self._read()
            if found is None or found.spec.holder_identity != self._identity:
                self._held = None
                raise LeaseLostError(f"the lease {self} has been taken over") from None
            await self._take(found)

    async def _take(self, found: LeaseObject | None) -> None:
        asked = self._monotonic()
        if found is None:
            meta = LeaseMeta(name=NAME, namespace=self._namespace)
            wanted = LeaseObject(meta, taken(LeaseSpec(), self._identity, self._now()))
            self._held = await self._client.create(self._path(), _encode(wanted), _DECODER.decode)
        else:
            spec = taken(found.spec, self._identity, self._now())
            self._held = await self._write(msgspec.structs.replace(found, spec=spec))
        self._until = asked + DURATION - MARGIN

    async def _read(self) -> LeaseObject | None:
        try:
            return await self._client.read(self._path(NAME), _DECODER.decode)
        except NotFoundError:
            return None

    async def _write(self, wanted: LeaseObject) -> LeaseObject:
        return await self._client.replace(self._path(NAME), _encode(wanted), _DECODER.decode)

    def _path(self, name: str = "") -> str:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{segment(self._namespace)}/leases"
        return f"{path}/{name}" if name else path


_DECODER = msgspec.json.Decoder(LeaseObject)


def _acquired(found: LeaseObject | None) -> Acquired:
    if found is None or found.spec.renew_time is None:
        return Acquired(None, released=False)
    return Acquired(found.spec.renew_time, released=not found.spec.holder_identity)


def _encode(lease: LeaseObject) -> bytes:
    spec = lease.spec
    return msgspec.json.encode(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": lease.metadata,
            "spec": {
                "holderIdentity": spec.holder_identity,
                "leaseDurationSeconds": spec.lease_duration_seconds,
                "acquireTime": _micro_time(spec.acquire_time),
                "renewTime": _micro_time(spec.renew_time),
                "leaseTransitions": spec.lease_transitions,
            },
        }
    )


def _micro_time(moment: datetime | None) -> str | None:
    """The API's MicroTime: always six digits, which the server insists on."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None
