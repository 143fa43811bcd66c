"""Judges the commits of one cluster's track, one after another, from the first to the newest. Pure.

The reconciler's own commits must be one chain: each built on the one before, its text well-formed, its
files the snapshot that it says, signed where that is asked for, and no Instance back after another one.
What people do to the directory in between is told, and is bad only if it was not put right.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from reconciler.model import rfc3339
from reconciler.state.git import layout
from reconciler.state.signing.allowed_signers import Signers
from reconciler.state.signing.signature import SignatureWrongError, verify
from reconciler.state.store import Message, Trailer
from reconciler.state.verify.commits import Commit, Step
from reconciler.state.verify.directory import GONE, Directory, Document, is_of_record
from reconciler.state.verify.report import Findings, Interval, parse_gap
from reconciler.state.verify.state import State, edited, merged

ALTERED: Final = "the commit was altered after it was made, or the reconciler did not make it"
FORGED: Final = "whoever made the commit does not have the reconciler's key, or the commit was altered later"
_NOT_IN_ORDER: Final = (
    "commits were dropped, reordered or made on an older state, so the record is not one line"
)
_UNSIGNED: Final = (
    "anybody who may write to the repository could have made it; if the commits were not signed from the"
    " beginning, say since when they are with --signed-since"
)

_OURS: Final = (Trailer.CLUSTER_UUID, Trailer.SNAPSHOT, Trailer.INSTANCE)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_INSTANCE = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,127}")
_SHORT = 12


class Rules(msgspec.Struct, frozen=True):
    """What is asked of the commits. ``signers``: None when it is not known whose signatures are good.

    ``signed_since``: commits recorded before may be unsigned, as long as none before them was signed.
    """

    signers: Signers | None = None
    signed_since: datetime | None = None


class Progress(msgspec.Struct, kw_only=True):
    """How far a track was verified. ``last``: the newest own commit; ``instances``: in order of arrival."""

    own: int = 0
    signed: int = 0
    unsigned: int = 0
    first: datetime | None = None
    last: str = ""
    last_recorded: datetime | None = None
    instances: list[str] = []
    gaps: list[Interval] = []
    never_own: list[tuple[str, str]] = []


class Chain:
    """One walk over a track. ``known``: states of commits that are not judged again, by their ids."""

    def __init__(
        self,
        cluster_uuid: str,
        rules: Rules,
        *,
        progress: Progress | None = None,
        known: Mapping[str, State] | None = None,
    ) -> None:
        self.progress = progress or Progress()
        self.bad = Findings()
        self.warnings = Findings()
        self.checked = 0
        self.observed: set[tuple[str, str]] = set()
        self._cluster_uuid = cluster_uuid
        self._rules = rules
        self._states = dict(known or {})
        self._awaited: Counter[str] = Counter()
        self._seen = frozenset(self.progress.instances)

    def expect(self, steps: Iterable[Step]) -> None:
        """Say which commits will come, so that a state is kept as long as one of them needs it."""
        self._awaited.update(parent for step in steps for parent in step.parents)

    def parents_to_load(self, steps: Iterable[Step]) -> set[str]:
        """Parents that neither come nor are known: their directories must be given with ``give``."""
        return set(self._awaited) - {step.id for step in steps} - set(self._states)

    def give(self, commit: str, directory: Directory) -> None:
        """The directory at a commit that was judged before, or that has none of the reconciler's."""
        self._states[commit] = State(directory)

    def judge(self, step: Step, commit: Commit, documents: Mapping[str, Document]) -> None:
        """The next commit. ``documents``: by blob, of all plain files of the record that it brought."""
        state, parents = merged([self._take(parent) for parent in step.parents])
        newest = [dict(each.directory.files) for each in parents if each.own == state.own]
        before = state.directory.apply(step.changes, documents)
        if _claims_to_be_ours(commit.message):
            self._judge_own(step, commit, state)
        else:
            self._note_edit(step, commit, state, edited(state, before, newest))
            self._settle(state)
        self._states[step.id] = state

    def finish(self, tip: str) -> None:
        """What can be said only at the end."""
        progress, state = self.progress, self._states.get(tip)
        if state is not None and state.edits:
            self._judge_unrestored(state)
        if self._rules.signers is not None and progress.own and not progress.signed and not self.bad.count:
            self.bad.add(
                progress.last,
                "is not signed, and no commit before it is",
                "nothing proves who made any of the record",
            )

    def state(self, commit: str) -> State:
        """What is known at a commit that was judged last on its line."""
        return self._states[commit]

    def _take(self, parent: str) -> State:
        """A parent's state: its own when nobody else needs it any more, else a copy."""
        self._awaited[parent] -= 1
        if self._awaited[parent] <= 0:
            return self._states.pop(parent)
        kept = self._states[parent]
        return msgspec.structs.replace(kept, directory=kept.directory.copy())

    def _note_edit(self, step: Step, commit: Commit, state: State, before: Mapping[str, str]) -> None:
        beside = [each.path for each in step.changes if each.mode != GONE and not is_of_record(each.path)]
        if beside and len(step.parents) < 2:
            self.warnings.add(
                step.id, f"by {commit.author} put {beside[0]} beside the record", "it is no part of it"
            )
        if before:
            edit = state.edit(step.id, commit.author, before)
            self.progress.never_own += [pair for pair in edit.after if pair[1] and pair not in self.observed]

    def _settle(self, state: State) -> None:
        """When everything is again as the reconciler left it, nothing is left to put right."""
        if state.edits and not state.differing():
            for edit in state.edits:
                self.warnings.add(edit.commit, f"{edit}; that was undone since")
            state.recorded(state.own)

    # The reconciler's own commits

    def _judge_own(self, step: Step, commit: Commit, state: State) -> None:
        progress = self.progress
        self.checked += 1
        wrong = [
            *self._text_faults(commit),
            *self._file_faults(commit, state),
            *self._order_faults(step, commit, state),
            *self._signature_faults(commit),
        ]
        for what, means in wrong:
            self.bad.add(commit.id, what, means)
        self._judge_date(commit)
        self._judge_edits(commit, state)
        self.observed.update((change.path, change.entry) for change in step.changes if change.mode != GONE)
        if state.edits:
            self.observed.update(state.directory.files.items())
            progress.never_own = [pair for pair in progress.never_own if pair not in self.observed]
        progress.own += 1
        if progress.first is None:
            progress.first = commit.recorded
        progress.last, progress.last_recorded = commit.id, commit.recorded
        state.recorded(progress.own)

    def _text_faults(self, commit: Commit) -> list[tuple[str, str]]:
        message = commit.message
        names = Counter(name for name, _ in message.trailers)
        found = []
        for name in _OURS:
            if names[name] != 1:
                found.append((f"has {names[name] or 'no'} {name} trailers, and one is right", ALTERED))
        whose = message.trailer(Trailer.CLUSTER_UUID)
        if whose and whose != self._cluster_uuid:
            found.append(
                (f"says that it is of cluster {whose}", "another cluster wrote into this one's directory")
            )
        for name, form in ((Trailer.SNAPSHOT, _DIGEST), (Trailer.INSTANCE, _INSTANCE)):
            value = message.trailer(name)
            if value and not form.fullmatch(value):
                found.append((f"has the {name} {value[:80]!r}, which is none", ALTERED))
        for gap in (value for name, value in message.trailers if name == Trailer.GAP):
            try:
                self.progress.gaps.append(parse_gap(gap))
            except ValueError:
                found.append((f"has the Gap {gap[:80]!r}, which is none", ALTERED))
        return found

    def _file_faults(self, commit: Commit, state: State) -> list[tuple[str, str]]:
        if problem := state.directory.problem():
            return [(f"holds files that are no snapshot: {problem}", ALTERED)]
        said, made = commit.message.trailer(Trailer.SNAPSHOT), state.directory.digest(self._cluster_uuid)
        if said and said != made:
            text = f"says that its snapshot is {said[:_SHORT]}…, and its files make {made[:_SHORT]}…"
            return [(text, "the files are not those that were recorded, or the commit's text was altered")]
        return []

    def _order_faults(self, step: Step, commit: Commit, state: State) -> list[tuple[str, str]]:
        found = []
        progress = self.progress
        if len(step.parents) > 1:
            found.append(("is a merge, and the reconciler makes none", ALTERED))
        if state.own != progress.own:
            found.append(
                (f"is not built on {progress.last[:_SHORT]}, which was recorded before", _NOT_IN_ORDER)
            )
        instance = commit.message.trailer(Trailer.INSTANCE)
        if instance and instance in self._seen and progress.instances[-1] != instance:
            between = progress.instances[-1]
            found.append(
                (
                    f"is by Instance {instance}, which comes back after {between} had taken over",
                    "two reconcilers wrote to this record at the same time",
                )
            )
        if instance and (not progress.instances or progress.instances[-1] != instance):
            progress.instances.append(instance)
            self._seen |= {instance}
        return found

    def _signature_faults(self, commit: Commit) -> list[tuple[str, str]]:
        """Also counts the signed ones. A signature is judged even where it is not known who may sign."""
        progress, signers = self.progress, self._rules.signers
        if not commit.signatures:
            since = self._rules.signed_since
            may_be = signers is None or (
                since is not None and commit.recorded < since and not progress.signed
            )
            progress.unsigned += 1
            return [] if may_be else [("is not signed", _UNSIGNED)]
        if len(commit.signatures) > 1:
            return [(f"has {len(commit.signatures)} signatures, and one is right", FORGED)]
        fault = signature_fault(commit, signers)
        if not fault:
            progress.signed += 1
        return [(fault, FORGED)] if fault else []

    def _judge_date(self, commit: Commit) -> None:
        before = self.progress.last_recorded
        if before is not None and commit.recorded < before:
            self.warnings.add(
                commit.id,
                f"is dated {rfc3339(commit.recorded)}, and the one before it {rfc3339(before)}",
                "a clock was set back, or a date is made up",
            )

    def _judge_edits(self, commit: Commit, state: State) -> None:
        """Of the apps the snapshot's digest tells whether they were restored; cluster.yaml is not in it."""
        left = state.left_of(layout.CLUSTER_FILE)
        for edit in state.edits:
            if edit is left:
                self.bad.add(
                    commit.id,
                    f"leaves {layout.CLUSTER_FILE} as {edit.author} made it in {edit.commit[:_SHORT]}",
                    "what the record says of the policy in effect is not the reconciler's word",
                )
            else:
                self.warnings.add(edit.commit, f"{edit}; {commit.id[:_SHORT]} put that right")

    def _judge_unrestored(self, state: State) -> None:
        differing = state.differing()
        for edit in state.edits:
            if differing.intersection(path for path, _ in edit.after):
                self.bad.add(
                    edit.commit,
                    f"{edit}, and no commit of the reconciler has put that right",
                    "the newest files are not what the reconciler recorded",
                )


def _claims_to_be_ours(message: Message) -> bool:
    """Whether a text looks like the reconciler's; that it is one is judged then.

    Two of three: other people's commits may well have a line that begins with one of these words.
    """
    told = f"{message.subject}\n{message.body}\n" + "".join(f"{name}: \n" for name, _ in message.trailers)
    return sum(f"\n{name}: " in told for name in _OURS) >= 2


def signature_fault(commit: Commit, signers: Signers | None) -> str:
    """What is wrong with the one signature of a commit, as a clause that follows it; "" when nothing is."""
    try:
        key = verify(commit.signatures[0], commit.signed)
    except SignatureWrongError as error:
        return f"has a signature that {error}"
    if signers is None:
        return ""
    objection = signers.objection(key, commit.committer_email, commit.recorded)
    return f"has a signature that {objection}" if objection else ""
