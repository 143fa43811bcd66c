"""Whose the lease is."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from reconciler.errors import KubernetesError, LeaseLostError
from reconciler.kube.lease import DURATION, MARGIN, SKEW, Acquired, Lease, LeaseSpec, is_free, taken
from tests.unit.kube.server import Answerer, Reply, Request, Server, status

Serve = Callable[[Answerer], Server]

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def held(by: str | None = "other", ago: float = 5, duration: int = 60) -> LeaseSpec:
    renewed = NOW - timedelta(seconds=ago)
    return LeaseSpec(by, duration, renewed, renewed, 3)


@pytest.mark.parametrize(
    ("spec", "unchanged_for", "free"),
    [
        (LeaseSpec(), 0, True),
        (held(None), 0, True),
        (held(""), 0, True),
        (held("me"), 0, True),
        (held(), 0, False),
        (held(), 59.9, False),
        (held(), 60, True),
        (held(duration=15), 15, True),
        (held(ago=100), 0, False),  # by our clock it expired, but clocks are wrong
        (held(ago=60 + SKEW.total_seconds() + 1), 0, True),
        (held(ago=-7200), 0, False),  # renewed in our future: another clock
        (held(ago=-7200), 60, True),
    ],
)
def test_a_lease_is_free_when_released_ours_or_surely_expired(
    spec: LeaseSpec, unchanged_for: float, free: bool
) -> None:
    assert is_free(spec, "me", unchanged_for, NOW) is free


@pytest.mark.parametrize(
    ("spec", "acquired", "transitions"),
    [
        (LeaseSpec(), NOW, 0),
        (held("other"), NOW, 4),
        (held(None), NOW, 4),
        (held("me"), NOW - timedelta(seconds=5), 3),
    ],
)
def test_taking_a_lease_counts_the_change_of_holder(
    spec: LeaseSpec, acquired: datetime, transitions: int
) -> None:
    assert taken(spec, "me", NOW) == LeaseSpec("me", DURATION, acquired, NOW, transitions)


class Clocks:
    """A wall clock and a monotonic one that go on when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds - 1000)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


class Leases:
    """One lease, kept as an API server does: compare and swap by version. `broken`: answers of errors."""

    def __init__(self, spec: dict[str, object] | None = None) -> None:
        self.version = 1
        self.spec = spec
        self.annotations: dict[str, str] = {}
        self.broken: Callable[[Request], Reply | None] = lambda _: None

    def answer(self) -> Reply:
        metadata = {
            "name": "hossted-reconciler",
            "namespace": "ns",
            "uid": "u",
            "resourceVersion": str(self.version),
            "annotations": self.annotations,
        }
        return Reply(body={"metadata": metadata, "spec": self.spec})

    def write(self, spec: dict[str, object]) -> None:
        self.spec, self.version = spec, self.version + 1

    def __call__(self, request: Request) -> Reply:
        if (reply := self.broken(request)) is not None:
            return reply
        if request.method == "GET":
            return self.answer() if self.spec is not None else status(404, "not found")
        sent = msgspec.json.decode(request.body)
        if request.method == "POST" and self.spec is not None:
            return status(409, "already exists")
        if request.method == "PUT" and sent["metadata"]["resourceVersion"] != str(self.version):
            return status(409, "modified")
        self.annotations = sent["metadata"].get("annotations", {})
        self.write(sent["spec"])
        return self.answer()


OTHERS: dict[str, object] = {
    "holderIdentity": "other",
    "leaseDurationSeconds": 60,
    "acquireTime": "2026-11-21T11:00:00.000000Z",
    "renewTime": "2026-11-21T11:59:58.500000Z",
    "leaseTransitions": 3,
}


def lease(server: Server, clocks: Clocks, identity: str = "me") -> Lease:
    return Lease(
        server.client(), "ns", identity, now=clocks.now, monotonic=clocks.monotonic, sleep=clocks.sleep
    )


async def test_the_first_lease_is_created(serve: Serve) -> None:
    leases, clocks = Leases(), Clocks()
    ours = lease(serve(leases), clocks)
    assert ours.remaining() == 0
    assert await ours.acquire() == Acquired(None, released=False)
    assert leases.spec == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 60,
        "acquireTime": "2026-11-21T12:00:00.000000Z",
        "renewTime": "2026-11-21T12:00:00.000000Z",
        "leaseTransitions": 0,
    }
    assert ours.remaining() == DURATION - MARGIN


async def test_a_released_lease_is_taken_at_once_and_tells_since_when_nobody_looked(serve: Serve) -> None:
    leases = Leases({**OTHERS, "holderIdentity": None})
    leases.annotations = {"kept": "yes"}
    clocks = Clocks()
    found = await lease(serve(leases), clocks).acquire()
    assert found == Acquired(datetime(2026, 11, 21, 11, 59, 58, 500000, UTC), released=True)
    assert clocks.slept == []
    assert leases.annotations == {"kept": "yes"}


