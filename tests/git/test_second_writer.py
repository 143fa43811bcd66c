"""Two reconcilers that record one cluster by mistake: who stops leaves word, and the other one sees it."""

from pathlib import Path

import pytest

from reconciler.errors import LostRaceError, StoreError
from reconciler.model import Snapshot
from reconciler.state.git.store import open_git_store
from reconciler.state.git.track import GitTrack
from reconciler.state.store import Message, Recorded
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.git.actions import append, is_clean, trailers_of
from tests.git.factory import BRANCH, GitFactory, branches, git

PROTESTS = f"refs/heads/hossted/second-writer/{CLUSTER_UUID}"


@pytest.fixture(params=["the store", "a remote"])
def place(request: pytest.FixtureRequest) -> GitFactory:
    """The repository, which is the store itself, or the remote of a cache."""
    found: GitFactory = request.getfixturevalue("local" if request.param == "the store" else "remote")
    return found


async def record(track: GitTrack, snapshot: Snapshot, instance: str) -> Recorded:
    message = Message("Record", "", trailers_of(snapshot, instance))
    return await append(track, snapshot, await track.tip(), message)


def said(track: GitTrack) -> list[str]:
    return list(track.notices)


async def test_by_turns_they_only_ever_add_to_one_another(remote: GitFactory) -> None:
    one, other = [(await remote.open()).track(CLUSTER_UUID) for _ in range(2)]
    for number in range(1, 5):
        for track, instance, name in ((one, "one", "a"), (other, "other", "b")):
            tip = await track.tip()
            assert tip is None or tip.repairs == ()
            await record(track, make_snapshot(make_app(name=name, revision=number)), instance)
            await track.rescue()
    assert int(git(remote.repository, "rev-list", "--count", BRANCH)) == 8
    assert int(git(remote.repository, "rev-list", "--count", "--merges", BRANCH)) == 0
    assert list(branches(remote.repository)) == [f"refs/heads/{BRANCH}"]
    assert said(one) == said(other) == []
    assert is_clean(remote.repository)


async def test_at_once_one_of_them_wins_each_time(remote: GitFactory) -> None:
    one, other = [(await remote.open()).track(CLUSTER_UUID) for _ in range(2)]
    base = await record(one, make_snapshot(make_app()), "one")
    assert await other.tip() == base
    mine = make_snapshot(make_app(revision=2))
    await append(one, mine, base, Message("x", "", trailers_of(mine, "one")))
    with pytest.raises(LostRaceError):
        await append(other, make_snapshot(), base)
    assert is_clean(remote.repository)


async def test_who_stops_leaves_word_and_the_other_one_sees_it_until_it_is_taken_back(
    place: GitFactory,
) -> None:
    one, other = [(await place.open()).track(CLUSTER_UUID) for _ in range(2)]
    mine = await record(one, make_snapshot(make_app()), "one")
    assert await other.tip() == mine
    await other.protest("other", against="one")
    assert branches(place.repository)[f"{PROTESTS}/other"] == mine.revision.id
    await other.protest("other", against="one")
    await other.tip()
    if place.repository.name == "remote.git":  # what is local is the same for both
        assert said(other) == []
        await one.tip()
        assert said(one) == [
            "another reconciler (Instance other) records the same cluster, and stopped at the commit"
            f" {mine.revision.id[:8]}: see that only one of them runs, then delete the branch"
            f" hossted/second-writer/{CLUSTER_UUID}/other"
        ]
        await record(one, make_snapshot(), "one")
        assert len(said(one)) == 1
    await other.withdraw()
    assert list(branches(place.repository)) == [f"refs/heads/{BRANCH}"]
    await one.tip()
    assert said(one) == []
    await other.withdraw()
    assert is_clean(place.repository)


async def test_nothing_but_our_own_word_is_taken_back(remote: GitFactory) -> None:
    tracks = [(await remote.open()).track(CLUSTER_UUID) for _ in range(3)]
    await record(tracks[0], make_snapshot(make_app()), "zero")
    await tracks[1].protest("one", against="zero")
    await tracks[2].protest("two", against="zero")
    await tracks[1].withdraw()
    await tracks[0].withdraw()
    await tracks[0].rescue()
    assert set(branches(remote.repository)) == {f"refs/heads/{BRANCH}", f"{PROTESTS}/two"}


async def test_a_restart_takes_back_or_replaces_what_was_left_before(
    remote: GitFactory, tmp_path: Path
) -> None:
    await record((await remote.open()).track(CLUSTER_UUID), make_snapshot(make_app()), "one")
    await (await remote.open()).track(CLUSTER_UUID).protest("before", against="one")
    again = reopened(remote, tmp_path)
    await again.protest("after", against="one")
    assert set(branches(remote.repository)) == {f"refs/heads/{BRANCH}", f"{PROTESTS}/after"}
    once_more = reopened(remote, tmp_path)
    assert await once_more.tip() is not None
    await once_more.rescue()  # it goes on
    assert list(branches(remote.repository)) == [f"refs/heads/{BRANCH}"]


async def test_a_branch_that_somebody_deleted_or_moved_does_not_stop_us(
    remote: GitFactory, tmp_path: Path
) -> None:
    first = await record((await remote.open()).track(CLUSTER_UUID), make_snapshot(make_app()), "one")
    track = (await remote.open()).track(CLUSTER_UUID)
    await track.protest("other", against="one")
    git(remote.repository, "update-ref", "-d", f"{PROTESTS}/other")
    await track.withdraw()
    await track.protest("other", against="one")
    git(remote.repository, "config", "receive.denyDeletes", "true")
    await track.withdraw()
    assert branches(remote.repository)[f"{PROTESTS}/other"] == first.revision.id
    assert await track.tip() == first


async def test_a_remote_that_refuses_is_an_error_and_the_next_time_it_is_tried_again(
    remote: GitFactory,
) -> None:
    await record((await remote.open()).track(CLUSTER_UUID), make_snapshot(make_app()), "one")
    track = (await remote.open()).track(CLUSTER_UUID)
    hook = remote.repository / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(StoreError):
        await track.protest("other", against="one")
    hook.unlink()
    await track.protest("other", against="one")
    assert f"{PROTESTS}/other" in branches(remote.repository)


@pytest.mark.parametrize("instance", ["", "..", "a/b", "x.lock", "-x", "a b", "x\n"])
async def test_an_instance_that_is_no_name_makes_no_branch(local: GitFactory, instance: str) -> None:
    track = (await local.open()).track(CLUSTER_UUID)
    await record(track, make_snapshot(make_app()), "one")
    with pytest.raises(StoreError, match="cannot be part of a branch's name"):
        await track.protest(instance, against="one")
    assert list(branches(local.repository)) == [f"refs/heads/{BRANCH}"]


async def test_there_is_nothing_to_object_to_in_an_empty_track(remote: GitFactory) -> None:
    track = (await remote.open()).track(CLUSTER_UUID)
    await track.protest("other", against="one")
    await track.withdraw()
    assert branches(remote.repository) == {}


def reopened(remote: GitFactory, tmp_path: Path) -> GitTrack:
    """The second cache, as after a restart."""
    url = f"file://{remote.repository}"
    return open_git_store(path=tmp_path / "cache-2.git", url=url, branch=BRANCH).track(CLUSTER_UUID)
