"""``make bench ARGS=chaos``: ten minutes of Helm at work on a cluster whose way to us is as bad as ways get.

Installs, upgrades, rollbacks, uninstalls, scales and deletes, drawn one after the other, while faults are
drawn beside them: connections cut, stalled, silenced, truncated, delayed; versions and tokens forgotten;
errors for anything; the API server killed and its etcd compacted. Some cluster-wide comparisons with a fresh
list are made on the way and one at the end; every look is asked whether an app that is there is gone.
``python -m tests.benchmarks.chaos --minutes 3 --seed 7`` does as much as it is told.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec
from rich.console import Console
from rich.table import Table

from reconciler.kube import reflector, transport
from reconciler.model import AppKey
from tests.cluster.faulty_way import Asked, FaultyWay
from tests.cluster.under_faults import UnderFaults
from tests.controlplane.plane import ControlPlane

MINUTES = 10.0
NAMESPACES = ("default", "ops", "shop")
MOST_APPS = 12
NO_CLAIM = ("--set", "storage=")  # the cluster's few volumes are not given back
COMPARE_EVERY = 60.0  # seconds
SILENCE = 8.0  # seconds, in place of 70: a silenced watch is to be found out several times a run
WATCH_SECONDS = 6  # in place of 300: bookmarks come two seconds before the end, and watches end by themselves
BETWEEN = 4.0  # seconds between two faults on average: some looks are to be complete
READ_TIMEOUT = 3.0  # seconds, in place of 30
REFUSED_AGAIN = 5.0  # seconds at most, in place of 600
RESTART = 0.03  # of the operations, how many are a restart of the API server


class Toll(msgspec.Struct, frozen=True):
    """``operations``, ``faults``: how often each was done; ``codes``: what the real server answered, but for
    200; ``partial``: looks with gaps; ``apps``: in the end."""

    operations: Counter[str]
    faults: Counter[str]
    codes: Counter[int]
    looks: int
    partial: int
    comparisons: int
    apps: int


class Helm:
    """What people do, drawn. ``apps``: what is installed, and its revision."""

    def __init__(self, faults: UnderFaults, random: Random) -> None:
        self.done: Counter[str] = Counter()
        self._faults = faults
        self._random = random
        self._apps: dict[AppKey, int] = {}
        self._names = [f"app-{number}" for number in range(MOST_APPS)]

    async def act(self) -> None:
        """Do one of the things that can be done."""
        actions: dict[str, Callable[[AppKey], Awaitable[None]]] = {
            "upgrade": self._upgrade,
            "rollback": self._rollback,
            "uninstall": self._uninstall,
            "scale": self._scale,
            "delete pods": self._delete_pods,
        }
        # As many as may be are there most of the time.
        if self._random.random() > len(self._apps) / MOST_APPS:
            name, key = "install", self._free()
            await self._install(key)
        else:
            name = self._random.choice(sorted(actions))
            await actions[name](self._random.choice(sorted(self._apps)))
        self.done[name] += 1

    def _free(self) -> AppKey:
        keys = [AppKey(where, name) for where in NAMESPACES for name in self._names]
        return self._random.choice([key for key in keys if key not in self._apps])

    async def _install(self, key: AppKey) -> None:
        await self._faults.install(key.name, "web", key.namespace, *NO_CLAIM)
        self._apps[key] = 1

    async def _upgrade(self, key: AppKey) -> None:
        replicas = f"replicas={self._random.randrange(4)}"
        await self._faults.upgrade(key.name, "web", key.namespace, *NO_CLAIM, "--set", replicas)
        self._apps[key] += 1

    async def _rollback(self, key: AppKey) -> None:
        if self._apps[key] == 1:
            await self._upgrade(key)
        await self._faults.do("helm", "rollback", key.name, namespace=key.namespace)
        self._apps[key] += 1

    async def _uninstall(self, key: AppKey) -> None:
        await self._faults.uninstall(key.name, key.namespace)
        del self._apps[key]

    async def _scale(self, key: AppKey) -> None:
        wanted = ("deployment", f"{key.name}-web", f"--replicas={self._random.randrange(4)}")
        await self._faults.do("kubectl", "scale", *wanted, "-n", key.namespace)

    async def _delete_pods(self, key: AppKey) -> None:
        which = ("-l", f"app.kubernetes.io/instance={key.name}", "-n", key.namespace, "--wait=false")
        await self._faults.do("kubectl", "delete", "pods", *which)


class Weather:
    """What becomes of the way, drawn."""

    def __init__(self, way: FaultyWay, random: Random) -> None:
        self._way = way
        self._random = random
        self._faults: list[Callable[[], object]] = [
            lambda: way.cut(random.random()),
            way.truncate,
            way.silence,
            self._stall,
            self._change,
            lambda: way.lie(lambda asked: asked.is_next_page, self._code(), times=random.randrange(1, 5)),
            lambda: way.lie(_anything, self._code(), times=random.randrange(1, 10)),
            lambda: way.lie(_a_watch, 410, times=random.randrange(1, 8)),
            lambda: way.lie(_a_watch, self._code(), times=random.randrange(1, 8), in_watch=True),
        ]

    async def blow(self) -> None:
        """One fault after the other, until cancelled."""
        while True:
            self._random.choice(self._faults)()
            await asyncio.sleep(self._random.expovariate(1 / BETWEEN))

    def _code(self) -> int:
        return self._random.choice([401, 403, 404, 410, 429, 500, 502, 503, 504])

    def _stall(self) -> None:
        self._way.stall()
        asyncio.get_running_loop().call_later(self._random.random() * 8, self._way.flow)

    def _change(self) -> None:
        """Be another bad way than before, for what is asked from now on."""
        self._way.delay = self._random.choice([0.0, 0.0, 0.1])
        self._way.bookmarks = self._random.random() < 0.5
        self._way.breaking = self._random.choice([0, 0, 2_000, 50_000])


def _anything(_: Asked) -> bool:
    return True


def _a_watch(asked: Asked) -> bool:
    return asked.is_watch


async def chaos(minutes: float, seed: int, say: Callable[[str], None] = lambda _: None) -> Toll:
    """Do it; AssertionError when an app was wrongly said to be gone, or the views differ in the end."""
    random = Random(seed)
    transport.READ_TIMEOUT, reflector.REFUSED_AGAIN = READ_TIMEOUT, REFUSED_AGAIN
    usual = (reflector.SILENCE, reflector.WATCH_SECONDS)
    with ControlPlane() as plane, TemporaryDirectory() as folder:
        for name in NAMESPACES[1:]:
            plane.kubectl("create", "namespace", name)
        async with (
            FaultyWay(plane, Path(folder), seed) as way,
            UnderFaults(plane, way, page_size=5) as faults,
        ):
            helm, weather = Helm(faults, random), Weather(way, Random(seed + 1))
            end = time.monotonic() + 60 * minutes
            while time.monotonic() < end:
                until = min(end, time.monotonic() + COMPARE_EVERY)
                reflector.SILENCE, reflector.WATCH_SECONDS = SILENCE, WATCH_SECONDS
                blowing = asyncio.create_task(weather.blow())
                while time.monotonic() < until:
                    if random.random() < RESTART:
                        await faults.do("restart_apiserver", plane.etcd.compact)
                        helm.done["restart of the API server"] += 1
                    else:
                        await helm.act()
                blowing.cancel()
                await asyncio.gather(blowing, return_exceptions=True)
                way.honest()
                # Or quiet watches would come and go for ever.
                reflector.SILENCE, reflector.WATCH_SECONDS = usual
                for namespace in NAMESPACES[1:]:
                    await faults.do("rolled_out", namespace, timeout=120.0)
                found = await faults.is_right()
                say(f"{sum(helm.done.values())} operations, {len(found.apps)} apps, as a fresh list has them")
            codes = Counter({code: count for code, count in way.codes.items() if code != 200})
            return Toll(
                helm.done, way.done, codes, faults.looks, faults.partial, faults.comparisons, len(found.apps)
            )


def table(minutes: float = MINUTES, seed: int = 1) -> Table:
    """What was done, and that it came to nothing."""
    toll = asyncio.run(chaos(minutes, seed, Console(stderr=True).print))
    shown = Table("what", "how often", title=f"{minutes:g} minutes of chaos, seed {seed}: all views agree")
    for title, counts in (("operation", toll.operations), ("fault", toll.faults), ("answer", toll.codes)):
        for name, count in sorted(counts.items(), key=lambda one: str(one[0])):
            shown.add_row(f"{title}: {name}", str(count))
    shown.add_row("looks", str(toll.looks))
    shown.add_row("looks with gaps", str(toll.partial))
    shown.add_row("comparisons with a fresh list", str(toll.comparisons))
    shown.add_row("apps in the end", str(toll.apps))
    shown.add_row("apps wrongly said to be gone", "0")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    Console(width=140).print(table(arguments.minutes, arguments.seed))


if __name__ == "__main__":
    main()
