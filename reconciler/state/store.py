"""The state store's contract: what git and ConfigMaps both promise, and the contract tests check.

A store holds tracks, one per cluster; a track is a line of revisions, each a whole snapshot. Appending is
compare-and-swap: it succeeds only on top of the revision that the caller built on. A revision exists
once it is durable where the store is (for git with a remote: there).
"""

from collections.abc import AsyncIterator, Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from reconciler.changes.change import Changeset
from reconciler.model import App, AppKey, Snapshot
from reconciler.policy.approval import Approval
from reconciler.policy.entry import Acked


class Trailer(StrEnum):
    """What a revision's trailers are called."""

    CLUSTER_UUID = "Cluster-UUID"
    SNAPSHOT = "Snapshot"  # the snapshot's digest
    INSTANCE = "Instance"  # of the leadership that wrote it
    GAP = "Gap"  # a time without a look
    APPROVED_SINCE = "Approved-Since"  # where the approved branch stood when approval began to be required
    PREVIOUS = "Previous"  # where the older history is: a place, a space, and its last revision
    ENDPOINT = "Endpoint"  # of the API that was told, on the delivered branch; so are the next two
    IDEMPOTENCY_KEY = "Idempotency-Key"
    API_STATUS = "API-Status"


class Message(msgspec.Struct, frozen=True):
    """A revision's text: ``trailers`` in order, as git's trailers (``Cluster-UUID``, ``Snapshot`` …)."""

    subject: str
    body: str = ""
    trailers: tuple[tuple[str, str], ...] = ()

    def trailer(self, name: str) -> str:
        """The first trailer of that name, or ""."""
        return next((value for key, value in self.trailers if key == name), "")

    def render(self) -> str:
        """The whole text: subject, body, trailers, separated by blank lines, ending in a newline."""
        trailers = "\n".join(f"{name}: {value}" for name, value in self.trailers)
        return "\n\n".join(part for part in (self.subject, self.body, trailers) if part) + "\n"


class Revision(msgspec.Struct, frozen=True):
    """One entry of a track. ``id``: a commit's hash, or ``r`` and a number for ConfigMaps.

    ``happened``: when the change happened (git's author date); ``recorded``: when it was recorded.
    """

    id: str
    message: Message
    happened: datetime
    recorded: datetime


class Repair(msgspec.Struct, frozen=True):
    """Something of a track that is not as the reconciler left it. The next append puts it right.

    ``what``: for people, without a first capital or a last stop, of the form ``<what> was <done to it>``
    and perhaps more after a colon: ``default/test was edited by Jane Doe in 1a2b3c4d``. ``key``: the app
    that it is about, if it is about one. ``loses``: apps may be missing from the snapshot, or be older in
    it than they were recorded.
    """

    what: str
    key: AppKey | None = None
    loses: bool = False


class Recorded(msgspec.Struct, frozen=True):
    """A revision and the snapshot that it holds.

    ``repairs``: what others have done to it since, or what was lost of it. The snapshot is what the
    reconciler last recorded, as far as that is still known; what was done to it is not in there.
    """

    revision: Revision
    snapshot: Snapshot
    repairs: tuple[Repair, ...] = ()


class ClusterDirectory(msgspec.Struct, frozen=True):
    """A cluster that the store knows: its UUID and the kube-system UID recorded beside it, or ""."""

    cluster_uuid: str
    kube_system_uid: str


