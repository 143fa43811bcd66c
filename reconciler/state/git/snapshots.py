"""Reading one cluster's snapshots from trees of its directory; the newest is at hand.

Only documents that differ from those of the last read, or of the last start, are read, and everything else
that a tree holds (a README of somebody's) is left alone.
"""

import logging
from collections.abc import Mapping

from reconciler.errors import FormatError
from reconciler.model import App, AppKey, Cluster, Snapshot, snapshot_of
from reconciler.state.documents import is_newer, load_app, load_cluster
from reconciler.state.git import layout, objects
from reconciler.state.git.cache import WORTH, AppCache
from reconciler.state.git.plumbing import GitError, Repository

_logger = logging.getLogger(__name__)


class Snapshots:
    """The snapshots of one cluster. Its methods block; one at a time."""

    def __init__(self, repository: Repository, cluster_uuid: str, branch: str) -> None:
        """``branch``: for people, where the directory is."""
        self._repository = repository
        self._cluster_uuid = cluster_uuid
        self._directory = layout.directory(cluster_uuid)
        self._branch = branch
        self._last: tuple[str, Snapshot] | None = None  # the tree that was read or written last
        self._tip: str | None = None  # the tree that is kept for the next start
        self._cache = AppCache(repository.path, cluster_uuid)

    def remember(self, tree: str, snapshot: Snapshot, *, written: int = 1) -> None:
        """That the tree, which is the tip's, holds this; so many of its documents were just written."""
        self._last = (tree, snapshot)
        self._tip = tree
        self._cache.learned(written)
        self.keep()

    def read(self, tree: str, digest: str = "", *, is_tip: bool = False) -> Snapshot:
        """What a tree of the directory holds; FormatError when it is not what the reconciler wrote.

        ``digest``: what the tree's commit says that of the snapshot is. Without it nothing is taken from
        the last start. ``is_tip``: what was read is kept for the next one.
        """
        if is_tip:
            self._tip = tree
        if self._last is not None and self._last[0] == tree:
            return self._last[1]
        entries = objects.entries_of(self._repository, tree, recursive=True)
        cluster = self._cluster(entries)
        wanted = {
            key: (path, entry.oid)
            for path, entry in entries.items()
            if entry.kind == "blob" and (key := layout.key_of(path)) is not None
        }
        known = self._known()
        missing = sum(oid not in known for _, oid in wanted.values())
        cached = self._cache.load() if digest and missing >= WORTH else {}
        snapshot = self._snapshot(cluster, wanted, {**cached, **known})
        if cached and snapshot.digest != digest:
            self._cache.drop("with them, the snapshot is not the one that was recorded")
            snapshot = self._snapshot(cluster, wanted, known)
            cached = {}
        self._last = (tree, snapshot)
        if is_tip:
            self._cache.learned(sum(oid not in cached for _, oid in wanted.values()))
            self.keep()
        return snapshot

    def keep(self, *, at_end: bool = False) -> None:
        """Write down what the tip holds for the next start, if it is worth it."""
        if self._last is not None and self._last[0] == self._tip:
            self._cache.keep(self._known, at_end=at_end)

    def _snapshot(
        self, cluster: Cluster, wanted: Mapping[AppKey, tuple[str, str]], known: Mapping[str, App]
    ) -> Snapshot:
        """``wanted``: file and blob of each app; ``known``: what some of the blobs hold."""
        found = {key: app for key, (_, oid) in wanted.items() if (app := known.get(oid)) and app.key == key}
        contents = objects.read_blobs(
            self._repository, [oid for key, (_, oid) in wanted.items() if key not in found]
        )
        for key, (path, oid) in wanted.items():
            if key not in found:
                app = found[key] = load_app(contents[oid], f"{self._directory}/{path}")
                if app.key != key:
                    raise FormatError(
                        f"{self._directory}/{path} holds the app {app.key}: restore it from the history"
                    )
        return snapshot_of(self._cluster_uuid, cluster, found.values())

    def check_format(self, tree: str) -> None:
        """FormatError when the tree is a newer program's, or has no ``cluster.yaml`` that can be read."""
        self._cluster(objects.entries_of(self._repository, tree))

    def has_digest(self, tree: str, digest: str) -> bool:
        """Whether it holds the snapshot of that digest; FormatError only when it is a newer program's."""
        try:
            return self.read(tree, digest).digest == digest
        except FormatError:
            entry = objects.entries_of(self._repository, tree).get(layout.CLUSTER_FILE)
            if entry is not None and entry.kind == "blob":
                data = objects.read_blobs(self._repository, [entry.oid])[entry.oid]
                if is_newer(data, layout.CLUSTER_FILE):
                    raise
            return False

    def _known(self) -> dict[str, App]:
        """What the last read had, by blob; nothing if its tree went away with the cache that it was in."""
        if self._last is None:
            return {}
        tree, snapshot = self._last
        try:
            entries = objects.entries_of(self._repository, tree, recursive=True)
        except GitError as error:
            _logger.info("what was read last is read again: %s", error)
            return {}
        return {
            entry.oid: snapshot.apps[key]
            for path, entry in entries.items()
            if (key := layout.key_of(path)) is not None and key in snapshot.apps
        }

    def _cluster(self, entries: Mapping[str, objects.Entry]) -> Cluster:
        where = f"{self._directory}/{layout.CLUSTER_FILE}"
        entry = entries.get(layout.CLUSTER_FILE)
        if entry is None or entry.kind != "blob":
            raise FormatError(f"{where} is missing in {self._branch}: restore it from the history")
        return load_cluster(objects.read_blobs(self._repository, [entry.oid])[entry.oid], where)
