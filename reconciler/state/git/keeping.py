"""What is kept of one cluster's commits besides its branch.

In the local repository, where no branch is touched and a restart finds it again, by cluster:

    refs/hossted/own/<cluster_uuid>/<branch>           our newest commit that the branch had
    refs/hossted/vanished/<cluster_uuid>/<commit>      one that the branch lost, to be kept where that is
    refs/hossted/rescued/<cluster_uuid>/<commit>       one that has been: people may delete that branch
    refs/hossted/protest/<cluster_uuid>/<instance>     our protest against a second writer

and where the branch is, for people:

    hossted/rescued/<cluster_uuid>/<commit>            a commit that the branch lost
    hossted/second-writer/<cluster_uuid>/<instance>    the commit that made this Instance stop
"""

import logging
import re
from collections.abc import Mapping
from urllib.parse import quote

from reconciler.errors import StoreError
from reconciler.state.git.branches import Branches, refs_matching
from reconciler.state.git.edits import SHORT
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.shallow import is_shallow

_logger = logging.getLogger(__name__)

_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,127}")


def is_open_ended(error: StoreError) -> bool:
    """Whether a push failed since the remote lacks the commits that a shallow history stands on."""
    return "shallow update not allowed" in str(error)


class Keeping:
    """Of one cluster and its branch. Its methods block; one at a time."""

    def __init__(self, repository: Repository, branches: Branches, *, cluster_uuid: str, ref: str) -> None:
        self._repository = repository
        self._branches = branches
        self._cluster_uuid = cluster_uuid
        self._ref = ref
        self._name = ref.removeprefix("refs/heads/")
        self._own_ref = f"refs/hossted/own/{cluster_uuid}/{quote(self._name, safe='')}"
        self._rescued = f"refs/heads/hossted/rescued/{cluster_uuid}/"
        self._protests = f"refs/heads/hossted/second-writer/{cluster_uuid}/"
        self._refused: dict[str, str] = {}  # by commit, why it cannot be kept where the branch is
        self._notes: Mapping[str, str] | None = None  # the local refs below, by name

    def reload(self) -> None:
        """Forget what is at hand in memory: somebody else may have written, or the cache was made anew."""
        self._notes = None

    @property
    def patterns(self) -> tuple[str, ...]:
        """The branches for people, as globs."""
        return f"{self._rescued}*", f"{self._protests}*"

    def own(self) -> str | None:
        """Our newest commit that the branch is known to have had."""
        return refs_matching(self._repository, self._own_ref).get(self._own_ref)

    def as_own(self, commit: str) -> Mapping[str, str]:
        """The local refs to set when this is our newest commit."""
        return {self._own_ref: commit}

    def note_own(self, commit: str) -> None:
        """The same, at once."""
        if self.own() != commit:
            self._set(self._own_ref, commit)

    def note_vanished(self, commit: str) -> None:
        """That the branch has lost this commit of ours; durable, whatever becomes of it."""
        if commit not in self._local("rescued"):
            self._set(self._note("vanished", commit), commit)

    def vanished(self) -> tuple[str, ...]:
        """The commits that the branch lost, and that are not yet kept where it is."""
        return tuple(self._local("vanished"))

    def rescue(self, beside: Mapping[str, str]) -> Mapping[str, str]:
        """Keep in branches what the branch lost. ``beside``: those that are there; all that then are."""
        there = dict(beside)
        for commit in self.vanished():
            ref = f"{self._rescued}{commit}"
            if ref not in there:
                if commit in self._refused:
                    continue
                try:
                    self.create(ref, commit)
                except StoreError as error:
                    self._refused[commit] = str(error)
                    _logger.warning("%s cannot be kept as %s: %s", commit, ref, error)
                    continue
                there[ref] = commit
            self._set(self._note("rescued", commit), commit)
            self._unset(self._note("vanished", commit))
        return there

    def create(self, ref: str, commit: str) -> None:
        """Make a branch, which must not exist, of a commit that is at hand."""
        try:
            self._branches.create(ref, commit)
        except StoreError as error:
            if not (is_open_ended(error) and is_shallow(self._repository)):
                raise
            # The remote may still have what none of its branches leads to any more.
            others = self._branches.matching("refs/heads/*")
            by = self._ref if self._ref in others else next(iter(others), None)
            if by is None or not self._branches.deepen(by, whole=True):
                raise
            self._branches.create(ref, commit)

    def protest(self, instance: str, commit: str, beside: Mapping[str, str]) -> Mapping[str, str]:
        """Leave a branch that says what ``instance`` objects to. ``beside`` as in ``rescue``."""
        if not _INSTANCE.fullmatch(instance):
            raise StoreError(f"the Instance {instance!r} cannot be part of a branch's name")
        ref = f"{self._protests}{instance}"
        there = dict(self.withdraw(beside, other_than=instance))
        if ref not in there:
            # First the note: a branch of which nothing is known here would never be taken back.
            self._set(self._note("protest", instance), commit)
            self.create(ref, commit)
            there[ref] = commit
        return there

    def withdraw(self, beside: Mapping[str, str], *, other_than: str = "") -> Mapping[str, str]:
        """Delete what our protests left, but that of one Instance. ``beside`` as in ``rescue``."""
        there = dict(beside)
        for instance in self._local("protest"):
            if instance == other_than:
                continue
            ref = f"{self._protests}{instance}"
            if ref in there:
                try:
                    self._branches.delete(ref, there[ref])
                except StoreError as error:
                    _logger.warning("the branch %s cannot be deleted: %s", ref, error)
                    continue
                del there[ref]
            self._unset(self._note("protest", instance))
        return there

    def has_protested(self) -> bool:
        """Whether a protest of ours, perhaps of before a restart, has not been taken back."""
        return bool(self._local("protest"))

    def notices(self, beside: Mapping[str, str]) -> tuple[str, ...]:
        """What people should know of all this."""
        own = self._local("protest")
        said = []
        for ref, commit in sorted(beside.items()):
            name = ref.removeprefix("refs/heads/")
            if ref.startswith(self._rescued):
                said.append(
                    f"the commit {commit[:SHORT]}, which recorded this cluster, was taken out of the branch"
                    f" {self._name}; it is kept as the branch {name}: delete that when nobody needs it"
                )
            elif ref.startswith(self._protests) and ref.removeprefix(self._protests) not in own:
                said.append(
                    f"another reconciler (Instance {ref.removeprefix(self._protests)}) records the same"
                    f" cluster, and stopped at the commit {commit[:SHORT]}: see that only one of them runs,"
                    f" then delete the branch {name}"
                )
        for commit in self.vanished():
            if f"{self._rescued}{commit}" not in beside:
                why = self._refused.get(commit)
                so = f" and cannot be kept as a branch: {why}" if why else ""
                said.append(
                    f"the commit {commit[:SHORT]}, which recorded this cluster, was taken out of the branch"
                    f" {self._name}{so}"
                )
        return tuple(said)

    def _local(self, kind: str) -> Mapping[str, str]:
        """By what each note is of, commit or Instance, the commit."""
        if self._notes is None:
            kinds = ("vanished", "rescued", "protest")
            self._notes = refs_matching(
                self._repository, *(f"refs/hossted/{each}/{self._cluster_uuid}/*" for each in kinds)
            )
        prefix = self._note(kind, "")
        return {
            ref.removeprefix(prefix): commit for ref, commit in self._notes.items() if ref.startswith(prefix)
        }

    def _note(self, kind: str, name: str) -> str:
        return f"refs/hossted/{kind}/{self._cluster_uuid}/{name}"

    def _set(self, ref: str, commit: str) -> None:
        self._repository.run("update-ref", ref, commit)
        if self._notes is not None:
            self._notes = {**self._notes, ref: commit}

    def _unset(self, ref: str) -> None:
        self._repository.run("update-ref", "-d", ref)
        if self._notes is not None:
            self._notes = {name: commit for name, commit in self._notes.items() if name != ref}