class Track(Protocol):
    """The observed track of one cluster."""

    async def tip(self) -> Recorded | None:
        """The newest revision and its snapshot, or None before the first. Cheap when nothing changed.

        Raises StoreError when the store cannot be reached, FormatError when it is a newer program's,
        and nothing else: who wrote the tip is for the caller to judge, by its ``Instance`` trailer.
        """
        ...

    async def append(
        self,
        snapshot: Snapshot,
        changes: Changeset,
        message: Message,
        *,
        on: Recorded | None,
        happened: datetime,
        recorded: datetime,
    ) -> Recorded:
        """Append a snapshot on top of ``on``; only what ``changes`` names, and what ``on.repairs`` asks
        for, is written. ``changes`` may be empty when there are repairs.

        Raises LostRaceError when ``on`` is not the tip any more (read the tip and build again),
        StoreError when nothing is known to be written, TooLargeError when it does not fit.
        """
        ...

    @property
    def notices(self) -> tuple[str, ...]:
        """What people should know of the track, as of the last look: sentences, until it is so no more."""
        ...

    async def rescue(self) -> None:
        """Make good what became of the track as a whole: what was taken out of it is kept beside it, and
        when all of it was deleted it is made again; a protest of ours is taken back. For who goes on to
        write the track, after ``tip``. It adds no revision, costs nothing when all is well, and what it
        cannot do it says in ``notices``. StoreError.
        """
        ...

    async def protest(self, instance: str, against: str) -> None:
        """Leave word in the store that ``instance``, which stopped, found the track written by ``against``.

        The other one's ``notices`` say so. Idempotent; ``withdraw`` takes it back. StoreError.
        """
        ...

    async def withdraw(self, instance: str = "") -> None:
        """Take back what this process' ``protest`` left, or an earlier one's as ``instance``, if anything."""
        ...

    def history(self, app: AppKey | None = None) -> AsyncIterator[Revision]:
        """Revisions, newest first; only those that changed ``app`` when it is given."""
        ...

    async def at(self, revision: str) -> Recorded:
        """The revision of that id (or an unambiguous beginning of it); UsageError if there is none."""
        ...

    async def departed(self, since: datetime) -> tuple[App, ...]:
        """The apps that left the track after ``since``, each as it was when it left last.

        Those that came back are among them; so are those of namespaces that became denied.
        """
        ...

    async def before(self, revision: str) -> Recorded | None:
        """The revision of this cluster that came before, or None for the first."""
        ...


class DeliveredBranch(Protocol):
    """What the API was told, for people to read beside the record. It follows the ledger."""

    async def keys(self) -> Mapping[AppKey, str]:
        """By app the Idempotency-Key under which it says that the API took it last.

        Raises StoreError when it cannot be read, FormatError when it is not what the reconciler wrote.
        """
        ...

    async def app(self, key: AppKey) -> App | None:
        """What it has of an app, without what is never emitted; None if there is nothing."""
        ...

    async def follow(
        self, changed: Mapping[AppKey, Acked], known: Collection[AppKey], *, instance: str, at: datetime
    ) -> None:
        """Show what was acknowledged of these apps. ``known``: all apps of the ledger.

        Raises LostRaceError when somebody else moved it, StoreError when it cannot be written.
        """
        ...


class ApprovedTrack(Protocol):
    """What people signed off of one cluster's record. Only people move it."""

    @property
    def name(self) -> str:
        """What people know it by: the branch."""
        ...

    async def tip(self) -> str:
        """Its newest commit, or "" when there is none. Raises StoreError when it cannot be read."""
        ...

    async def read(self, since: str, observed: Recorded | None) -> Approval:
        """What it approves, compared with where it stood at ``since`` ("": it was not there). Cheap while
        neither it nor the record has moved.

        ``observed``: the newest revision of the record. Raises StoreError when it cannot be read, or when
        what it rests on cannot be had.
        """
        ...


class Store(Protocol):
    """Where snapshots are kept. ``location`` is for people and holds no credentials."""

    @property
    def location(self) -> str: ...

    @property
    def signing_key(self) -> str:
        """The public key that revisions are signed with, as OpenSSH writes it; "" when they are not."""
        ...

    async def clusters(self) -> tuple[ClusterDirectory, ...]:
        """The clusters that have state here, oldest first."""
        ...

    def track(self, cluster_uuid: str) -> Track:
        """The observed track of a cluster; the same object each time."""
        ...

    def delivered(self, cluster_uuid: str, endpoint: str) -> DeliveredBranch | None:
        """What the API at this endpoint was told of a cluster; None where the store does not show it."""
        ...

    def approved(self, cluster_uuid: str) -> ApprovedTrack | None:
        """The approved track of a cluster, the same object each time; None where the store has none."""
        ...

    async def close(self) -> None:
        """Let go of files, processes and connections."""
        ...
