"""Distinctive values are planted in every credential, and looked for wherever they must not be.

A user's name may be shown; a password, a token, a key, a passphrase and what is a proxy's may not, in any
form in which they can be read again. ``PLACES`` is the list of where is looked.
"""

import asyncio
import base64
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest

from reconciler.errors import ReconcilerError
from reconciler.model import encode
from reconciler.operator.conditions import conditions
from reconciler.operator.report import line, notices, status_of
from reconciler.operator.result import Failure, Result, Stage
from reconciler.project import Project
from reconciler.settings import Settings, load
from reconciler.state.git.network.credentials import credentials_of
from reconciler.state.git.network.url import checked_url
from reconciler.state.git.store import GitStore
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.git.actions import append
from tests.git.reached import Reached, over_https, over_ssh
from tests.git.servers.hosting import Key, Login, Rules, Token
from tests.git.servers.proxy import ConnectProxy
from tests.git.servers.ssh import KeyPair
from tests.git.watched import Watch


@dataclass
class Scene:
    """A repository that is reached with canaries. ``forms``: what must be found nowhere, by what it is."""

    reached: Reached
    settings: Settings
    proxy: ConnectProxy
    forms: Mapping[str, bytes]
    watch: Watch
    home: Path
    url: str
    error: ReconcilerError | None = None
    logged: str = ""

    def open(self) -> GitStore:
        return self.reached.open(url=self.url, proxy=self.settings.proxy)


def _canary(what: str) -> str:
    return f"canary-{what}-{uuid4().hex}"


def _forms(**secrets: str) -> Mapping[str, bytes]:
    """Each secret as it is, quoted for a URL, and in base64 at each of the three ways it can be aligned."""
    found = {}
    for name, secret in secrets.items():
        found[name] = secret.encode()
        found[f"{name} quoted"] = quote(secret, safe="").encode()
        for shift in range(3):
            encoded = base64.b64encode(b"x" * shift + secret.encode())
            found[f"{name} in base64, {shift}"] = encoded[4 if shift else 0 : -4]
    return found


def _lines_of(key: str) -> Iterator[str]:
    """The lines of a private key that are not the same in every key."""
    lines = [line for line in key.splitlines() if "-----" not in line]
    return iter(lines[2:] if len(lines) > 3 else lines[1:])


@pytest.fixture(params=["password", "token", "key", "key with a passphrase"])
def scene(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: ConnectProxy
) -> Scene:
    given = request.getfixturevalue
    kind: str = request.param
    folder = tmp_path / "place"
    folder.mkdir()
    proxy.login = Login("proxy-user", _canary("proxy"))
    api_token = _canary("api-token")
    secrets = {"proxy": proxy.login.password, "api": api_token}
    if kind in ("password", "token"):
        reached = over_https(given("https_repository"), folder, given("authority"))
        secret = _canary(kind)
        login = Login("canary-user", secret) if kind == "password" else Token(secret)
        reached.hosted.rules = Rules(accounts=(login,))
        data = {"username": b"canary-user", "password": secret.encode()}
        if kind == "token":
            data = {"bearerToken": secret.encode()}
        reached.good = {"ca.crt": reached.good["ca.crt"], **data}
        secrets[kind] = secret
        port = given("https_server").port
        proxy.routes["git.example:443"] = port
        url = reached.hosted.url.replace(f"127.0.0.1:{port}", "git.example")
    else:
        reached = over_ssh(given("ssh_repository"), folder, given("ssh_server"))
        passphrase = _canary("passphrase") if "passphrase" in kind else ""
        pair = KeyPair(passphrase=passphrase or None)
        reached.hosted.rules = Rules(accounts=(Key(pair.public),))
        reached.good = {**reached.good, "identity": pair.private.encode(), "password": passphrase.encode()}
        plain = credentials_of(reached.good, checked_url(reached.hosted.url), "").key
        secrets |= {f"line {number} of the key": text for number, text in enumerate(_lines_of(plain))}
        secrets |= {f"line {number} as given": text for number, text in enumerate(_lines_of(pair.private))}
        secrets |= {"passphrase": passphrase} if passphrase else {}
        url = reached.hosted.url
    reached.secret.data = reached.good
    watch, home = Watch(tmp_path / "watch"), tmp_path / "home"
    (home / "tmp").mkdir(parents=True)
    environment = {
        "HOSSTED_API_URL": "https://api.example",
        "HOSSTED_AUTH_TOKEN": api_token,
        "HTTPS_PROXY": proxy.url.replace("//", f"//{proxy.login.user}:{proxy.login.password}@"),
    }
    traps = {
        "GIT_TRACE": str(home / "trace"),
        "GIT_TRACE_CURL": str(home / "trace-curl"),
        "GIT_TRACE_REDACT": "0",
        "GIT_CURL_VERBOSE": "1",
        "GIT_SSL_NO_VERIFY": "1",
        "GIT_ASKPASS": "/bin/true",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "credential.helper",
        "GIT_CONFIG_VALUE_0": "store",
        "SSH_AUTH_SOCK": str(home / "agent"),
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "PATH": watch.path,
    }
    for name, value in (environment | traps).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", str(home / "tmp"))  # found once, and kept
    return Scene(reached, load(environment), proxy, _forms(**secrets), watch, home, url)


