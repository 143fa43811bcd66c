"""The harness finds what is wrong: programs with one thing broken on purpose, and planted findings."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from tests.builders import make_app
from tests.chain.cluster import Release
from tests.crash import checks
from tests.crash.checks import Found, Kill, Told
from tests.crash.harness import Chapter, Tally, straight, survive, told_straight
from tests.crash.outside import Outside, Way, outside
from tests.crash.points import Mode, Target


async def killed(world: Outside, chapter: Chapter, target: Target, broken: str = "") -> list[str]:
    """The violations when a program that is broken so is killed there."""
    tally = Tally(Counter())
    await survive(world, chapter, target, tally, broken=broken)
    return tally.violations


@pytest.mark.parametrize(
    ("broken", "target", "found"),
    [
        ("marks", Target("push", 0, Mode.AFTER), "told the same twice, under"),
        ("answers", Target("PATCH hosstedprojects/status", 1, Mode.BEFORE), "still in doubt"),
    ],
)
async def test_a_ledger_that_forgets_is_found(
    broken: str, target: Target, found: str, tmp_path: Path
) -> None:
    with outside(Way.CONFIGMAPS, tmp_path, "compact") as world:
        (chapter, *_) = await told_straight(world)
        assert await killed(world, chapter, target) == []
        violations = await killed(world, chapter, target, broken)
    assert any(found in each for each in violations), violations


async def test_an_append_without_compare_and_swap_is_found(tmp_path: Path) -> None:
    with outside(Way.GIT, tmp_path, "compact") as world:
        chapters = await told_straight(world)
        world.restore(chapters[1].begin)
        lived = world.live(broken="no compare-and-swap")
        theirs = set(world.neighbours_commits)
        found = await world.found()
        assert not lived.failed
    assert any("has vanished" in each for each in checks.always(found, [], theirs))


async def test_an_effect_that_nobody_registered_is_named_with_its_file_and_line(tmp_path: Path) -> None:
    with outside(Way.CONFIGMAPS, tmp_path, "compact") as world:
        lived = world.live(broken="unknown effect")
    wrong = list(straight(lived))
    assert any("socket.sendto at " in each and "broken.py:" in each for each in wrong), wrong


async def test_a_file_that_is_changed_anywhere_is_a_point_to_die_at_by_itself(tmp_path: Path) -> None:
    with outside(Way.CONFIGMAPS, tmp_path, "compact") as world:
        lived = world.live(broken="new file")
        assert ("open broken.py:written", 0) in lived.points
        again = world.live(broken="new file", target=("open broken.py:written", 0, "during"))
        assert again.killed
        assert 0 < (tmp_path / "disk" / "news").stat().st_size < 1000


APP = make_app(name="web", namespace="shop")
EMITTED = msgspec.json.encode({"app_api_info": APP.app_api_info, "app_info": APP.app_info})
OLD, NEW = "01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000002"
RIGHT = Found(
    complaints=(),
    revisions=("b", "a"),
    branch=("b", "x", "a"),
    subjects=("first", "second"),
    apps={"shop/web": EMITTED},
    doubted={},
    acked={"shop/web": OLD},
)
TOLD = Told(((OLD, EMITTED),), {"shop/web": (OLD, json.loads(EMITTED))})
THERE = {
    "shop/web": Release(revision=APP.helm.revision, image=next(pod.image for pod in APP.app_info.pod_info))
}


def wrong(found: Found = RIGHT, told: Told = TOLD, kills: Iterable[Kill] = ()) -> list[str]:
    return [
        *checks.always(found, ["a", "b"], ["a", "x"]),
        *checks.at_rest(found, told, THERE),
        *checks.requests(told, kills),
        *checks.once_only(told),
        *checks.left_behind(found, 1),
    ]


def test_nothing_is_wrong_with_what_is_right() -> None:
    assert wrong() == []


OTHER = EMITTED.replace(b'"deployed"', b'"failed"')
assert OTHER != EMITTED


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ({"complaints": ("git fsck of remote.git: dangling",)}, "git fsck"),
        ({"revisions": ("b",), "branch": ("b", "x")}, "the revision a was recorded, and is not in the track"),
        ({"branch": ("b", "a")}, "the commit x has vanished"),
        ({"revisions": ("b", "a", "a")}, "there twice"),
        ({"apps": {}}, "shop/web is in the cluster and not in the record"),
        (
            {"apps": {"shop/web": EMITTED, "ops/db": EMITTED}},
            "ops/db is in the record and not in the cluster",
        ),
        ({"apps": {"shop/web": OTHER}}, "not what is recorded"),
        ({"doubted": {NEW: EMITTED}}, "still in doubt"),
        ({"acked": {"shop/web": NEW}}, "the ledger has the key"),
        ({"leftovers": ("cache/git/refs/heads/main.lock",)}, "left behind: cache/git"),
        ({"leftovers": ("tmp_1", "tmp_2", "tmp_3")}, "3 files left behind by 1 kills"),
    ],
)
def test_what_is_planted_on_the_disk_is_found(planted: dict[str, object], said: str) -> None:
    violations = wrong(msgspec.structs.replace(RIGHT, **planted))
    assert any(said in each for each in violations), violations


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        (((OLD, EMITTED), (OLD, OTHER)), "came with two contents"),
        (((OLD, EMITTED), (NEW, EMITTED)), "was told the same twice"),
        (((NEW, OTHER), (OLD, EMITTED)), "smaller than one before"),
    ],
)
def test_what_is_planted_among_the_requests_is_found(
    requests: tuple[tuple[str, bytes], ...], said: str
) -> None:
    violations = wrong(told=msgspec.structs.replace(TOLD, requests=requests))
    assert any(said in each for each in violations), violations


def test_what_was_acknowledged_or_doubted_before_a_kill_is_remembered() -> None:
    twice = msgspec.structs.replace(TOLD, requests=((OLD, EMITTED), (OLD, EMITTED)))
    kill = Kill(RIGHT, requests=1)
    assert any("was acknowledged, and came again" in each for each in wrong(told=twice, kills=[kill]))
    doubting = msgspec.structs.replace(RIGHT, doubted={OLD: EMITTED}, acked={})
    assert list(checks.resent(twice, Kill(doubting, requests=1))) == []
    assert list(checks.resent(TOLD, Kill(doubting, requests=1))) != []
    changed = msgspec.structs.replace(TOLD, requests=((OLD, EMITTED), (OLD, OTHER)))
    assert any("came with another content" in each for each in wrong(told=changed, kills=[Kill(doubting, 1)]))
