"""What the parts about the git store have in common: snapshots, changes, and a store to put them in."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path

from msgspec import structs

from reconciler.changes.diff import diff
from reconciler.model import App, Snapshot
from reconciler.state.git.layout import APPROVED
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.store import GitStore
from reconciler.state.store import Message, Recorded
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.git.factory import git

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BRANCH = "main"


def app(number: int) -> App:
    """An app of five pods, 2.3 kB as YAML."""
    return make_app(f"team-{number % 50}", f"app-{number}", pods=5, hosts=["a.example"], volumes=[1 << 30])


def snapshot(apps: int) -> Snapshot:
    return make_snapshot(*(app(number) for number in range(apps)))


def upgrades(before: Snapshot, count: int) -> Iterator[Snapshot]:
    """Snapshots, each with one more app upgraded, one app after the other and round again."""
    for key in islice(cycle(before.apps), count):
        apps = dict(before.apps)
        apps[key] = upgraded(apps[key])
        before = Snapshot(CLUSTER_UUID, before.cluster, apps)
        yield before


def upgraded(before: App) -> App:
    """The app at its next revision."""
    helm = structs.replace(before.helm, revision=before.helm.revision + 1)
    return structs.replace(before, app_info=structs.replace(before.app_info, helm_info=helm))


async def append(store: GitStore, after: Snapshot, on: Recorded | None) -> Recorded:
    """What a reconcile does: compare, take the digest, record."""
    changes = diff(None if on is None else on.snapshot, after)
    message = Message(
        "record",
        trailers=(("Cluster-UUID", CLUSTER_UUID), ("Instance", "benchmark"), ("Snapshot", after.digest)),
    )
    track = store.track(CLUSTER_UUID)
    return await track.append(after, changes, message, on=on, happened=NOW, recorded=NOW)


def make_remote(folder: Path) -> str:
    """An empty bare repository; its URL."""
    git(folder, "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", "remote.git")
    return f"file://{folder / 'remote.git'}"


def like_a_cache(path: Path, kind: type[GitStore] = GitStore) -> GitStore:
    """A store without a remote that, like a cache, does not wait for the disk.

    A push adds nothing to a cache but costs twice as much as all else, and most of it at the other end.
    """
    return kind(
        Repository(path, durable=False),
        remote=None,
        branch=BRANCH,
        approved_branch=APPROVED,
        author="Bench <bench@example.org>",
    )
