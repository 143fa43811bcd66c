"""What is https' own: how a server proves who it is, where credentials go and where not, and 429."""

import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import pytest

from reconciler.errors import (
    CredentialsError,
    NoRepositoryError,
    RateLimitedError,
    RefusedError,
    StoreError,
    UntrustedError,
)
from reconciler.state.git.network.access import Access, session
from reconciler.state.git.network.answers import last_response
from reconciler.state.git.network.credentials import credentials_of
from reconciler.state.git.network.remote import Remote
from reconciler.state.git.network.url import checked_url
from reconciler.state.git.plumbing import Repository
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.git.actions import append
from tests.git.factory import git
from tests.git.reached import LOGIN, SHORT, TOKEN, Reached, over_https
from tests.git.servers.certificates import Authority
from tests.git.servers.hosting import Answer, Hosted, Rules
from tests.git.servers.https import HttpsServer
from tests.git.servers.proxy import silence


@pytest.fixture
def reached(https_repository: Hosted, authority: Authority, tmp_path: Path) -> Reached:
    return over_https(https_repository, tmp_path, authority)


@pytest.mark.parametrize(
    "data",
    [
        {"username": LOGIN.user.encode(), "password": LOGIN.password.encode() + b"\n"},
        {"bearerToken": TOKEN.value.encode()},
    ],
    ids=["user and password", "bearer token"],
)
@pytest.mark.parametrize("authority_key", ["ca.crt", "caFile"])
async def test_each_way_of_logging_in_works(
    reached: Reached, authority: Authority, data: Mapping[str, bytes], authority_key: str
) -> None:
    reached.secret.data = {**data, authority_key: authority.pem.encode()}
    await append(reached.open().track(CLUSTER_UUID), make_snapshot(make_app()), None)
    assert reached.hosted.pushes


async def test_nobody_is_asked_a_second_time_for_one_question(reached: Reached) -> None:
    await reached.open().track(CLUSTER_UUID).tip()
    assert [request.status for request in reached.hosted.requests] == [HTTPStatus.OK, HTTPStatus.OK]


async def test_an_append_is_a_push_and_nothing_else(reached: Reached) -> None:
    track = reached.open().track(CLUSTER_UUID)
    first = await append(track, make_snapshot(make_app()), None)
    before = len(reached.hosted.requests)
    await append(track, make_snapshot(make_app(revision=2)), first)
    asked = [(request.method, request.path) for request in reached.hosted.requests[before:]]
    assert [(method, path.rpartition("/")[2]) for method, path in asked] == [
        ("GET", "refs"),
        ("POST", "git-receive-pack"),
    ]


async def test_a_public_repository_is_read_without_a_secret_and_writing_asks_for_one(
    reached: Reached, authority: Authority
) -> None:
    reached.secret.data = {"ca.crt": authority.pem.encode()}
    with pytest.raises(CredentialsError, match="does not accept the credentials of the Secret ns/git"):
        await reached.open().track(CLUSTER_UUID).tip()
    reached.hosted.rules = Rules()
    store = reached.open()
    assert await store.track(CLUSTER_UUID).tip() is None
    reached.hosted.rules = Rules(answer=Answer(HTTPStatus.FORBIDDEN, text="log in first"))
    with pytest.raises(StoreError, match=r"may not write to .* \(log in first\)"):
        await append(store.track(CLUSTER_UUID), make_snapshot(make_app()), None)


async def test_an_authority_that_nobody_told_of_is_not_trusted(reached: Reached) -> None:
    good = reached.secret.data
    reached.secret.data = {key: value for key, value in good.items() if key != "ca.crt"}
    store = reached.open()
    with pytest.raises(UntrustedError) as refused:
        await store.track(CLUSTER_UUID).tip()
    assert str(refused.value) == (
        "the certificate of 127.0.0.1 is not trusted here: add its authority's to the Secret ns/git, under"
        " the key ca.crt, or have it renewed if it has expired"
    )
    assert reached.hosted.requests == []
    with pytest.raises(UntrustedError, match=r"to the Secret that spec\.state\.git\.secretRef names"):
        await reached.open(anonymous=True).track(CLUSTER_UUID).tip()
    reached.secret.data = good
    assert await store.track(CLUSTER_UUID).tip() is None


@pytest.mark.parametrize(
    ("name", "expired", "says"),
    [
        ("127.0.0.1", True, r"is not trusted here: .* or have it renewed if it has expired|has expired"),
        ("git.example", False, "is for another name: use that one in"),
    ],
)
async def test_a_certificate_that_does_not_prove_the_host_is_refused(
    authority: Authority, tmp_path: Path, name: str, expired: bool, says: str
) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    with HttpsServer(folder, authority.server(name, expired=expired)) as server:
        reached = over_https(server.repository(), tmp_path, authority)
        with pytest.raises(UntrustedError, match=f"the certificate of 127.0.0.1 {says}"):
            await reached.open().track(CLUSTER_UUID).tip()
        assert reached.hosted.requests == []


