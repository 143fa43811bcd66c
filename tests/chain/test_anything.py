"""Anything that may happen, in any order: at every step nobody is told a lie, whenever all is well and quiet
nothing is owed, and in the end the receiver has what is recorded, which is what there is.

What should be told is judged by a model of its own (``expected``), as in the simulated week. More examples:
``EXAMPLES=2000 pytest tests/chain/test_anything.py``.
"""

import asyncio
import os
from collections.abc import Awaitable
from contextlib import suppress

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from reconciler.errors import LedgerError
from reconciler.inventory.objects import Gap, Kind
from reconciler.model import AppKey
from reconciler.project import Duration, Match, PushSpec, Rule
from tests.chain import expected
from tests.chain.audit import Audit
from tests.chain.decisions import EVERYTHING, RULES
from tests.chain.endpoint import Endpoint, Mode
from tests.chain.faults import Crash, When
from tests.chain.weather import FAULTS
from tests.chain.world import EMAIL, ConfigMapDisk, World
from tests.web.world import RecordingReceiver

NAMES = ["shop/web", "shop/db", "shop/mail", "ops/web", "ops/db", "ns-11/web"]
APPS = st.sampled_from(NAMES)
NAMESPACES = st.sampled_from(["shop", "ops", "ns-11"])
SEEN = st.sampled_from([True, True, False])
"""Whether somebody looks before the next thing happens."""
LASTING = st.sampled_from([False, False, True])
BY_HAND = st.sampled_from(
    [
        {"image": "web:a"}, {"image": "web:b"}, {"pods": 2}, {"pods": 1}, {"phase": "Pending"},
        {"phase": "Running"}, {"ports": (80, 443)}, {"ports": (80,)}, {"sizes": (5,)}, {"sizes": ()},
        {"hosts": ("a.example.com",)}, {"hosts": ("b.example.com",)}, {"hosts": ()},
    ]
)  # fmt: skip
WHENS = st.sampled_from(When)
MODES = st.sampled_from([mode for mode in Mode if mode is not Mode.SILENT])  # which takes its time


