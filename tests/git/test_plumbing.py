"""Running git: what it says when it fails, and that nothing of it stays behind."""

import asyncio
import os
from pathlib import Path

import pytest

from reconciler.errors import StoreError
from reconciler.state.git.plumbing import GitError, Repository
from tests.git.actions import git_processes
from tests.git.factory import git


@pytest.fixture
def path(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--bare", "state.git")
    return tmp_path / "state.git"


# A git that takes for ever, with a child of its own: an alias that is a shell command.
def endless(then: str = "true") -> tuple[str, ...]:
    return ("-c", f"alias.endless=!{then}; sleep 1000 & wait", "endless")


@pytest.fixture
def began(tmp_path: Path) -> Path:
    """A pipe by which another process tells that it runs: reading it waits for that."""
    os.mkfifo(tmp_path / "began")
    return tmp_path / "began"


async def told_by(pipe: Path) -> None:
    async with asyncio.timeout(30):
        await asyncio.to_thread(pipe.read_bytes)


def test_a_failure_is_one_sentence_with_gits_own_reason(path: Path) -> None:
    with pytest.raises(GitError) as failure:
        Repository(path).run("cat-file", "-p", "no-such-thing")
    assert str(failure.value) == f"git cat-file in {path} failed: Not a valid object name no-such-thing"
    assert failure.value.detail == "Not a valid object name no-such-thing"


def test_a_warning_is_a_failure_where_it_matters(path: Path) -> None:
    (path / "refs" / "heads" / "main").write_text("rubbish\n")
    repository = Repository(path)
    assert repository.run("for-each-ref") == b""
    with pytest.raises(GitError, match="ignoring broken ref refs/heads/main"):
        repository.run("for-each-ref", strict=True)


def test_a_git_that_takes_too_long_is_ended_with_its_children(path: Path) -> None:
    with pytest.raises(GitError, match="took more than") as failure:
        Repository(path, timeout=0.3).run(*endless())
    assert failure.value.timed_out
    assert git_processes(path) == []


async def test_cancelling_ends_the_git_that_runs_and_waits_for_it(path: Path, began: Path) -> None:
    repository = Repository(path)
    task = asyncio.create_task(repository.in_thread(lambda: repository.run(*endless(f"echo > {began}"))))
    await told_by(began)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert git_processes(path) == []
    assert await repository.in_thread(lambda: repository.text("rev-parse", "--is-bare-repository")) == "true"


async def test_cancelling_ends_the_git_of_a_repository_beside_it_too(path: Path, began: Path) -> None:
    repository = Repository(path)
    other = repository.beside(path.with_name("other.git"))
    other.run("init", "--quiet", "--bare", str(other.path))
    task = asyncio.create_task(repository.in_thread(lambda: other.run(*endless(f"echo > {began}"))))
    await told_by(began)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert git_processes(other.path) == []


async def test_cancelled_work_starts_no_further_git(path: Path, began: Path) -> None:
    repository = Repository(path)
    went_on = []

    def work() -> None:
        try:
            repository.run(*endless(f"echo > {began}"))
        except StoreError:
            repository.run("update-ref", "refs/heads/main", "HEAD")
            went_on.append(True)

    task = asyncio.create_task(repository.in_thread(work))
    await told_by(began)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert went_on == []


async def test_cancelling_a_stream_ends_its_git(path: Path, began: Path) -> None:
    repository = Repository(path)

    async def read() -> None:
        async for _ in repository.stream(*endless(f"echo > {began}")):
            pass

    task = asyncio.create_task(read())
    await told_by(began)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert git_processes(path) == []


async def test_a_stream_that_fails_says_why(path: Path) -> None:
    with pytest.raises(GitError, match="no-such-thing"):
        async for _ in Repository(path).stream("log", "no-such-thing", "--"):
            pass


def test_a_missing_git_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(path))
    with pytest.raises(StoreError, match="the program git is not installed"):
        Repository(path).run("version")


def test_no_transport_is_spoken_that_nobody_asked_for(path: Path) -> None:
    for url in ("ext::sh -c 'touch pwned'", "https://127.0.0.1:1/x", "git://127.0.0.1:1/x", f"file://{path}"):
        with pytest.raises(GitError, match="not allowed"):
            Repository(path).run("ls-remote", url)
    assert not (path / "pwned").exists()
