"""The servers, each started once per session, and a new repository on one of them for each test."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.git.servers.certificates import Authority
from tests.git.servers.hosting import Hosted
from tests.git.servers.https import HttpsServer
from tests.git.servers.proxy import ConnectProxy
from tests.git.servers.ssh import SshServer

NAMES = ("127.0.0.1", "localhost", "git.example")


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Where the servers keep what is theirs; others may look into it, as a server's git may be nobody."""
    with TemporaryDirectory(prefix="git-servers-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def authority(servers_folder: Path) -> Authority:
    """Who vouches for the HTTPS server: nobody trusts it who was not told to."""
    folder = servers_folder / "certificates"
    folder.mkdir()
    return Authority(folder)


@pytest.fixture(scope="session")
def https_server(servers_folder: Path, authority: Authority) -> Iterator[HttpsServer]:
    folder = servers_folder / "https"
    folder.mkdir()
    with HttpsServer(folder, authority.server(*NAMES)) as server:
        yield server


@pytest.fixture(scope="session")
def ssh_server(servers_folder: Path) -> Iterator[SshServer]:
    folder = servers_folder / "ssh"
    folder.mkdir()
    with SshServer(folder) as server:
        yield server


@pytest.fixture
def https_repository(https_server: HttpsServer) -> Iterator[Hosted]:
    """An empty repository that anybody may read and write."""
    hosted = https_server.repository()
    yield hosted
    hosted.close()


@pytest.fixture
def ssh_repository(ssh_server: SshServer) -> Iterator[Hosted]:
    """An empty repository that everybody with a key (``ssh_server.client``) may read and write."""
    hosted = ssh_server.repository()
    yield hosted
    hosted.close()


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    """A proxy that anybody may use; set its ``login`` for another."""
    with ConnectProxy() as started:
        yield started
