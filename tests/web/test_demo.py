"""The demo as a person runs it, checked from outside: the repository, what was received, the exit status."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from reconciler.cli import demo
from reconciler.demo.screen import Screen
from reconciler.demo.story import EXAMPLES, read_story
from tests import openapi

ROOT = EXAMPLES.parent
STORY = read_story(EXAMPLES / "demo")


class Ran(NamedTuple):
    done: subprocess.CompletedProcess[str]
    kept: Path
    picture: Path


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "reconciler", "demo", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=120)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("demo")
    picture = folder / "demo.svg"
    return Ran(run_demo("--keep", str(folder / "kept"), "--svg", str(picture)), folder / "kept", picture)


def git(repository: Path, *arguments: str) -> list[str]:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def app_of(body: str) -> str:
    helm = json.loads(body)["app_info"]["helm_info"]
    return f"{helm['namespace']}/{helm['name']}"


def drawn(picture: Path) -> str:
    """The text of a picture."""
    text = re.sub(r"<style>.*?</style>", "", picture.read_text(), flags=re.DOTALL)
    return unescape(re.sub(r"<[^>]*>", "\n", text)).replace("\xa0", " ")


def test_the_demo_ends_as_its_story_expects_and_says_so(ran: Ran) -> None:
    assert (ran.done.returncode, ran.done.stderr) == (0, "")
    assert "As the story expects" in ran.done.stdout
    for step in STORY.steps:
        assert step.title in ran.done.stdout


def test_the_repository_has_the_commits_that_the_steps_announce(ran: Ran) -> None:
    subjects = git(ran.kept / "record.git", "log", "--reverse", "--format=%s", "main")
    assert len(subjects) == sum(step.expect.commits for step in STORY.steps)
    assert subjects[0] == "record 5 apps of cluster prod-eu"
    assert [subject.split()[0] for subject in subjects[1:]] == [
        *("upgrade", "change", "upgrade", "roll", "deny", "install", "change", "uninstall")
    ]
    assert all(subject in ran.done.stdout for subject in subjects)


def test_the_receiver_accepted_what_the_steps_announce_in_their_order(ran: Ran) -> None:
    accepted = lines_of(ran.kept / "pushes.jsonl")
    apps = [app_of(push["body"]) for push in accepted]
    first = len(STORY.steps[0].expect.pushed)  # these are sent at the same time
    expected = [app for step in STORY.steps for app in step.expect.pushed]
    assert sorted(apps[:first]) == expected[:first]
    assert apps[first:] == expected[first:]
    assert len({push["key"] for push in accepted}) == len(accepted)


def test_what_was_not_acknowledged_is_sent_again_with_the_same_key_and_bytes(ran: Ran) -> None:
    requests = lines_of(ran.kept / "requests.jsonl")
    tries = Counter(request["key"] for request in requests)
    assert sorted(tries.values(), reverse=True)[:3] == [4, 2, 1]  # the outage, the kill, and all others
    assert len({(request["key"], request["body"]) for request in requests}) == len(tries)
    accepted = lines_of(ran.kept / "pushes.jsonl")
    assert {push["key"]: push["body"] for push in accepted} == {one["key"]: one["body"] for one in requests}


def test_every_request_is_as_the_description_of_the_api_says(ran: Ran) -> None:
    requests = lines_of(ran.kept / "requests.jsonl")
    for request in requests:
        openapi.BODY.validate(json.loads(request["body"]))
        openapi.KEY.validate(request["key"])
    assert len(requests) > len(STORY.steps)


def test_a_denied_app_is_never_told_as_uninstalled_and_an_uninstalled_one_is_once(ran: Ran) -> None:
    told = [json.loads(push["body"])["app_info"] for push in lines_of(ran.kept / "pushes.jsonl")]
    gone = [info["helm_info"]["name"] for info in told if info["helm_info"]["status"] == "uninstalled"]
    assert gone == ["edge"]
    files = git(ran.kept / "record.git", "ls-tree", "-r", "--name-only", "main")
    assert [path for path in files if "/sandbox/" in path or "/edge/" in path] == []


def test_what_is_kept_can_be_looked_at_with_the_commands_that_it_names(ran: Ran) -> None:
    (command,) = [line.split() for line in ran.done.stdout.splitlines() if " history --repo " in line]
    assert command[1:3] == ["-m", "reconciler"]
    done = subprocess.run(
        [sys.executable, *command[1:]], check=True, capture_output=True, text=True, cwd=ROOT
    )
    subjects = git(ran.kept / "record.git", "log", "--format=%s", "main")
    lines = done.stdout.splitlines()
    assert len(lines) == len(subjects)
    assert all(line.endswith(subject) for line, subject in zip(lines, subjects, strict=True))


def test_the_picture_shows_what_was_shown_and_the_one_in_the_docs_is_of_this_story(ran: Ran) -> None:
    shown, published = drawn(ran.picture), drawn(ROOT / "docs" / "img" / "demo.svg")
    subjects = git(ran.kept / "record.git", "log", "--format=%s", "main")
    for text in [*(step.title for step in STORY.steps), *subjects]:
        assert text in shown
        assert text in published, "python -m reconciler demo --svg docs/img/demo.svg draws it anew"
    assert "@font-face" not in ran.picture.read_text()


async def test_another_end_than_the_story_expects_is_told_step_by_step(
    ran: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples, kept = tmp_path / "examples", tmp_path / "kept"
    shutil.copytree(EXAMPLES, examples)
    story = examples / "demo" / "story.yaml"
    text = story.read_text()
    story.write_text(text.replace("expect: {commits: 0}", "expect: {commits: 1}", 1))
    kept.mkdir()
    problems = await demo.play(Screen(None), kept, examples)
    assert problems == ["step 3: 0 commits instead of 1"]
    out = capsys.readouterr().out
    assert "wrong     0 commits instead of 1" in out
    assert "As the story expects" not in out
    # The same story, played again, ends in the same commits.
    heads = [git(folder / "record.git", "rev-parse", "main") for folder in (kept, ran.kept)]
    assert heads[0] == heads[1]


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    done = run_demo("--keep", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == f"hossted-reconciler: --keep {tmp_path}: the folder is not empty; name another\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
