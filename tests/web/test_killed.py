"""Killed at each step and started again with the same ledger file: nothing is lost, nothing is told twice
under two keys, and the receiver ends with what the cluster has."""

import asyncio
import shutil
from collections.abc import Mapping
from datetime import timedelta

import pytest

from reconciler.delivery.answers import Answer
from reconciler.delivery.api import Api
from reconciler.delivery.deliver import Ledger
from reconciler.model import App, AppKey
from reconciler.policy import protocol
from reconciler.policy.entry import EMPTY, Entry, LedgerView
from reconciler.settings import ApiSettings
from tests.builders import make_app
from tests.web.world import LedgerAround, RecordingReceiver, World

A, B, C = make_app(revision=1), make_app(revision=2), make_app(revision=3)
OTHERS = [make_app(name=f"other-{number}") for number in range(3)]


class KilledError(Exception):
    """The process ends here."""


class Knife:
    """Ends the delivery at one of the steps that it comes to, by an error or as a lost lease does it."""

    def __init__(self, at: int, cancels: bool) -> None:
        self.at = at
        self.cancels = cancels
        self.steps: list[str] = []
        self.task = asyncio.current_task()

    async def step(self, name: str) -> None:
        self.steps.append(name)
        if len(self.steps) - 1 == self.at:
            if self.cancels:
                assert self.task is not None
                self.task.cancel()
                await asyncio.Event().wait()
            raise KilledError(name)


class KnifedLedger(LedgerAround):
    def __init__(self, inner: Ledger, knife: Knife) -> None:
        super().__init__(inner)
        self._knife = knife

    async def write(self, entries: Mapping[AppKey, Entry | None], /) -> LedgerView:
        if not entries:  # it is only asked how it stands
            return await super().write(entries)
        await self._knife.step("before write")
        view = await super().write(entries)
        await self._knife.step("after write")
        return view


class KnifedApi(Api):
    def __init__(self, settings: ApiSettings, knife: Knife) -> None:
        super().__init__(settings)
        self._knife = knife

    async def push(self, body: bytes, key: str, timeout: float) -> Answer:  # noqa: ASYNC109 - as Api.push
        await self._knife.step("before send")
        answer = await super().push(body, key, timeout)
        await self._knife.step("after send")
        return answer


def knifed(world: World, knife: Knife) -> None:
    """A new process, in which the knife is."""
    world.restart(lambda ledger: KnifedLedger(ledger, knife), lambda settings: KnifedApi(settings, knife))


async def until_killed(world: World) -> bool:
    """Whether the delivery was killed."""
    task = asyncio.current_task()
    assert task is not None
    try:
        await world.deliver()
    except asyncio.CancelledError:
        task.uncancel()
    except (KilledError, BaseExceptionGroup):
        pass
    else:
        return False
    finally:
        await world.api.close()
    return True


def check(receiver: RecordingReceiver, apps: list[App]) -> None:
    bodies: dict[str, bytes] = {}
    for key, body in receiver.requests:
        assert bodies.setdefault(key, body) == body
    assert {receiver.has(app) for app in apps} == {f"{app.helm.status} {app.helm.revision}" for app in apps}


STEPS = (2 + 2 + 2) + (2 + 2 * 3 + 2)
"""Mark one app, send it, write its answer; mark the other three, send them, write their answers."""


@pytest.mark.parametrize("cancels", [False, True], ids=["by an error", "by losing the lease"])
@pytest.mark.parametrize("at", range(STEPS + 1))
async def test_what_was_not_acknowledged_is_sent_again_with_the_same_key_and_bytes(
    at: int, cancels: bool, world: World, receiver: RecordingReceiver
) -> None:
    world.cluster_has(A, *OTHERS)
    await world.api.close()
    knife = Knife(at, cancels)
    knifed(world, knife)
    assert await until_killed(world) is (at < STEPS)
    assert len(knife.steps) == STEPS or len(knife.steps) > at
    world.restart()
    world.now += timedelta(minutes=1)
    await world.deliver_all()
    check(receiver, [A, *OTHERS])
    assert len({key for key, _ in receiver.requests}) == 4  # no app was told under two keys
    assert receiver.counts["accepted"] == 4


@pytest.mark.parametrize("second_at", range(5))
@pytest.mark.parametrize("at", range(6))
async def test_killed_while_it_changes_and_killed_again_it_ends_right(
    at: int, second_at: int, world: World, receiver: RecordingReceiver
) -> None:
    await world.api.close()
    for app, where in ((A, at), (B, second_at)):
        world.cluster_has(app)
        knifed(world, Knife(where, cancels=False))
        await until_killed(world)
    world.cluster_has(A)
    world.restart()
    await world.deliver_all()
    check(receiver, [A])


