"""Anything that may happen while people approve, in any order: what is told is held against a model that
knows only what was recorded, and what people did.

In the end everything is approved, and the receiver has what is recorded, which is what there is.
"""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Iterator, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from reconciler.errors import StoreError
from reconciler.inventory.objects import Gap, Kind
from reconciler.model import AppKey, emitted, encode
from reconciler.policy.entry import LedgerView
from reconciler.state.documents import load_app
from tests.chain.approvers import AUTOMATIC, REQUIRED, ReviewedDisk
from tests.chain.faults import Crash, When
from tests.chain.world import EMAIL, World
from tests.git.factory import commit_as_a_person, files, git, refs
from tests.web.world import RecordingReceiver, receiving

NAMES = ["shop/web", "shop/db", "ops/web"]
ALWAYS = "ops/always"
"""An app that stays, so that the cluster's directory is never empty."""

APPS = st.sampled_from(NAMES)
AWAY = StoreError("the branch cannot be read")

Told = dict[str, Any]
"""What a push says of an app."""


class Reviewed(RuleBasedStateMachine):
    """``receiver``, ``url``: the one that is served during the test; each run empties it."""

    receiver: ClassVar[RecordingReceiver]
    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.receiver.apps.clear()
        self.receiver.requests.clear()
        self.receiver.heal()
        self.folder = Path(mkdtemp())
        self.disk = ReviewedDisk(self.folder)
        self.world = World(self.disk, self.receiver, self.url)
        # What the model knows
        self.texts: dict[str, list[str]] = {app: [] for app in (ALWAYS, *NAMES)}
        """By app what was ever recorded of it, as its file had it, oldest first."""
        self.recorded: dict[str, str] = {}
        """By app its file in the record."""
        self.signed: dict[str, str | None] = {}
        """By app what people approved since approval began, as its file has it; None: its end."""
        self.read: dict[str, str | None] = {}
        """The same when the branch could be read last."""
        self.since: str | None = None

    # The cluster

    def there(self, app: str) -> bool:
        return AppKey.parse(app) in self.world.cluster.releases

    @initialize(required=st.sampled_from([True, True, False]))
    def begin(self, required: bool) -> None:
        self.world.cluster.install(ALWAYS, *NAMES)
        self._work()
        if required:
            self.require(seen=True)

    @rule(app=APPS, seen=st.booleans())
    def install_or_upgrade(self, app: str, seen: bool) -> None:
        (self.world.cluster.upgrade if self.there(app) else self.world.cluster.install)(app)
        self._work_if(seen)

    @rule(app=APPS, seen=st.booleans())
    def uninstall(self, app: str, seen: bool) -> None:
        if self.there(app):
            self.world.cluster.uninstall(app)
            self._work_if(seen)

    @rule(namespace=st.sampled_from(["", "shop"]), seen=st.booleans())
    def see_less(self, namespace: str, seen: bool) -> None:
        self.world.cluster.gaps = (Gap(Kind.RELEASE_SECRETS, namespace),)
        self._work_if(seen)

    @rule()
    def see_all(self) -> None:
        self.world.cluster.gaps = ()

    # People

    @rule(seen=st.booleans())
    def require(self, seen: bool) -> None:
        self.world.spec(push=REQUIRED)
        self._work_if(seen)

    @rule()
    def require_no_more(self) -> None:
        self.world.spec(push=AUTOMATIC)

    @rule(apps=st.sets(APPS, min_size=1), seen=st.booleans())
    def approve(self, apps: set[str], seen: bool) -> None:
        self._write({app: self.recorded.get(app) for app in apps})
        self._work_if(seen)

    @rule(app=APPS, back=st.integers(1, 3), seen=st.booleans())
    def approve_older(self, app: str, back: int, seen: bool) -> None:
        known = self.texts[app]
        self._write({app: known[max(0, len(known) - 1 - back)]})
        self._work_if(seen)

    @rule(app=APPS, there=st.booleans(), back=st.integers(0, 2))
    def change_and_approve(self, app: str, there: bool, back: int) -> None:
        """It changes, that is recorded, and that, or what was before it, is approved."""
        (self.install_or_upgrade if there else self.uninstall)(app, seen=True)
        if back:
            self.approve_older(app, back, seen=True)
        else:
            self.approve({app}, seen=True)

    @rule(app=APPS, seen=st.booleans())
    def approve_nonsense(self, app: str, seen: bool) -> None:
        self._write({app: self.texts[app][-1].replace("deployed", "wonderful")})
        self._work_if(seen)

    @rule()
    def delete_the_branch(self) -> None:
        if self._there():
            git(self.disk.remote, "update-ref", "-d", f"refs/heads/{self.branch}")
            self.signed.clear()

    @rule(restarted=st.booleans())
    def lose_sight_of_the_branch(self, restarted: bool) -> None:
        self.world.faults.errors |= dict.fromkeys(("approved", "approved tip"), (When.BEFORE, AWAY))
        if restarted:
            self.restart()

    @rule()
    def have_sight_of_it_again(self) -> None:
        self.world.faults.errors.clear()

    # The process

    @rule(fault=st.sampled_from(["lost", "503"]))
    def trouble_the_api(self, fault: str) -> None:
        self.receiver.fail(fault)

    @rule()
    def work(self) -> None:
        self._work()

    def _work_if(self, seen: bool) -> None:
        if seen:
            self._work()

    @rule(at=st.integers(0, 25), when=st.sampled_from(When))
    def be_killed(self, at: int, when: When) -> None:
        self.world.faults.names.clear()
        self.world.faults.crash_at = (at, when)
        died = False
        try:
            self._work()
        except Crash:
            died = True
        except BaseExceptionGroup as group:
            if group.split(Crash)[1] is not None:
                raise
            died = True
        finally:
            self.world.faults.crash_at = None
        if died:
            self._run(self.world.stop())

    @rule()
    def restart(self) -> None:
        self._run(self.world.start())

    # The model

    @property
    def branch(self) -> str:
        return f"approved/{self.world.cluster_uuid}"

    def path(self, app: str) -> str:
        return f"clusters/{self.world.cluster_uuid}/{app}.yaml"

    def _there(self, commit: str = "") -> dict[str, str]:
        """The blobs of apps on the approved branch, or at a commit that it had."""
        if not commit and f"refs/heads/{self.branch}" not in refs(self.disk.remote):
            return {}
        found = files(self.disk.remote, commit or self.branch)
        return {app: found[self.path(app)] for app in NAMES if self.path(app) in found}

    def _write(self, texts: Mapping[str, str | None]) -> None:
        """People put these on the approved branch, which approves nothing before approval has begun."""
        before = self._there()
        changes = {self.path(app): text for app, text in texts.items() if text is not None or app in before}
        always = {self.path(ALWAYS): self.texts[ALWAYS][0]}
        commit_as_a_person(self.disk.remote, always | changes, branch=self.branch)
        if self.since is None:
            return
        after = self._there()
        for app, text in texts.items():
            if text in self.texts[app]:
                self.signed[app] = text
            else:
                self.signed.pop(app, None)
        for app in {*before, *(self._there(self.since) if self.since else ())}.difference(after):
            self.signed[app] = None

    def _work(self) -> None:
        """One look and one delivery, all pauses over, and whether what was told may be."""
        self.world.clock.advance(3_600)
        requests = self.receiver.requests
        before, entries = len(requests), self._ledger().entries
        let_out = {key for key, _ in requests} | {one.sending.key for one in entries.values() if one.sending}
        try:
            self._run(self.world.step())
        finally:
            self._learn()
            if "approved" not in self.world.faults.errors:
                self.read = dict(self.signed)
            for key, body in requests[before:]:
                self._judge(json.loads(body), again=key in let_out)
            self.world.check_keys()

    def _ledger(self) -> LedgerView:
        view: LedgerView = self._run(self.disk.ledger().load())
        return view

    def _learn(self) -> None:
        """What became durable: the record, and from where on approvals count."""
        observed = f"observed/{self.world.cluster_uuid}"
        there = f"refs/heads/{observed}" in refs(self.disk.remote)
        found = files(self.disk.remote, observed) if there else {}
        blobs = {app: found[self.path(app)] for app in (ALWAYS, *NAMES) if self.path(app) in found}
        self.recorded = {app: git(self.disk.remote, "cat-file", "blob", blob) for app, blob in blobs.items()}
        for app, text in self.recorded.items():
            if text not in self.texts[app]:
                self.texts[app].append(text)
        since = self._ledger().facts.required
        if since != self.since:
            self.signed, self.since = {}, since

    def _judge(self, push: Told, *, again: bool) -> None:
        """Whether it may be told. ``again``: it was let out before, when that was right."""
        helm = push["app_info"]["helm_info"]
        app = f"{helm['namespace']}/{helm['name']}"
        if helm["status"] == "uninstalled":
            assert not self.there(app)
            assert app not in self.recorded
            assert again or self._is_automatic or self.read.get(app, "as it was") is None
            return
        assert app in self.recorded, "what has left the record is not told as present"
        assert any(_says(text, push) for text in self.texts[app])
        if again:
            return
        allowed = self.recorded[app] if self._is_automatic else self.read.get(app)
        assert allowed is not None
        assert _says(allowed, push)

    @property
    def _is_automatic(self) -> bool:
        return self.since is None and self.world.project.spec.push == AUTOMATIC

    def _run(self, work: Awaitable[Any]) -> Any:
        async def whole() -> Any:
            return await work

        return self.runner.run(whole())

    def teardown(self) -> None:
        """All is well, people approve what is recorded, and the receiver has it."""
        world = self.world
        self.see_all()
        world.faults.errors.clear()
        self.receiver.heal()
        world.clock.advance(100_000)  # what was rejected is tried again
        try:
            self._run(world.converge())
            self._learn()
            if (
                self.since
            ):  # on a branch that does not lead back there, what stands as it stood there is as it was
                git(self.disk.remote, "update-ref", f"refs/heads/{self.branch}", self.since)
            self._write(dict.fromkeys(NAMES, self.texts[ALWAYS][0]))  # so that each file was touched
            self._write({app: self.recorded.get(app) for app in NAMES})
            self._run(world.converge())
            self._run(world.check())
            told = len(world.told)
            self._run(world.converge())
            assert len(world.told) == told
            self._run(world.stop())
        finally:
            self.runner.close()
            shutil.rmtree(self.folder)


def _says(text: str, push: Told) -> bool:
    """Whether a push tells what a file of the record has."""
    told: Told = json.loads(encode(emitted(load_app(text.encode(), "the record"), EMAIL)))
    return told == push


@pytest.fixture
def served() -> Iterator[None]:
    with receiving() as (receiver, url):
        Reviewed.receiver, Reviewed.url = receiver, url
        yield


@pytest.mark.usefixtures("served")
def test_whatever_happens_only_what_people_approved_is_told() -> None:
    run_state_machine_as_test(
        Reviewed,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
