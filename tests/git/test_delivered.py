"""The delivered branch in real repositories: it shows what the ledger has, and shows an older ledger."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.errors import FormatError
from reconciler.model import App, AppKey, Record
from reconciler.policy.entry import Acked
from reconciler.state.git.store import GitStore
from reconciler.state.store import DeliveredBranch
from tests.builders import CLUSTER_UUID, OTHER_CLUSTER_UUID, make_app, make_snapshot
from tests.git.actions import append, is_clean
from tests.git.factory import GitFactory, GitRemoteFactory, commit_as_a_person, files, git, refs

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
API, OTHER_API = "https://api.example.com/apps", "https://new.example.com/apps"
BRANCH = f"hossted/delivered/{CLUSTER_UUID}"
DIRECTORY = f"clusters/{CLUSTER_UUID}"
WEB, DB = AppKey("shop", "web"), AppKey("shop", "db")
K1, K2, K3 = (f"019a1e1{number}-0000-7000-8000-000000000000" for number in (1, 2, 3))


@pytest.fixture(params=["local", "remote"])
def factory(request: pytest.FixtureRequest) -> GitFactory:
    found: GitFactory = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def store(factory: GitFactory) -> AsyncIterator[GitStore]:
    opened = await factory.open()
    yield opened
    await opened.close()


def acked(key: str, app: App | None) -> Acked:
    return Acked(key, "A-1", AT, app, 200)


async def follow(
    branch: DeliveredBranch, changed: dict[AppKey, Acked], known: set[AppKey] | None = None
) -> None:
    await branch.follow(changed, known or set(changed), instance="i1", at=AT)


async def test_it_has_what_was_acknowledged_app_by_app(factory: GitFactory, store: GitStore) -> None:
    branch = store.delivered(CLUSTER_UUID, API)
    assert await branch.keys() == {}
    web = make_app("shop", "web", 4)
    await follow(branch, {WEB: acked(K1, web), DB: acked(K2, make_app("shop", "db"))})
    assert await branch.keys() == {WEB: K1, DB: K2}
    assert await branch.app(WEB) == App(web.app_api_info, web.app_info, Record(chart_version=""))
    assert await branch.app(AppKey("shop", "other")) is None
    assert set(files(factory.repository, BRANCH)) == {
        f"{DIRECTORY}/shop/web.yaml",
        f"{DIRECTORY}/shop/db.yaml",
    }
    assert is_clean(factory.repository)


async def test_it_is_read_again_by_a_program_that_has_just_started(factory: GitFactory) -> None:
    first = await factory.open()
    await follow(first.delivered(CLUSTER_UUID, API), {WEB: acked(K1, make_app("shop", "web"))})
    await follow(first.delivered(CLUSTER_UUID, API), {DB: acked(K2, None)}, {WEB, DB})
    await first.close()
    second = await factory.open()
    assert await second.delivered(CLUSTER_UUID, API).keys() == {WEB: K1, DB: K2}
    await second.close()


async def test_an_uninstalled_app_leaves_its_key_until_the_ledger_forgets_it(
    factory: GitFactory, store: GitStore
) -> None:
    branch = store.delivered(CLUSTER_UUID, API)
    await follow(branch, {WEB: acked(K1, make_app("shop", "web"))})
    await follow(branch, {WEB: acked(K2, None)})
    assert set(files(factory.repository, BRANCH)) == {f"{DIRECTORY}/uninstalled.yaml"}
    assert await branch.keys() == {WEB: K2}
    await follow(branch, {DB: acked(K3, make_app("shop", "db"))}, {DB})
    assert set(files(factory.repository, BRANCH)) == {f"{DIRECTORY}/shop/db.yaml"}
    second = store.delivered(CLUSTER_UUID, API)
    assert WEB not in await second.keys()


async def test_an_app_that_comes_back_is_not_among_the_uninstalled(
    factory: GitFactory, store: GitStore
) -> None:
    branch = store.delivered(CLUSTER_UUID, API)
    await follow(branch, {WEB: acked(K1, None)})
    await follow(branch, {WEB: acked(K2, make_app("shop", "web"))})
    assert set(files(factory.repository, BRANCH)) == {f"{DIRECTORY}/shop/web.yaml"}
    assert await branch.keys() == {WEB: K2}


async def test_with_another_api_it_begins_anew_on_top_of_the_old(
    factory: GitFactory, store: GitStore
) -> None:
    await follow(store.delivered(CLUSTER_UUID, API), {WEB: acked(K1, make_app("shop", "web"))})
    branch = store.delivered(CLUSTER_UUID, OTHER_API)
    assert await branch.keys() == {}
    await follow(branch, {DB: acked(K2, make_app("shop", "db"))})
    assert set(files(factory.repository, BRANCH)) == {f"{DIRECTORY}/shop/db.yaml"}
    assert await branch.keys() == {DB: K2}
    assert git(factory.repository, "rev-list", "--count", BRANCH).strip() == "2"
    assert f"Endpoint: {OTHER_API}" in git(factory.repository, "log", "-1", "--format=%B", BRANCH)


async def test_the_record_does_not_see_it(factory: GitFactory, store: GitStore) -> None:
    snapshot = make_snapshot(make_app())
    await append(store.track(CLUSTER_UUID), snapshot, None)
    before = refs(factory.repository)["refs/heads/main"]
    await follow(store.delivered(CLUSTER_UUID, API), {WEB: acked(K1, make_app("shop", "web"))})
    tip = await store.track(CLUSTER_UUID).tip()
    assert tip is not None
    assert (tip.revision.id, tip.snapshot) == (before, snapshot)
    assert [each.cluster_uuid for each in await store.clusters()] == [CLUSTER_UUID]
    assert await store.delivered(OTHER_CLUSTER_UUID, API).keys() == {}


async def test_a_branch_that_others_wrote_says_so(factory: GitFactory, store: GitStore) -> None:
    branch = store.delivered(CLUSTER_UUID, API)
    await follow(branch, {WEB: acked(K1, make_app("shop", "web"))})
    text = f"mine: {K3}\n"
    message = f"Mine\n\nEndpoint: {API}\n"
    commit_as_a_person(factory.repository, {f"{DIRECTORY}/shop/web.yaml": text}, message, BRANCH)
    with pytest.raises(FormatError, match=r"shop/web.yaml .*delete the branch"):
        await branch.keys()


async def test_a_branch_that_was_deleted_is_made_again(remote: GitRemoteFactory, tmp_path: Path) -> None:
    store = await remote.open()
    branch = store.delivered(CLUSTER_UUID, API)
    web = acked(K1, make_app("shop", "web"))
    await follow(branch, {WEB: web})
    git(remote.repository, "update-ref", "-d", f"refs/heads/{BRANCH}")
    assert await branch.keys() == {}
    await follow(branch, {WEB: web})
    assert await branch.keys() == {WEB: K1}
    await store.close()
