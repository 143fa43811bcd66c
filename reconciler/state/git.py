"""The state store in a git repository: one directory per cluster, one commit per revision.

A local bare repository is the store itself or, with a URL, a cache of it that can be lost. A commit is
made as an object first (nothing points at it), then the branch moves to it by compare-and-swap, at the
remote if there is one. So a crash between any two steps leaves either the old state or the new one.
"""

import asyncio
import fcntl
import logging
import os
import shutil
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from reconciler.errors import FormatError, StoreError
from reconciler.state import git_layout as layout
from reconciler.state import git_objects as objects
from reconciler.state.documents import load_kube_system_uid
from reconciler.state.git_branches import Branches, LocalBranches, RemoteBranches
from reconciler.state.git_delivered import GitDelivered
from reconciler.state.git_plumbing import GitError, Repository
from reconciler.state.git_remote import Remote
from reconciler.state.git_track import GitTrack
from reconciler.state.signing import Signing
from reconciler.state.store import ClusterDirectory, Revision

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")

# Tells our cache, which may be deleted and made again, from a repository that somebody put there.
_MARKER = "hossted-cache"

_MADE_BY_INIT = frozenset({"HEAD", "config", "description", "hooks", "info", "branches", "objects", "refs"})

_LOCK_AGE = 60.0  # seconds; git holds the lock of a ref for milliseconds

_APPENDS_BETWEEN_MAINTENANCE = 100  # about 600 objects


def open_git_store(
    *,
    path: Path,
    url: str | None,
    branch: str,
    author: str = layout.AUTHOR,
    signing: Signing | None = None,
) -> "GitStore":
    """A store in git; nothing is touched before it is first used.

    ``path``: the local bare repository, made when it is not there. ``url``: the remote that holds the
    store (``file://`` or an absolute path), or None: ``path`` is the store itself. ``branch`` may hold
    ``{cluster_uuid}``. ``author`` is ``Name <email>``. ``signing``: None to record unsigned. Raises
    SpecError for what cannot be used.
    """
    repository = Repository(path.absolute(), durable=url is None)
    return GitStore(
        repository,
        remote=None if url is None else Remote(repository, layout.checked_url(url)),
        branch=layout.checked_branch(branch),
        author=layout.checked_author(author),
        signing=signing,
    )


