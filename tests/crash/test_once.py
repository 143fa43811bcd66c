"""Killed at every effect but git's: ``once`` without a cluster, state in git, the ledger in a file."""

from pathlib import Path

from tests.crash.harness import at_every_effect
from tests.crash.outside import Way, outside


async def test_killed_at_every_effect_and_started_again_nothing_is_lost_and_nothing_told_twice(
    tmp_path: Path,
) -> None:
    with outside(Way.FILE, tmp_path, "compact") as world:
        # What it does to git is what the operator does, which is killed at all of it in test_git.
        tally = await at_every_effect(world, but=("git ", "os.mkdir"))
    print(tally)
    assert tally.violations == []
    assert "os.rename state/ledger/file.py:_replace" in tally.points
    assert tally.kills > 60