def _files(folder: Path) -> bytes:
    """Every file below a folder, and every object of the repositories there, unpacked."""
    found = [f"{file}\n".encode() + file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    for head in folder.rglob("*.git/HEAD"):
        command = ["git", f"--git-dir={head.parent}", "cat-file", "--batch-all-objects", "--batch"]
        found.append(subprocess.run(command, capture_output=True, check=True, env={}).stdout)
    return b"\n".join(found)


def _said_of(error: BaseException | None) -> str:
    """All that an error and what caused it hold."""
    if error is None:
        return ""
    here = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)) + repr(error.args)
    return here + _said_of(error.__cause__) + _said_of(error.__context__)


def _result(scene: Scene) -> Result:
    failure = Failure.of(Stage.RECORD, scene.error) if scene.error is not None else None
    return Result(at=datetime.now(UTC), generation=1, failure=failure)


def _status(scene: Scene) -> bytes:
    return encode(status_of(Project(name="hossted"), _result(scene), "a@example.org"))


def _values(scene: Scene) -> str:
    url = checked_url(scene.url)
    store = scene.open()
    return repr([scene.settings, credentials_of(scene.reached.good, url, "x"), store, vars(store)["_remote"]])


def _requests(scene: Scene) -> str:
    return repr([(request.method, request.path, request.size) for request in scene.reached.hosted.requests])


def _tunnels(scene: Scene) -> str:
    """But for the one header that is meant for the proxy."""
    return repr(
        [
            (
                one.target,
                {name: value for name, value in one.headers.items() if name != "proxy-authorization"},
            )
            for one in scene.proxy.tunnels
        ]
    )


PLACES: Mapping[str, Callable[[Scene], bytes | str]] = {
    "arguments and environments of all programs, while they ran": lambda scene: scene.watch.seen,
    "the clone: configuration, refs, reflogs, FETCH_HEAD, objects": lambda scene: _files(
        scene.reached.folder
    ),
    "the repository on the server": lambda scene: _files(scene.reached.hosted.path.parent),
    "URLs that the server was asked for": _requests,
    "what the proxy was told": _tunnels,
    "the home folder and temporary files": lambda scene: _files(scene.home),
    "shared memory": lambda _: _files(Path("/dev/shm")),
    "the log, at DEBUG": lambda scene: scene.logged,
    "the error, its causes, their arguments and attributes": lambda scene: _said_of(scene.error),
    "the error's message": lambda scene: str(scene.error),
    "values, as they show themselves": _values,
    "conditions": lambda scene: repr(conditions(_result(scene))),
    "the status": _status,
    "Events": lambda scene: repr(notices(None, _result(scene))),
    "the line in the log": lambda scene: line(_result(scene)),
}


def look_everywhere(scene: Scene) -> None:
    found = []
    for place, look in PLACES.items():
        there = look(scene)
        content = there.encode() if isinstance(there, str) else there
        found += [f"{what} is in {place}" for what, form in scene.forms.items() if form in content]
    assert found == []


async def _record(store: GitStore) -> None:
    await append(store.track(CLUSTER_UUID), make_snapshot(make_app()), None)
    await store.track(CLUSTER_UUID).tip()


