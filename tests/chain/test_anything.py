"""Anything that may happen, in any order; when all is well again, the receiver has what is recorded, which is
what there is, and nobody was told a lie on the way."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from reconciler.errors import LedgerError, StoreError
from reconciler.inventory.objects import Gap, Kind
from reconciler.model import AppKey
from reconciler.project import Duration, PushSpec
from tests.chain.faults import Crash, When
from tests.chain.world import ConfigMapDisk, World
from tests.web.world import RecordingReceiver, receiving

APPS = st.sampled_from(["shop/web", "shop/db", "ops/web"])
NAMESPACES = st.sampled_from(["shop", "ops"])
WHENS = st.sampled_from(When)
STORE = ("tip", "append", "clusters", "departed")
LEDGER = ("load", "write", "settle")


class Anything(RuleBasedStateMachine):
    """``receiver``, ``url``: the one that is served during the test; each run empties it."""

    receiver: ClassVar[RecordingReceiver]
    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.receiver.apps.clear()
        self.receiver.requests.clear()
        self.receiver.heal()
        self.world = World(ConfigMapDisk(), self.receiver, self.url)
        self.ended: set[str] = set()
        """Apps of which an end may be told: they were uninstalled, or had another app UUID."""
        self.seen = 0

    def run(self, work: Awaitable[object]) -> None:
        async def whole() -> object:
            return await work

        self.runner.run(whole())

    @initialize(settle=st.sampled_from([0, 5]))
    def begin(self, settle: int) -> None:
        self.world.spec(settle=Duration(seconds=settle), push=PushSpec(on="AnyChange"))

    # The cluster

    def there(self, app: str) -> bool:
        return AppKey.parse(app) in self.world.cluster.releases

    @rule(app=APPS)
    def install_or_upgrade(self, app: str) -> None:
        (self.world.cluster.upgrade if self.there(app) else self.world.cluster.install)(app)

    @rule(app=APPS)
    def uninstall(self, app: str) -> None:
        if self.there(app):
            self.world.cluster.uninstall(app)
            self.ended.add(app)

    @rule(app=APPS, image=st.sampled_from(["web:a", "web:b"]))
    def change_by_hand(self, app: str, image: str) -> None:
        if self.there(app):
            self.world.cluster.change(app, image=image)

    @rule(app=APPS, status=st.sampled_from(["deployed", "failed", "pending-upgrade", "uninstalling"]))
    def be_on_its_way(self, app: str, status: str) -> None:
        if self.there(app):
            self.world.cluster.change(app, status=status)

    @rule(namespace=NAMESPACES, value=st.sampled_from(["", "one", "two"]))
    def change_the_app_uuids(self, namespace: str, value: str) -> None:
        if value:
            self.world.cluster.uuid(namespace, value)
        else:
            self.world.cluster.secrets.pop(namespace, None)
        self.ended |= {f"{namespace}/web", f"{namespace}/db"}

    @rule(kind=st.sampled_from(list(Kind)), where=st.sampled_from(["", "shop"]), forbidden=st.booleans())
    def see_less(self, kind: Kind, where: str, forbidden: bool) -> None:
        self.world.cluster.gaps = (*self.world.cluster.gaps, Gap(kind, where, forbidden))

    @rule()
    def see_all(self) -> None:
        self.world.cluster.gaps, self.world.cluster.away = (), False

    @rule()
    def see_nothing(self) -> None:
        self.world.cluster.away = True

    # The policy

    @rule(denied=st.sets(NAMESPACES))
    def deny(self, denied: set[str]) -> None:
        self.world.spec(deny_namespaces=tuple(sorted(denied)))

    @rule(stop=st.booleans())
    def stop_or_resume(self, stop: bool) -> None:
        self.world.spec(stop=stop)

    # What fails

    @rule(names=st.sampled_from([STORE, LEDGER]), when=WHENS)
    def lose_answers_of(self, names: tuple[str, ...], when: When) -> None:
        error = StoreError("it is away") if names is STORE else LedgerError("it is away")
        self.world.faults.errors |= dict.fromkeys(names, (when, error))

    @rule()
    def have_store_and_ledger_back(self) -> None:
        self.world.faults.errors.clear()

    @rule(fault=st.sampled_from(["lost", "away", "503", "429", "401", "400"]), times=st.integers(1, 4))
    def trouble_the_api(self, fault: str, times: int) -> None:
        self.receiver.fail(f"{fault}:{times}")

    @rule()
    def lose_the_ledger(self) -> None:
        self.world.disk.lose_ledger()

    # The process

    @rule()
    def work(self) -> None:
        self.run(self._step())

    @rule()
    def work_until_it_waits(self) -> None:
        for _ in range(3):
            self.run(self._step())
            self.world.clock.advance(7)

    @rule(at=st.integers(0, 25), when=WHENS)
    def be_killed(self, at: int, when: When) -> None:
        self.world.faults.names.clear()
        self.world.faults.crash_at = (at, when)
        died = False
        try:
            self.run(self._step())
        except Crash:
            died = True
        except BaseExceptionGroup as group:
            if group.split(Crash)[1] is not None:
                raise
            died = True
        finally:
            self.world.faults.crash_at = None
        if died:
            self.run(self.world.stop())

    @rule()
    def restart(self) -> None:
        self.run(self.world.start())

    @rule(seconds=st.sampled_from([1, 60, 3_600, 100_000]))
    def let_time_pass(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    async def _step(self) -> None:
        before = len(self.receiver.requests)
        try:
            with suppress(LedgerError):  # as the loop does
                await self.world.step()
        finally:
            policy = self.world.project.spec
            for told in self.world.told[before:]:
                namespace = told.partition("/")[0]
                assert namespace not in policy.deny_namespaces, "what is denied is not told"
                assert not policy.stop, "nothing is told when stopped"

    # What always holds

    @invariant()
    def no_key_has_two_contents(self) -> None:
        self.world.check_keys()

    @invariant()
    def nothing_is_told_as_gone_that_never_was(self) -> None:
        for told in self.world.told[self.seen :]:
            app, _, status = told.split(" ")
            assert status != "uninstalled" or app in self.ended
        self.seen = len(self.receiver.requests)

    def teardown(self) -> None:
        """All is well again, and stays so."""
        world = self.world
        self.see_all()
        self.have_store_and_ledger_back()
        self.receiver.heal()
        world.spec(stop=False, deny_namespaces=())
        for app in world.cluster.releases:
            world.cluster.change(str(app), status="deployed")
        world.clock.advance(100_000)  # what was rejected is tried again

        async def end() -> None:
            await world.converge()
            if world.cluster.releases or world.result.recorded is not None:
                await world.check()
            told = len(world.told)
            await world.converge()
            assert len(world.told) == told
            await world.stop()

        try:
            self.run(end())
            self.nothing_is_told_as_gone_that_never_was()
        finally:
            self.runner.close()


@pytest.fixture
def served() -> Iterator[None]:
    with receiving() as (receiver, url):
        Anything.receiver, Anything.url = receiver, url
        yield


@pytest.mark.usefixtures("served")
def test_whatever_happens_it_ends_right_when_all_is_well_again() -> None:
    run_state_machine_as_test(
        Anything,
        settings=settings(
            max_examples=100,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
