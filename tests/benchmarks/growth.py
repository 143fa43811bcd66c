"""How large the clone becomes over 10,000 commits of one change each, looked after or left alone."""

import asyncio
import resource
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from reconciler.state.git import GitStore
from reconciler.state.git_cache import FOLDER
from reconciler.state.git_maintenance import usage_of
from tests.benchmarks.state import append, like_a_cache, snapshot, upgrades
from tests.git.factory import git

COMMITS = 10_000
APPS = 1_000


class _LeftAlone(GitStore):
    def appended(self) -> bool:
        return False


def bench_growth(console: Console) -> None:
    """The store's own appends, without a remote."""
    table = Table("clone", "commits", "objects, MB", "loose", "packs", "apps kept, MB", "CPU per commit, ms")
    with tempfile.TemporaryDirectory() as folder, Progress(console=console) as progress:
        for name, kind in (("looked after", GitStore), ("left alone", _LeftAlone)):
            path = Path(folder) / f"{name}.git"
            task = progress.add_task(f"{COMMITS} commits, {name}", total=COMMITS)
            before = _cpu()
            store = like_a_cache(path, kind)
            asyncio.run(_grow(store, partial(progress.advance, task)))
            spent = _cpu() - before
            table.add_row(*_row(name, path, spent))
            if kind is _LeftAlone:
                git(path, "gc", "--quiet", "--prune=now")
                table.add_row(*_row("… and packed once at the end", path, 0))
    console.print(table)


async def _grow(store: GitStore, tick: Callable[[], object]) -> None:
    first = snapshot(APPS)
    tip = await append(store, first, None)
    for after in upgrades(first, COMMITS):
        tip = await append(store, after, tip)
        tick()
    await store.close()


def _row(name: str, path: Path, spent: float) -> tuple[str, ...]:
    commits = int(git(path, "rev-list", "--count", "--all"))
    usage = usage_of(path / "objects")
    apps = sum(each.stat().st_size for each in (path / FOLDER).iterdir())
    return (
        name,
        f"{commits:,}",
        f"{usage.bytes / 1e6:.1f}",
        f"{usage.loose:,}",
        f"{usage.packs}",
        f"{apps / 1e6:.2f}",
        f"{spent / commits * 1e3:.1f}" if spent else "",
    )


def _cpu() -> float:
    """Seconds of this process and its children."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)