async def _attempt(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Record once, watched; what goes wrong is kept."""
    with caplog.at_level(logging.DEBUG), scene.watch.looking():
        try:
            await _record(scene.open())
        except ReconcilerError as error:
            scene.error = error
    scene.logged = caplog.text
    assert {"git", "env"} <= scene.watch.programs
    assert ("ssh" in scene.watch.programs) == scene.url.startswith("ssh:")


async def test_nothing_is_seen_of_credentials_that_work(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await _attempt(scene, caplog)
    assert scene.error is None
    assert scene.reached.hosted.pushes
    look_everywhere(scene)


async def test_nothing_is_seen_of_credentials_that_are_refused(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.reached.hosted.rules = Rules(accounts=(Key(KeyPair().public), Login("other", "other")))
    await _attempt(scene, caplog)
    assert scene.error is not None
    assert scene.error.reason == "CredentialsRefused" or "not shown to" in str(scene.error)
    look_everywhere(scene)


async def test_nothing_is_seen_of_credentials_that_a_proxy_or_a_server_repeats(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """A server may say anything: even what it was sent."""
    hook = scene.reached.hosted.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    secrets = b" ".join(
        form for name, form in scene.forms.items() if name.split()[-1] in ("password", "token")
    )
    hook.write_text(f"#!/bin/sh\necho 'you said: {secrets.decode()} to me' >&2\nexit 1\n")
    hook.chmod(0o755)
    await _attempt(scene, caplog)
    hook.unlink()
    assert scene.error is not None
    assert scene.error.reason == "WriteRefused"
    look_everywhere(scene)


async def test_nothing_is_seen_while_it_hangs_nor_after_it_was_cancelled(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.reached.hosted.rules = Rules(accounts=scene.reached.hosted.rules.accounts, hangs=True)
    with caplog.at_level(logging.DEBUG):
        task = asyncio.create_task(scene.open().track(CLUSTER_UUID).tip())
        assert await asyncio.to_thread(scene.reached.hosted.arrived.wait, 60)
        scene.watch.look()
        helper = b"ssh" if scene.url.startswith("ssh:") else b"remote-https"
        assert helper in scene.watch.seen, "git's own children were seen"
        look_everywhere(scene)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    scene.logged = caplog.text
    look_everywhere(scene)


_KILLED = """
import asyncio, json, sys
from pathlib import Path
from reconciler.settings import load
from reconciler.state.git.store import open_git_store
from reconciler.state.git.network.access import Access, Given
said = json.loads(sys.stdin.read())
store = open_git_store(
    path=Path(said["cache"]), url=said["url"], branch="main",
    access=Access(Given("x", {k: v.encode() for k, v in said["data"].items()}), load(said["env"]).proxy),
)
asyncio.run(store.track(said["cluster"]).tip())
"""


def test_nothing_is_left_behind_by_a_process_that_was_killed(scene: Scene) -> None:
    scene.reached.hosted.rules = Rules(accounts=scene.reached.hosted.rules.accounts, hangs=True)
    said = {
        "cache": str(scene.reached.cache),
        "url": scene.url,
        "cluster": CLUSTER_UUID,
        "data": {name: value.decode() for name, value in scene.reached.good.items()},
        "env": {"HTTPS_PROXY": scene.settings.proxy.https},
    }
    surroundings = {
        name: value for name, value in os.environ.items() if name not in ("HOSSTED_AUTH_TOKEN", "HTTPS_PROXY")
    }
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=surroundings
    ) as child:
        assert child.stdin is not None
        child.stdin.write(json.dumps(said).encode())
        child.stdin.close()
        assert scene.reached.hosted.arrived.wait(60)
        scene.watch.look()
        child.send_signal(signal.SIGKILL)
        child.wait()
        scene.watch.look()  # git goes on without its parent until its server answers
        look_everywhere(scene)
        scene.reached.hosted.close()


def test_the_canaries_would_be_found(scene: Scene) -> None:
    """In each form, at any place in a longer text: or else the tests above prove nothing."""
    for secret in {
        form for name, form in scene.forms.items() if "base64" not in name and "quoted" not in name
    }:
        basic = base64.b64encode(b"user:" + secret)
        for text in (
            b"x " + secret,
            b"https://u:" + quote(secret, safe="").encode() + b"@h",
            b"Basic " + basic,
        ):
            assert any(form in text for form in scene.forms.values()), text
