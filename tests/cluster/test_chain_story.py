"""The story of a release, told through the whole chain: one commit for each step, and the right pushes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import pytest

from tests.cluster.chain import INTERVAL, SETTLE, Chain, NewChain, Pushed, StoreKind, in_background
from tests.controlplane.cluster import CHARTS, CommandError
from tests.controlplane.plane import ControlPlane

WEB, BATCH = str(CHARTS / "web"), str(CHARTS / "batch")
TEST = "default/test"
BOUNDED = ("--timeout", "60s")  # or a test that fails waits for Helm for minutes


class Helm:
    """One Helm, and by hand what people do beside it, to the release `test` of the chart `web`."""

    def __init__(self, plane: ControlPlane, version: Literal[3, 4] = 3) -> None:
        self.plane = plane
        self.version = version
        self.bumped = plane.package("web", version="1.1.0")  # the appVersion stays

    def __call__(self, *args: str) -> None:
        self.plane.helm(*args, version=self.version)

    def install(self) -> None:
        self("install", "test", WEB)

    def upgrade(self) -> None:
        self("upgrade", "test", WEB, "--set", "replicas=3")

    def bump(self) -> None:
        self("upgrade", "test", self.bumped)

    def roll_back(self) -> None:
        self("rollback", "test", "1")

    def fail(self) -> None:
        with pytest.raises(CommandError):
            self("upgrade", "test", WEB, "--set", "replicas=nonsense")

    def reinstall(self) -> None:
        self("uninstall", "test", "--wait")
        self.install()

    def change_the_image(self) -> None:
        self.plane.kubectl("set", "image", "deployment/test-web", "app=registry.example.com/shop/web:2.5.0")

    def add_a_host(self) -> None:
        rule = self.plane.get("ingress", "test-web")["spec"]["rules"][0]
        more = [{"op": "add", "path": "/spec/rules/-", "value": {**rule, "host": "blog.example.com"}}]
        self.plane.kubectl("patch", "ingress", "test-web", "--type=json", "-p", json.dumps(more))

    def grow_the_claim(self) -> None:
        bigger = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
        self.plane.kubectl("patch", "pvc", "test-cache", "-p", json.dumps(bigger))

    def uninstall_but_keep_the_history(self) -> None:
        self("uninstall", "test", "--wait", "--keep-history")

    def uninstall(self) -> None:
        self("uninstall", "test", "--wait")


class Step(NamedTuple):
    """`pushed`: the (revision, status) that is told; None where nothing is."""

    does: Callable[[Helm], None]
    subject: str
    pushed: tuple[int, str] | None = None


STORY = (
    Step(Helm.install, "install default/test: web 1.0.0", (1, "deployed")),
    Step(Helm.upgrade, "upgrade default/test: web 1.0.0, revision 1 → 2", (2, "deployed")),
    Step(Helm.bump, "upgrade default/test: web 1.0.0 → 1.1.0, revision 2 → 3", (3, "deployed")),
    Step(
        Helm.roll_back,
        "roll back default/test to revision 1: web 1.1.0 → 1.0.0, revision 3 → 4",
        (4, "deployed"),
    ),
    Step(Helm.fail, "upgrade of default/test failed: web 1.0.0, revision 4 → 5", (5, "failed")),
    Step(Helm.reinstall, "reinstall default/test: web 1.0.0, revision 5 → 1", (1, "deployed")),
    Step(Helm.change_the_image, "change default/test: image web 2.4.0 → 2.5.0"),
    Step(Helm.add_a_host, "change default/test: new host blog.example.com"),
    Step(Helm.grow_the_claim, "change default/test: volume test-cache 1Gi → 2Gi"),
    Step(Helm.uninstall_but_keep_the_history, "uninstall default/test: web 1.0.0", (1, "uninstalled")),
    Step(Helm.uninstall, ""),  # only its history goes
    Step(Helm.install, "install default/test: web 1.0.0", (1, "deployed")),
    Step(Helm.uninstall, "uninstall default/test: web 1.0.0", (1, "uninstalled")),
)


@pytest.mark.parametrize(("version", "store"), [(3, "git"), (4, "configmap")])
async def test_each_step_of_a_release_makes_one_commit_and_helms_own_are_pushed_once(
    new_chain: NewChain, version: Literal[3, 4], store: StoreKind
) -> None:
    chain = await new_chain(store=store)
    helm = Helm(chain.plane, version)
    for step in STORY:
        step.does(helm)
        chain.plane.rolled_out()
        await chain.settle()
        commits = await chain.commits()
        assert [commit.subject for commit in commits] == ([step.subject] if step.subject else [])
        if store == "git":
            assert [commit.files for commit in commits] == [("default/test.yaml",)] * len(commits)
        assert chain.pushes() == ([Pushed(TEST, *step.pushed)] if step.pushed else []), step.subject
    keys = [key for key, _ in chain.receiver.requests]
    assert keys == sorted(set(keys))


CHANGES = (
    Step(Helm.install, "install default/test: web 1.0.0", (1, "deployed")),
    Step(Helm.bump, "upgrade default/test: web 1.0.0 → 1.1.0, revision 1 → 2", (2, "deployed")),
    Step(Helm.change_the_image, "change default/test: image web 2.4.0 → 2.5.0", (2, "deployed")),
    Step(Helm.add_a_host, "change default/test: new host blog.example.com", (2, "deployed")),
    Step(Helm.grow_the_claim, "change default/test: volume test-cache 1Gi → 2Gi", (2, "deployed")),
    Step(Helm.uninstall, "uninstall default/test: web 1.1.0", (2, "uninstalled")),
)


@pytest.mark.parametrize("push_on", ["AnyChange", "Never"])
async def test_any_change_pushes_each_commit_once_and_never_pushes_none(
    new_chain: NewChain, push_on: str
) -> None:
    chain = await new_chain(push={"on": push_on})
    helm = Helm(chain.plane)
    for step in CHANGES:
        step.does(helm)
        chain.plane.rolled_out()
        await chain.settle()
        assert await chain.subjects() == [step.subject]
        told = [Pushed(TEST, *step.pushed)] if step.pushed and push_on == "AnyChange" else []
        assert chain.pushes() == told, step.subject


@pytest.mark.parametrize("version", [3, 4])
async def test_an_upgrade_that_waits_is_neither_recorded_nor_pushed_until_it_ends(
    chain: Chain, version: Literal[3, 4]
) -> None:
    plane = chain.plane
    plane.helm("install", "test", WEB, version=version)
    plane.rolled_out()
    await chain.settle()
    assert len(await chain.commits()) == len(chain.pushes()) == 1
    hold = ("--set", "hold=true", "--wait", *BOUNDED)
    with in_background(lambda: plane.helm("upgrade", "test", WEB, *hold, version=version)) as upgrade:
        wait_for_status(plane, "pending-upgrade")
        for _ in range(3):
            result = await chain.settle()
            assert {str(key): why for key, why in result.waiting.items()} == {TEST: "pending-upgrade"}
        assert (await chain.commits(), chain.pushes()) == ([], [])

        def pulled() -> bool:  # a rolling update starts pod after pod
            plane.finish_image_pulls()
            return upgrade.done()

        plane.wait(pulled, "the upgrade ending")
    plane.rolled_out()
    await chain.settle()
    assert await chain.subjects() == ["upgrade default/test: web 1.0.0, revision 1 → 2"]
    assert chain.pushes() == [Pushed(TEST, 2, "deployed")]


async def test_an_upgrade_that_hangs_for_an_interval_is_recorded_as_stuck_and_then_as_it_ends(
    chain: Chain,
) -> None:
    plane = chain.plane
    plane.helm("install", "test", BATCH)
    plane.rolled_out()
    await chain.settle()
    assert (await chain.subjects(), chain.pushes()) == (
        ["install default/test: batch 0.5.1"],
        [Pushed(TEST, 1, "deployed")],
    )
    hold = ("--set", "hooks.hold=true", *BOUNDED)
    with in_background(lambda: plane.helm("upgrade", "test", BATCH, *hold)) as upgrade:
        wait_for_status(plane, "pending-upgrade")
        await chain.settle()
        chain.clock.advance(INTERVAL - chain.clock.ahead - SETTLE)
        await chain.look()
        assert (await chain.commits(), chain.pushes()) == ([], [])
        chain.clock.advance(SETTLE)
        await chain.settle()
        assert await chain.subjects() == ["upgrade of default/test is stuck: batch 0.5.1, revision 1 → 2"]
        assert chain.pushes() == [Pushed(TEST, 2, "pending-upgrade")]

        def pulled() -> bool:
            plane.finish_image_pulls()
            return upgrade.done()

        plane.wait(pulled, "the upgrade ending")
    plane.rolled_out()
    await chain.settle()
    assert await chain.subjects() == ["change default/test: status pending-upgrade → deployed"]
    assert chain.pushes() == [Pushed(TEST, 2, "deployed")]


def wait_for_status(plane: ControlPlane, status: str) -> None:
    def found() -> list[Any]:
        answer: list[Any] = plane.get("secrets", "-l", f"owner=helm,status={status}")
        return answer

    plane.wait(found, f"a release that is {status}")
