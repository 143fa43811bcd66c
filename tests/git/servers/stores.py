"""Git stores on the servers, with what a Secret would hold of credentials."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import structs

from reconciler.state.git.network.access import Access, Given
from reconciler.state.git.store import GitStore, open_git_store
from tests.git.factory import BRANCH, GitFactory
from tests.git.servers.certificates import Authority
from tests.git.servers.hosting import Answer, Cut, Hosted, Login, Rules
from tests.git.servers.ssh import SshServer

LOGIN = Login("operator", "correct horse battery staple")


class GitNetworkFactory(GitFactory):
    """The repository on a server is the store; each opening has a cache of its own."""

    def __init__(self, folder: Path, hosted: Hosted, access: Access, branch: str = BRANCH) -> None:
        self.hosted = hosted
        self.repository = hosted.path
        self._folder = folder
        self._access = access
        self._branch = branch
        self._opened = 0

    async def open(self) -> GitStore:
        self._opened += 1
        path = self._folder / f"{self.hosted.name}-cache-{self._opened}.git"
        return open_git_store(path=path, url=self.hosted.url, branch=self._branch, access=self._access)

    @contextmanager
    def away(self) -> Iterator[None]:
        """The forge is under maintenance (over ssh: it runs nothing)."""
        rules, wrapper = self.hosted.rules, self.hosted.wrapper
        self.hosted.rules = structs.replace(rules, answer=Answer(503, text="Back soon."))
        self.hosted.wrapper = ("false",)
        yield
        self.hosted.rules, self.hosted.wrapper = rules, wrapper

    @contextmanager
    def unanswered(self) -> Iterator[None]:
        rules = self.hosted.rules
        self.hosted.rules = structs.replace(rules, cut=Cut.AFTER)
        yield
        self.hosted.rules = rules


def https_factory(
    folder: Path, hosted: Hosted, authority: Authority, branch: str = BRANCH
) -> GitNetworkFactory:
    """With a user and a password, at a server of a private authority."""
    hosted.rules = Rules(accounts=(LOGIN,))
    data = {
        "username": LOGIN.user.encode(),
        "password": LOGIN.password.encode(),
        "ca.crt": authority.pem.encode(),
    }
    return GitNetworkFactory(folder, hosted, Access(source=Given("the test", data)), branch)


def ssh_factory(folder: Path, hosted: Hosted, server: SshServer, branch: str = BRANCH) -> GitNetworkFactory:
    """With a key, at a server whose host key is known."""
    data = {"identity": server.client.private.encode(), "known_hosts": server.known_hosts.encode()}
    return GitNetworkFactory(folder, hosted, Access(source=Given("the test", data)), branch)
