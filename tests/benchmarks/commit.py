"""``make bench ARGS=commit``: one changed app, from a new snapshot to a revision that exists.

That is: compare, take the digest, write the document, make the commit, move the branch. With a remote both
ends of the push are on this machine, and counted.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import git as gitpython
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from rich.table import Table

from reconciler.state.documents import dump_app
from reconciler.state.git.store import GitStore, open_git_store
from reconciler.state.signing.key import Signing
from tests.benchmarks.measure import Cost, alone
from tests.benchmarks.state import BRANCH, app, append, make_remote, snapshot, upgraded, upgrades
from tests.builders import CLUSTER_UUID
from tests.git.factory import git

SIZES = (1_000, 5_000)
CHANGES = 20


def table() -> Table:
    """A row for each number of apps and way to commit."""
    shown = Table(
        "apps",
        "commit of one changed app",
        "CPU, ms",
        "peak memory, MB",
        "times less CPU",
        "times less memory",
    )
    for apps in SIZES:
        with TemporaryDirectory() as name:
            folder = Path(name)
            url = make_remote(folder)
            asyncio.run(_record(open_git_store(path=folder / "clone.git", url=url, branch=BRANCH), apps))
            git(folder, "clone", "--quiet", "--bare", url, "store.git")
            git(folder, "clone", "--quiet", url, "plain")
            plain = alone(_plain, folder / "plain")
            for way, path, remote, signed in (
                ("a store on this machine", "store.git", None, False),
                ("… signed", "store.git", None, True),
                ("a remote, both ends", "clone.git", url, False),
                ("… signed", "clone.git", url, True),
            ):
                shown.add_row(*_row(apps, way, alone(_appends, folder / path, remote, signed), plain))
        shown.add_row(*_row(apps, "GitPython's index, no push", plain, plain))
    return shown


async def _record(store: GitStore, apps: int) -> None:
    await append(store, snapshot(apps), None)
    await store.close()


def _signing() -> Signing:
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())

    async def read(_: str) -> Mapping[str, bytes]:
        return {"identity": text}

    return Signing(read, "signing")


def _appends(path: Path, url: str | None, signed: bool) -> Callable[[], None]:
    runner = asyncio.Runner()
    store = open_git_store(path=path, url=url, branch=BRANCH, signing=_signing() if signed else None)
    tip = runner.run(store.track(CLUSTER_UUID).tip())
    assert tip is not None

    async def work() -> None:
        nonlocal tip
        assert tip is not None
        for after in upgrades(tip.snapshot, CHANGES):
            tip = await append(store, after, tip)

    return lambda: runner.run(work())


def _plain(folder: Path) -> Callable[[], None]:
    repository = gitpython.Repo(folder)

    def work() -> None:
        for number in range(CHANGES):
            changed = upgraded(app(number))
            name = f"clusters/{CLUSTER_UUID}/{changed.key}.yaml"
            (folder / name).write_bytes(dump_app(changed))
            repository.index.add([name])
            repository.index.commit("record")
        repository.close()

    return work


def _row(apps: int, way: str, cost: Cost, plain: Cost) -> tuple[str, ...]:
    return (
        f"{apps:,}",
        way,
        f"{cost.cpu / CHANGES * 1e3:.1f}",
        f"{cost.peak / 1e6:.0f}",
        f"{plain.cpu / cost.cpu:.1f}",
        f"{plain.peak / cost.peak:.2f}",
    )
