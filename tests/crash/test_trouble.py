"""A disk that is full for a while, a cache that cannot be written to, a clock that jumps: nothing is lost,
what is wrong is said in one sentence, and it goes on by itself."""

import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.crash import checks
from tests.crash.harness import straight
from tests.crash.outside import CLUSTER_UUID, Lived, Outside, Way, outside
from tests.crash.trouble import FULL, READ_ONLY
from tests.git.factory import git

HOUR, YEAR = 3600.0, 365 * 86400.0


async def wrong(world: Outside, *lives: Lived) -> list[str]:
    """What is not as it should be, all having come to rest."""
    found, told = await world.found(), world.told()
    announced = [revision for lived in lives for revision, _ in lived.recorded]
    return [
        *(each for lived in lives for each in straight(lived)),
        *checks.always(found, announced, ()),
        *checks.at_rest(found, told, world.releases),
        *checks.requests(told, ()),
        *checks.once_only(told),
    ]


def is_one_sentence(text: str) -> bool:
    return bool(text) and "\n" not in text and "Traceback" not in text and len(text) < 400


async def test_a_disk_that_is_full_for_a_while_holds_everything_up_and_loses_nothing(tmp_path: Path) -> None:
    with outside(Way.GIT, tmp_path, "compact") as world:
        first = world.live()
        second = world.live(end=3, trouble=FULL, settled=1500.0)
        full, after = second.conditions
        assert await wrong(world, first, second) == []
    assert is_one_sentence(full)
    assert re.search("git|cache|repository|disk", full)
    assert full != after
    assert len(second.recorded) == 1, "what happened while it was full is recorded together"


async def test_with_a_full_disk_from_the_start_nothing_is_told_and_later_everything(tmp_path: Path) -> None:
    with outside(Way.GIT, tmp_path, "compact") as world:
        lived = world.live(end=3, trouble=FULL, settled=1500.0)
        assert await wrong(world, lived) == []
    assert is_one_sentence(lived.conditions[0])


async def test_a_disk_that_is_full_leaves_the_ledger_in_its_file_whole(tmp_path: Path) -> None:
    with outside(Way.FILE, tmp_path, "compact") as world:
        first = world.live()
        ledger = (world.disk / "remote.git.ledger.json").read_bytes()
        told = len(world.receiver.requests)
        full = world.live(trouble=FULL)
        assert full.gave_up
        assert not full.recorded
        assert len(world.receiver.requests) == told
        assert (world.disk / "remote.git.ledger.json").read_bytes() == ledger
        last = world.live()
        assert await wrong(world, first, last) == []


@pytest.fixture
def unwritable() -> Iterator[list[Path]]:
    """Folders that are made writable again at the end."""
    folders: list[Path] = []
    yield folders
    for folder in folders:
        set_writable(folder, True)


def set_writable(top: Path, to: bool) -> None:
    for folder, _, names in os.walk(top):
        for path in (Path(folder), *(Path(folder) / name for name in names)):
            path.chmod(path.stat().st_mode | 0o200 if to else path.stat().st_mode & ~0o222)


@pytest.mark.parametrize("begun", [True, False], ids=["with a clone in it", "empty"])
async def test_while_the_cache_cannot_be_written_to_nothing_is_told_and_one_sentence_says_so(
    begun: bool, tmp_path: Path, unwritable: list[Path]
) -> None:
    with outside(Way.GIT, tmp_path, "compact") as world:
        lives = [world.live()] if begun else []
        cache = world.disk / "cache"
        cache.mkdir(exist_ok=True)
        unwritable.append(cache)
        set_writable(cache, False)
        before, told = git(world.remote, "for-each-ref"), len(world.receiver.requests)
        read_only = world.live(trouble=READ_ONLY)
        assert is_one_sentence(read_only.conditions[-1])
        assert git(world.remote, "for-each-ref") == before
        assert len(world.receiver.requests) == told
        set_writable(cache, True)
        lives += [read_only, world.live()]
        assert await wrong(world, *lives) == []


@pytest.mark.parametrize("way", [Way.GIT, Way.CONFIGMAPS], ids=lambda way: way.name)
@pytest.mark.parametrize("jump", [-HOUR, -10 * YEAR, YEAR], ids=["an hour back", "ten years back", "ahead"])
async def test_a_clock_that_jumps_between_two_lives_and_in_one_stops_nothing(
    jump: float, way: Way, tmp_path: Path
) -> None:
    with outside(way, tmp_path, "compact") as world:
        first = world.live()
        second = world.live(end=3, later_error=jump, settled=1500.0)
        world.error = -jump
        world.step = 2
        third = world.live(settled=1500.0)
        assert await wrong(world, first, second, third) == []
        if way is Way.GIT:
            told = git(world.remote, "log", "--format=%(trailers:key=Gap,valueonly)", "main").split("\n")
            for gap in filter(None, told):
                begin, end = (datetime.fromisoformat(each) for each in gap.split(" ")[0].split("/"))
                assert begin < end, gap
            assert CLUSTER_UUID in git(world.remote, "log", "main")