class Anything(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.site = Endpoint(RecordingReceiver())
        self.run(self.site.set(Mode.OPEN))
        self.world = World(ConfigMapDisk(), RecordingReceiver(), self.site.url)
        self.world.cluster.empty |= {"shop", "ops", "ns-11"}
        self.refused: set[AppKey] = set()
        self.audit = Audit(self.world.clock, EMAIL)
        self.audit.refused = self.refused.__contains__
        self.audit.hidden = lambda key: self.world.cluster.lies and self.there(str(key))
        self.site.arrived, self.world.faults.seen = self.audit.arrived, self.audit.seen
        self.site.refuses = lambda body: 400 if expected.app_of(body) in self.refused else 0

    def run(self, work: Awaitable[object]) -> None:
        async def whole() -> object:
            return await work

        self.runner.run(whole())

    @initialize(
        settle=st.sampled_from([0, 5]), on=st.sampled_from(["AnyChange", "HelmUpdate"]), apps=st.sets(APPS)
    )
    def begin(self, settle: int, on: str, apps: set[str]) -> None:
        self.world.spec(settle=Duration(seconds=settle))
        self.decide(on=on)
        self.world.cluster.install(*sorted(set(NAMES) - apps))
        self.work_if(True)

    # The cluster

    def there(self, app: str) -> bool:
        return AppKey.parse(app) in self.world.cluster.releases

    @rule(app=APPS, seen=SEEN)
    def install_or_upgrade(self, app: str, seen: bool) -> None:
        (self.world.cluster.upgrade if self.there(app) else self.world.cluster.install)(app)
        self.work_if(seen)

    @rule(seen=SEEN)
    def install_all(self, seen: bool) -> None:
        self.world.cluster.install(*(app for app in NAMES if not self.there(app)))
        self.work_if(seen)

    @rule(app=APPS, seen=SEEN)
    def uninstall(self, app: str, seen: bool) -> None:
        if self.there(app):
            self.world.cluster.uninstall(app)
            self.work_if(seen)

    @rule()
    def uninstall_all(self) -> None:
        self.world.cluster.uninstall(*map(str, self.world.cluster.releases))

    @rule(app=APPS, change=BY_HAND, seen=SEEN)
    def change_by_hand(self, app: str, change: dict[str, object], seen: bool) -> None:
        if self.there(app):
            self.world.cluster.change(app, **change)
            self.work_if(seen)

    @rule(app=APPS, status=st.sampled_from(["deployed", "failed", "pending-upgrade", "uninstalling"]))
    def be_on_its_way(self, app: str, status: str) -> None:
        if self.there(app):
            self.world.cluster.change(app, status=status)

    @rule(namespace=NAMESPACES, value=st.sampled_from(["", "one", "two"]), seen=SEEN)
    def change_the_app_uuids(self, namespace: str, value: str, seen: bool) -> None:
        if value:
            self.world.cluster.uuid(namespace, value)
        else:
            self.world.cluster.secrets.pop(namespace, None)
        self.work_if(seen)

    @rule(kind=st.sampled_from(list(Kind)), where=st.sampled_from(["", "shop"]), forbidden=st.booleans())
    def see_less(self, kind: Kind, where: str, forbidden: bool) -> None:
        self.world.cluster.gaps = (*self.world.cluster.gaps, Gap(kind, where, forbidden))

    @rule()
    def see_nothing(self) -> None:
        self.world.cluster.away = True

    @rule()
    def look_at_a_cluster_that_says_it_is_empty(self) -> None:
        """For a moment, between two looks that see it as it is."""
        self.be_well()
        self.decide(stop=False, deny=())
        self.work_if(True)
        told = self.audit.known.keys() | self.audit.doubted.keys()
        if len(self.audit.recorded) >= 5 and told <= self.audit.recorded.keys():  # else there is no brake
            self.world.cluster.lies = True
            self.work_if(True)
            self.world.cluster.lies = False
            self.work_if(True)

    # The policy

    def decide(self, **change: object) -> None:
        self.audit.policy = policy = msgspec.structs.replace(self.audit.policy, **change)
        self.world.spec(
            stop=policy.stop,
            deny_namespaces=policy.deny,
            push=PushSpec(on=policy.on),
            rules=tuple(Rule(one.action, Match(one.namespaces, fields=one.fields)) for one in policy.rules),
        )

    @rule(denied=st.sets(NAMESPACES))
    def deny(self, denied: set[str]) -> None:
        self.decide(deny=tuple(sorted(denied)))

    @rule(stop=st.booleans())
    def stop_or_resume(self, stop: bool) -> None:
        self.decide(stop=stop)

    @rule(on=st.sampled_from(["AnyChange", "HelmUpdate", "Never"]), rules=st.sampled_from(RULES))
    def change_the_rules(self, on: str, rules: tuple[expected.Rule, ...]) -> None:
        self.decide(on=on, rules=rules)

    # What fails

    @rule(what=st.sampled_from(sorted(FAULTS)), lasting=LASTING)
    def fail(self, what: str, lasting: bool) -> None:
        self.world.faults.errors |= FAULTS[what]
        self.work_if(True)
        if not lasting:
            self.world.faults.errors.clear()

    @rule(mode=MODES, lasting=LASTING)
    def trouble_the_api(self, mode: Mode, lasting: bool) -> None:
        self.run(self.site.set(mode))
        self.work_if(True)
        if not lasting:
            self.run(self.site.set(Mode.OPEN))

    @rule(app=APPS, change=BY_HAND, mode=MODES, uuid=st.booleans())
    def change_back_while_the_api_is_in_trouble(
        self, app: str, change: dict[str, object], mode: Mode, uuid: bool
    ) -> None:
        """What was sent and not answered is not so any more, or is another app by now."""
        if not self.there(app):
            self.world.cluster.install(app)
            self.work_if(True)
        before = self.world.cluster[app]
        self.world.cluster.change(app, **change)
        self.trouble_the_api(mode, lasting=False)
        self.world.cluster.change(app, **{name: getattr(before, name) for name in change})
        if uuid:
            self.world.cluster.uuid(AppKey.parse(app).namespace, f"after {mode.name}")
        self.work_if(True)

    @rule(app=APPS)
    def refuse(self, app: str) -> None:
        self.refused.add(AppKey.parse(app))

    @rule()
    def be_well(self) -> None:
        """Nothing fails any more."""
        self.world.cluster.gaps, self.world.cluster.away = (), False
        self.world.faults.errors.clear()
        self.refused.clear()
        self.run(self.site.set(Mode.OPEN))

    @precondition(lambda self: self.audit.is_told_as_recorded())  # only the ledger knows a former UUID
    @rule()
    def lose_the_ledger(self) -> None:
        self.world.disk.lose_ledger()

    # The process

    @rule()
    def work(self) -> None:
        self.run(self._step())

    def work_if(self, seen: bool) -> None:
        """Look, and look again when what has just changed has settled."""
        if seen:
            self.run(self._step())
            if settle := self.world.project.spec.settle.total_seconds():
                self.world.clock.advance(settle)
                self.run(self._step())

    @rule()
    def work_until_it_waits(self) -> None:
        for _ in range(3):
            self.run(self._step())
            self.world.clock.advance(7)

    @rule(at=st.integers(0, 40), when=WHENS)
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

    @rule()
    def be_well_for_a_while(self) -> None:
        """Nothing fails any more, what was rejected is tried again, and what goes on comes to an end."""
        self.be_well()
        for app in self.world.cluster.releases:
            self.world.cluster.change(str(app), status="deployed", phase="Running")

        async def quiet() -> None:
            await self.world.start()
            for _ in range(2):  # a second look may be what the brake waits for
                await self.world.converge()
                self.world.clock.advance(700)
            await self.world.converge()

        self.run(quiet())
        assert self.audit.owing() == []

    async def _step(self) -> None:
        with suppress(LedgerError):  # as the loop does
            await self.world.step()

    # What always holds

    @invariant()
    def nothing_is_wrong(self) -> None:
        assert self.audit.counts.told == []

    def teardown(self) -> None:
        """All is well again, stays so, and every difference is worth a push."""
        try:
            self.decide(on="AnyChange", stop=False, deny=(), rules=EVERYTHING)
            self.be_well_for_a_while()
            self.nothing_is_wrong()
            assert self.audit.recorded.keys() == self.world.cluster.releases.keys()
            for key, release in self.world.cluster.releases.items():
                assert expected.shown(self.audit.recorded[key]) == expected.shown_of(release)
            assert not expected.differing(self.audit.known, self.audit.recorded)
            assert self.audit.known == expected.present(self.site.receiver)
            requests = self.audit.counts.requests
            self.run(self.world.converge())
            assert self.audit.counts.requests == requests
        finally:
            self.run(self.world.stop())
            self.run(self.site.close())
            self.runner.close()


def test_whatever_happens_nobody_is_told_a_lie_and_it_ends_right_when_all_is_well_again() -> None:
    run_state_machine_as_test(
        Anything,
        settings=settings(
            max_examples=int(os.environ.get("EXAMPLES", "30")),
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
