"""One remote repository: its URL, and the three things that are asked of it.

Nothing else in the store speaks over a network. What a remote or the way to it does wrong is said here, in
a sentence that names the repository and what to do.
"""

from collections.abc import Mapping, Sequence

from reconciler.errors import StoreError
from reconciler.state.git_plumbing import GitError, Repository, redacted


class Remote:
    """A remote as it is spoken to from one local repository; its methods block, but for ``prepare``."""

    def __init__(self, repository: Repository, url: str, *, push_options: Sequence[str] = ()) -> None:
        self._repository = repository
        self._url = url
        self._push_options = tuple(push_options)

    @property
    def location(self) -> str:
        """For people; holds no credentials."""
        return redacted(self._url)

    async def prepare(self) -> None:
        """Called before each operation: the credentials as they are now."""

    def branches(self, *patterns: str) -> Mapping[str, str]:
        """The branches there that match one of the globs (``refs/heads/…``), each with its commit.

        Raises StoreError when they cannot be had, GitError when it is the local repository that fails.
        """
        try:
            answer = self._repository.text("ls-remote", "--refs", self._url, *patterns)
        except GitError as error:
            # git also fails when it is the cache that it cannot read: then this fails too, as such.
            self._repository.run("for-each-ref", strict=True)
            raise StoreError(
                f"the state repository {self.location} cannot be reached: {error.detail or error}"
            ) from error
        found = {}
        for line in answer.splitlines():
            commit, _, ref = line.partition("\t")
            # A pattern also matches the ends of longer names.
            if ref.startswith("refs/heads/"):
                found[ref] = commit
        return found

    def fetch(self, *refspecs: str, options: Sequence[str] = ()) -> None:
        """Fetch into the local repository; raises as ``branches`` does."""
        fixed = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")
        self._repository.run("fetch", *fixed, *options, self._url, *refspecs)

    def push(self, refspec: str, *, lease: str) -> None:
        """Push one branch if it is still as ``lease`` says (``ref:commit``, or ``ref:`` for none).

        Raises GitError when it was not taken, with what to do; the caller compares the tips to tell a
        lost race from all else.
        """
        options = [f"--push-option={option}" for option in self._push_options]
        try:
            self._repository.run(
                "push", "--quiet", "--no-verify", f"--force-with-lease={lease}", *options, self._url, refspec
            )
        except GitError as error:
            why = error.detail or error
            raise GitError(
                f"the state repository {self.location} did not take the commit: {why}", error.detail
            ) from error
