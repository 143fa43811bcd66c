"""One remote repository: its URL, who we are to it, and the three things that are asked of it.

Nothing else in the store speaks over a network. What a remote or the way to it does wrong is said here, in
a sentence that names the repository and what to do.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reconciler.errors import CredentialsError, RateLimitedError, StoreError
from reconciler.state.git.network import answers
from reconciler.state.git.network.access import Access, session
from reconciler.state.git.network.credentials import Credentials, credentials_of
from reconciler.state.git.network.url import checked_url
from reconciler.state.git.plumbing import TIMEOUT, GitError, Repository


class Remote:
    """A remote as it is spoken to from one local repository; its methods block, but for ``prepare``.

    Raises SpecError for a URL that cannot be used. ``monotonic``: seconds, for the time that a forge asks
    to be left alone; ``now``: the same moment for people.
    """

    def __init__(
        self,
        repository: Repository,
        url: str,
        *,
        push_options: Sequence[str] = (),
        access: Access = Access(),  # noqa: B008 - a frozen value
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._repository = repository
        self._url = checked_url(url)
        self._push_options = tuple(push_options)
        self._access = access
        self._credentials = Credentials()
        self._read: Mapping[str, bytes] | None = None
        self._monotonic = monotonic
        self._now = now
        self._quiet_until = 0.0
        self._quiet: RateLimitedError | None = None

    @property
    def location(self) -> str:
        """For people; holds no credentials."""
        return self._url.text

    @property
    def folder(self) -> Path | None:
        """Where it is, if it is on this machine."""
        return self._url.folder

    async def prepare(self) -> None:
        """Called before each operation: the credentials as they are now. CredentialsError, StoreError."""
        source = self._access.source
        if source is not None:
            data = await source.read()
            if data != self._read:  # a passphrase is made slow to try
                self._read, self._credentials = None, Credentials(where=source.where)
                self._credentials = await asyncio.to_thread(credentials_of, data, self._url, source.where)
                self._read = data
        elif self._url.scheme == "ssh":
            raise CredentialsError(
                f"the state repository {self.location} wants a key: put it and the host's known_hosts in a"
                " Secret, and name that in spec.state.git.secretRef"
            )

    def branches(self, *patterns: str) -> Mapping[str, str]:
        """The branches there that match one of the globs (``refs/heads/…``), each with its commit.

        Raises StoreError when they cannot be had, GitError when it is the local repository that fails.
        """
        try:
            # Only the branches: a forge may have a hundred thousand refs of pull requests.
            answer = self._ask(
                "ls-remote", "--heads", self._url.text, *patterns, timeout=self._access.timeouts.answer
            )
        except GitError as error:
            if error.disk:
                raise
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

    def fetch(self, *refspecs: str, options: Sequence[str] = (), into: Repository | None = None) -> None:
        """Fetch into the local repository, or another one; raises as ``branches`` does."""
        fixed = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")
        self._ask("fetch", *fixed, *options, self._url.text, *refspecs, into=into)

    def push(self, refspec: str, *, lease: str) -> None:
        """Push one branch if it is still as ``lease`` says (``ref:commit``, or ``ref:`` for none).

        Raises GitError when it may have been taken all the same, or somebody else came first: the caller
        compares the tips. StoreError when it was not taken, and trying again at once does not help.
        """
        options = [f"--push-option={option}" for option in self._push_options]
        branch = refspec.rpartition("refs/heads/")[2]
        try:
            self._ask(
                "push", "--quiet", "--no-verify", f"--force-with-lease={lease}", *options, self._url.text,
                refspec, writing=branch,
            )  # fmt: skip
        except GitError as error:
            if not error.detail:
                raise
            raise GitError(
                f"the state repository {self.location} did not take the commit: {error.detail}", error.detail
            ) from error

    def _ask(
        self,
        *arguments: str,
        writing: str = "",
        timeout: float | None = None,
        into: Repository | None = None,
    ) -> str:
        """Run git with what it needs to speak to the remote. ``writing``: the branch that is pushed.

        GitError when git's words are not known; else the error that they mean.
        """
        self._check_quiet()
        with session(self._url, self._credentials, self._access, timeout) as opened:
            try:
                return (into or self._repository).text(*arguments, around=opened.around)
            except GitError as error:
                ended_after = (timeout or TIMEOUT) if error.timed_out else 0.0
                answer = answers.Answer(error.said, opened.trace, ended_after, writing)
                meant = self._meant(answer, error)
                if meant is error:
                    raise
                raise meant from error

    def _meant(self, answer: answers.Answer, error: GitError) -> StoreError:
        """The error that git's words mean; git's own when they are not known, or it is our own disk."""
        if error.disk:
            return error
        to = answers.To(self._url, self._credentials.where, self._access.timeouts.silence)
        found = answers.meaning(answer, to)
        if found is None:
            return error
        if found.wait is not None:
            now = self._now()
            seconds = found.wait.seconds(now)
            self._quiet_until = self._monotonic() + seconds
            self._quiet = answers.quiet(to, found.wait, now + timedelta(seconds=seconds))
            return self._quiet
        if answer.branch and not found.settled:
            return GitError(str(found.error), said=error.said, timed_out=error.timed_out)
        return found.error

    def _check_quiet(self) -> None:
        if self._quiet is not None and self._monotonic() < self._quiet_until:
            raise RateLimitedError(str(self._quiet))
