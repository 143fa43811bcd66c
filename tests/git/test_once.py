"""``once --from``: a recorded cluster into a git store, as a person or a CI job runs it."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import git
import msgspec
import pytest

from reconciler.cli.main import main
from reconciler.inventory.recording import read_recording, write_recording

RECORDINGS = Path(__file__).parents[2] / "examples" / "demo" / "recordings"

PROJECT = """
apiVersion: hossted.com/v1
kind: Hosstedproject
metadata: {{name: hossted}}
spec:
  clusterName: prod-eu
  state: {{git: {{url: "{url}"}}}}
"""


class Done(NamedTuple):
    status: int
    out: str
    err: str


Once = Callable[..., Done]


@pytest.fixture
def once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Once:
    """Runs ``once`` on the recording of that name, with an empty repository as the store."""
    for name in ("HOSSTED_API_URL", "HOSSTED_AUTH_TOKEN", "EMAIL_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    project = tmp_path / "project.yaml"
    project.write_text(PROJECT.format(url=(tmp_path / "record.git").as_uri()))

    def run(recording: str, *arguments: str) -> Done:
        status = main(["once", "--from", str(RECORDINGS / recording), "--project", str(project), *arguments])
        return Done(status, *capsys.readouterr())

    git.Repo.init(tmp_path / "record.git", bare=True).close()
    return run


def test_a_recording_is_recorded_and_shown_as_the_commit_says_it(once: Once) -> None:
    first = once("01-first")
    assert first.status == 0
    lines = first.out.splitlines()
    assert lines[0].partition(": ")[2] == "record 5 apps of cluster prod-eu"
    assert lines[1] == "    data/nightly: batch 0.5.1"


def test_the_next_one_is_what_changed_and_the_same_again_is_nothing(once: Once) -> None:
    once("01-first")
    second = once("02-upgrade")
    assert "upgrade shop/web: web 1.0.0 → 1.1.0, revision 1 → 2\n    revision 1 → 2\n" in second.out
    assert once("02-upgrade").out == "nothing has changed\n"


def test_a_dry_run_shows_it_and_records_nothing(once: Once) -> None:
    for _ in range(2):
        dry = once("01-first", "--dry-run")
        assert dry.status == 0
        assert "record 5 apps of cluster prod-eu\n    data/nightly" in dry.out
        assert "would push nothing: HOSSTED_API_URL is not set" in dry.out


@pytest.fixture
def emptied(tmp_path: Path) -> Callable[[timedelta], str]:
    """The first recording without any release, taken so much later."""

    def take(later: timedelta) -> str:
        folder = tmp_path / f"emptied-{later.total_seconds():.0f}"
        shutil.copytree(RECORDINGS / "01-first", folder)
        look = msgspec.structs.replace(read_recording(folder), releases=())
        write_recording(msgspec.structs.replace(look, taken_at=look.taken_at + later), folder)
        return str(folder)

    return take


def test_removals_that_are_held_are_said_and_the_exit_status_is_1_until_a_later_recording_agrees(
    once: Once, emptied: Callable[[timedelta], str]
) -> None:
    once("01-first")
    dry = once(emptied(timedelta(minutes=1)), "--dry-run")
    assert dry.status == 0
    assert "would record nothing" in dry.out
    assert "would hold removals: 5 of 5 apps are gone at once" in dry.out
    for later in (timedelta(minutes=2), timedelta(minutes=11)):
        recording = emptied(later)
        for _ in range(2):
            held = once(recording)
            assert (held.status, held.out) == (1, "nothing has changed\n")
            assert held.err.startswith("Recorded RemovalsHeld: 5 of 5 apps are gone at once")
    agreed = once(emptied(timedelta(minutes=12)))
    assert (agreed.status, agreed.err) == (0, "")
    assert "5 apps uninstalled" in agreed.out


def test_a_folder_that_is_no_recording_is_one_sentence_and_exit_status_2(once: Once) -> None:
    done = once("nothing-here")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert "look.json cannot be read" in done.err


def test_an_api_without_a_token_is_one_sentence_and_exit_status_2(
    once: Once, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOSSTED_API_URL", "https://api.example.com/apps")
    done = once("01-first")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert "HOSSTED_AUTH_TOKEN is not set" in done.err
