"""People who approve: a world whose record is on a branch of its own, and somebody with a clone of it."""

from collections.abc import Iterable
from pathlib import Path

from reconciler.project import GitState, PushSpec
from reconciler.state.git.store import open_git_store
from reconciler.state.store import Store
from tests.chain.world import GitDisk, World
from tests.git.factory import git, refs
from tests.git.people import clone, commit

REQUIRED = PushSpec(approval="Required")
AUTOMATIC = PushSpec()


class ReviewedDisk(GitDisk):
    """A repository with a branch for the record and one for what is approved of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.state = GitState(url=f"file://{self.remote}", branch="observed/{cluster_uuid}")

    def store(self) -> Store:
        return open_git_store(
            path=self.folder / "clone.git",
            url=self.state.url,
            branch=self.state.branch,
            approved_branch=self.state.approved_branch,
        )


class Approver:
    """Somebody who approves from a clone, as with a forge's pull requests. Apps are ``namespace/name``."""

    def __init__(self, world: World) -> None:
        assert isinstance(world.disk, ReviewedDisk)
        self._remote = world.disk.remote
        self.directory = f"clusters/{world.cluster_uuid}"
        self.observed = f"observed/{world.cluster_uuid}"
        self.approved = f"approved/{world.cluster_uuid}"
        self._copy = clone(self._remote)

    # Approving

    def merge(self, *options: str) -> None:
        """All of the record, as a merge makes it."""
        if self._begin():
            git(
                self._copy,
                "merge",
                "--quiet",
                *(options or ("--no-ff", "--no-edit")),
                self._of(self.observed),
            )
            if "--squash" in options:
                git(self._copy, "commit", "--quiet", "-m", "Approve all of it")
        else:
            git(self._copy, "checkout", "--quiet", "-B", "work", self._of(self.observed))
        self._push()

    def cherry_pick(self, revision: str) -> None:
        """One commit of the record."""
        assert self._begin()
        git(self._copy, "cherry-pick", revision)
        self._push()

    def approve(self, *apps: str, at: str = "") -> None:
        """These apps as the record has them, or had them at a revision."""
        self._begin()
        for app in apps:
            git(self._copy, "checkout", at or self._of(self.observed), "--", self.path(app))
        self._commit()

    def approve_end(self, *apps: str) -> None:
        """That these apps are gone."""
        self.write({self.path(app): None for app in apps})

    def write(self, files: dict[str, str | None]) -> None:
        """Whatever they like."""
        self._begin()
        commit(self._copy, files)
        self._push()

    def delete_branch(self) -> None:
        git(self._remote, "update-ref", "-d", f"refs/heads/{self.approved}")

    def move_branch(self, commit: str) -> None:
        """To another commit, by force."""
        git(self._remote, "update-ref", f"refs/heads/{self.approved}", commit)

    # What is there

    def path(self, app: str) -> str:
        return f"{self.directory}/{app}.yaml"

    def text(self, app: str) -> str:
        return git(self._remote, "show", f"{self.observed}:{self.path(app)}")

    @property
    def revision(self) -> str:
        """The newest of the record."""
        return refs(self._remote)[f"refs/heads/{self.observed}"]

    @property
    def tip(self) -> str:
        """The newest commit of the approved branch, "" while there is none."""
        return refs(self._remote).get(f"refs/heads/{self.approved}", "")

    def _of(self, branch: str) -> str:
        return f"refs/remotes/origin/{branch}"

    def _begin(self) -> bool:
        """Work on what is approved so far; whether there is anything."""
        git(self._copy, "fetch", "--quiet", "--prune", "origin")
        if self.tip:
            git(self._copy, "checkout", "--quiet", "-B", "work", self._of(self.approved))
            return True
        git(self._copy, "checkout", "--quiet", "--orphan", f"from-nothing-{self.revision}")
        git(self._copy, "rm", "-r", "--force", "--quiet", "--ignore-unmatch", ".")
        return False

    def _commit(self) -> None:
        git(self._copy, "commit", "--quiet", "-m", "Approve")
        self._push()

    def _push(self) -> None:
        git(self._copy, "push", "--quiet", "origin", f"HEAD:refs/heads/{self.approved}")


def names(apps: Iterable[int]) -> list[str]:
    """Names for so many apps."""
    return [f"team-{number % 3}/app-{number:03}" for number in apps]
