"""The git store over https and ssh: credentials as they are at each operation, a sentence for each failure.

Whatever failed works again as soon as its cause is gone."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from reconciler.errors import (
    CredentialsError,
    DiskFullError,
    NoRepositoryError,
    RefusedError,
    StoreError,
)
from reconciler.state.git.store import GitStore
from reconciler.state.store import Message, Recorded
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.git.actions import append, git_processes
from tests.git.factory import BRANCH, commit_as_a_person, files, git, refs
from tests.git.reached import SHORT, Reached, over_https, over_ssh
from tests.git.servers import states
from tests.git.servers.hosting import Cut, Rules

REF = f"refs/heads/{BRANCH}"


@pytest.fixture(params=["https", "ssh"])
def reached(request: pytest.FixtureRequest, tmp_path: Path) -> Reached:
    """A repository that only those with an account may see, over each protocol."""
    given = request.getfixturevalue
    if request.param == "https":
        return over_https(given("https_repository"), tmp_path, given("authority"))
    return over_ssh(given("ssh_repository"), tmp_path, given("ssh_server"))


async def record(store: GitStore, revision: int = 1, on: Recorded | None = None) -> Recorded:
    return await append(store.track(CLUSTER_UUID), make_snapshot(make_app(revision=revision)), on)


def them(reached: Reached) -> str:
    return (
        "the key of the Secret ns/git" if reached.scheme == "ssh" else "the credentials of the Secret ns/git"
    )


class TestCredentials:
    async def test_an_empty_repository_gets_its_branch(self, reached: Reached) -> None:
        store = reached.open()
        assert await store.track(CLUSTER_UUID).tip() is None
        recorded = await record(store)
        assert refs(reached.hosted.path) == {REF: recorded.revision.id}
        assert store.location == reached.hosted.url

    async def test_a_branch_that_does_not_exist_yet_is_made_beside_the_others(self, reached: Reached) -> None:
        commit_as_a_person(reached.hosted.path, {"README.md": "hello"}, branch="theirs")
        recorded = await record(reached.open())
        assert refs(reached.hosted.path)[REF] == recorded.revision.id
        assert set(refs(reached.hosted.path)) == {REF, "refs/heads/theirs"}

    async def test_a_changed_secret_is_used_at_the_next_operation(self, reached: Reached) -> None:
        store = reached.open()
        first = await record(store)
        reached.secret.data = reached.wrong
        with pytest.raises(CredentialsError) as refused:
            await store.track(CLUSTER_UUID).tip()
        assert f"does not accept {them(reached)}: " in str(refused.value)
        with pytest.raises(CredentialsError):
            await record(store, 2, first)
        reached.secret.data = reached.good
        assert await store.track(CLUSTER_UUID).tip() == first
        second = await record(store, 2, first)
        assert refs(reached.hosted.path)[REF] == second.revision.id

    async def test_a_secret_that_becomes_unusable_and_usable_again_is_followed(
        self, reached: Reached
    ) -> None:
        store = reached.open()
        first = await record(store)
        asked = len(reached.hosted.requests)
        reached.secret.data = {"identity": b"rubbish", "known_hosts": b"x", "password": b"\xff"}
        for _ in range(2):
            with pytest.raises(CredentialsError, match="of the Secret ns/git is "):
                await store.track(CLUSTER_UUID).tip()
        assert len(reached.hosted.requests) == asked, "nobody was asked"
        reached.secret.data = reached.good
        assert await store.track(CLUSTER_UUID).tip() == first

    async def test_who_may_only_read_reads_and_is_told_when_writing(self, reached: Reached) -> None:
        first = await record(reached.open())
        reached.secret.data = reached.reader
        store = reached.open()
        assert await store.track(CLUSTER_UUID).tip() == first
        with pytest.raises(RefusedError) as refused:
            await record(store, 2, first)
        said = str(refused.value)
        assert said.startswith(
            f"{them(reached)} may not write to the state repository {reached.hosted.url} ("
        )
        assert "may read" in said
        assert said.endswith("): allow it there")
        assert refs(reached.hosted.path)[REF] == first.revision.id

    async def test_the_clone_holds_no_trace_of_who_we_are(self, reached: Reached) -> None:
        await record(reached.open())
        config = (reached.cache / "config").read_text()
        assert "url" not in config.lower()
        assert not list(reached.cache.rglob("FETCH_HEAD"))
        assert not (reached.cache / "logs").exists()


def _nowhere(reached: Reached) -> None:
    reached.hosted.path.rename(reached.hosted.path.with_name("away"))


def _back(reached: Reached) -> None:
    reached.hosted.path.with_name("away").rename(reached.hosted.path)


FAULTS: Mapping[str, tuple[Callable[[Reached], None], Callable[[Reached], None], type[StoreError], str]] = {
    "a protected branch": (
        lambda reached: states.protect(reached.hosted),
        lambda reached: states.allow_pushes(reached.hosted),
        RefusedError,
        r"the branch main of the state repository URL is protected \(main is protected: open a pull req.*\):"
        r" let THEM push to it, or name another one in spec.state.git.branch",
    ),
    "a hook that says no": (
        lambda reached: states.refuse_pushes(reached.hosted, "no ticket number"),
        lambda reached: states.allow_pushes(reached.hosted),
        RefusedError,
        "the state repository URL did not take the commit: no ticket number: let the rules there allow THEM"
        " to push to the branch main",
    ),
    "a quota": (
        lambda reached: states.refuse_pushes(reached.hosted, "GL: quota exceeded"),
        lambda reached: states.allow_pushes(reached.hosted),
        DiskFullError,
        r"the state repository URL has no room left \(GL: quota exceeded\): make some there",
    ),
    "a full disk": (
        lambda reached: states.fill_disk(reached.hosted),
        lambda reached: states.empty_disk(reached.hosted),
        DiskFullError,
        r"the state repository URL has no room left \(.*\): make some there, or raise its quota",
    ),
    "a read-only disk": (
        lambda reached: states.make_read_only(reached.hosted),
        lambda reached: states.make_writable(reached.hosted),
        RefusedError,
        r"the state repository URL is read-only \(.*\): make it writable there",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_the_remote_does_not_take_is_told_and_taken_when_it_can_be(
    reached: Reached, fault: str
) -> None:
    cause, cure, kind, says = FAULTS[fault]
    store = reached.open()
    first = await record(store)
    cause(reached)
    expected = says.replace("URL", reached.hosted.url).replace("THEM", them(reached))
    try:
        with pytest.raises(kind, match=f"^{expected}") as refused:
            await record(store, 2, first)
        assert "\n" not in str(refused.value)
        assert await store.track(CLUSTER_UUID).tip() == first
    finally:
        cure(reached)
    second = await record(store, 2, first)
    assert refs(reached.hosted.path)[REF] == second.revision.id


async def test_no_such_repository_is_told_and_found_when_it_is_there(reached: Reached) -> None:
    store = reached.open()
    first = await record(store)
    missing = reached.open(url=reached.hosted.url.replace(reached.hosted.name, "missing"))
    with pytest.raises(NoRepositoryError) as none:
        await missing.track(CLUSTER_UUID).tip()
    assert str(none.value).startswith(
        f"the state repository {missing.location} does not exist, or is not shown to"
    )
    assert await store.track(CLUSTER_UUID).tip() == first


async def test_a_server_that_hangs_is_given_up_and_nothing_stays_behind(reached: Reached) -> None:
    first = await record(reached.open())
    accounts = reached.hosted.rules.accounts
    reached.hosted.rules = Rules(accounts=accounts, hangs=True)
    timeouts = SHORT if reached.scheme == "https" else type(SHORT)(answer=1.0, silence=1.0)
    store = reached.open(timeouts=timeouts)
    with pytest.raises(StoreError, match=r"(did|does) not answer") as hung:
        await store.track(CLUSTER_UUID).tip()
    assert "1 seconds" in str(hung.value)
    assert git_processes(reached.cache) == []
    reached.hosted.rules = Rules(accounts=accounts)
    assert await reached.open().track(CLUSTER_UUID).tip() == first


async def test_an_operation_on_a_server_that_hangs_can_be_cancelled(reached: Reached) -> None:
    reached.hosted.rules = Rules(accounts=reached.hosted.rules.accounts, hangs=True)
    task = asyncio.create_task(reached.open().track(CLUSTER_UUID).tip())
    assert await asyncio.to_thread(reached.hosted.arrived.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert git_processes(reached.cache) == []


@pytest.mark.parametrize("cut", list(Cut))
async def test_a_push_that_is_cut_short_is_recorded_or_not_and_never_in_doubt(
    reached: Reached, cut: Cut
) -> None:
    store = reached.open()
    first = await record(store)
    accounts = reached.hosted.rules.accounts
    reached.hosted.rules = Rules(accounts=accounts, cut=cut)
    if cut is Cut.AFTER:
        second = await record(store, 2, first)  # it landed, and the tips say so
    else:
        with pytest.raises(
            StoreError, match=f"the connection to the state repository {reached.hosted.url} bro"
        ):
            await record(store, 2, first)
        reached.hosted.rules = Rules(accounts=accounts)
        second = await record(store, 2, first)
    assert refs(reached.hosted.path)[REF] == second.revision.id
    assert git(reached.hosted.path, "rev-list", "--count", BRANCH).strip() == "2"


async def test_push_options_arrive_where_they_are_taken_and_are_told_where_not(reached: Reached) -> None:
    store = reached.open(push_options=("ci.skip", "merge_request.label=a b;$(id)"))
    with pytest.raises(RefusedError, match=r"takes no push options: remove spec\.state\.git\.pushOptions"):
        await record(store)
    taken = states.take_push_options(reached.hosted)
    await record(store)
    assert taken.read_text().splitlines() == ["ci.skip", "merge_request.label=a b;$(id)"]


async def test_a_branch_in_the_way_is_named(reached: Reached) -> None:
    commit_as_a_person(reached.hosted.path, {"README.md": "hello"}, branch=f"{BRANCH}/old")
    with pytest.raises(
        RefusedError, match="has the branch main/old, beside which there can be no main: rename"
    ):
        await record(reached.open())


async def test_the_subjects_suffix_is_in_the_commit(reached: Reached) -> None:
    store = reached.open(subject_suffix="[skip ci]")
    message = Message(subject="install default/test", body="more", trailers=(("Cluster-UUID", CLUSTER_UUID),))
    recorded = await append(store.track(CLUSTER_UUID), make_snapshot(make_app()), None, message)
    assert git(reached.hosted.path, "log", "-1", "--format=%s", BRANCH) == "install default/test [skip ci]\n"
    assert recorded.revision.message.trailer("Cluster-UUID") == CLUSTER_UUID
    assert await reached.open().track(CLUSTER_UUID).tip() == recorded


async def test_foreign_refs_do_not_matter_however_many(reached: Reached) -> None:
    first = await record(reached.open())
    git(reached.hosted.path, "update-ref", "refs/pull/1/head", first.revision.id)
    assert await reached.open().track(CLUSTER_UUID).tip() == first
    assert set(files(reached.hosted.path)) == {
        f"clusters/{CLUSTER_UUID}/cluster.yaml",
        f"clusters/{CLUSTER_UUID}/default/test.yaml",
    }
