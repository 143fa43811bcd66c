"""Verifying a long, signed record: CPU seconds, cold and from where the last run ended.

``python -m tests.benchmarks.verify [COMMITS [APPS]]`` (default: 10,000 commits of one change each, 200 apps).
"""

import asyncio
import hashlib
import resource
import sys
import tempfile
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reconciler.model import AppKey, digest_of
from reconciler.state.documents import dump_app, dump_cluster
from reconciler.state.git.store import open_git_store
from reconciler.state.store import Message
from reconciler.state.verify.report import Report
from tests.benchmarks.measure import Figure, compare
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.git.factory import BRANCH, edits, git
from tests.git.history import DIRECTORY, EMAIL, INSTANCE, KEY, signers_file, verify

START = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())


def make_history(path: Path, commits: int, apps: int) -> None:
    """A packed repository with a signed record: the apps at once, then an upgrade of one a commit."""
    git(path.parent, "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(path))
    git(path, "fast-import", "--quiet", stdin="".join(_stream(commits, apps)))
    _sign(path)
    git(path, "repack", "-adq")


def _stream(commits: int, apps: int) -> Iterator[str]:
    """Unsigned: fast-import cannot sign."""
    digests: dict[AppKey, str] = {}
    for number in range(commits):
        some = range(apps) if number == 0 else [number * 7 % apps]
        files = {}
        for each in some:
            app = make_app(f"team-{each % 50}", f"app-{each}", number + 1, pods=5, hosts=["a.example"])
            digests[app.key] = app.digest
            files[f"{app.key.namespace}/{app.key.name}.yaml"] = dump_app(app).decode()
        if number == 0:
            files["cluster.yaml"] = dump_cluster(make_snapshot().cluster).decode()
        lines = sorted(f"{key} {digest}\n" for key, digest in digests.items())
        trailers = (
            ("Cluster-UUID", CLUSTER_UUID),
            ("Snapshot", digest_of((CLUSTER_UUID + "\n" + "".join(lines)).encode())),
            ("Instance", INSTANCE),
        )
        text = Message(f"upgrade app number {number}", "", trailers).render()
        who = f"Records <{EMAIL}> {START + 60 * number} +0000"
        yield f"commit refs/heads/{BRANCH}\nauthor {who}\ncommitter {who}\ndata {len(text)}\n{text}\n"
        yield edits({f"{DIRECTORY}/{file}": content for file, content in files.items()})


def _sign(path: Path) -> None:
    """Make every commit again with a signature, each on the one before."""
    parent = ""
    ids = git(path, "rev-list", "--reverse", BRANCH).split()
    contents = git(path, "cat-file", "--batch", stdin="".join(f"{id_}\n" for id_ in ids))
    position = 0
    for _ in ids:
        end = contents.index("\n", position)
        size = int(contents[position:end].split(" ")[2])
        text = contents[end + 1 : end + 1 + size]
        position = end + 1 + size + 1
        head, _, message = text.partition("\n\n")
        lines = [line for line in head.split("\n") if not line.startswith("parent ")]
        lines[1:1] = [f"parent {parent}"] if parent else []
        head = "\n".join(lines)
        signature = KEY.sign(f"{head}\n\n{message}".encode()).rstrip("\n").replace("\n", "\n ")
        parent = _write(path, f"{head}\ngpgsig {signature}\n\n{message}".encode())
    git(path, "update-ref", f"refs/heads/{BRANCH}", parent)


def _write(path: Path, content: bytes) -> str:
    """A loose object, without a process for each."""
    whole = f"commit {len(content)}\0".encode() + content
    oid = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
    file = path / "objects" / oid[:2] / oid[2:]
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(zlib.compress(whole, 1))
    return oid


def verified(path: Path, memory: Path | None) -> Report:
    async def work() -> Report:
        store = open_git_store(path=path, url=None, branch=BRANCH)
        try:
            return await verify(store, memory=memory)
        finally:
            await store.close()

    report = asyncio.run(work())
    assert report.is_good, report.bad[:3]
    return report


def bench_verify() -> Iterator[Figure]:
    """A hundred commits, for the baseline starts two programs for each."""
    with tempfile.TemporaryDirectory() as name:
        path, signers = Path(name) / "record.git", Path(name) / "signers"
        make_history(path, 100, 50)
        signers.write_text(signers_file(KEY) + "\n")

        def ours() -> None:
            assert verified(path, None).revisions == 100

        def one_by_one() -> None:
            trust = ("-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={signers}")
            for commit in git(path, "rev-list", BRANCH).split():
                git(path, *trust, "verify-commit", commit)

        yield compare(
            "verify 100 commits, all of it", ours, "git verify-commit, signatures alone", one_by_one
        )


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _timed(what: str, work: Callable[[], Report]) -> None:
    cpu, began = _cpu(), time.perf_counter()
    report = work()
    took = timedelta(seconds=time.perf_counter() - began).total_seconds()
    print(
        f"{what}: {report.checked:,} of {report.revisions:,} checked, {_cpu() - cpu:.2f} s CPU, {took:.2f} s"
    )


def main() -> None:
    commits, apps = (
        [*map(int, sys.argv[1:]), 10_000, 200][:2] if len(sys.argv) != 2 else (int(sys.argv[1]), 200)
    )
    with tempfile.TemporaryDirectory() as name:
        path, memory = Path(name) / "record.git", Path(name) / "memory"
        make_history(path, commits, apps)
        newest = git(path, "rev-parse", BRANCH).strip()
        git(path, "update-ref", f"refs/heads/{BRANCH}", f"{newest}~1")
        _timed("cold", lambda: verified(path, memory))
        _timed("nothing new", lambda: verified(path, memory))
        git(path, "update-ref", f"refs/heads/{BRANCH}", newest)
        _timed("one more commit", lambda: verified(path, memory))
        print(f"memory file: {next(memory.iterdir()).stat().st_size:,} bytes")
        tracemalloc.start()
        verified(path, None)
        print(f"most memory of Python: {tracemalloc.get_traced_memory()[1] / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
