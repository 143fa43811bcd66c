"""The ledger in a file."""

# ruff: noqa: ASYNC240 - a test has its loop to itself

import fcntl
import json
import os
from pathlib import Path
from typing import IO

import pytest

from reconciler.errors import FormatError, LedgerError
from reconciler.model import AppKey
from reconciler.policy.entry import Entry, LedgerFacts
from reconciler.state.ledger.file import FileLedger

KEY = AppKey("default", "test")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.json"


async def test_a_write_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    ledger = FileLedger(path)
    await ledger.write({KEY: Entry(last_key="1")})
    before = path.read_bytes()
    path.with_name("ledger.json.new").mkdir()
    with pytest.raises(LedgerError, match="cannot be written"):
        await ledger.write({KEY: Entry(last_key="2")})
    assert path.read_bytes() == before
    path.with_name("ledger.json.new").rmdir()
    assert (await ledger.write({KEY: Entry(last_key="3")})).entries[KEY].last_key == "3"


async def test_a_write_is_refused_while_another_process_writes(path: Path) -> None:
    ledger = FileLedger(path)
    with path.with_name("ledger.json.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LedgerError, match="another process"):
            await ledger.write({KEY: Entry(last_key="1")})
    assert not path.exists()


async def test_a_copy_of_the_locks_descriptor_in_a_program_that_is_being_started_locks_nobody_out(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, copies = fcntl.flock, list[int]()

    def lock(file: IO[str], how: int) -> None:
        copies.append(os.dup(file.fileno()))
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", lock)
    ledger = FileLedger(path)
    for revision in ("one", "two"):
        await ledger.load()
        await ledger.write({}, LedgerFacts(cluster_uuid=revision))
    for copy in copies:
        os.close(copy)
    assert (await ledger.load()).facts.cluster_uuid == "two"


async def test_the_file_is_json_for_people_and_the_same_bytes_for_the_same_ledger(path: Path) -> None:
    ledger = FileLedger(path)
    await ledger.write({AppKey("b", "x"): Entry(last_key="1"), AppKey("a", "x"): Entry(last_key="2")})
    first = path.read_bytes()
    assert list(json.loads(first)["entries"]) == ["a/x", "b/x"]
    await ledger.write({}, LedgerFacts(endpoint="https://api"))
    await ledger.write({}, LedgerFacts())
    assert path.read_bytes() == first


async def test_writing_what_is_there_already_writes_nothing(path: Path) -> None:
    ledger = FileLedger(path)
    await ledger.write({KEY: Entry(last_key="1")})
    before = path.stat().st_ino
    await ledger.write({KEY: Entry(last_key="1"), AppKey("no", "such"): None}, LedgerFacts())
    assert path.stat().st_ino == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 2}', "newer program"),
        ("{", "restore it from a backup, or delete it"),
        ('{"format": 1, "suspect": false, "facts": {}, "entries": {"nameless": {}}}', "delete it"),
    ],
)
async def test_a_file_that_is_not_ours_is_refused(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        await FileLedger(path).load()


async def test_a_file_that_cannot_be_read_is_no_missing_ledger(path: Path) -> None:
    path.mkdir()
    with pytest.raises(LedgerError, match="cannot be read"):
        await FileLedger(path).load()
