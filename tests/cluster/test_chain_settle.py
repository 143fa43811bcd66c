"""What takes its time: a rolling update is one commit, and an app that never rests keeps none of the others.

The pace is the tests' own: pods wait for their images until a test lets one go on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tests.cluster.chain import INTERVAL, SETTLE, Chain, Pushed
from tests.controlplane.cluster import CHARTS, HOLD
from tests.controlplane.plane import ControlPlane

WEB, TINY = str(CHARTS / "web"), str(CHARTS / "tiny")
TEST, FLAPPING, CALM = "default/test", "default/flapping", "default/calm"
PODS, AT_ONCE = 50, 2
OLD, NEW = (f"registry.example.com/shop/web:{version}" for version in ("2.4.0", "2.5.0"))
LASTS = 9 * SETTLE
"""Seconds of the chain's clock that the rolling update takes: a slow machine stays below 12 times, too."""


def by_helm(plane: ControlPlane) -> None:
    plane.helm("upgrade", "test", WEB, "--set", f"replicas={PODS},hold=true,images.app={NEW}")


def by_hand(plane: ControlPlane) -> None:
    pods = {"metadata": {"labels": {HOLD: "true"}}, "spec": {"containers": [{"name": "app", "image": NEW}]}}
    plane.kubectl("patch", "deployment", "test-web", "-p", json.dumps({"spec": {"template": pods}}))


def held(plane: ControlPlane) -> list[str]:
    """The pods whose images are being pulled."""
    return [one["metadata"]["name"] for one in plane.get("pods", "-l", HOLD)]


@pytest.mark.parametrize(
    ("update", "subject", "told"),
    [
        pytest.param(
            by_helm,
            "upgrade default/test: web 1.0.0, revision 1 → 2, image web 2.4.0 → 2.5.0",
            [Pushed(TEST, 2, "deployed")],
            id="by Helm",
        ),
        pytest.param(by_hand, "change default/test: image web 2.4.0 → 2.5.0", [], id="by hand"),
    ],
)
async def test_a_rolling_update_of_fifty_pods_makes_one_commit(
    chain: Chain, update: Callable[[ControlPlane], None], subject: str, told: list[Pushed]
) -> None:
    plane = chain.plane
    plane.helm("install", "test", WEB, "--set", f"replicas={PODS}")
    plane.rolled_out()
    await chain.settle()
    assert len(await chain.commits()) == len(chain.pushes()) == 1

    update(plane)
    started = mixed = 0
    while started < PODS:
        some = plane.wait(lambda: held(plane), "pods that pull their image")[:AT_ONCE]
        plane.kubectl("label", "pods", *some, f"{HOLD}-")
        started += len(some)
        result = await chain.look()
        assert [str(key) for key in result.waiting] == [TEST]
        assert result.inventory is not None
        (seen,) = result.inventory.apps.values()
        mixed += {OLD, NEW} <= {pod.image for pod in seen.app_info.pod_info}
        chain.clock.advance(LASTS * len(some) / PODS)
    assert mixed > PODS / AT_ONCE / 2  # the looks did see it half done
    assert (await chain.commits(), chain.pushes()) == ([], [])

    plane.rolled_out()
    await chain.settle()
    assert await chain.subjects() == [subject]
    assert chain.pushes() == told
    pods = [pod for pod in chain.recorded(TEST).app_info.pod_info if pod.image.startswith("registry")]
    assert [(pod.image, pod.status) for pod in pods] == [(NEW, "Running")] * PODS
    await chain.wait(INTERVAL)
    assert (await chain.commits(), chain.pushes()) == ([], [])


class Flapping:
    """The app that is scaled up and down all the time."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.replicas = 1

    async def flap(self, settles: float) -> None:
        """For so many times settle: scaled, looked at, and scaled again before it was quiet."""
        for _ in range(int(settles / 0.75)):
            self.replicas = 3 - self.replicas
            self.chain.plane.kubectl("scale", "deployment", "flapping", f"--replicas={self.replicas}")
            self.chain.plane.rolled_out()
            await self.chain.look()
            self.chain.clock.advance(0.75 * SETTLE)

    def upgrade(self, name: str) -> None:
        """By Helm; the upgrade leaves the number of replicas as it stands."""
        self.chain.plane.helm("upgrade", name, TINY, "--set", f"replicas={self.replicas}")


async def test_an_app_that_flaps_is_held_out_of_the_record_and_the_others_are_not(chain: Chain) -> None:
    plane = chain.plane
    flapping = Flapping(chain)
    for name in ("flapping", "calm"):
        plane.helm("install", name, TINY)
    plane.rolled_out()
    await chain.settle()
    assert await chain.subjects() == ["2 apps installed in default"]
    chain.pushes()

    await flapping.flap(4)
    assert (await chain.commits(), chain.pushes()) == ([], [])  # scaling alone is recorded with the next

    flapping.upgrade("flapping")
    for revision in (2, 3):
        flapping.upgrade("calm")
        await flapping.flap(4)
        assert await chain.subjects() == [
            f"upgrade default/calm: tiny 0.1.0, revision {revision - 1} → {revision}"
        ]
        assert chain.pushes() == [Pushed(CALM, revision, "deployed")]
        assert chain.recorded(FLAPPING).helm.revision == 1
    await chain.settle()
    assert await chain.subjects() == ["upgrade default/flapping: tiny 0.1.0, revision 1 → 2"]
    assert chain.pushes() == [Pushed(FLAPPING, 2, "deployed")]


async def test_an_app_that_flaps_for_ever_is_recorded_as_it_stands_once_and_once_more_when_it_rests(
    chain: Chain,
) -> None:
    plane = chain.plane
    flapping = Flapping(chain)
    plane.helm("install", "flapping", TINY)
    plane.rolled_out()
    await chain.settle()
    assert len(await chain.commits()) == len(chain.pushes()) == 1

    flapping.upgrade("flapping")
    await flapping.flap(11)
    assert (await chain.commits(), chain.pushes()) == ([], [])
    await flapping.flap(6)
    assert await chain.subjects() == ["upgrade default/flapping: tiny 0.1.0, revision 1 → 2"]
    assert chain.pushes() == [Pushed(FLAPPING, 2, "deployed")]
    plane.kubectl("scale", "deployment", "flapping", "--replicas=4")
    plane.rolled_out()
    await chain.settle()
    (rest,) = await chain.subjects()  # which pods were there when it was recorded is a matter of pace
    assert re.match("change default/flapping: [23] new pods", rest)
    assert chain.pushes() == [Pushed(FLAPPING, 2, "deployed")]
    assert len(chain.emitted(FLAPPING)["pod_info"]) == 4
    await flapping.flap(4)
    assert (await chain.commits(), chain.pushes()) == ([], [])
