"""Whether the record ever had a file: this blob at this path, in a commit of the reconciler's own.

What people do to the record's branch is not what the cluster had, so their commits do not count; nor does one
that only says it is the reconciler's (see ``search``): a commit counts once its files have the digest that it
tells. That is looked at for the few commits that are in question, and what is not at hand is fetched.
"""

from collections.abc import Iterable, Iterator, Set
from itertools import pairwise

from reconciler.errors import FormatError, StoreError
from reconciler.state.git import layout, objects
from reconciler.state.git.branches import Branches
from reconciler.state.git.observed_cache import Index, IndexFile, Pair
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.search import says_ours
from reconciler.state.git.shallow import reaches_boundary
from reconciler.state.git.snapshots import Snapshots
from reconciler.state.store import Recorded, Trailer

PLAIN_FILE = "100644"

_EVERY = 50  # commits between two writings of the index


class ObservedFiles:
    """Of one cluster's record in one branch. Its methods block; one at a time."""

    def __init__(self, repository: Repository, branches: Branches, *, cluster_uuid: str, ref: str) -> None:
        self._repository = repository
        self._branches = branches
        self._cluster_uuid = cluster_uuid
        self._directory = layout.directory(cluster_uuid)
        self._ref = ref
        self._snapshots = Snapshots(repository, cluster_uuid, ref)
        self._file = IndexFile(repository.path, cluster_uuid, ref)
        self._index: Index | None = None
        self._kept = 0  # commits in the file
        self._newest: tuple[str, frozenset[Pair]] = ("", frozenset())  # a revision, and its files
        self._proven: set[Pair] = set()
        self._not_ours: set[str] = set()

    def had(self, wanted: Set[Pair], newest: Recorded | None) -> frozenset[Pair]:
        """Those of the files which the record, whose newest revision is ``newest``, once had.

        StoreError when that cannot be known.
        """
        if newest is None or not wanted:
            return frozenset()
        if not wanted <= self._proven:
            if self._newest[0] != newest.revision.id:
                self._newest = (newest.revision.id, self._of_newest(newest))
            self._proven |= wanted & self._newest[1]
        if not wanted <= self._proven:
            self._search(wanted, newest.revision.id)
        return frozenset(wanted & self._proven)

    def is_newest(self, pair: Pair, newest: Recorded | None) -> bool:
        """Whether it is a file of this revision, as far as that was looked at."""
        return newest is not None and newest.revision.id == self._newest[0] and pair in self._newest[1]

    def _of_newest(self, newest: Recorded) -> frozenset[Pair]:
        """Its files, if it is the reconciler's. That its digest fits was seen when it was read."""
        message = newest.revision.message
        if not says_ours(message, self._cluster_uuid):
            return frozenset()
        if message.trailer(Trailer.SNAPSHOT) != newest.snapshot.digest:
            return frozenset()
        if not objects.has_commit(self._repository, newest.revision.id):
            return frozenset()
        root = objects.entry_at(self._repository, newest.revision.id, self._directory)
        if root is None or root.kind != "tree":
            return frozenset()
        self._snapshots.remember(root.oid, newest.snapshot, written=0)
        return self._pairs(objects.entries_of(self._repository, root.oid, recursive=True).items())

    def _search(self, wanted: Set[Pair], newest: str) -> None:
        """Find and prove what can be. Whatever is not proven after this, the record never had."""
        index = self._updated(newest)
        while True:
            doubted = self._prove(index, wanted)
            if doubted:
                # What it brought may have been brought by others as well.
                index = self._at_hand(newest)
            elif index.whole or wanted <= self._proven:
                break
            else:
                index = self._whole(newest)
        self._index = index
        if index.whole and len(index.commits) - self._kept >= _EVERY:
            self._keep(index)

    def _prove(self, index: Index, wanted: Set[Pair]) -> bool:
        """Prove all that the index knows of; whether it named a commit that is not the reconciler's."""
        places = {pair: place for pair in wanted - self._proven if (place := index.place(pair)) is not None}
        while places:
            # The newest of them has also what older ones brought, as long as it was not changed meanwhile.
            pair, place = max(places.items(), key=lambda each: each[1])
            commit = index.commits[place]
            files = self._files_if_ours(commit)
            if pair not in files:
                if commit not in self._not_ours:
                    self._file.drop(f"it names {commit} for {pair[0]}, which is not so")
                    self._kept = 0
                return True
            self._proven |= wanted & files
            places = {pair: place for pair, place in places.items() if pair not in files}
        return False

    def _files_if_ours(self, commit: str) -> frozenset[Pair]:
        """The files of a commit, none if it is not the reconciler's own."""
        if objects.has_commit(self._repository, commit):
            return self._files_in(self._repository, commit, self._snapshots)
        with self._branches.alone(commit, self._ref) as repository:
            if repository is None:
                self._not_ours.add(commit)
                return frozenset()
            return self._files_in(repository, commit, Snapshots(repository, self._cluster_uuid, self._ref))

    def _files_in(self, repository: Repository, commit: str, snapshots: Snapshots) -> frozenset[Pair]:
        files = objects.files_below(repository, commit, self._directory) or {}
        if not self._is_ours(repository, commit, snapshots):
            self._not_ours.add(commit)
            return frozenset()
        return self._pairs(files.items())

    def _is_ours(self, repository: Repository, commit: str, snapshots: Snapshots) -> bool:
        message = objects.revision_of(repository, commit).message
        root = objects.entry_at(repository, commit, self._directory)
        if not says_ours(message, self._cluster_uuid) or root is None or root.kind != "tree":
            return False
        try:
            return snapshots.has_digest(root.oid, message.trailer(Trailer.SNAPSHOT))
        except FormatError:
            return False  # a newer program's, before commits of this one: not a line of the reconciler's

    def _updated(self, newest: str) -> Index:
        """What is known already, with the commits since."""
        if self._index is None:
            self._index = self._file.load()
            self._kept = 0 if self._index is None else len(self._index.commits)
        index = self._index
        if index is not None and index.commits:
            last = index.commits[-1]
            if last == newest:
                return index
            if self._leads(last, newest):
                return self._extended(self._repository, index, newest)
        return self._at_hand(newest)

    def _leads(self, last: str, newest: str) -> bool:
        """Whether all that came after ``last`` up to ``newest`` is at hand."""
        has_both = all(objects.has_commit(self._repository, each) for each in (last, newest))
        return (
            has_both
            and objects.is_ancestor(self._repository, last, of=newest)
            and not reaches_boundary(self._repository, newest, last)
        )

    def _at_hand(self, newest: str) -> Index:
        if not objects.has_commit(self._repository, newest):
            return Index()
        return self._made(self._repository, newest)

    def _whole(self, newest: str) -> Index:
        with self._branches.whole(self._ref) as repository:
            if not objects.has_commit(repository, newest):
                raise StoreError(f"{self._ref} was rewritten while its history was read: it is read again")
            made = self._made(repository, newest)
        index = Index(made.commits, made.files, whole=True)  # as far as there is any more
        self._keep(index)
        return index

    def _keep(self, index: Index) -> None:
        self._file.keep(index)
        self._kept = len(index.commits)

    def _made(self, repository: Repository, newest: str) -> Index:
        """The index of what is at hand in a repository."""
        whole = not reaches_boundary(repository, newest)
        return self._extended(repository, Index(whole=whole), newest)

    def _extended(self, repository: Repository, index: Index, newest: str) -> Index:
        last = index.commits[-1] if index.commits else ""
        own = [commit for commit in self._own(repository, newest, last) if commit not in self._not_ours]
        # Each compared with the one before it, whatever people did in between: so together they tell all
        # that any of them has.
        line = [*([last] if last else []), *own]
        brought: list[tuple[str, Pair]] = []
        if not last and own:
            files = objects.files_below(repository, own[0], self._directory) or {}
            brought += [(own[0], pair) for pair in self._pairs(files.items())]
        brought += self._differences(repository, line)
        return index.followed(own, brought)

    def _own(self, repository: Repository, newest: str, last: str) -> list[str]:
        """The commits that say that they are the reconciler's, oldest first."""
        words = (
            f"{Trailer.CLUSTER_UUID}: {self._cluster_uuid}", f"{Trailer.INSTANCE}: ", f"{Trailer.SNAPSHOT}: ",
        )  # fmt: skip
        without = (last,) if last else ()
        said = objects.revisions_saying(repository, newest, *without, words=words, skip=0, limit=-1)
        return [each.id for each in reversed(said) if says_ours(each.message, self._cluster_uuid)]

    def _differences(self, repository: Repository, line: list[str]) -> Iterator[tuple[str, Pair]]:
        pairs = "".join(f"{commit} {before}\n" for before, commit in pairwise(line))
        shown = ("-z", "-r", "--no-renames", "--raw", "--no-abbrev")
        listed = repository.run("diff-tree", "--stdin", *shown, "--", self._directory, stdin=pairs.encode())
        words = iter(listed.decode(errors="surrogateescape").split("\0")[:-1])
        commit = ""
        for word in words:
            if not word.startswith(":"):
                commit = word
                continue
            _, mode, _, blob, _ = word.split(" ")  # :<mode> <mode> <blob before> <blob after> <status>
            path = next(words).removeprefix(f"{self._directory}/")
            if mode == PLAIN_FILE and layout.key_of(path) is not None:
                yield commit, (path, blob)

    def _pairs(self, files: Iterable[tuple[str, objects.Entry]]) -> frozenset[Pair]:
        return frozenset(
            (path, entry.oid)
            for path, entry in files
            if entry.mode == PLAIN_FILE and layout.key_of(path) is not None
        )
