"""``make bench ARGS=growth``: how large the clone is after 10,000 commits of one change each.

By the store's own appends, without a remote (see ``like_a_cache``). What it would be if nobody looked after
it is what is in it, each object in a file of its own, as each was written.

``python -m tests.benchmarks.growth COMMITS [APPS]`` tells what it is after each tenth of that many.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track
from rich.table import Table

from reconciler.state.git.cache import FOLDER
from reconciler.state.git.maintenance import usage_of
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.store import GitStore
from tests.benchmarks.measure import cpu
from tests.benchmarks.state import append, like_a_cache, snapshot, upgrades
from tests.git.factory import git

COMMITS = 10_000
APPS = 1_000


def table() -> Table:
    """A row for each way to keep the objects."""
    shown = Table("clone", "objects, MB", "loose", "packs", "CPU per commit, ms", "apps kept, MB")
    with TemporaryDirectory() as name:
        path, apart = Path(name) / "clone.git", Path(name) / "apart.git"
        before = cpu()
        asyncio.run(_grow(like_a_cache(path), COMMITS, APPS))
        spent = (cpu() - before) / COMMITS * 1e3
        kept = sum(each.stat().st_size for each in (path / FOLDER).iterdir())
        shown.add_row("looked after", *_usage(path), f"{spent:.1f}", f"{kept / 1e6:.2f}")
        git(Path(name), "init", "--quiet", "--bare", "apart.git")
        git(path, "repack", "-a", "-d", "-q")
        for pack in (path / "objects" / "pack").glob("*.pack"):
            Repository(apart).run("unpack-objects", "-q", stdin=pack.read_bytes())
        shown.add_row("left alone", *_usage(apart), "", "")
        git(path, "gc", "--quiet", "--aggressive", "--prune=now")
        shown.add_row("packed once at the end, as small as git can", *_usage(path), "", "")
    shown.title = f"{COMMITS:,} commits of one change each, {APPS:,} apps"
    return shown


async def _grow(
    store: GitStore, commits: int, apps: int, tenth: Callable[[int], None] = lambda _: None
) -> None:
    first = snapshot(apps)
    tip = await append(store, first, None)
    for number, after in enumerate(track(upgrades(first, commits), "committing", total=commits), 1):
        tip = await append(store, after, tip)
        if number % (commits // 10) == 0:
            tenth(number)
    await store.close()


def _usage(repository: Path) -> tuple[str, ...]:
    usage = usage_of(repository / "objects")
    return f"{usage.bytes / 1e6:.1f}", f"{usage.loose:,}", str(usage.packs)


def main(commits: int, apps: int) -> None:
    """Print a row for each tenth."""
    shown = Table("commits", "objects, MB", "loose", "packs", "CPU per commit, ms")
    with TemporaryDirectory() as name:
        path, before = Path(name) / "clone.git", cpu()

        def tenth(number: int) -> None:
            shown.add_row(f"{number:,}", *_usage(path), f"{(cpu() - before) / number * 1e3:.1f}")

        asyncio.run(_grow(like_a_cache(path), commits, apps, tenth))
    shown.title = f"one change in each commit, {apps:,} apps, looked after"
    Console().print(shown)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else APPS)
