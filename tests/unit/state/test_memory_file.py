"""Files in memory: for the programs that we start, until they are closed, and for nobody to change."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from reconciler.errors import StoreError
from reconciler.state.git.network.memory_file import memory_file


def test_another_program_can_read_it_and_only_its_owner() -> None:
    with memory_file("secret\n") as file:
        assert subprocess.run(["cat", file.path], capture_output=True, check=True).stdout == b"secret\n"
        assert stat.S_IMODE(Path(file.path).stat().st_mode) == 0o600
    assert not Path(file.path).exists()


def test_it_is_not_inherited() -> None:
    with memory_file("secret") as file:
        number = file.path.rpartition("/")[2]
        told = subprocess.run(
            ["ls", "/proc/self/fd"], capture_output=True, check=True, close_fds=False, text=True
        )
        assert number not in told.stdout.split()


def test_nobody_can_change_what_is_in_it() -> None:
    with memory_file("secret") as file:
        for change in (
            lambda: Path(file.path).write_text("other"),
            lambda: os.truncate(file.path, 0),
            lambda: os.truncate(file.path, 100),
        ):
            with pytest.raises(PermissionError):
                change()
        assert Path(file.path).read_text() == "secret"


def test_one_without_content_is_written_by_others_and_its_end_read() -> None:
    with memory_file() as file:
        with Path(file.path).open("a") as written:
            written.write("0123456789ü")
        assert file.tail(100) == "0123456789ü"
        assert file.tail(4) == "89ü"
        assert file.tail(1) == "\ufffd"


def test_a_system_that_has_no_such_files_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(StoreError, match="which only Linux has"), memory_file("secret"):
        pass
