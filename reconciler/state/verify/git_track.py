"""Verifies a track in git: reads what is new since the last time, and has it judged.

Everything is read by a handful of processes, however many commits there are; signatures and digests are
checked in this one.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from reconciler.errors import UsageError
from reconciler.model import digest_of, rfc3339
from reconciler.settings import program_version
from reconciler.state.git import layout, objects
from reconciler.state.git.branches import Branches
from reconciler.state.git.plumbing import Repository
from reconciler.state.signing.allowed_signers import Signers
from reconciler.state.verify.approved import observed_files, verify_approved
from reconciler.state.verify.chain import Chain, Rules
from reconciler.state.verify.commits import Step, cut_off, read_checked_blobs, read_commits, saying, steps
from reconciler.state.verify.directory import (
    PLAIN_FILE,
    Directory,
    Document,
    FileChange,
    is_of_record,
    read_document,
)
from reconciler.state.verify.memory import MemoryFile, Verified
from reconciler.state.verify.report import Findings, Report

_TOGETHER: Final = 1_000
"""Commits whose documents are in memory at once."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be verified, by which rules.

    ``branch``, ``approved_branch`` ("": none) may hold ``{cluster_uuid}``. ``expected``: a revision that the
    track must have, "" for none. ``memory``: the folder of what was verified before; None to begin anew and
    to keep nothing. ``again``: judge all of it, whatever was verified before.
    """

    cluster_uuid: str
    location: str
    branch: str
    approved_branch: str = ""
    rules: Rules = Rules()
    approvers: Signers | None = None
    expected: str = ""
    memory: Path | None = None
    again: bool = False
    now: datetime

    @property
    def digest(self) -> str:
        """Of what was asked: of another question the answer is another."""
        return digest_of(
            msgspec.json.encode((program_version(), self.rules, self.approvers, self.approved_branch))
        )


def verify_track(repository: Repository, branches: Branches, wanted: Wanted) -> Report:
    """Blocks. UsageError when there is no track; StoreError when it cannot be read, FormatError when only a
    newer program can.
    """
    return _Verification(repository, branches, wanted).run()


class _Verification:
    """One run. ``known``: what was verified before and is still part of the track."""

    def __init__(self, repository: Repository, branches: Branches, wanted: Wanted) -> None:
        self._repository = repository
        self._branches = branches
        self._wanted = wanted
        self._directory = layout.directory(wanted.cluster_uuid)
        self._ahead = Findings()  # what is to be said before anything about a single commit
        self._documents: dict[str, Document] = {}

    def run(self) -> Report:
        wanted = self._wanted
        ref = layout.branch_ref(wanted.branch, wanted.cluster_uuid)
        tip = self._branches.tip(ref)
        if tip is None:
            raise UsageError(f"{wanted.location} has no branch {ref.removeprefix('refs/heads/')}")
        self._branches.deepen(ref, whole=True)
        file = self._memory_file()
        known = self._known(file, tip)
        self._judge_whole(tip)

        chain = self._chain(known)
        found = self._steps(tip, [known.commit] if known else [])
        self._judge(chain, found)
        last = found[-1].id if found else known.commit if known else tip
        chain.finish(last)
        if not (chain.progress.own or chain.bad.count):
            raise UsageError(f"{wanted.location} has no record of cluster {wanted.cluster_uuid} in {ref}")
        approved = self._judge_approved(chain, tip, known)

        report = self._report(ref, chain, known)
        if file is not None and report.is_good:
            files = chain.state(last).directory.files
            file.save(
                Verified(
                    rules=wanted.digest,
                    commit=tip,
                    at=wanted.now,
                    approved=approved,
                    progress=chain.progress,
                    warnings=list(report.warnings),
                    files={path: (blob, self._documents[blob].digest) for path, blob in files.items()},
                )
            )
        return report

    def _memory_file(self) -> MemoryFile | None:
        wanted = self._wanted
        if wanted.memory is None:
            return None
        return MemoryFile(wanted.memory, wanted.location, wanted.branch, wanted.cluster_uuid)

    def _known(self, file: MemoryFile | None, tip: str) -> Verified | None:
        known = file.load(self._wanted.digest) if file is not None and not self._wanted.again else None
        if known is None:
            return None
        if self._has(known.commit, tip):
            for path, (blob, digest) in known.files.items():
                self._documents[blob] = Document(key=layout.key_of(path), digest=digest)
            return known
        self._ahead.add(
            "",
            f"the commit {known.commit[:12]}, verified at {rfc3339(known.at)}, has vanished from the track",
            "the branch was rewritten or cut back; --all accepts it as it is now",
        )
        return None

    def _judge_whole(self, tip: str) -> None:
        """Whether the track has its beginning, and the end that others know of."""
        if cut := cut_off(self._repository, tip):
            self._ahead.add(
                cut[0],
                f"is the oldest commit here, and was made on {cut[1][:12]}, which is missing",
                "the history was cut off: what came before cannot be verified",
            )
        expected = self._wanted.expected
        if expected and not self._has(expected, tip):
            self._ahead.add(
                "",
                f"the status names {expected[:12]} as the newest revision, and the track does not have it",
                "the track was cut back or replaced after the reconciler had recorded that",
            )

    def _has(self, commit: str, tip: str) -> bool:
        there = objects.commits_beginning(self._repository, commit)
        return len(there) == 1 and objects.is_ancestor(self._repository, there[0], of=tip)

    def _chain(self, known: Verified | None) -> Chain:
        wanted = self._wanted
        if known is None:
            return Chain(wanted.cluster_uuid, wanted.rules)
        return Chain(
            wanted.cluster_uuid,
            wanted.rules,
            progress=known.progress,
            known={known.commit: known.state()},
        )

    def _steps(self, tip: str, known: Sequence[str]) -> list[Step]:
        """What is to be judged: also commits that say they are ours and change nothing.

        The reconciler makes one when people did beforehand what it then recorded.
        """
        found = steps(self._repository, tip, self._directory, known=known)
        words = (f"Cluster-UUID: {self._wanted.cluster_uuid}", "Snapshot: ")
        claimed = saying(self._repository, tip, *words, known=known)
        also = frozenset(claimed).difference(step.id for step in found)
        return steps(self._repository, tip, self._directory, known=known, also=also) if also else found

    def _judge(self, chain: Chain, found: Sequence[Step]) -> None:
        chain.expect(found)
        for oid in sorted(chain.parents_to_load(found)):
            changes = self._all_files(oid)
            self._read_documents(changes)
            earlier = Directory()
            earlier.apply(changes, self._documents)
            chain.give(oid, earlier)
        for start in range(0, len(found), _TOGETHER):
            some = found[start : start + _TOGETHER]
            self._read_documents(change for step in some for change in step.changes)
            commits = read_commits(self._repository, (step.id for step in some))
            for step, commit in zip(some, commits, strict=True):
                chain.judge(step, commit, self._documents)

    def _read_documents(self, changes: Iterable[FileChange]) -> None:
        """Read those that are not known yet."""
        paths = {
            change.oid: change.path
            for change in changes
            if change.mode == PLAIN_FILE and change.oid not in self._documents and is_of_record(change.path)
        }
        for oid, content in read_checked_blobs(self._repository, paths).items():
            self._documents[oid] = read_document(paths[oid], content)

    def _all_files(self, commit: str) -> list[FileChange]:
        root = objects.entry_at(self._repository, commit, self._directory)
        if root is None or root.kind != "tree":
            return []
        entries = objects.entries_of(self._repository, root.oid, recursive=True)
        return [FileChange(path, entry.mode, entry.oid) for path, entry in entries.items()]

    def _judge_approved(self, chain: Chain, observed_tip: str, known: Verified | None) -> str:
        """Have the approved track judged, if there is one; its newest commit, or ""."""
        wanted = self._wanted
        if not wanted.approved_branch:
            return ""
        ref = layout.branch_ref(wanted.approved_branch, wanted.cluster_uuid)
        tip = self._branches.tip(ref)
        if tip is None or (known is not None and known.approved == tip):
            return tip or ""
        self._branches.deepen(ref, whole=True)
        observed = chain.observed
        if known is not None:
            earlier = observed_files(self._repository, known.commit, self._directory)
            observed = observed | earlier.difference(chain.progress.never_own)
        verify_approved(
            self._repository,
            tip,
            known=known.approved if known is not None and self._has(known.approved, tip) else "",
            observed_tip=observed_tip,
            directory=self._directory,
            observed=observed,
            approvers=wanted.approvers,
            bad=chain.bad,
        )
        return tip

    def _report(self, ref: str, chain: Chain, known: Verified | None) -> Report:
        wanted, progress, ahead = self._wanted, chain.progress, self._ahead
        signers = wanted.rules.signers
        rescued = self._branches.matching(f"refs/heads/hossted/rescued/{wanted.cluster_uuid}/*")
        return Report(
            track=f"{ref.removeprefix('refs/heads/')} of {wanted.location}, cluster {wanted.cluster_uuid}",
            revisions=progress.own,
            checked=chain.checked,
            signed=progress.signed,
            judged_by=signers.source if signers is not None else "",
            first=progress.first,
            last=progress.last_recorded,
            gaps=tuple(sorted(progress.gaps, key=lambda gap: gap.start)),
            bad=(*ahead.found, *chain.bad.found),
            bad_count=ahead.count + chain.bad.count,
            warnings=(*(known.warnings if known is not None else ()), *chain.warnings.found),
            rescued=tuple(each.removeprefix("refs/heads/") for each in sorted(rescued)),
        )
