"""The demo's story, and what stands in the checkout for it."""

from pathlib import Path

import pytest

from reconciler.demo.story import EXAMPLES, read_project, read_story, recorded_at
from reconciler.errors import UsageError
from reconciler.project import GitState

DEMO = EXAMPLES / "demo"
STORY = read_story(DEMO)


def test_the_story_has_eight_to_ten_steps_and_each_look_its_recording() -> None:
    assert 8 <= len(STORY.steps) <= 10
    named = [seen.recording for step in STORY.steps for seen in step.looks]
    assert sorted(named) == sorted(path.name for path in (DEMO / "recordings").iterdir())
    times = [recorded_at(DEMO / "recordings" / name) for name in named]
    assert times == sorted(times)


def test_the_recordings_are_small_and_hold_no_values() -> None:
    files = [path.read_text() for path in (DEMO / "recordings").rglob("*.json")]
    assert 0 < sum(map(len, files)) < 500_000
    assert not any("not-for-the-record" in text or "assword" in text for text in files)


def test_the_project_keeps_its_state_where_it_is_told() -> None:
    project = read_project(DEMO, "file:///tmp/demo.git")
    assert project.spec.state == GitState(url="file:///tmp/demo.git")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "needs a checkout"),
        ("steps: [", "is not YAML"),
        ("steps: [{title: alone}]", "is no story"),
        ("steps: []\nmore: 1", "is no story"),
    ],
)
def test_a_story_that_cannot_be_read_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "story.yaml").write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        read_story(tmp_path)
    assert str(tmp_path / "story.yaml") in str(caught.value)
