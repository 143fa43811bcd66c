"""What happens to a cluster and around it, step by step: the same for the process that is killed, which
plays the cluster, and for the outside, which does the rest."""

from collections.abc import Callable, Mapping
from functools import cache
from random import Random
from typing import Any, NamedTuple

from tests.chain.clock import VirtualClock
from tests.chain.cluster import Release, StandInCluster

Act = Callable[[StandInCluster], None]

SECONDS = 60.0
"""Between two steps, by the cluster's own clock."""


class Step(NamedTuple):
    """``spec``: what a person changes in the project; ``fault``: what the receiver does to the next
    requests, as ``Receiver.fail`` takes it; ``race``: another cluster commits to the same branch just
    before our first push."""

    name: str
    act: Act = lambda _: None
    spec: Mapping[str, Any] = {}
    fault: str = ""
    race: bool = False


def _install(cluster: StandInCluster) -> None:
    cluster.install("shop/web", "ops/db")


def _upgrade_and_uninstall(cluster: StandInCluster) -> None:
    cluster.upgrade("shop/web")
    cluster.uninstall("ops/db")


def _reinstall(cluster: StandInCluster) -> None:
    cluster.install("ops/db", image="db:2")
    cluster.roll_back("shop/web", Release())


COMPACT: tuple[Step, ...] = (
    Step("two apps are installed", _install),
    Step(
        "one is upgraded, one uninstalled, the API fails once, another cluster is quicker",
        _upgrade_and_uninstall,
        fault="500",
        race=True,
    ),
    Step("one comes back, one is rolled back", _reinstall),
)
"""Short, for being killed at every effect of it."""

_APPS = ("shop/web", "shop/api", "ops/db", "ops/queue", "team/site")


@cache
def busy(seed: int, length: int) -> tuple[Step, ...]:
    """Anything, again and again: installs, upgrades, uninstalls, stops, denials, an API that fails."""
    random = Random(seed)
    there: set[str] = set()
    steps: list[Step] = []
    spec: dict[str, Any] = {"stop": False, "denyNamespaces": []}
    for number in range(length):
        acts = [_some_act(random, there) for _ in range(random.choice((1, 1, 1, 2, 3)))]
        changed: dict[str, Any] = {}
        if number % 7 == 5:
            changed = {"denyNamespaces": [] if spec["denyNamespaces"] else ["ops"]}
        if number % 11 == 6 or (spec["stop"] and number % 11 == 8):
            changed = changed | {"stop": not spec["stop"]}
        spec |= changed
        fault = random.choice(("", "", "", "500:3", "lost", "away:2", "503"))
        name = ", ".join([said for said, _ in acts] + [f"{k}: {v}" for k, v in changed.items()])
        steps.append(Step(name, _together([act for _, act in acts]), changed, fault, random.random() < 0.3))
    steps.append(Step("all is quiet", spec={"stop": False, "denyNamespaces": []}))
    return tuple(steps)


def _together(acts: list[Act]) -> Act:
    def act(cluster: StandInCluster) -> None:
        for each in acts:
            each(cluster)

    return act


def _some_act(random: Random, there: set[str]) -> tuple[str, Act]:
    name = random.choice(_APPS)
    if name not in there:
        there.add(name)
        pods = random.choice((1, 2, 5))
        return f"install {name}", lambda cluster: cluster.install(name, pods=pods)
    match random.randrange(5):
        case 0:
            there.discard(name)
            return f"uninstall {name}", lambda cluster: cluster.uninstall(name)
        case 1:
            return f"roll back {name}", lambda cluster: cluster.roll_back(name, Release())
        case 2:
            return f"flap {name}", lambda cluster: cluster.change(name, image=f"web:{cluster[name].pods}")
        case _:
            return f"upgrade {name}", lambda cluster: cluster.upgrade(name)


def script(name: str) -> tuple[Step, ...]:
    """``compact``, or ``busy-SEED-LENGTH``."""
    if name == "compact":
        return COMPACT
    _, seed, length = name.split("-")
    return busy(int(seed), int(length))


class Played:
    """A cluster to which the first steps of a script have happened."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self._steps = steps
        self._clock = VirtualClock()
        self.cluster = StandInCluster(self._clock)
        self.done = 0

    def play_to(self, done: int) -> None:
        """So many steps have happened."""
        while self.done < done:
            self._clock.advance(SECONDS)
            self._steps[self.done].act(self.cluster)
            self.done += 1
