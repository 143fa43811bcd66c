"""The state store in a git repository: one directory per cluster, one commit per revision.

A local bare repository is the store itself or, with a URL, a cache of it that can be lost. A commit is
made as an object first (nothing points at it), then the branch moves to it by compare-and-swap, at the
remote if there is one. So a crash between any two steps leaves either the old state or the new one.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from reconciler.errors import FormatError, StoreError
from reconciler.state.documents import load_kube_system_uid
from reconciler.state.git import layout, objects
from reconciler.state.git.approved import GitApproved
from reconciler.state.git.branches import Branches, LocalBranches, RemoteBranches
from reconciler.state.git.delivered import GitDelivered
from reconciler.state.git.maintenance import Housekeeping
from reconciler.state.git.network.access import Access
from reconciler.state.git.network.remote import Remote
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.track import GitTrack
from reconciler.state.signing.key import Signing
from reconciler.state.store import ClusterDirectory, Revision

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")


def open_git_store(
    *,
    path: Path,
    url: str | None,
    branch: str,
    approved_branch: str = layout.APPROVED,
    author: str = layout.AUTHOR,
    signing: Signing | None = None,
    access: Access = Access(),  # noqa: B008 - a frozen value
    push_options: Sequence[str] = (),
    subject_suffix: str = "",
) -> "GitStore":
    """A store in git; nothing is touched before it is first used.

    ``path``: the local bare repository, made when it is not there. ``url``: the remote that holds the
    store (``https://``, ``ssh://``, ``file://`` or an absolute path), or None: ``path`` is the store itself.
    ``branch`` and ``approved_branch`` may hold ``{cluster_uuid}``. ``author`` is ``Name <email>``.
    ``signing``: None to record unsigned. ``access``: credentials and the way to the remote;
    ``push_options``: git's own, for forges; ``subject_suffix`` ends each commit's subject. Raises SpecError
    for what cannot be used.
    """
    repository = Repository(path.absolute(), durable=url is None)
    return GitStore(
        repository,
        remote=None if url is None else Remote(repository, url, push_options=push_options, access=access),
        branch=layout.checked_branch(branch),
        approved_branch=layout.checked_branch(approved_branch),
        author=layout.checked_author(author),
        signing=signing,
        subject_suffix=subject_suffix,
    )


class GitStore:
    """Keeps snapshots in git. One operation at a time; only ``history`` runs beside others."""

    def __init__(
        self,
        repository: Repository,
        *,
        remote: Remote | None,
        branch: str,
        approved_branch: str,
        author: str,
        signing: Signing | None = None,
        subject_suffix: str = "",
    ) -> None:
        self._repository = repository
        self._remote = remote
        self._branch = branch
        self._approved_branch = approved_branch
        self._branches: Branches = (
            LocalBranches(repository) if remote is None else RemoteBranches(repository, remote)
        )
        self._author = author
        self._signing = signing
        self._subject_suffix = subject_suffix
        self._lock = asyncio.Lock()
        self._housekeeping = Housekeeping(
            repository,
            cache_of=None if remote is None else remote.location,
            remote=None if remote is None else remote.folder,
            branch=branch if layout.PLACEHOLDER not in branch else "main",  # for people who clone it
        )
        self._tracks: dict[str, GitTrack] = {}
        self._approved: dict[str, GitApproved] = {}
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
                subject_suffix=self._subject_suffix,
            )
        return self._tracks[cluster_uuid]

    def approved(self, cluster_uuid: str) -> GitApproved:
        """The branch on which people approve a cluster's record."""
        if cluster_uuid not in self._approved:
            self._approved[cluster_uuid] = GitApproved(
                self,
                self._repository,
                self._branches,
                cluster_uuid=cluster_uuid,
                ref=layout.branch_ref(self._approved_branch, cluster_uuid),
                observed_ref=layout.branch_ref(self._branch, cluster_uuid),
            )
        return self._approved[cluster_uuid]

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
                signing=self._signing,
                subject_suffix=self._subject_suffix,
            )
        return self._delivered[cluster_uuid, endpoint]

    async def clusters(self) -> tuple[ClusterDirectory, ...]:
        """Those of the branch, or of all branches when its name has a placeholder; oldest first, of those
        that may be one cluster. (Others are as old as what is at hand of the history says.)

        A directory whose ``cluster.yaml`` cannot be read is nobody's: it is left out, with a warning.
        """
        found = await self.perform(self._clusters)
        return tuple(
            cluster for _, cluster in sorted(found, key=lambda each: (each[0], each[1].cluster_uuid))
        )

    async def close(self) -> None:
        """Wait for what is under way. No process outlives an operation."""
        async with self._lock:
            await self._repository.in_thread(self._keep)
            self._tracks.clear()
            self._approved.clear()
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
            return await self._repository.in_thread(lambda: self._housekeeping.perform(work))

    def _keep(self) -> None:
        for track in self._tracks.values():
            track.keep()

    async def examine(self, work: Callable[[Repository, Branches], _Result]) -> _Result:
        """As ``perform``, for work that needs more than one track: it is given the repository."""
        return await self.perform(lambda: work(self._repository, self._branches))

    async def _look_for_key(self, signing: Signing) -> None:
        """So that people see the key before the first commit. Only appending needs it."""
        try:
            await signing.prepare()
        except StoreError as error:
            _logger.warning("%s", error)

    def stream(self, commit: str, path: str) -> AsyncGenerator[Revision, None]:
        """The commits that touched a path, newest first, without holding up anything else."""
        return objects.stream_revisions(self._repository, commit, path)

    def appended(self) -> bool:
        """Called in the thread after each append; whether the cache was made again and is empty."""
        return self._housekeeping.appended()

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
            clusters = _directories(self._repository, tip)
            if _age_matters(clusters):
                self._branches.deepen(ref, whole=True)
            self._listed = {tip: tuple(_with_age(self._repository, tip, clusters))}
        return self._listed[tip]


def _directories(repository: Repository, tip: str) -> list[ClusterDirectory]:
    """The clusters of a commit."""
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
    contents = objects.read_blobs(repository, [entry.oid for entry in files.values()])
    found = []
    for path, entry in files.items():
        try:
            uid = load_kube_system_uid(contents[entry.oid], path)
        except FormatError as error:
            _logger.warning("a cluster is left out: %s", error)
            continue
        found.append(ClusterDirectory(cluster_uuid=owners[path], kube_system_uid=uid))
    return found


def _age_matters(clusters: Iterable[ClusterDirectory]) -> bool:
    """Whether two of them may be of one and the same cluster, so that all of the history must be at hand."""
    uids = [cluster.kube_system_uid for cluster in clusters]
    return len(uids) > 1 and ("" in uids or len(set(uids)) < len(uids))


def _with_age(
    repository: Repository, tip: str, clusters: Iterable[ClusterDirectory]
) -> list[tuple[int, ClusterDirectory]]:
    """Each with the second when it was first added, as far as the history is at hand."""
    added = objects.first_added(repository, tip, f"{layout.ROOT}/*/{layout.CLUSTER_FILE}")
    files = {each: f"{layout.directory(each.cluster_uuid)}/{layout.CLUSTER_FILE}" for each in clusters}
    return [(added.get(path, 0), cluster) for cluster, path in files.items()]