async def lost(world: World, receiver: RecordingReceiver) -> None:
    """Deliver; what is sent arrives, and its answer is lost."""
    receiver.fail("lost:2")  # on the connection that was there, if there was one, and on a new one
    assert (await world.deliver()).trouble
    receiver.heal()
    world.now += timedelta(minutes=10)


async def restarted(world: World) -> None:
    await world.api.close()
    world.restart()


async def test_sent_and_unacknowledged_then_back_as_it_was_ends_as_it_was(
    world: World, receiver: RecordingReceiver
) -> None:
    world.cluster_has(A)
    await world.deliver_all()
    world.cluster_has(B)
    await lost(world, receiver)
    assert receiver.has(B) == "deployed 2"
    world.cluster_has(A)
    await restarted(world)
    await world.deliver_all()
    assert receiver.has(A) == "deployed 1"
    assert len({key for key, _ in receiver.requests}) == 3


async def test_installed_sent_unacknowledged_and_uninstalled_ends_uninstalled(
    world: World, receiver: RecordingReceiver
) -> None:
    world.cluster_has(A)
    await lost(world, receiver)
    world.cluster_has()
    await restarted(world)
    await world.deliver_all()
    assert receiver.has(A) == "uninstalled 1"


async def test_a_changed_app_uuid_whose_old_one_may_have_been_told_ends_with_the_new_one(
    world: World, receiver: RecordingReceiver
) -> None:
    new = make_app(revision=2, app_uuid="A-new")
    world.cluster_has(A)
    await lost(world, receiver)
    world.cluster_has(new)
    await lost(world, receiver)
    assert receiver.has(A) == "uninstalled 1"
    await restarted(world)
    await world.deliver_all()
    assert receiver.has(new) == "deployed 2"


async def test_a_late_request_that_was_overtaken_changes_nothing(
    world: World, receiver: RecordingReceiver
) -> None:
    world.cluster_has(A)
    receiver.fail("away")
    await world.deliver()
    sending = (await world.ledger.load()).entries[A.key].sending
    assert sending is not None
    world.now += timedelta(minutes=1)
    world.cluster_has(B)
    await world.deliver_all()
    reply = receiver.receive(sending.key, sending.body.encode())
    assert reply.status == 409
    assert receiver.has(B) == "deployed 2"


async def in_doubt(world: World, *recorded: App) -> None:
    """What a start of leadership does with a ledger that it cannot trust."""
    view = await world.ledger.load()
    known = {app.key: app for app in recorded}
    doubted = {}
    for key in {*view.entries, *known}:
        entry = view.entries.get(key, EMPTY)
        doubted[key] = protocol.in_doubt(entry, known.get(key), world.draw(entry.last_key), "a@b.c")
    await world.ledger.write(doubted)


CLOCKS = pytest.mark.parametrize(
    "clock_error", [timedelta(0), timedelta(days=-2)], ids=["a good clock", "a clock set back"]
)


@CLOCKS
@pytest.mark.parametrize("now_there", [A, B, None], ids=["as it was", "changed", "gone"])
async def test_the_ledger_lost_the_receiver_ends_right(
    clock_error: timedelta, now_there: App | None, world: World, receiver: RecordingReceiver
) -> None:
    world.cluster_has(A)
    await world.deliver_all()
    world.path.unlink()
    world.clock_error = clock_error
    world.cluster_has(*[now_there] if now_there else [])
    await restarted(world)
    await in_doubt(world, A)
    await world.deliver_all()
    assert receiver.has(A) == (f"deployed {now_there.helm.revision}" if now_there else "uninstalled 1")


@CLOCKS
@pytest.mark.parametrize("unanswered", [False, True], ids=["acknowledged", "in doubt"])
@pytest.mark.parametrize("now_there", [A, B, C, None], ids=["as it was", "as it is", "changed", "gone"])
async def test_a_ledger_older_than_it_was_the_receiver_ends_right(
    clock_error: timedelta,
    unanswered: bool,
    now_there: App | None,
    world: World,
    receiver: RecordingReceiver,
) -> None:
    world.cluster_has(A)
    await (lost(world, receiver) if unanswered else world.deliver_all())
    backup = shutil.copy(world.path, world.path.with_suffix(".backup"))
    world.cluster_has(B)
    await world.deliver_all()
    assert receiver.has(B) == "deployed 2"
    shutil.copy(backup, world.path)
    world.clock_error = clock_error
    world.cluster_has(*[now_there] if now_there else [])
    await restarted(world)
    await in_doubt(world, B)
    await world.deliver_all()
    known = receiver.has(A)
    assert known == f"deployed {now_there.helm.revision}" if now_there else known.startswith("uninstalled")
