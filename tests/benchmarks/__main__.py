"""``make bench``: each figure as a ratio to the plain way of doing the same, measured in the same run."""

import argparse
import asyncio
import base64
import gzip
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import git
import msgspec
from deepdiff import DeepDiff
from rich.console import Console
from rich.table import Table

from reconciler.changes.diff import diff
from reconciler.inventory.helm import read_payload
from reconciler.inventory.objects import Kind
from reconciler.model import AppKey, Snapshot
from reconciler.state.documents import dump_app
from reconciler.state.git import open_git_store
from reconciler.state.store import Message, Recorded
from tests.benchmarks import races
from tests.benchmarks.measure import Figure, compare
from tests.benchmarks.verify import bench_verify
from tests.builders import CLUSTER_UUID, make_app, make_snapshot

APPS = 1_000
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


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


@contextmanager
def _repositories() -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "ours.git", Path(folder) / "plain"


def bench_commit() -> Iterator[Figure]:
    """One changed app of ``APPS`` in a repository that has them all."""
    with _repositories() as (bare, tree):
        store = open_git_store(path=bare, url=None, branch="main")
        first = snapshot()
        revision = 1

        async def append(after: Snapshot, on: Recorded | None) -> Recorded:
            changes = diff(on.snapshot if on is not None else None, after)
            message = Message("record")
            track = store.track(CLUSTER_UUID)
            return await track.append(after, changes, message, on=on, happened=NOW, recorded=NOW)

        tip = asyncio.run(append(first, None))
        plain = git.Repo.init(tree)
        for key, app in first.apps.items():
            path = tree / f"{key}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(dump_app(app))
        plain.git.add("--all")
        plain.index.commit("record")

        def ours() -> None:
            nonlocal tip, revision
            revision += 1
            changed = make_app("team-0", "app-0", revision)
            apps = {**tip.snapshot.apps, AppKey("team-0", "app-0"): changed}
            tip = asyncio.run(append(Snapshot(CLUSTER_UUID, tip.snapshot.cluster, apps), tip))

        def index() -> None:
            nonlocal revision
            revision += 1
            (tree / "team-0" / "app-0.yaml").write_bytes(dump_app(make_app("team-0", "app-0", revision)))
            plain.index.add(["team-0/app-0.yaml"])
            plain.index.commit("record")

        yield compare(f"commit one app of {APPS}", ours, "GitPython's index", index)
        plain.close()
        asyncio.run(store.close())


BENCHMARKS: dict[str, Callable[[], Iterator[Figure]]] = {
    "diff": bench_diff,
    "releases": bench_releases,
    "commit": bench_commit,
    "verify": bench_verify,
}

TABLES: dict[str, Callable[[], Table]] = {"races": races.table}
"""What takes minutes, or has no plain way to compare with: only when it is asked for."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    known = f"of {', '.join(BENCHMARKS)} (default: all of these), and {', '.join(TABLES)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=known)
    names = parser.parse_args().names or list(BENCHMARKS)
    table = Table("what", "ms", "MB", "baseline", "ms", "MB", "times faster", "times less memory")
    console = Console(width=140)
    for name in [name for name in names if name in BENCHMARKS]:
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
    for name in [name for name in names if name in TABLES]:
        with console.status(f"measuring {name}"):
            console.print(TABLES[name]())


if __name__ == "__main__":
    main()
