"""``make bench ARGS=chaos``: ten minutes of people at work on a cluster whose ways are as bad as ways get.

Installs, upgrades, rollbacks, uninstalls, scales and deletes, drawn one after the other, while faults are
drawn beside them. The program itself runs between cluster, store and receiver, and is killed now and then; a
live view runs beside it in this process and is asked at every look whether an app that is there is gone. Now
and then, and in the end, that view is compared with a fresh list; in the end record and receiver are compared
with Helm and kubectl. ``--minutes 3 --seed 7 --store git`` does as much as it is told.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec
from rich.console import Console
from rich.table import Table

from reconciler.kube import reflector, transport, watch
from tests.benchmarks.chaos.operated import STORES, Operated, StoreKind
from tests.benchmarks.chaos.people import NAMESPACES, People
from tests.benchmarks.chaos.weather import Weather
from tests.cluster.chain import DEFAULT, SYSTEM
from tests.cluster.faulty_way import FaultyWay
from tests.cluster.under_faults import PATIENCE, UnderFaults
from tests.controlplane.plane import ControlPlane

SILENCE = 8.0  # seconds, in place of 70: a silenced watch is to be found out several times a run
WATCH_SECONDS = 6  # in place of 300: bookmarks come two seconds before the end, and watches end by themselves
READ_TIMEOUT = 3.0  # seconds, in place of 30
REFUSED_AGAIN = 5.0  # seconds at most, in place of 600
LONGEST_WAIT = 5.0  # seconds, in place of 60: who waits that long has not even begun when calm returns


class Plan(msgspec.Struct, frozen=True):
    """How much of it. ``minutes`` of chaos, the comparisons not counted, or so many ``operations``, whichever
    is over first; ``calm``: minutes between two comparisons; ``between``: seconds between two faults on
    average; ``restarts``, ``kills``: the shares of the operations that are one of the API server, of the
    operator; ``most``: apps."""

    store: StoreKind
    seed: int
    minutes: float = 10.0
    operations: int = 1_000_000
    calm: float = 2.0
    between: float = 4.0
    restarts: float = 0.03
    kills: float = 0.025
    most: int = 12


class Toll(msgspec.Struct, frozen=True):
    """``operations``, ``faults``: how often each was done; ``codes``: what the real server answered, but for
    what is well; ``results``: what was looked at and judged; what was found wrong would have been raised."""

    operations: Counter[str]
    faults: Counter[str]
    codes: Counter[int]
    results: Counter[str]


async def chaos(plane: ControlPlane, plan: Plan, say: Callable[[str], None] = lambda _: None) -> Toll:
    """Do it on a cluster with ``config/default``; AssertionError, with all that helps to find out why, when
    something was wrongly said to be gone, or does not agree in the end."""
    people: People | None = None
    operated: Operated | None = None
    with TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            try:
                way = await stack.enter_async_context(FaultyWay(plane, folder, plan.seed))
                operated = await stack.enter_async_context(Operated(plane, way, folder, plan.store))
                faults = await stack.enter_async_context(UnderFaults(plane, way, page_size=5))
                people = People(faults, operated.witness, Random(plan.seed), plan.most)
                return await _chaos(plan, operated, faults, people, say)
            except Exception as error:
                lately = "\n  ".join(people.lately) if people is not None else ""
                log = operated.tail() if operated is not None else ""
                raise AssertionError(
                    f"seed {plan.seed}, store {plan.store}: {type(error).__name__}: {error}\n"
                    f"the last operations:\n  {lately}\nthe operator's log ends:\n{log}"
                ) from error


async def _chaos(
    plan: Plan, operated: Operated, faults: UnderFaults, people: People, say: Callable[[str], None]
) -> Toll:
    way, random = faults.way, Random(plan.seed + 2)
    weather = Weather(
        way,
        operated.receiver,
        operated.hosted,
        Random(plan.seed + 1),
        between=plan.between,
        rotate=operated.rotate,
    )
    for namespace in NAMESPACES[1:]:
        await faults.do("kubectl", "create", "namespace", namespace)
    left, done = 60 * plan.minutes, 0
    while left > 0 and done < plan.operations:
        until = began = time.monotonic()
        until += min(left, 60 * plan.calm)
        with impatience():
            blowing = asyncio.create_task(weather.blow())
            while time.monotonic() < until and done < plan.operations:
                done += 1
                await _act(plan, random, operated, faults, people)
            blowing.cancel()
            await asyncio.gather(blowing, return_exceptions=True)
        left -= time.monotonic() - began
        weather.clear()
        for namespace in NAMESPACES[1:]:
            await faults.do("rolled_out", namespace, timeout=PATIENCE)
        found = await faults.is_right()
        assert operated.witness.wrong == []
        say(f"{done} operations, {len(found.apps)} apps, the live view as a fresh list has them")
    weather.mend()
    recorded = await operated.agreed()
    await operated.verified()
    revisions = await operated.revisions()
    assert operated.witness.wrong == []
    assert operated.unwell() == []
    say(f"{revisions} revisions, {len(recorded.snapshot.apps)} apps: store and receiver as Helm and kubectl")
    results = Counter(
        {
            "looks": faults.looks,
            "looks with gaps": faults.partial,
            "comparisons of the live view": faults.comparisons,
            "revisions": revisions,
            "apps in the end": len(recorded.snapshot.apps),
            "writes that the server was killed over": way.unknown,
            **{f"judged: {what}": count for what, count in operated.witness.judged.items()},
        }
    )
    codes = Counter({code: count for code, count in way.codes.items() if code not in (200, 201)})
    return Toll(people.done, way.done + operated.counts(), codes, results)


async def _act(plan: Plan, random: Random, operated: Operated, faults: UnderFaults, people: People) -> None:
    """One operation, or what is done to the API server or the program in its place."""
    drawn = random.random()
    if drawn < plan.restarts:
        people.tell("API server killed, etcd compacted")
        await faults.do("restart_apiserver", operated.plane.etcd.compact)
        operated.done["API server killed, etcd compacted"] += 1
    elif drawn < plan.restarts + plan.kills:
        people.tell("operator killed")
        await operated.kill()
    else:
        await people.act()


@contextmanager
def impatience() -> Iterator[None]:
    """The live view of this process finds out sooner; not for long, or quiet watches would come and go."""
    usual = (reflector.SILENCE, reflector.WATCH_SECONDS, reflector.REFUSED_AGAIN)
    waits = (watch.LONGEST_WAIT, transport.READ_TIMEOUT)
    reflector.SILENCE, reflector.WATCH_SECONDS = SILENCE, WATCH_SECONDS
    reflector.REFUSED_AGAIN = REFUSED_AGAIN
    watch.LONGEST_WAIT, transport.READ_TIMEOUT = LONGEST_WAIT, READ_TIMEOUT
    try:
        yield
    finally:
        reflector.SILENCE, reflector.WATCH_SECONDS, reflector.REFUSED_AGAIN = usual
        watch.LONGEST_WAIT, transport.READ_TIMEOUT = waits


def table(plan: Plan) -> Table:
    """What was done, and that it came to nothing."""
    console = Console(stderr=True)
    console.print(f"seed {plan.seed}, store {plan.store}")
    with ControlPlane() as plane:
        plane.kubectl("apply", "-k", DEFAULT)
        plane.kubectl("delete", "deployment", "--all", "-n", SYSTEM, "--cascade=foreground")
        plane.kinds_served()
        toll = asyncio.run(chaos(plane, plan, console.print))
    title = f"{plan.minutes:g} minutes of chaos, store {plan.store}, seed {plan.seed}: all agree"
    shown = Table("what", "how often", title=title)
    counts: Sequence[tuple[str, Counter[str] | Counter[int]]] = (
        ("operation: ", toll.operations),
        ("fault: ", toll.faults),
        ("answer of the API server: ", toll.codes),
        ("", toll.results),
    )
    for kind, counted in counts:
        for name, count in sorted(counted.items(), key=lambda one: str(one[0])):
            shown.add_row(f"{kind}{name}", f"{count:,}")
    shown.add_row("wrong", "0")
    return shown


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="make bench ARGS=chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=Plan("git", 1).minutes)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", choices=(*STORES, "both"), default="both", help="one after the other")
    arguments = parser.parse_args(words)
    for store in STORES if arguments.store == "both" else (arguments.store,):
        Console(width=140).print(table(Plan(store, arguments.seed, arguments.minutes)))
