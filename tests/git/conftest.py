"""Stores in git, in a folder of the test's own."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.git.commands import hossted, recorded_once, repository
from tests.git.factory import GitFactory, GitRemoteFactory
from tests.git.servers.fixtures import (
    authority,
    https_repository,
    https_server,
    proxy,
    servers_folder,
    ssh_repository,
    ssh_server,
)

__all__ = (
    "authority",
    "hossted",
    "https_repository",
    "https_server",
    "proxy",
    "recorded_once",
    "repository",
    "servers_folder",
    "ssh_repository",
    "ssh_server",
)

NOBODY = 65534


@pytest.fixture
def local(tmp_path: Path) -> GitFactory:
    return GitFactory(tmp_path)


@pytest.fixture
def remote(tmp_path: Path) -> GitRemoteFactory:
    return GitRemoteFactory(tmp_path)


@pytest.fixture
def read_only_folder() -> Iterator[Path]:
    """A folder that may not be written. Where tests run as root, the test runs as somebody else."""
    is_root = os.geteuid() == 0
    with TemporaryDirectory() as name:
        above = Path(name)
        above.chmod(0o755)
        folder = above / "read-only"
        folder.mkdir()
        folder.chmod(0o555)
        if is_root:
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if is_root:
                os.seteuid(0)
