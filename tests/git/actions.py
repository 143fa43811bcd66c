"""What tests do with a git store: append, and look for what is left behind."""

from datetime import UTC, datetime
from pathlib import Path

from reconciler.model import Snapshot
from reconciler.state.store import Message, Recorded, Track
from tests.builders import CLUSTER_UUID, changes_between
from tests.git.factory import git

HAPPENED = datetime(2026, 11, 21, 9, 42, 49, tzinfo=UTC)
RECORDED = datetime(2026, 11, 21, 9, 43, 0, tzinfo=UTC)


async def append(
    track: Track, snapshot: Snapshot, on: Recorded | None, message: Message | None = None
) -> Recorded:
    return await track.append(
        snapshot,
        changes_between(on.snapshot if on else None, snapshot),
        message or Message(subject="Record", trailers=trailers_of(snapshot)),
        on=on,
        happened=HAPPENED,
        recorded=RECORDED,
    )


def trailers_of(snapshot: Snapshot, instance: str = "instance-1") -> tuple[tuple[str, str], ...]:
    """What a commit of the reconciler's says of itself."""
    return (
        ("Cluster-UUID", snapshot.cluster_uuid),
        ("Snapshot", snapshot.digest),
        ("Instance", instance),
    )


def is_clean(repository: Path) -> bool:
    """Whether git finds nothing to complain about (it fails the test itself if it does)."""
    complaints = git(repository, "fsck", "--full", "--strict", "--no-dangling", "--no-progress")
    return complaints == ""


def git_processes(folder: Path) -> list[str]:
    """The command lines of running gits that work on something below a folder."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if f"GIT_DIR={folder}" in (process / "environ").read_text(errors="replace"):
                    found.append((process / "cmdline").read_text(errors="replace"))
            except OSError:
                continue  # ended while we looked, or somebody else's
    return found


def spoil_objects(repository: Path, content: bytes | None) -> None:
    """Truncate, or remove, every loose object."""
    for item in (repository / "objects").glob("??/*"):
        if content is None:
            item.unlink()
        else:
            item.chmod(0o644)
            item.write_bytes(content)


def remove_document(repository: Path, commit: str) -> None:
    """Remove the blob of one app's document, and nothing else."""
    oid = git(repository, "rev-parse", f"{commit}:clusters/{CLUSTER_UUID}/default/test.yaml").strip()
    (repository / "objects" / oid[:2] / oid[2:]).unlink()
