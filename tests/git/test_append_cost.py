"""What an append asks of the remote: nothing but to take the commit, while nobody else has been there."""

from datetime import UTC, datetime

import pytest

from reconciler.errors import LostRaceError
from reconciler.model import AppKey
from reconciler.policy.entry import Acked
from reconciler.state.git.store import GitStore
from reconciler.state.store import Recorded
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.git.actions import append
from tests.git.approvals import counting
from tests.git.factory import BRANCH, GitFactory, GitRemoteFactory, commit_as_a_person, files, git

DIRECTORY = f"clusters/{CLUSTER_UUID}"
FILE = f"{DIRECTORY}/default/test.yaml"
OTHERS = {"README.md": "of somebody else"}

REMOTE = ["fast-import", "push", "update-ref"]


async def upgraded(store: GitStore, on: Recorded | None) -> Recorded:
    revision = 1 if on is None else on.snapshot.apps[AppKey("default", "test")].helm.revision + 1
    return await append(store.track(CLUSTER_UUID), make_snapshot(make_app(revision=revision)), on)


async def test_it_is_made_and_pushed(remote: GitRemoteFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await remote.open()
    first = await upgraded(store, None)
    with counting(monkeypatch) as processes:
        second = await upgraded(store, first)
    assert processes == REMOTE
    tip = await store.track(CLUSTER_UUID).tip()
    with counting(monkeypatch) as after_a_look:
        await upgraded(store, tip)
    assert tip == second
    assert after_a_look == REMOTE


async def test_in_a_local_store_it_is_made_and_the_branch_moved(
    local: GitFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await local.open()
    first = await upgraded(store, None)
    with counting(monkeypatch) as processes:
        await upgraded(store, first)
    assert processes == ["fast-import", "update-ref"]


async def test_only_what_others_pushed_meanwhile_makes_it_look(
    remote: GitRemoteFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await remote.open()
    first = await upgraded(store, None)
    theirs = commit_as_a_person(remote.repository, OTHERS)
    with counting(monkeypatch) as processes:
        second = await upgraded(store, first)
    assert (processes.count("push"), processes.count("fetch")) == (2, 1)
    assert git(remote.repository, "rev-parse", f"{BRANCH}^").strip() == theirs
    with counting(monkeypatch) as afterwards:
        await upgraded(store, second)
    assert afterwards == REMOTE


@pytest.mark.parametrize("text", [None, "edited: by hand\n"], ids=["deleted", "edited"])
async def test_what_others_did_to_the_record_meanwhile_is_seen_before_it_is_recorded_on(
    text: str | None, remote: GitRemoteFactory
) -> None:
    store = await remote.open()
    first = await upgraded(store, None)
    theirs = commit_as_a_person(remote.repository, {FILE: text})
    with pytest.raises(LostRaceError):
        await upgraded(store, first)
    assert git(remote.repository, "rev-parse", BRANCH).strip() == theirs
    tip = await store.track(CLUSTER_UUID).tip()
    assert tip is not None
    assert [repair.key for repair in tip.repairs] == [AppKey("default", "test")]
    await upgraded(store, tip)
    assert "revision: 2" in git(remote.repository, "show", f"{BRANCH}:{FILE}")


async def test_a_cache_that_was_lost_meanwhile_is_made_again(remote: GitRemoteFactory) -> None:
    store = await remote.open()
    first = await upgraded(store, None)
    for each in sorted((remote.repository.with_name("cache-1.git") / "objects").rglob("*"), reverse=True):
        each.rmdir() if each.is_dir() else each.unlink()
    second = await upgraded(store, first)
    assert await store.track(CLUSTER_UUID).tip() == second
    assert set(files(remote.repository)) == {f"{DIRECTORY}/cluster.yaml", FILE}


async def test_what_was_delivered_is_shown_after_one_look(
    remote: GitRemoteFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, at = await remote.open(), datetime(2026, 11, 21, 12, tzinfo=UTC)
    branch = store.delivered(CLUSTER_UUID, "https://api.example.com/apps")
    web = AppKey("shop", "web")
    for number in range(1, 4):
        key = f"019a1e1{number}-0000-7000-8000-000000000000"
        with counting(monkeypatch) as processes:
            await branch.keys()
            acked = Acked(key, "A-1", at, make_app("shop", "web", number), 200)
            await branch.follow({web: acked}, {web}, instance="i1", at=at)
    assert processes == ["ls-remote", "for-each-ref", *REMOTE]
    assert await branch.keys() == {web: key}