async def test_credentials_follow_no_redirect(reached: Reached, authority: Authority, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    with HttpsServer(folder, authority.server("127.0.0.1")) as elsewhere:
        there = elsewhere.repository()
        reached.hosted.rules = Rules(redirect=there.url)
        with pytest.raises(NoRepositoryError) as moved:
            await reached.open().track(CLUSTER_UUID).tip()
        assert str(moved.value).endswith(f"set spec.state.git.url to where it is now: {there.url}")
        assert (there.requests, elsewhere.strays) == ([], [])
        assert await reached.open(url=there.url).track(CLUSTER_UUID).tip() is None


async def test_a_port_that_speaks_no_tls_or_is_closed_or_a_host_that_is_not_there_is_named(
    reached: Reached, tmp_path: Path
) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with HttpsServer(folder, None) as plain:
        for url, says in (
            (f"https://127.0.0.1:{plain.port}/x.git", "we find no way to speak TLS"),
            (f"https://127.0.0.1:{port}/x.git", f"cannot be reached: .*127.0.0.1 port {port}"),
            ("https://nowhere.invalid/x.git", "the host nowhere.invalid is not known: correct spec"),
        ):
            with pytest.raises(StoreError, match=says):
                await reached.open(url=url).track(CLUSTER_UUID).tip()


async def test_a_server_that_never_says_a_word_is_given_up(reached: Reached) -> None:
    with silence() as port:
        store = reached.open(url=f"https://127.0.0.1:{port}/x.git", timeouts=type(SHORT)(answer=1.0))
        with pytest.raises(StoreError, match="did not answer within 1 seconds: see that it is up"):
            await store.track(CLUSTER_UUID).tip()


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (404, NoRepositoryError, "does not exist, or is not shown to the credentials of the Secret ns/git"),
        (413, RefusedError, "does not take so much at once"),
        (500, StoreError, "is out of order"),
        (502, StoreError, "is out of order"),
    ],
)
async def test_what_a_forge_answers_is_put_in_words(
    reached: Reached, status: int, kind: type[StoreError], says: str
) -> None:
    track = reached.open().track(CLUSTER_UUID)
    rules = reached.hosted.rules
    remote = Remote(Repository(reached.cache), reached.hosted.url, access=Access(source=reached.secret))
    await track.tip()
    await remote.prepare()
    git(reached.cache, "fast-import", "--quiet", stdin="commit refs/x\ncommitter a <b> 0 +0000\ndata 0\n\n")
    reached.hosted.rules = Rules(answer=Answer(status, text="the forge's words"))
    with pytest.raises(kind, match=says):
        remote.push("refs/x:refs/heads/main", lease="refs/heads/main:")
    reached.hosted.rules = rules
    assert await track.tip() is None


class Clock:
    """Both clocks of a remote, which stand still until they are set."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.start = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds - 1000.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def remote(reached: Reached, clock: Clock) -> Remote:
    git(reached.folder, "init", "--quiet", "--bare", str(reached.cache))
    return Remote(
        Repository(reached.cache),
        reached.hosted.url,
        access=Access(source=reached.secret),
        monotonic=clock.monotonic,
        now=clock.now,
    )


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answer(429, (("Retry-After", "120"),)), 120),
        (Answer(429, (("retry-after", "Sat, 21 Nov 2026 10:02:00 GMT"),), "slow down"), 120),
        (Answer(429), 60),
        (Answer(503, (("Retry-After", "10"),)), 10),
        (Answer(429, (("Retry-After", "999999999"),)), 24 * 3600),
    ],
)
async def test_a_forge_that_asks_for_it_is_left_alone_for_as_long_and_then_asked_again(
    reached: Reached, remote: Remote, clock: Clock, answer: Answer, seconds: int
) -> None:
    await remote.prepare()
    good = reached.hosted.rules
    reached.hosted.rules = Rules(answer=answer)
    until = clock.now() + timedelta(seconds=seconds)
    sentence = (
        f"the state repository {reached.hosted.url} asks to be left alone (HTTP {answer.status}): nothing is"
        f" asked of it until {until:%Y-%m-%d %H:%M:%S} UTC"
    )
    with pytest.raises(RateLimitedError) as asked:
        remote.branches("refs/heads/*")
    assert str(asked.value) == sentence
    reached.hosted.rules = good
    requests = len(reached.hosted.requests)
    for passed in (0.0, seconds - 1.5):
        clock.seconds += passed
        await remote.prepare()
        for operation in (
            lambda: remote.branches("refs/heads/*"),
            lambda: remote.fetch("refs/heads/main"),
            lambda: remote.push("HEAD:refs/heads/main", lease="refs/heads/main:"),
        ):
            with pytest.raises(RateLimitedError) as again:
                operation()
            assert str(again.value) == sentence
    assert len(reached.hosted.requests) == requests, "it was left alone"
    clock.seconds += 1.5
    assert remote.branches("refs/heads/*") == {}


async def test_what_is_kept_of_the_way_there_has_headers_and_neither_content_nor_credentials(
    reached: Reached,
) -> None:
    await append(reached.open().track(CLUSTER_UUID), make_snapshot(make_app()), None)
    repository, url = Repository(reached.cache), checked_url(reached.hosted.url)
    blob = git(reached.cache, "hash-object", "-w", "--stdin", stdin=os.urandom(200_000).hex()).strip()
    git(reached.cache, "update-ref", "refs/x", blob)
    credentials = credentials_of(reached.good, url, "x")
    with session(url, credentials, Access(), None) as opened:
        repository.run("push", "--quiet", url.text, "refs/x:refs/tags/x", around=opened.around)
        trace = opened.trace
    assert "Send header: GET /team/" in trace
    assert last_response(trace)[0] == HTTPStatus.OK
    for secret in (LOGIN.password, credentials.authorization.removeprefix("Basic ")):
        assert secret not in trace