class GitStore:
    """Keeps snapshots in git. One operation at a time; only ``history`` runs beside others."""

    def __init__(
        self,
        repository: Repository,
        *,
        remote: Remote | None,
        branch: str,
        author: str,
        signing: Signing | None = None,
    ) -> None:
        self._repository = repository
        self._remote = remote
        self._branch = branch
        self._branches: Branches = (
            LocalBranches(repository) if remote is None else RemoteBranches(repository, remote)
        )
        self._author = author
        self._signing = signing
        self._lock = asyncio.Lock()
        self._prepared = False
        self._appends = 0
        self._tracks: dict[str, GitTrack] = {}
        self._delivered: dict[tuple[str, str], GitDelivered] = {}
        self._listed: dict[str, tuple[tuple[int, ClusterDirectory], ...]] = {}

    @property
    def location(self) -> str:
        return self._remote.location if self._remote is not None else str(self._repository.path)

    @property
    def signing_key(self) -> str:
        """The public key that signs the commits (``ssh-ed25519 AAAA…``); "" when they are not signed.

        Also "" as long as its Secret cannot be read.
        """
        return "" if self._signing is None else self._signing.public_key

    def track(self, cluster_uuid: str) -> GitTrack:
        """The observed track of a cluster; StoreError for a UUID that cannot be a directory's name."""
        if cluster_uuid not in self._tracks:
            self._tracks[cluster_uuid] = GitTrack(
                self,
                self._repository,
                self._branches,
                cluster_uuid=cluster_uuid,
                ref=layout.branch_ref(self._branch, cluster_uuid),
                author=self._author,
                signing=self._signing,
            )
        return self._tracks[cluster_uuid]

    def delivered(self, cluster_uuid: str, endpoint: str) -> GitDelivered:
        """The branch that shows what the API at this endpoint was told of a cluster."""
        if (cluster_uuid, endpoint) not in self._delivered:
            self._delivered[cluster_uuid, endpoint] = GitDelivered(
                self,
                self._repository,
                self._branches,
                cluster_uuid=cluster_uuid,
                endpoint=endpoint,
                author=self._author,
                sign=None if self._signing is None else self._signing.sign,
            )
        return self._delivered[cluster_uuid, endpoint]

    async def clusters(self) -> tuple[ClusterDirectory, ...]:
        """Those of the branch, or of all branches when its name has a placeholder; oldest first.

        A directory whose ``cluster.yaml`` cannot be read is nobody's: it is left out, with a warning.
        """
        found = await self.perform(self._clusters)
        return tuple(
            cluster for _, cluster in sorted(found, key=lambda each: (each[0], each[1].cluster_uuid))
        )

    async def close(self) -> None:
        """Wait for what is under way. No process outlives an operation."""
        async with self._lock:
            self._tracks.clear()
            self._delivered.clear()

    async def perform(self, work: Callable[[], _Result]) -> _Result:
        """Run blocking work on the repository in a thread, the repository made if it is not there.

        A damaged cache is made again and the work repeated; a damaged store is a StoreError that says so.
        """
        async with self._lock:
            if self._remote is not None:
                await self._remote.prepare()
            if self._signing is not None and not self._signing.public_key:
                await self._look_for_key(self._signing)
            return await self._repository.in_thread(lambda: self._robustly(work))

    async def _look_for_key(self, signing: Signing) -> None:
        """So that people see the key before the first commit. Only appending needs it."""
        try:
            await signing.prepare()
        except StoreError as error:
            _logger.warning("%s", error)

    def stream(self, commit: str, path: str) -> AsyncGenerator[Revision, None]:
        """The commits that touched a path, newest first, without holding up anything else."""
        return objects.stream_revisions(self._repository, commit, path)

    def appended(self) -> None:
        """Called in the thread after each append: now and then, pack what has piled up."""
        if self._appends % _APPENDS_BETWEEN_MAINTENANCE == 0:
            try:
                objects.maintain(self._repository)
            except GitError as error:
                _logger.warning("the state repository was not packed: %s", error)
        self._appends += 1

    def _robustly(self, work: Callable[[], _Result]) -> _Result:
        self._prepare()
        try:
            return work()
        except GitError as error:
            if error.timed_out:
                raise
            if not self._unlock():
                if not self._is_damaged():
                    raise
                if not self._is_our_cache():
                    raise StoreError(
                        f"the state repository {self._repository.path} is damaged"
                        f" ({error.detail or error}): restore it from a copy"
                    ) from error
                _logger.warning("the cache %s is damaged and made again: %s", self._repository.path, error)
                self._discard()
                self._prepare()
        return work()

    def _unlock(self) -> bool:
        """Remove locks that a killed git left behind; whether there were any."""
        path = self._repository.path
        locks = [*path.glob("*.lock"), *(path / "refs").rglob("*.lock")]
        found = False
        for lock in locks:
            with suppress(OSError):
                if time.time() - lock.stat().st_mtime > _LOCK_AGE:
                    lock.unlink()
                    found = True
                    _logger.warning("removed %s, which a git that was killed left behind", lock)
        return found

    def _prepare(self) -> None:
        if self._prepared:
            return
        path = self._repository.path
        try:
            path.mkdir(parents=True, exist_ok=True)
            with _locked(path):
                there = {entry.name for entry in path.iterdir()}
                if "HEAD" not in there and there <= {*_MADE_BY_INIT, _MARKER}:
                    self._initialise()
                elif not ({"HEAD", "objects", "refs"} <= there or self._is_our_cache()):
                    raise StoreError(
                        f"{path} is neither empty nor a bare git repository: name another folder"
                    )
        except OSError as error:
            raise StoreError(f"the state repository {path} cannot be made: {error.strerror}") from error
        self._prepared = True

    def _initialise(self) -> None:
        path = self._repository.path
        if self._remote is not None:
            said = f"A cache of {self._remote.location}; it may be deleted at any time.\n"
            (path / _MARKER).write_text(said)
        # For people who clone it: the branch that they get.
        shown = self._branch if layout.PLACEHOLDER not in self._branch else "main"
        # An earlier attempt may have been cut short: init goes on from whatever is there.
        self._repository.run(
            "init", "--quiet", "--bare", "--template=", f"--initial-branch={shown}", str(path)
        )

    def _is_our_cache(self) -> bool:
        """Whether nothing is lost with it: it is marked as ours, or not there at all."""
        path = self._repository.path
        return self._remote is not None and ((path / _MARKER).is_file() or not path.exists())

    def _is_damaged(self) -> bool:
        try:
            self._repository.run("fsck", "--full", "--no-dangling", "--no-progress")
        except GitError as error:
            _logger.info("git fsck: %s", error)
            return not error.timed_out
        return False

    def _discard(self) -> None:
        self._prepared = False
        try:
            # The folder itself stays: it may be where a volume is mounted.
            path = self._repository.path
            for entry in path.iterdir() if path.exists() else ():
                if entry.name == _MARKER:
                    continue
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
        except OSError as error:
            raise StoreError(
                f"the damaged cache {self._repository.path} cannot be deleted: {error.strerror}"
            ) from error

    def _clusters(self) -> list[tuple[int, ClusterDirectory]]:
        if layout.PLACEHOLDER not in self._branch:
            return list(self._clusters_on(layout.branch_ref(self._branch, "")))
        found = []
        for ref in self._branches.matching(layout.branch_ref(self._branch, "*")):
            owner = layout.cluster_of_ref(self._branch, ref)
            found += [each for each in self._clusters_on(ref) if each[1].cluster_uuid == owner]
        return found

    def _clusters_on(self, ref: str) -> tuple[tuple[int, ClusterDirectory], ...]:
        tip = self._branches.tip(ref)
        if tip is None:
            return ()
        if tip not in self._listed:
            self._listed = {tip: tuple(_directories(self._repository, tip))}
        return self._listed[tip]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other programs that begin at the same time from making the same repository."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some network file systems cannot; beginning twice at once is rare, and the loser tries again.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _directories(repository: Repository, tip: str) -> list[tuple[int, ClusterDirectory]]:
    """The clusters of a commit, each with the second when it was first added."""
    root = objects.entry_at(repository, tip, layout.ROOT)
    if root is None or root.kind != "tree":
        return []
    owners = {
        f"{layout.directory(name)}/{layout.CLUSTER_FILE}": name
        for name, entry in objects.entries_of(repository, root.oid).items()
        if entry.kind == "tree" and layout.is_cluster_uuid(name)
    }
    if not owners:
        return []
    files = objects.entries_at(repository, tip, owners)
    added = objects.first_added(repository, tip, f"{layout.ROOT}/*/{layout.CLUSTER_FILE}")
    contents = objects.read_blobs(repository, [entry.oid for entry in files.values()])
    found = []
    for path, entry in files.items():
        try:
            uid = load_kube_system_uid(contents[entry.oid], path)
        except FormatError as error:
            _logger.warning("a cluster is left out: %s", error)
            continue
        cluster = ClusterDirectory(cluster_uuid=owners[path], kube_system_uid=uid)
        found.append((added.get(path, 0), cluster))
    return found
