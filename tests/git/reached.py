"""Stores whose repository is on one of the servers, with credentials that a test can change at any time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.settings import ProxySettings
from reconciler.state.git.network.access import Access, Timeouts
from reconciler.state.git.store import GitStore, open_git_store
from tests.git.factory import BRANCH
from tests.git.servers.certificates import Authority
from tests.git.servers.hosting import Hosted, Key, Login, Rules, Token
from tests.git.servers.ssh import KeyPair, SshServer

SHORT = Timeouts(answer=20.0, silence=1.0, connect=1.0)
"""For servers that hang: a second without a byte is enough. ``answer`` is long, for a slow machine."""

LOGIN = Login("jo", "correct horse battery")
READER = Login("reader", "may only look", may_push=False)
TOKEN = Token("a-token-of-the-forge")
ACCOUNTS = (LOGIN, READER, TOKEN)


@dataclass
class Secret:
    """The source of credentials. ``read`` counts how often it was asked."""

    data: Mapping[str, bytes]
    where: str = "the Secret ns/git"
    reads: int = 0

    async def read(self) -> Mapping[str, bytes]:
        self.reads += 1
        return self.data


@dataclass
class Reached:
    """A repository on a server, and what is needed to reach it.

    ``good``, ``wrong``, ``reader``: what a Secret holds of an account that may do all, of none, of one that
    may only read.
    """

    hosted: Hosted
    folder: Path
    good: Mapping[str, bytes]
    wrong: Mapping[str, bytes]
    reader: Mapping[str, bytes]
    secret: Secret = field(init=False)

    def __post_init__(self) -> None:
        self.secret = Secret(self.good)

    @property
    def scheme(self) -> str:
        return self.hosted.url.partition("://")[0]

    @property
    def cache(self) -> Path:
        return self.folder / "cache.git"

    def open(
        self,
        *,
        url: str = "",
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - a frozen value
        proxy: ProxySettings = ProxySettings(),  # noqa: B008 - a frozen value
        anonymous: bool = False,
        push_options: tuple[str, ...] = (),
        subject_suffix: str = "",
    ) -> GitStore:
        source = None if anonymous else self.secret
        return open_git_store(
            path=self.cache,
            url=url or self.hosted.url,
            branch=BRANCH,
            access=Access(source=source, proxy=proxy, timeouts=timeouts),
            push_options=push_options,
            subject_suffix=subject_suffix,
        )


def over_https(hosted: Hosted, folder: Path, authority: Authority) -> Reached:
    hosted.rules = Rules(accounts=ACCOUNTS)
    trusted = {"ca.crt": authority.pem.encode()}

    def basic(login: Login) -> Mapping[str, bytes]:
        return {**trusted, "username": login.user.encode(), "password": login.password.encode()}

    return Reached(hosted, folder, basic(LOGIN), basic(Login("jo", "not it")), basic(READER))


def over_ssh(hosted: Hosted, folder: Path, server: SshServer) -> Reached:
    reader = KeyPair()
    hosted.rules = Rules(accounts=(Key(server.client.public), Key(reader.public, may_push=False)))
    known = {"known_hosts": server.known_hosts.encode()}

    def key(pair: KeyPair) -> Mapping[str, bytes]:
        return {**known, "identity": pair.private.encode()}

    return Reached(hosted, folder, key(server.client), key(KeyPair()), key(reader))
