"""Git stores for tests: on a bare repository, and on a bare repository that is the remote of a cache."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from reconciler.model import FORMAT
from reconciler.state.git.store import GitStore, open_git_store

BRANCH = "main"

_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "A Person",
    "GIT_AUTHOR_EMAIL": "person@example.org",
    "GIT_COMMITTER_NAME": "A Person",
    "GIT_COMMITTER_EMAIL": "person@example.org",
}


def git(path: Path, *arguments: str, stdin: str = "") -> str:
    """Run git as a person would, in a repository or working copy."""
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", str(path), *arguments],
        input=stdin, capture_output=True, text=True, check=False, env=_ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 0, f"git {arguments}: {done.stderr}"
    return done.stdout


def refs(repository: Path) -> Mapping[str, str]:
    lines = git(repository, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return dict(line.split(" ") for line in lines)


def branches(repository: Path) -> Mapping[str, str]:
    """What people get who clone it."""
    return {ref: commit for ref, commit in refs(repository).items() if ref.startswith("refs/heads/")}


def files(repository: Path, commit: str = BRANCH) -> Mapping[str, str]:
    """The blobs of a commit by path."""
    entries = git(repository, "ls-tree", "-r", commit).splitlines()
    return {path: described.split(" ")[2] for described, path in (entry.split("\t") for entry in entries)}


def edits(changes: Mapping[str, str | None]) -> str:
    """What fast-import is told of a commit's files, by path; None: deleted."""
    return "".join(
        f"D {path}\n" if text is None else f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n"
        for path, text in changes.items()
    )


def commit_as_a_person(
    repository: Path,
    changes: Mapping[str, str | None],
    message: str = "A person's work",
    branch: str = BRANCH,
) -> str:
    """A commit on a bare repository's branch, by somebody who clones, edits and pushes. Its hash."""
    there = f"refs/heads/{branch}" in refs(repository)
    parent = f"from refs/heads/{branch}^0\n" if there else ""
    who = "A Person <person@example.org> 1790000000 +0200"
    stream = (
        f"commit refs/heads/{branch}\nauthor {who}\ncommitter {who}\n"
        f"data {len(message.encode())}\n{message}\n{parent}{edits(changes)}\n"
    )
    git(repository, "fast-import", "--quiet", stdin=stream)
    return git(repository, "rev-parse", branch).strip()


class GitFactory:
    """The local repository is the store."""

    def __init__(self, folder: Path) -> None:
        self.repository = folder / "state.git"

    async def open(self) -> GitStore:
        return open_git_store(path=self.repository, url=None, branch=BRANCH)

    async def contents(self) -> object:
        return refs(self.repository) if self.repository.exists() else {}

    async def documents(self, cluster_uuid: str) -> object:
        return git(self.repository, "ls-tree", "-r", f"{BRANCH}:clusters/{cluster_uuid}")

    async def make_newer(self, cluster_uuid: str) -> None:
        path = f"clusters/{cluster_uuid}/cluster.yaml"
        text = git(self.repository, "show", f"{BRANCH}:{path}")
        newer = text.replace(f"format: {FORMAT}\n", f"format: {FORMAT + 1}\n")
        assert newer != text
        text = f"Migrate\n\nCluster-UUID: {cluster_uuid}\nInstance: newer\nSnapshot: by other rules\n"
        commit_as_a_person(self.repository, {path: newer + "more: true\n"}, message=text)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Something else is in its place, as when a volume is not mounted as it should be."""
        elsewhere = self.repository.with_suffix(".elsewhere")
        self.repository.rename(elsewhere)
        self.repository.touch()
        yield
        self.repository.unlink()
        elsewhere.rename(self.repository)

    def unanswered(self) -> AbstractContextManager[None]:
        return nullcontext()


class GitRemoteFactory(GitFactory):
    """The remote is the store; each opening has a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.repository = folder / "remote.git"
        git(folder, "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(self.repository))
        self._folder = folder
        self._opened = 0

    async def open(self) -> GitStore:
        self._opened += 1
        return open_git_store(
            path=self._folder / f"cache-{self._opened}.git", url=f"file://{self.repository}", branch=BRANCH
        )

    @contextmanager
    def unanswered(self) -> Iterator[None]:
        """The program that took the push dies before it says so."""
        hook = self.repository / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\nkill -KILL $PPID\n")
        hook.chmod(0o755)
        yield
        hook.unlink()
