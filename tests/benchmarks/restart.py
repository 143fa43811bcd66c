"""``make bench ARGS=restart``: from a start of the process to a snapshot that can be compared.

Each way in an interpreter of its own, whose start and imports are not counted: open the store, read the tip,
know every digest.
"""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from rich.table import Table
from ruamel.yaml import YAML

from reconciler.model import App, Snapshot, snapshot_of
from reconciler.state.git.cache import FOLDER
from reconciler.state.git.store import GitStore, open_git_store
from tests.benchmarks.measure import Cost, alone
from tests.benchmarks.state import BRANCH, append, make_remote, snapshot
from tests.builders import CLUSTER_UUID, make_cluster
from tests.git.factory import git

SIZES = (1_000, 5_000)


def table() -> Table:
    """A row for each number of apps and way to start."""
    shown = Table("apps", "start", "CPU, s", "peak memory, MB", "times less CPU", "times less memory")
    for apps in SIZES:
        with TemporaryDirectory() as name:
            folder = Path(name)
            url = make_remote(folder)
            asyncio.run(_record(open_git_store(path=folder / "clone.git", url=url, branch=BRANCH), apps))
            git(folder, "clone", "--quiet", url, "plain")
            plain = alone(_plain, folder / "plain")
            kept = alone(_start, folder / "clone.git", url, apps)
            shutil.rmtree(folder / "clone.git" / FOLDER)
            documents = alone(_start, folder / "clone.git", url, apps)
            shutil.rmtree(folder / "clone.git")
            nothing = alone(_start, folder / "clone.git", url, apps)
        for way, cost in (
            ("from the apps that were kept", kept),
            ("from the clone alone", documents),
            ("without a clone", nothing),
            ("ruamel.yaml on every file", plain),
        ):
            shown.add_row(*_row(apps, way, cost, plain))
    return shown


async def _record(store: GitStore, apps: int) -> None:
    await append(store, snapshot(apps), None)
    await store.close()


def _start(path: Path, url: str, apps: int) -> Callable[[], None]:
    async def start() -> Snapshot:
        tip = await open_git_store(path=path, url=url, branch=BRANCH).track(CLUSTER_UUID).tip()
        assert tip is not None
        return tip.snapshot

    def work() -> None:
        found = asyncio.run(start())
        assert found.digest
        assert len(found.apps) == apps

    return work


def _plain(folder: Path) -> Callable[[], None]:
    def work() -> None:
        apps = []
        for file in sorted((folder / "clusters" / CLUSTER_UUID).glob("*/*.yaml")):
            loaded = YAML(typ="safe", pure=False).load(file.read_bytes())
            apps.append(msgspec.convert(loaded, App, strict=True))
        assert snapshot_of(CLUSTER_UUID, make_cluster(), apps).digest

    return work


def _row(apps: int, way: str, cost: Cost, plain: Cost) -> tuple[str, ...]:
    return (
        f"{apps:,}",
        way,
        f"{cost.cpu:.2f}",
        f"{cost.peak / 1e6:.0f}",
        f"{plain.cpu / cost.cpu:.1f}",
        f"{plain.peak / cost.peak:.2f}",
    )
