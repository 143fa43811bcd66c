"""``make bench ARGS="live [PART…] [--small]"``: the parts by name, one table, and the file of results."""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from rich.console import Console

from tests.benchmarks.live import happenings, parts, report
from tests.benchmarks.live.parts import Effort
from tests.benchmarks.live.report import Row
from tests.benchmarks.live.scale import Scale
from tests.benchmarks.live.stage import Stage, stage

SMALL, MEDIUM, LARGE = Scale(10, 5), Scale(200, 5), Scale(200, 25)
SMALL_LARGE = Scale(10, 25)

Part = Callable[[Stage, Effort], Iterator[Row]]

PARTS: Mapping[str, Part] = {
    "start": parts.start,
    "cold": parts.cold,
    "once": parts.once,
    "quiet": parts.quiet,
    "upgrade": happenings.upgrade,
    "git": happenings.git,
    "storm": happenings.storm,
}

GROWTH = "growth"
"""A cold start and a storm, and both again on a cluster five times as large."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="make bench ARGS=live", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join((*PARTS, GROWTH))}")
    parser.add_argument("--small", action="store_true", help="50 releases, and short: to see that it works")
    parser.add_argument(
        "--write",
        type=Path,
        metavar="FILE",
        help="results (default: those of the repository, and docs/performance.md with them)",
    )
    given = parser.parse_args(arguments)
    if unknown := set(given.parts) - {*PARTS, GROWTH}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    console = Console(width=160)
    last = report.read()
    effort = Effort(given.small)
    scales = (SMALL, SMALL_LARGE) if given.small else (MEDIUM, LARGE)
    run: report.Run | None = None
    for run in measure(given.parts or [*PARTS, GROWTH], effort, *scales, console):
        report.write(run, given.write or report.RESULTS)
        if given.write is None:
            report.publish(report.read())
    if run is not None:
        console.print(report.table(run, last))


def measure(
    names: list[str], effort: Effort, scale: Scale, large: Scale, console: Console
) -> Iterator[report.Run]:
    """Measure these parts on a cluster of their own: what was measured so far, after each of them.

    ``large``: to which it then grows.
    """
    rows: dict[str, list[Row]] = {}
    load = os.getloadavg()
    with stage() as at:
        at.grow(scale)
        console.print(f"a cluster of {scale}: {scale.by_helm} releases by Helm, the others copies of them")

        def measured(name: str) -> list[Row]:
            return _measured(name, PARTS[name](at, effort), console)

        def slow_storm() -> list[Row]:
            return _measured("a slow storm", happenings.storm(at, effort, happenings.SLOW), console)

        for name in [name for name in PARTS if name in names or (GROWTH in names and name == "cold")]:
            rows[name] = measured(name)
            yield report.a_run(str(scale), load, chain.from_iterable(rows.values()))
        if GROWTH in names:
            small = [*rows["cold"], *slow_storm()]
            at.grow(large)
            larger = [*measured("cold"), *slow_storm()]
            rows[GROWTH] = happenings.growth(small, larger, scale, large)
            yield report.a_run(str(scale), load, chain.from_iterable(rows.values()))


def _measured(name: str, work: Iterator[Row], console: Console) -> list[Row]:
    rows = []
    with console.status(f"measuring {name}"):
        for row in work:
            rows.append(row)
            console.print(f"{row.part}: {row.what}: {row.value:.4g} {row.unit}")
    return rows