async def test_anothers_lease_is_waited_for_until_it_was_unchanged_for_its_duration(serve: Serve) -> None:
    leases, clocks = Leases(dict(OTHERS)), Clocks()
    found = await lease(serve(leases), clocks).acquire()
    assert not found.released
    assert sum(clocks.slept) == 60


async def test_a_lease_that_is_renewed_is_never_taken(serve: Serve) -> None:
    leases, clocks = Leases(dict(OTHERS)), Clocks()
    renewals = 0

    def renew_at_each_third_look(request: Request) -> None:
        nonlocal renewals
        if request.method == "GET" and renewals < 40:
            renewals += 1
            if renewals % 3 == 0:
                leases.write(dict(OTHERS))

    leases.broken = renew_at_each_third_look
    await lease(serve(leases), clocks).acquire()
    assert renewals == 40
    assert sum(clocks.slept) >= 38 * 2 + 58


async def test_of_two_only_the_quicker_gets_it(serve: Serve) -> None:
    leases, clocks = Leases({**OTHERS, "holderIdentity": None}), Clocks()

    def be_quicker(request: Request) -> None:
        if request.method == "PUT" and leases.version == 1:
            leases.write(dict(OTHERS))

    leases.broken = be_quicker
    found = await lease(serve(leases), clocks).acquire()
    assert not found.released
    assert sum(clocks.slept) == 60


async def test_a_lease_is_renewed_every_ten_seconds_and_lost_when_it_is_taken_over(serve: Serve) -> None:
    leases, clocks = Leases(), Clocks()
    ours = lease(serve(leases), clocks)
    await ours.acquire()

    def take_over(request: Request) -> None:
        if clocks.seconds >= 1040 and request.method == "PUT":
            leases.write(dict(OTHERS))

    leases.broken = take_over
    with pytest.raises(LeaseLostError, match="ns/hossted-reconciler has been taken over"):
        await ours.hold()
    assert clocks.slept == [10, 10, 10, 10]
    assert ours.remaining() == 0
    await ours.release()
    assert leases.spec == OTHERS


async def test_somebody_elses_annotation_does_not_lose_it(serve: Serve) -> None:
    leases, clocks = Leases(), Clocks()
    ours = lease(serve(leases), clocks)
    await ours.acquire()

    def annotate(request: Request) -> Reply | None:
        if request.method == "PUT" and clocks.seconds == 1010 and leases.version == 2:
            leases.version += 1
        return status(500, "down") if clocks.seconds > 1010 else None

    leases.broken = annotate
    with pytest.raises(LeaseLostError):
        await ours.hold()
    assert leases.spec is not None
    assert leases.spec["renewTime"] == "2026-11-21T12:00:10.000000Z"


async def test_a_lease_that_cannot_be_renewed_is_lost_before_others_may_take_it(serve: Serve) -> None:
    leases, clocks = Leases(), Clocks()
    ours = lease(serve(leases), clocks)
    await ours.acquire()
    leases.broken = lambda _: status(500, "down")
    with pytest.raises(LeaseLostError, match="could not be renewed in time"):
        await ours.hold()
    assert clocks.seconds - 1000 == DURATION - MARGIN
    assert clocks.slept[:2] == [10, 2]


async def test_a_released_lease_is_free_for_the_next_and_says_when_we_looked_last(serve: Serve) -> None:
    leases, clocks = Leases(), Clocks()
    server = serve(leases)
    ours = lease(server, clocks)
    await ours.acquire()
    clocks.seconds += 7
    await ours.release()
    assert ours.remaining() == 0
    found = await lease(server, clocks, "next").acquire()
    assert found == Acquired(NOW + timedelta(seconds=7), released=True)
    assert leases.spec is not None
    assert leases.spec["leaseTransitions"] == 1


async def test_a_lease_that_cannot_be_released_is_no_error(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    leases, clocks = Leases(), Clocks()
    ours = lease(serve(leases), clocks)
    await ours.acquire()
    leases.broken = lambda _: status(500, "down")
    await ours.release()
    assert "runs out by itself" in caplog.text


async def test_a_lease_that_cannot_be_read_is_an_error_and_not_a_wait(serve: Serve) -> None:
    leases, clocks = Leases(), Clocks()
    leases.broken = lambda _: status(403, "leases is forbidden")
    with pytest.raises(KubernetesError, match="leases is forbidden"):
        await lease(serve(leases), clocks).acquire()


async def test_the_process_that_crashed_in_this_pod_does_not_hold_up_its_successor(serve: Serve) -> None:
    leases, clocks = Leases({**OTHERS, "holderIdentity": "me"}), Clocks()
    found = await lease(serve(leases), clocks).acquire()
    assert not found.released
    assert clocks.slept == []
