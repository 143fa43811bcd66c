"""Judges the approved track: only what was once observed may be on it, and approvers must have signed."""

from collections.abc import Set
from typing import Final

from reconciler.state.git import objects
from reconciler.state.git.plumbing import Repository
from reconciler.state.signing.allowed_signers import Signers
from reconciler.state.verify.chain import signature_fault
from reconciler.state.verify.commits import Step, read_commits, steps
from reconciler.state.verify.directory import FileChange, is_of_record
from reconciler.state.verify.report import Findings

_UNSEEN: Final = "it was made by hand, and was never in the cluster; it must not be approved"
_UNPROVEN: Final = "it is not proven who approved"


def verify_approved(
    repository: Repository,
    approved: str,
    *,
    known: str,
    observed_tip: str,
    directory: str,
    observed: Set[tuple[str, str]],
    approvers: Signers | None,
    bad: Findings,
) -> None:
    """Add to ``bad`` what is wrong with the branch whose newest commit is ``approved``.

    ``known``: a commit of it that was judged before, or "". ``observed``: every path and blob that the
    reconciler's own commits once had.
    """
    before = [observed_tip, *([known] if known else [])]
    moves = steps(repository, approved, directory, known=before)
    named = _judge_files(moves, observed, bad)
    _judge_tip(repository, approved, directory, observed | named, bad)
    if approvers is None:
        return
    # What moved the branch itself must be signed; what came in by a merge is covered by the merge.
    line = repository.text("rev-list", "--first-parent", approved, *(f"^{commit}" for commit in before))
    own = frozenset(line.split())
    moved = [step.id for step in moves if step.changes and step.id in own]
    if not moved and not known:
        bad.add(
            approved,
            "is where the approved track is, and is a commit of the observed one",
            f"{_UNPROVEN}: a branch that is only moved forward has no commit to sign; merge with --no-ff",
        )
    for commit in read_commits(repository, moved):
        if not commit.signatures:
            bad.add(commit.id, f"approves, by {commit.author}, and is not signed", _UNPROVEN)
        elif fault := signature_fault(commit, approvers):
            bad.add(commit.id, f"approves, by {commit.author}, and {fault}", _UNPROVEN)


def observed_files(repository: Repository, tip: str, directory: str) -> set[tuple[str, str]]:
    """Every path and blob that commits up to ``tip`` brought, whoever made them."""
    return {
        (change.path, change.entry)
        for step in steps(repository, tip, directory)
        for change in step.changes
        if change.entry
    }


def _judge_files(moves: list[Step], seen: Set[tuple[str, str]], bad: Findings) -> set[tuple[str, str]]:
    named = set()
    for step in moves:
        for change in step.changes:
            pair = (change.path, change.entry)
            if change.entry and is_of_record(change.path) and pair not in seen:
                bad.add(step.id, f"approves a {change.path} that was never observed", _UNSEEN)
                named.add(pair)
    return named


def _judge_tip(
    repository: Repository, approved: str, directory: str, seen: Set[tuple[str, str]], bad: Findings
) -> None:
    """Of the newest commit all files are looked at: it may have begun on something else."""
    root = objects.entry_at(repository, approved, directory)
    if root is None or root.kind != "tree":
        return
    for path, entry in objects.entries_of(repository, root.oid, recursive=True).items():
        change = FileChange(path, entry.mode, entry.oid)
        if is_of_record(path) and (path, change.entry) not in seen:
            bad.add(approved, f"has a {path} that was never observed", _UNSEEN)
