"""Reading one cluster's snapshots from trees of its directory; the newest is at hand.

Only documents that differ from those of the last read are read, and everything else that a tree holds (a
README of somebody's) is left alone.
"""

from collections.abc import Mapping

from reconciler.errors import FormatError
from reconciler.model import App, Cluster, Snapshot, snapshot_of
from reconciler.state import git_layout as layout
from reconciler.state import git_objects as objects
from reconciler.state.documents import load_app, load_cluster
from reconciler.state.git_plumbing import Repository


class Snapshots:
    """The snapshots of one cluster. Its methods block; one at a time."""

    def __init__(self, repository: Repository, cluster_uuid: str, branch: str) -> None:
        """``branch``: for people, where the directory is."""
        self._repository = repository
        self._cluster_uuid = cluster_uuid
        self._directory = layout.directory(cluster_uuid)
        self._branch = branch
        self._last: tuple[str, Snapshot] | None = None  # the tree that was read or written last

    def remember(self, tree: str, snapshot: Snapshot) -> None:
        """That the tree, which was just written, holds this."""
        self._last = (tree, snapshot)

    def read(self, tree: str) -> Snapshot:
        """What a tree of the directory holds; FormatError when it is not what the reconciler wrote."""
        if self._last is not None and self._last[0] == tree:
            return self._last[1]
        entries = objects.entries_of(self._repository, tree, recursive=True)
        cluster = self._cluster(entries)
        wanted = {
            key: (path, entry.oid)
            for path, entry in entries.items()
            if entry.kind == "blob" and (key := layout.key_of(path)) is not None
        }
        known = self._known({oid for _, oid in wanted.values()})
        contents = objects.read_blobs(
            self._repository, [oid for _, oid in wanted.values() if oid not in known]
        )
        apps = []
        for key, (path, oid) in wanted.items():
            app = known[oid] if oid in known else load_app(contents[oid], f"{self._directory}/{path}")
            if app.key != key:
                raise FormatError(
                    f"{self._directory}/{path} holds the app {app.key}: restore it from the history"
                )
            apps.append(app)
        snapshot = snapshot_of(self._cluster_uuid, cluster, apps)
        self._last = (tree, snapshot)
        return snapshot

    def check_format(self, tree: str) -> None:
        """FormatError when the tree is a newer program's, or has no ``cluster.yaml`` that can be read."""
        self._cluster(objects.entries_of(self._repository, tree))

    def _known(self, oids: set[str]) -> dict[str, App]:
        """Of these blobs, those that the last read had as well."""
        if self._last is None:
            return {}
        tree, snapshot = self._last
        return {
            entry.oid: snapshot.apps[key]
            for path, entry in objects.entries_of(self._repository, tree, recursive=True).items()
            if entry.oid in oids and (key := layout.key_of(path)) is not None and key in snapshot.apps
        }

    def _cluster(self, entries: Mapping[str, objects.Entry]) -> Cluster:
        where = f"{self._directory}/{layout.CLUSTER_FILE}"
        entry = entries.get(layout.CLUSTER_FILE)
        if entry is None or entry.kind != "blob":
            raise FormatError(f"{where} is missing in {self._branch}: restore it from the history")
        return load_cluster(objects.read_blobs(self._repository, [entry.oid])[entry.oid], where)
