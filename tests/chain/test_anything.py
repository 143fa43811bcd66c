"""Anything that may happen, in any order: at every step nobody is told a lie, whenever all is well and quiet
nothing is owed, and in the end the receiver has what is recorded, which is what there is.

What should be told is judged by a model of its own (``expected``), as in the simulated week. More examples:
``EXAMPLES=2000 pytest tests/chain/test_anything.py``.
"""

import asyncio
import os
import shutil

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from reconciler.model import AppKey
from reconciler.project import Duration, Match, PushSpec, Rule
from tests.chain import expected
from tests.chain.anything import APPS, BY_HAND, NAMES, NAMESPACES, Machine
from tests.chain.decisions import EVERYTHING, RULES
from tests.chain.endpoint import Mode
from tests.chain.faults import Crash, When
from tests.chain.weather import FAULTS

LASTING = st.sampled_from([False, False, True])
WHENS = st.sampled_from(When)
MODES = st.sampled_from([mode for mode in Mode if mode is not Mode.SILENT])  # which takes its time


class Anything(Machine):
    @initialize(
        settle=st.sampled_from([0, 5]),
        on=st.sampled_from(["AnyChange", "HelmUpdate"]),
        apps=st.sets(APPS),
        live=st.booleans(),
    )
    def begin(self, settle: int, on: str, apps: set[str], live: bool) -> None:
        self.world.live = live
        self.world.spec(settle=Duration(seconds=settle))
        self.decide(on=on)
        self.install(*sorted(set(NAMES) - apps))
        self.work_if(True)

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

    @rule(settle=st.sampled_from([0, 5]))
    def change_how_long_to_wait(self, settle: int) -> None:
        self.world.spec(settle=Duration(seconds=settle))

    @rule()
    def confirm_removals(self) -> None:
        """Those that were held when somebody looked last, if there were any."""
        if self.world.results and (left := self.world.result.braking.left):
            self.world.annotate(confirm_removals=left)

    @rule()
    def make_the_project_anew(self) -> None:
        """It is deleted, which the process notices, and made again."""
        if self.world.process is not None:
            self.world.process.reconciler.rest()
            self.run(self.tell())
        self.world.spec(first=True, settle=self.world.project.spec.settle)
        self.decide()

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
            self.install(app)
            self.work_if(True)
        before = self.world.cluster[app]
        self.world.cluster.change(app, **change)
        self.trouble_the_api(mode, lasting=False)
        self.world.cluster.change(app, **{name: getattr(before, name) for name in change})
        if uuid:
            self.world.cluster.uuid(AppKey.parse(app).namespace, f"after {mode.name}")
        self.work_if(True)

    @rule(known=st.booleans())
    def change_the_token(self, known: bool) -> None:
        self.tokens += 1
        self.site.token = f"token-{self.tokens}"
        if known:
            self.know_the_token()
        self.work_if(True)

    @rule()
    def change_the_url(self) -> None:
        """The API is another one, which knows nothing yet."""
        self.endpoints += 1
        self.world.url = f"{self.site.url}/v{self.endpoints}"
        self.site.receiver.apps.clear()
        self.audit.known.clear()
        self.audit.doubted.clear()
        self.restart()

    @rule(app=APPS)
    def refuse(self, app: str) -> None:
        self.refused.add(AppKey.parse(app))

    @rule()
    def be_well(self) -> None:
        """Nothing fails any more."""
        self.world.cluster.gaps, self.world.cluster.away = (), False
        self.world.faults.errors.clear()
        self.refused.clear()
        self.know_the_token()
        self.run(self.site.set(Mode.OPEN))

    @precondition(lambda self: self.may_lose_the_ledger)
    @rule()
    def lose_the_ledger(self) -> None:
        self.world.disk.lose_ledger()

    @rule()
    def back_up(self) -> None:
        self.backup = self.disk.save()

    @precondition(lambda self: self.backup is not None and self.may_lose_the_ledger)
    @rule()
    def restore_the_ledger(self) -> None:
        self.disk.restore_ledger(self.backup)

    @property
    def may_lose_the_ledger(self) -> bool:
        """Only the ledger knows a former UUID, and what there was before the store was lost."""
        return self.has_history and self.audit.is_told_as_recorded()

    @precondition(lambda self: not self.audit.policy.stop)
    @rule(older=st.booleans())
    def lose_the_store(self, older: bool) -> None:
        """``older``: it is as it was when it was backed up."""
        self.be_well_for_a_while()
        self.has_history = False
        if older and self.backup is not None:
            self.disk.restore_store(self.backup)
        else:
            self.disk.lose_store()
        self.work_if(True)

    # The process

    @rule()
    def work(self) -> None:
        self.run(self._step())

    @rule()
    def tell_without_a_look(self) -> None:
        self.run(self.tell())

    @rule(app=APPS, change=BY_HAND)
    def look_while_it_is_told(self, app: str, change: dict[str, object]) -> None:
        """Something has changed when the answers are still under way."""
        if self.world.process is not None and self.there(app):
            self.world.cluster.change(app, **change)
            telling = self.tell()

            async def both() -> None:
                await asyncio.gather(telling, self.world.look())

            self.run(both())

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
            self.world.cluster.change(str(app), status="deployed", phase="Running", broken="")

        async def quiet() -> None:
            await self.world.start()
            for _ in range(2):  # a second look may be what the brake waits for
                await self.world.converge()
                self.world.clock.advance(700)
            await self.world.converge()

        self.run(quiet())
        assert self.audit.owing() == []

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
            shutil.rmtree(self.folder)


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
