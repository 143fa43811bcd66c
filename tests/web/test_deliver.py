"""Deliveries over real sockets and a real ledger file: what each answer does to the apps."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from reconciler.delivery.deliver import AT_ONCE, BATCH, MOST_TRIES, Delivered
from reconciler.errors import LedgerError
from reconciler.model import App, AppKey, EmittedApp, PolicyInEffect
from reconciler.policy.entry import Entry, LedgerView
from reconciler.policy.plan import Plan
from reconciler.policy.protocol import Reason
from reconciler.state.ledger.file import FileLedger
from tests.builders import make_app
from tests.web.wire import Behaviour, Request, answer, silence, wire
from tests.web.world import START, LedgerAround, RecordingReceiver, World

A, B = make_app(revision=1), make_app(revision=2)
OTHER = make_app(name="other")


def many(count: int) -> list[App]:
    return [make_app(name=f"app-{number:03}") for number in range(count)]


async def test_an_app_is_told_once(world: World, receiver: RecordingReceiver) -> None:
    world.cluster_has(A)
    delivered = await world.deliver()
    (result,) = delivered.pushed
    assert (result.key, result.app, result.status) == (A.key, A, 200)
    assert result.idempotency_key == receiver.requests[0][0]
    assert result.why == "HelmUpdate pushes an install"
    assert (delivered.plan, delivered.trouble, delivered.next_try) == (Plan((), {}), "", None)
    assert (await world.deliver()).pushed == ()
    assert len(receiver.requests) == 1


async def test_exactly_the_app_that_changed_is_told(world: World, receiver: RecordingReceiver) -> None:
    world.cluster_has(A, OTHER)
    await world.deliver()
    world.cluster_has(B, OTHER)
    assert [result.app for result in (await world.deliver()).pushed] == [B]
    assert len(receiver.requests) == 3


async def test_uninstalled_is_told_once(world: World, receiver: RecordingReceiver) -> None:
    world.cluster_has(A)
    await world.deliver()
    world.cluster_has()
    assert [result.app for result in (await world.deliver()).pushed] == [A.as_uninstalled()]
    assert (await world.deliver()).pushed == ()
    assert receiver.has(A) == "uninstalled 1"


async def test_a_changed_app_uuid_is_told_uninstalled_and_then_anew(
    world: World, receiver: RecordingReceiver
) -> None:
    other_uuid = make_app(app_uuid="A-new")
    world.cluster_has(A)
    await world.deliver()
    world.cluster_has(other_uuid)
    assert [result.app for result in (await world.deliver()).pushed] == [A.as_uninstalled(), other_uuid]
    assert receiver.has(A) == "deployed 1"


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        pytest.param(answer(500), "answered 500", id="500"),
        pytest.param(answer(503), "answered 503", id="503"),
        pytest.param(answer(408), "answered 408", id="408"),
        pytest.param(answer(425), "answered 425", id="425"),
        pytest.param(answer(429, Retry_After="0"), "answered 429", id="429"),
        pytest.param(answer(409), "answered 409", id="409 without a key"),
        pytest.param(b"", "no answer: ", id="it hangs up"),
        pytest.param(silence, "no answer within 0.2 s", id="it times out"),
    ],
)
async def test_what_may_pass_is_sent_again_byte_for_byte_under_its_key(
    behaviour: Behaviour, status: str, tmp_path: Path
) -> None:
    async with wire(behaviour, behaviour, answer(200)) as api:
        world = World(api.url, tmp_path)
        world.seconds_left = 0.2 if behaviour is silence else 30.0
        world.cluster_has(A)
        first = await world.deliver()
        assert (first.pushed, len(first.plan.pushes), first.stopped) == ((), 1, False)
        assert first.trouble.startswith(f"{api.url}: {status}")
        assert first.next_try is not None
        assert START <= first.next_try <= START + timedelta(seconds=1)
        world.seconds_left = 30.0
        if behaviour is silence:
            api.answers[0] = answer(503)
        await world.deliver_all()
        await world.api.close()
    assert len(api.requests) == 3
    assert len({(request.key, request.body) for request in api.requests}) == 1


async def test_retry_after_is_honoured_for_all_apps(tmp_path: Path) -> None:
    async with wire(answer(429, Retry_After="120"), answer(200)) as api:
        world = World(api.url, tmp_path)
        world.cluster_has(A)
        await world.deliver()
        world.cluster_has(A, OTHER)
        world.now = START + timedelta(seconds=119)
        waiting = await world.deliver()
        assert (waiting.pushed, len(waiting.plan.pushes)) == ((), 2)
        assert waiting.next_try is not None
        assert waiting.next_try >= START + timedelta(seconds=120)
        assert len(api.requests) == 1
        world.now = waiting.next_try
        assert len((await world.deliver()).pushed) == 2
        await world.api.close()


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_refused_app_waits_and_the_others_go_on(status: int, tmp_path: Path) -> None:
    async with wire(answer(status, "no", Content_Type="text/plain"), answer(200)) as api:
        world = World(api.url, tmp_path)
        world.cluster_has(A)
        delivered = await world.deliver()
        assert [(result.status, result.what) for result in delivered.rejected] == [
            (status, f"answered {status}: no")
        ]
        assert delivered.plan.held[A.key].reason is Reason.REJECTED
        assert (delivered.trouble, delivered.next_try) == ("", None)
        world.cluster_has(A, OTHER)
        assert [result.app for result in (await world.deliver()).pushed] == [OTHER]
        await world.api.close()
    assert len(api.requests) == 2


async def refused(url: str, folder: Path) -> World:
    world = World(url, folder)
    world.cluster_has(A)
    assert len((await world.deliver()).rejected) == 1
    world.now += timedelta(hours=1)
    assert (await world.deliver()).plan.held[A.key].reason is Reason.REJECTED
    return world


async def test_a_refused_app_is_tried_again_when_it_changes(tmp_path: Path) -> None:
    async with wire(answer(400), answer(200)) as api:
        world = await refused(api.url, tmp_path)
        world.cluster_has(B)
        assert [result.app for result in (await world.deliver()).pushed] == [B]
        await world.api.close()
    assert api.requests[0].key < api.requests[1].key


async def test_a_refused_app_is_tried_again_by_a_new_process(tmp_path: Path) -> None:
    async with wire(answer(400), answer(200)) as api:
        world = await refused(api.url, tmp_path)
        await world.api.close()
        world.restart()
        assert len((await world.deliver()).pushed) == 1
        await world.api.close()
    assert api.requests[0].key == api.requests[1].key
    assert api.requests[0].body == api.requests[1].body


async def test_a_refused_app_is_tried_again_after_24_hours(tmp_path: Path) -> None:
    async with wire(answer(400), answer(200)) as api:
        world = await refused(api.url, tmp_path)
        world.now += timedelta(hours=23, seconds=1)
        assert len((await world.deliver()).pushed) == 1
        await world.api.close()


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(answer(401), id="401"),
        pytest.param(answer(403), id="403"),
        pytest.param(answer(404), id="404"),
        pytest.param(answer(405), id="405"),
        pytest.param(answer(407), id="407"),
        pytest.param(answer(302, Location="http://127.0.0.1:1/"), id="a redirect"),
        pytest.param(answer(200, "<p>", Content_Type="text/html"), id="a web page"),
    ],
)
async def test_everything_else_stops_pushing_as_a_whole_for_ten_minutes(
    behaviour: Behaviour, tmp_path: Path
) -> None:
    async with wire(behaviour, answer(200)) as api:
        world = World(api.url, tmp_path)
        world.cluster_has(A)
        delivered = await world.deliver()
        assert (delivered.pushed, delivered.stopped) == ((), True)
        assert delivered.next_try == START + timedelta(minutes=10)
        world.cluster_has(B, OTHER)
        world.now = START + timedelta(minutes=9, seconds=59)
        assert len((await world.deliver()).plan.pushes) == 2
        assert len(api.requests) == 1
        world.now = START + timedelta(minutes=10)
        delivered = await world.deliver()
        assert (len(delivered.pushed), delivered.stopped, delivered.trouble) == (2, False, "")
        await world.api.close()


async def test_new_credentials_do_not_wait(world: World, receiver: RecordingReceiver) -> None:
    receiver.fail("401")
    world.cluster_has(A)
    assert (await world.deliver()).stopped
    await world.api.close()
    world.restart()
    assert len((await world.deliver()).pushed) == 1


async def test_a_batch_is_marked_by_one_write_and_acknowledged_by_one(
    world: World, receiver: RecordingReceiver
) -> None:
    writes: list[int] = []

    class Counting(LedgerAround):
        async def write(self, entries: Mapping[AppKey, Entry | None], /) -> LedgerView:
            if entries:  # none: it is only asked how it stands
                writes.append(len(entries))
            return await super().write(entries)

    await world.api.close()
    world.restart(Counting)
    world.cluster_has(*many(1 + 2 * BATCH + 50))
    assert len((await world.deliver()).pushed) == 1 + 2 * BATCH + 50
    assert writes == [1, 1, BATCH, BATCH, BATCH, BATCH, 50, 50], "the first one alone: nobody knows the API"
    assert receiver.counts == {"accepted": 1 + 2 * BATCH + 50}


async def test_only_so_many_requests_are_under_way_at_once(tmp_path: Path) -> None:
    barrier = asyncio.Barrier(AT_ONCE)
    under_way = most = 0

    async def when_all_are_there(_: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await barrier.wait()
        under_way -= 1
        writer.write(answer(200))

    async with wire(answer(200), when_all_are_there) as api:
        world = World(api.url, tmp_path)
        world.cluster_has(*many(1 + 3 * AT_ONCE))
        assert len((await world.deliver()).pushed) == 1 + 3 * AT_ONCE
        await world.api.close()
    assert most == AT_ONCE


async def test_an_api_that_is_down_is_not_asked_for_each_app(tmp_path: Path) -> None:
    async with wire(answer(200), answer(503)) as api:
        world = World(api.url, tmp_path)
        world.cluster_has(*many(1 + BATCH))
        delivered = await world.deliver()
        await world.api.close()
    assert len(delivered.plan.pushes) == BATCH
    assert len(api.requests) <= 1 + AT_ONCE


async def test_apps_that_never_get_through_do_not_keep_the_others_waiting(tmp_path: Path) -> None:
    apps = many(60)
    bad = {app.key for app in apps[:20]}

    async def choosy(request: Request, writer: asyncio.StreamWriter) -> None:
        name = msgspec.json.decode(request.body, type=EmittedApp).app_info.helm_info.name
        writer.write(answer(503 if AppKey("default", name) in bad else 200))

    async with wire(choosy) as api:
        world = World(api.url, tmp_path)
        world.cluster_has(*apps)
        good: set[AppKey] = set()
        for _ in range(12):
            delivered = await world.deliver()
            good |= {result.key for result in delivered.pushed}
            if delivered.next_try is None:
                break
            world.now = delivered.next_try
        await world.api.close()
    assert good == {app.key for app in apps} - bad


async def test_an_answer_that_asks_for_greater_keys_without_end_is_not_followed_for_ever(
    tmp_path: Path,
) -> None:
    async with wire(
        *(answer(409, Idempotency_Key=f"ffff0000-000{n}-7000-8000-000000000000") for n in range(9))
    ) as api:
        world = World(api.url, tmp_path)
        world.cluster_has(A)
        delivered = await world.deliver()
        await world.api.close()
    assert len(api.requests) == MOST_TRIES
    assert delivered.trouble == "the API keeps asking for other keys"
    assert len({request.key for request in api.requests}) == MOST_TRIES


async def test_409_with_a_key_that_is_not_newer_is_tried_again_later(tmp_path: Path) -> None:
    async with wire(answer(409, Idempotency_Key="00000000-0000-7000-8000-000000000000")) as api:
        world = World(api.url, tmp_path)
        world.cluster_has(A)
        delivered = await world.deliver()
        await world.api.close()
    assert "not newer" in delivered.trouble
    assert len(api.requests) == 1


async def test_nothing_is_sent_when_the_lease_ends_too_soon(
    world: World, receiver: RecordingReceiver
) -> None:
    world.seconds_left = 0.0
    world.cluster_has(A)
    delivered = await world.deliver()
    assert "lease" in delivered.trouble
    assert receiver.requests == []
    world.seconds_left = 30.0
    await world.deliver_all()
    assert receiver.has(A) == "deployed 1"


async def test_what_was_in_flight_when_it_was_stopped_is_still_acknowledged(tmp_path: Path) -> None:
    async with wire(silence) as api:
        world = World(api.url, tmp_path)

        async def stop_then_answer(_: Request, writer: asyncio.StreamWriter) -> None:
            world.policy = PolicyInEffect(stop=True)
            writer.write(answer(200))

        api.answers = [answer(200), stop_then_answer]
        world.cluster_has(*many(3))
        delivered = await world.deliver()
        await world.api.close()
        view = await FileLedger(world.path).load()
    assert len(delivered.pushed) == 3
    assert delivered.plan == Plan((), {})
    assert all(entry.acked and not entry.sending for entry in view.entries.values())


async def test_a_change_while_requests_are_under_way_is_told_in_the_same_call(
    world: World, receiver: RecordingReceiver
) -> None:
    class Changing(LedgerAround):
        async def write(self, entries: Mapping[AppKey, Entry | None], /) -> LedgerView:
            if entries:
                world.cluster_has(B)
            return await super().write(entries)

    await world.api.close()
    world.restart(Changing)
    world.cluster_has(A)
    assert [result.app for result in (await world.deliver()).pushed] == [A, B]
    assert receiver.has(B) == "deployed 2"


@pytest.mark.parametrize("failing_write", [1, 2])
async def test_a_ledger_that_cannot_be_written_is_trouble_and_nothing_is_lost(
    failing_write: int, world: World, receiver: RecordingReceiver
) -> None:
    writes = 0

    class Full(LedgerAround):
        async def write(self, entries: Mapping[AppKey, Entry | None], /) -> LedgerView:
            nonlocal writes
            writes += bool(entries)
            if entries and writes == failing_write:
                raise LedgerError("the disk is full")
            return await super().write(entries)

    await world.api.close()
    world.restart(Full)
    world.cluster_has(A)
    delivered: Delivered = await world.deliver()
    assert (delivered.pushed, delivered.trouble) == ((), "the disk is full")
    assert len(receiver.requests) == failing_write - 1
    await world.deliver_all()
    assert receiver.has(A) == "deployed 1"
    assert len(set(receiver.requests)) == 1


async def test_a_ledger_that_cannot_be_read_sends_nothing(world: World, receiver: RecordingReceiver) -> None:
    world.path.mkdir()
    world.cluster_has(A)
    with pytest.raises(LedgerError):
        await world.deliver()
    assert receiver.requests == []


async def test_an_uninstall_is_forgotten_90_days_after_it_was_acknowledged(world: World) -> None:
    world.cluster_has(A)
    await world.deliver()
    world.cluster_has()
    await world.deliver()
    world.now += timedelta(days=89)
    await world.deliver()
    assert A.key in (await world.ledger.load()).entries
    world.now += timedelta(days=1)
    await world.deliver()
    assert (await world.ledger.load()).entries == {}
