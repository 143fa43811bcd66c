"""What people do to a branch that the reconciler shares with them, each as a function of a repository."""

from pathlib import Path

from tests.builders import CLUSTER_UUID
from tests.git.factory import BRANCH, git

OURS = f"clusters/{CLUSTER_UUID}"
REF = f"refs/heads/{BRANCH}"


def clone(repository: Path) -> Path:
    """A person's working copy."""
    copy = repository.parent / f"copy-{len(list(repository.parent.glob('copy-*')))}"
    git(repository.parent, "clone", "--quiet", "--no-local", f"file://{repository}", str(copy))
    return copy


def commit(copy: Path, files: dict[str, str | None], message: str = "A person's work") -> str:
    """Edit, delete (None) and commit in a working copy; the commit's hash."""
    for name, text in files.items():
        path = copy / name
        if text is None:
            git(copy, "rm", "-r", "--quiet", name)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            git(copy, "add", name)
    git(copy, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(copy, "rev-parse", "HEAD").strip()


def push(copy: Path, *options: str) -> None:
    git(copy, "push", "--quiet", *options, "origin", f"HEAD:{REF}")


def changed_paths(repository: Path, commit: str) -> list[str]:
    """What a commit changed, against its first parent."""
    shown = git(
        repository, "show", "--first-parent", "--no-renames", "--name-only", "--format=", "--root", commit
    )
    return shown.split()


def our_commits(repository: Path, *revisions: str) -> list[str]:
    """The reconciler's commits, newest first."""
    return git(repository, "rev-list", "--author=hossted-reconciler", *revisions).split()
