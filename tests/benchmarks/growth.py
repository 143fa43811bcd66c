"""``make bench ARGS=growth``: how large the clone is after 10,000 commits of one change each.

By the store's own appends, without a remote (see ``like_a_cache``). What it would be if nobody looked after
it is what is in it, each object in a file of its own, as each was written.

``python -m tests.benchmarks.growth COMMITS [APPS]`` tells what it is after each tenth of that many. There a
hundred commits come from one git process: the same objects, loose as an append leaves them, and the same
housekeeping after each.
"""

import asyncio
import hashlib
import sys
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track
from rich.table import Table

from reconciler.model import Snapshot
from reconciler.state.documents import dump_app
from reconciler.state.git.cache import FOLDER
from reconciler.state.git.layout import app_file, directory
from reconciler.state.git.maintenance import usage_of
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.store import GitStore
from reconciler.state.store import Message
from tests.benchmarks.measure import cpu
from tests.benchmarks.state import BRANCH, NOW, append, like_a_cache, snapshot, upgraded, upgrades
from tests.builders import CLUSTER_UUID
from tests.git.factory import edits, git

COMMITS = 10_000
APPS = 1_000
_AT_ONCE = 100


def table() -> Table:
    """A row for each way to keep the objects."""
    shown = Table("clone", "objects, MB", "loose", "packs", "CPU per commit, ms", "apps kept, MB")
    with TemporaryDirectory() as name:
        path, apart = Path(name) / "clone.git", Path(name) / "apart.git"
        before = cpu()
        asyncio.run(_grow(like_a_cache(path)))
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


async def _grow(store: GitStore) -> None:
    first = snapshot(APPS)
    tip = await append(store, first, None)
    for after in track(upgrades(first, COMMITS), "committing", total=COMMITS):
        tip = await append(store, after, tip)
    await store.close()


def _usage(repository: Path) -> tuple[str, ...]:
    usage = usage_of(repository / "objects")
    return f"{usage.bytes / 1e6:.1f}", f"{usage.loose:,}", str(usage.packs)


def main(commits: int, apps: int) -> None:
    """Print a row for each tenth."""
    shown = Table(
        "commits", "objects, MB", "loose", "packs", title=f"{apps:,} apps, one changed in each commit"
    )
    with TemporaryDirectory() as name:
        path = Path(name) / "clone.git"
        store, first = like_a_cache(path), snapshot(apps)
        asyncio.run(append(store, first, None))
        stream = _commits(path, first, commits)
        for number in track(range(_AT_ONCE, commits + 1, _AT_ONCE), "committing"):
            some = "".join(islice(stream, _AT_ONCE))
            git(path, "-c", f"fastimport.unpackLimit={1 << 30}", "fast-import", "--quiet", stdin=some)
            for _ in range(_AT_ONCE):
                store.appended()
            if number % (commits // 10) == 0:
                shown.add_row(f"{number:,}", *_usage(path))
    Console().print(shown)


def _commits(path: Path, first: Snapshot, count: int) -> Iterator[str]:
    """What the store would give to fast-import, commit by commit; digests that only look like one."""
    apps = dict(first.apps)
    parent = git(path, "rev-parse", BRANCH).strip()
    for number, key in enumerate(islice(cycle(apps), count), 1):
        apps[key] = upgraded(apps[key])
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        trailers = (("Cluster-UUID", CLUSTER_UUID), ("Instance", "benchmark"), ("Snapshot", digest))
        text, content = Message("record", "", trailers).render(), dump_app(apps[key]).decode()
        who = f"Bench <bench@example.org> {int(NOW.timestamp()) + 60 * number} +0000"
        yield (
            f"commit refs/heads/{BRANCH}\nauthor {who}\ncommitter {who}\ndata {len(text)}\n{text}\n"
            + (f"from {parent}\n" if number % _AT_ONCE == 1 else "")
            + edits({f"{directory(CLUSTER_UUID)}/{app_file(key)}": content})
        )
        parent = f"refs/heads/{BRANCH}^0"


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else APPS)
