"""The approved branch: what people signed off of one cluster's record, file by file. It is only read here.

An app is approved when its file on the branch is one that the record once had, and has changed there since
approval began to be required. It changed when it differs from what was there then, or when the branch's own
line has touched it since (see ``line``). So a branch that merely stands there from an earlier time approves
nothing, and approving an older state is a change like any other.

When it is not known what has changed (people rewrote the branch, so that it does not lead back to where it
stood), only what differs counts: nothing becomes approved because its commit was made anew.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol, TypeVar

import msgspec

from reconciler.errors import FormatError, StoreError
from reconciler.model import App, AppKey
from reconciler.policy.approval import Approval
from reconciler.state.documents import load_app
from reconciler.state.git import edits, layout, line, objects
from reconciler.state.git.branches import Branches
from reconciler.state.git.observed import PLAIN_FILE, ObservedFiles
from reconciler.state.git.observed_cache import Pair
from reconciler.state.git.plumbing import Repository
from reconciler.state.store import Recorded

_Result = TypeVar("_Result")
_Files = Mapping[str, objects.Entry]


class _Performer(Protocol):
    """What the branch needs of its store."""

    def perform(self, work: Callable[[], _Result]) -> Awaitable[_Result]: ...


class _Read(msgspec.Struct, frozen=True):
    """What was read last, of which ``tip`` and ``since``, with the record at ``observed``."""

    since: str
    tip: str
    observed: str
    approval: Approval


class GitApproved:
    """One cluster's approved branch. Its state is touched by one operation of the store at a time."""

    def __init__(
        self,
        store: _Performer,
        repository: Repository,
        branches: Branches,
        *,
        cluster_uuid: str,
        ref: str,
        observed_ref: str,
    ) -> None:
        self._store = store
        self._repository = repository
        self._branches = branches
        self._directory = layout.directory(cluster_uuid)
        self._ref = ref
        self._observed_name = observed_ref.removeprefix("refs/heads/")
        self._observed = ObservedFiles(repository, branches, cluster_uuid=cluster_uuid, ref=observed_ref)
        self._read_last: _Read | None = None
        self._since: tuple[str, _Files] | None = None  # a commit that approval began at, and its files
        self._line: tuple[str, str, line.Touched] | None = None  # since such a commit, up to a tip
        self._apps: dict[str, App] = {}  # by the blobs that the branch has

    @property
    def name(self) -> str:
        return self._ref.removeprefix("refs/heads/")

    async def tip(self) -> str:
        return await self._store.perform(lambda: self._branches.tip(self._ref) or "")

    async def read(self, since: str, observed: Recorded | None) -> Approval:
        """As the protocol says. One question to the remote while nothing moves, and when only the record
        does, unless something was refused, which it may have now.
        """
        return await self._store.perform(lambda: self._read(since, observed))

    def _read(self, since: str, observed: Recorded | None) -> Approval:
        newest = self._branches.newest(self._ref)
        if newest is None:
            return Approval()
        at = "" if observed is None else observed.revision.id
        last = self._read_last
        is_same = last is not None and (last.since, last.tip) == (since, newest)
        if last is not None and is_same and (last.observed == at or not last.approval.refused):
            return last.approval
        tip = newest if newest == since else self._branches.bring(self._ref, newest)
        approval = Approval(tip) if tip == since else self._compared(tip, since, observed)
        self._read_last = _Read(since, tip, at, approval)
        return approval

    def _compared(self, tip: str, since: str, observed: Recorded | None) -> Approval:
        files = objects.files_below(self._repository, tip, self._directory)
        if files is None:
            return Approval(tip)
        before = self._files_at(since)
        differing = {path for path in files.keys() | before.keys() if files.get(path) != before.get(path)}
        changed = _by_app(differing | self._touched(tip, since))

        folders = {path.rpartition("/")[0] for path in files}
        removed = {key for key, path in changed.items() if path not in files and path not in folders}
        plain: dict[AppKey, Pair] = {}
        refused: dict[AppKey, str] = {}
        for key, path in changed.items():
            if key in removed:
                continue
            entry = files.get(path)
            if entry is None or entry.mode != PLAIN_FILE:
                refused[key] = f"is not a plain file: {self._advice}"
            else:
                plain[key] = (path, entry.oid)
        had = self._observed.had(frozenset(plain.values()), observed)
        good = {key: blob for key, (path, blob) in plain.items() if (path, blob) in had}
        refused |= dict.fromkeys(plain.keys() - good.keys(), f"was never in the record: {self._advice}")
        apps = self._load(good, observed)
        return Approval(
            tip=tip,
            apps={key: app for key, app in apps.items() if isinstance(app, App)},
            removed=frozenset(removed),
            refused=self._sentences(tip, files, observed, refused)
            | {key: why for key, why in apps.items() if isinstance(why, str)},
        )

    @property
    def _advice(self) -> str:
        return f"approve a state that was recorded: revert it, or merge the branch {self._observed_name}"

    def _files_at(self, since: str) -> _Files:
        """The files at a commit of the branch which it may not have any more."""
        if self._since is None or self._since[0] != since:
            self._since = (since, self._found_at(since))
        return self._since[1]

    def _found_at(self, since: str) -> _Files:
        if not since:
            return {}
        if objects.has_commit(self._repository, since):
            return objects.files_below(self._repository, since, self._directory) or {}
        with self._branches.alone(since, self._ref) as repository:
            if repository is not None:
                return objects.files_below(repository, since, self._directory) or {}
        raise StoreError(
            f"the commit {since}, where the branch {self.name} stood when approval began to be required, is"
            " not in the repository any more: push it there again, as a branch of its own, from a clone that"
            " has it"
        )

    def _touched(self, tip: str, since: str) -> frozenset[str]:
        """What the branch's own line touched, of a history that may have to be fetched."""
        found = self._touched_further(tip, since) or self._touched_in(self._repository, tip, since)
        if not found.known:
            with self._branches.whole(self._ref) as repository:
                if not objects.has_commit(repository, tip):
                    raise StoreError(f"{self._ref} was rewritten while it was read: it is read again")
                found = self._touched_in(repository, tip, since)
        self._line = (since, tip, found)
        return found.paths

    def _touched_further(self, tip: str, since: str) -> line.Touched | None:
        """What is known up to an earlier tip, and what came since, if the line goes straight on from it."""
        if self._line is None or self._line[0] != since:
            return None
        _, earlier, known = self._line
        if earlier == tip:
            return known
        if not known.leads or not objects.has_commit(self._repository, earlier):
            return None
        newer = line.touched_directly(self._repository, tip, earlier, self._directory)
        return None if newer is None else line.Touched(known.paths | newer)

    def _touched_in(self, repository: Repository, tip: str, since: str) -> line.Touched:
        if since and not objects.has_commit(repository, since):
            return line.Touched(leads=False, known=repository is not self._repository)
        return line.touched(repository, tip, since, self._directory)

    def _load(self, good: Mapping[AppKey, str], observed: Recorded | None) -> dict[AppKey, App | str]:
        """The approved apps; why not, of what is none."""
        newest = {} if observed is None else observed.snapshot.apps
        known = {
            key: newest[key]
            for key, blob in good.items()
            if key in newest and self._observed.is_newest((layout.app_file(key), blob), observed)
        }
        missing = [blob for key, blob in good.items() if key not in known and blob not in self._apps]
        contents = objects.read_blobs(self._repository, missing)
        found: dict[AppKey, App | str] = {}
        for key, blob in good.items():
            where = f"{self._directory}/{layout.app_file(key)} in {self.name}"
            try:
                app = known.get(key) or self._apps.get(blob) or load_app(contents[blob], where)
            except FormatError as error:
                found[key] = str(error)
                continue
            found[key] = app if app.key == key else f"{where} holds the app {app.key}: {self._advice}"
        self._apps = {good[key]: app for key, app in found.items() if isinstance(app, App)}
        return found

    def _sentences(
        self, tip: str, files: _Files, observed: Recorded | None, refused: Mapping[AppKey, str]
    ) -> dict[AppKey, str]:
        """Each with its file and with who brought it, as far as that is at hand."""
        if not refused:
            return {}
        paths = {key: layout.app_file(key) for key in refused}
        edited = [edits.Edit(path, None, files[path]) for path in paths.values() if path in files]
        own = observed.revision.id if observed is not None else ""
        who: Mapping[str, edits.Author] = {}
        if edited and own and objects.has_commit(self._repository, own):
            who = edits.authors(self._repository, edited, own=own, tip=tip, directory=self._directory)
        said = {}
        for key, what in refused.items():
            author = who.get(paths[key])
            by = f" ({author.name} in {author.commit[: edits.SHORT]})" if author else ""
            said[key] = f"{self._directory}/{paths[key]} on the branch {self.name}{by} {what}"
        return said


def _by_app(paths: Iterable[str]) -> dict[AppKey, str]:
    """Those that are an app's document."""
    return {key: path for path in sorted(paths) if (key := layout.key_of(path)) is not None}
