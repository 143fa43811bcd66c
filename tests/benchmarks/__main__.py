"""``make bench``: each figure as a ratio to the plain way of doing the same, measured in the same run."""

import argparse
import base64
import gzip
import json
import sys
from collections.abc import Callable, Iterator

import msgspec
from deepdiff import DeepDiff
from rich.console import Console
from rich.table import Table

from reconciler.changes.diff import diff
from reconciler.inventory.helm import read_payload
from reconciler.inventory.objects import Kind
from reconciler.model import Snapshot
from tests.benchmarks import commit, configmap, delivery, growth, races, restart
from tests.benchmarks.chaos import main as chaos
from tests.benchmarks.live import main as live
from tests.benchmarks.measure import Figure, compare
from tests.benchmarks.verify import bench_verify
from tests.builders import make_app, make_snapshot

APPS = 1_000


def snapshot(changed: int = 0, apps: int = APPS) -> Snapshot:
    """Apps of five pods, the first ``changed`` of them upgraded."""
    made = [
        make_app(
            f"team-{n % 50}",
            f"app-{n}",
            2 if n < changed else 1,
            pods=5,
            hosts=["a.example"],
            volumes=[1 << 30],
        )
        for n in range(apps)
    ]
    return make_snapshot(*made)


def bench_diff() -> Iterator[Figure]:
    """One app of a hundred changed; few apps, since the baseline takes a second for them already."""
    few = 100

    def ours() -> None:
        # Fresh values, so that no digest is known from the round before.
        assert len(diff(snapshot(apps=few), snapshot(1, few)).apps) == 1

    def whole() -> None:
        before, after = (msgspec.to_builtins(list(snapshot(n, few).apps.values())) for n in (0, 1))
        assert DeepDiff(before, after)

    yield compare(f"diff of {few} apps, 1 changed", ours, "DeepDiff of both snapshots", whole)


def bench_releases() -> Iterator[Figure]:
    """A release body of 300 kB of values, as the API gives it."""
    values = {f"key-{n}": f"value-{n * 7919}" for n in range(20_000)}
    release = {
        "name": "test",
        "info": {
            "last_deployed": "2026-11-21T09:42:49Z",
            "description": "Install complete",
            "status": "deployed",
        },
        "chart": {"metadata": {"name": "bulky", "version": "1.0.0"}, "lock": None, "values": values},
        "manifest": "x" * 50_000,
        "version": 1,
    }
    body = base64.b64encode(
        base64.b64encode(gzip.compress(json.dumps(release, separators=(",", ":")).encode()))
    )

    def ours() -> None:
        assert read_payload(body, Kind.RELEASE_SECRETS).chart_name == "bulky"

    def whole() -> None:
        data = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(body))))
        assert data["chart"]["metadata"]["name"] == "bulky"

    yield compare("read a release", ours, "inflate and decode all of it", whole)


BENCHMARKS: dict[str, Callable[[], Iterator[Figure]]] = {
    "diff": bench_diff,
    "releases": bench_releases,
    "verify": bench_verify,
}

TABLES: dict[str, Callable[[], Table]] = {
    "commit": commit.table,
    "configmap": configmap.table,
    "delivery": delivery.table,
    "growth": growth.table,
    "races": races.table,
    "restart": restart.table,
}
"""What takes minutes, or has no plain way to compare with: only when it is asked for."""


def main() -> None:
    if sys.argv[1:2] == ["live"]:
        live.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["chaos"]:
        chaos.main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    names = f"of {', '.join(BENCHMARKS)} (default: all of these), and {', '.join(TABLES)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{names}; chaos, live")
    chosen = parser.parse_args().names or list(BENCHMARKS)
    table = Table("what", "ms", "MB", "baseline", "ms", "MB", "times faster", "times less memory")
    console = Console(width=140)
    for name in [name for name in chosen if name in BENCHMARKS]:
        with console.status(f"measuring {name}"):
            for one in BENCHMARKS[name]():
                table.add_row(
                    one.name,
                    f"{one.seconds * 1e3:.1f}",
                    f"{one.peak / 1e6:.1f}",
                    one.baseline,
                    f"{one.baseline_seconds * 1e3:.1f}",
                    f"{one.baseline_peak / 1e6:.1f}",
                    f"{one.ratio:.1f}",
                    f"{one.memory_ratio:.1f}",
                )
    if table.row_count:
        console.print(table)
    for name in [name for name in chosen if name in TABLES]:
        console.print(f"measuring {name}")  # which may show its progress
        console.print(TABLES[name]())


if __name__ == "__main__":
    main()
