"""Commands as they are typed, on a repository with three revisions of one cluster, without any cluster."""

import asyncio
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from reconciler.changes.diff import diff
from reconciler.changes.message import message
from reconciler.cli.main import main
from reconciler.model import Snapshot
from reconciler.policy.entry import Acked, Entry, LedgerFacts
from reconciler.state.git.store import open_git_store
from reconciler.state.ledger.file import FileLedger
from reconciler.state.store import Message
from tests.builders import make_app, make_snapshot
from tests.git.factory import refs

V1, V2 = make_app(chart_version="1.0.0"), make_app(revision=2, chart_version="1.1.0")
WEB = make_app("shop", "web", chart="web", chart_version="2.0.0")
STORY = [
    (datetime(2026, 11, 19, 9, tzinfo=UTC), make_snapshot(V1)),
    (datetime(2026, 11, 20, 9, tzinfo=UTC), make_snapshot(V2)),
    (datetime(2026, 11, 21, 23, 30, tzinfo=UTC), make_snapshot(V2, WEB)),
]


class Done(NamedTuple):
    status: int
    out: str
    err: str


Hossted = Callable[..., Done]


@pytest.fixture(scope="module")
def recorded_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("once") / "record.git"
    asyncio.run(record(path, *STORY))
    return path


@pytest.fixture
def repository(recorded_once: Path, tmp_path: Path) -> Path:
    """A repository with three revisions of one cluster."""
    return Path(shutil.copytree(recorded_once, tmp_path / "record.git"))


async def record(path: Path, *story: tuple[datetime, Snapshot]) -> None:
    """Record these on top of what is there."""
    store = open_git_store(path=path, url=None, branch="main")
    for at, snapshot in story:
        track = store.track(snapshot.cluster_uuid)
        tip = await track.tip()
        changes = diff(tip.snapshot if tip else None, snapshot)
        subject, body = message(changes)
        text = Message(subject, body, (("Cluster-UUID", snapshot.cluster_uuid),))
        await track.append(snapshot, changes, text, on=tip, happened=at, recorded=at)
    await store.close()


@pytest.fixture
def hossted(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Hossted:
    """Runs a command on the repository, with no cluster to be asked."""
    for name in ("HOSSTED_API_URL", "HOSSTED_AUTH_TOKEN", "POD_NAMESPACE", "EMAIL_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    def run(*words: str, repo: Path | str = repository) -> Done:
        before = refs(repository)
        try:
            status = main([*words, "--repo", str(repo)])
        except SystemExit as end:  # argparse
            status = int(end.code or 0)
        assert refs(repository) == before, "a command that reads has written"
        return Done(status, *capsys.readouterr())

    return run


def ids(hossted: Hossted) -> list[str]:
    """The revisions' ids, oldest first."""
    return [one["revision"] for one in reversed(json.loads(hossted("history", "-o", "json").out))]


def write_ledger(repository: Path, cluster_uuid: str) -> None:
    """The ledger beside the repository: one app acknowledged as it was first, another as uninstalled."""

    async def write() -> None:
        ledger = FileLedger(repository.with_name(f"{repository.name}.ledger.json"))
        await ledger.load()
        at = STORY[0][0]
        entries = {
            V1.key: Entry(acked=Acked("k1", V1.app_uuid, at, V1), last_key="k1"),
            WEB.key: Entry(acked=Acked("k2", WEB.app_uuid, at), last_key="k2"),
        }
        await ledger.write(entries, LedgerFacts(cluster_uuid=cluster_uuid))

    asyncio.run(write())
