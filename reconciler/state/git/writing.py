"""The files that one commit of ours writes: what changed, and what others did that is undone."""

from collections.abc import Iterable

from reconciler.changes.change import Changeset
from reconciler.model import Snapshot
from reconciler.state.documents import dump_app, dump_cluster
from reconciler.state.git import layout, objects
from reconciler.state.git.edits import Edit
from reconciler.state.git.plumbing import Repository
from reconciler.state.store import Recorded


def written(
    directory: str, snapshot: Snapshot, changes: Changeset, on: Recorded | None
) -> dict[str, bytes | None]:
    """What the changes write, and delete (None), by path in the repository.

    ValueError when they do not lead from ``on`` to the snapshot.
    """
    apps = dict(on.snapshot.apps) if on is not None else {}
    files: dict[str, bytes | None] = {}
    for change in changes:
        path = f"{directory}/{layout.app_file(change.key)}"
        if change.after is None:
            apps.pop(change.key, None)
            files[path] = None
        else:
            apps[change.key] = change.after
            files[path] = dump_app(change.after)
    if on is None or on.snapshot.cluster != snapshot.cluster:
        files[f"{directory}/{layout.CLUSTER_FILE}"] = dump_cluster(snapshot.cluster)
    # What the next tip would read must be what the caller is told that it recorded.
    if layout.directory(snapshot.cluster_uuid) != directory or apps != dict(snapshot.apps):
        raise ValueError("the changes do not lead from the snapshot that was built on to the new one")
    if not files and (on is None or not on.repairs):
        raise ValueError("the changes change nothing")
    return files


def restored(repository: Repository, directory: str, edited: Iterable[Edit]) -> dict[str, bytes | None]:
    """Our files as we left them, by path in the repository."""
    wanted = {f"{directory}/{edit.file}": edit.was for edit in edited}
    contents = objects.read_blobs(repository, [was.oid for was in wanted.values() if was])
    return {path: contents[was.oid] if was else None for path, was in wanted.items()}
