"""What is ssh's own: keys of all kinds, passphrases, and whose host key is trusted."""

import shutil
from pathlib import Path

import pytest

from reconciler.errors import CredentialsError, StoreError, UntrustedError
from reconciler.settings import ProxySettings
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.git.actions import append
from tests.git.reached import SHORT, Reached, over_ssh
from tests.git.servers.hosting import Hosted, Key, Rules
from tests.git.servers.proxy import silence
from tests.git.servers.ssh import ALGORITHMS, KeyPair, SshServer

PASSPHRASE = "correct horse battery"


@pytest.fixture
def reached(ssh_repository: Hosted, ssh_server: SshServer, tmp_path: Path) -> Reached:
    return over_ssh(ssh_repository, tmp_path, ssh_server)


@pytest.mark.parametrize(
    ("name", "algorithm", "passphrase"),
    [
        *(("identity", algorithm, "") for algorithm in ALGORITHMS),
        ("sshPrivateKey", ALGORITHMS[0], ""),
        ("identity", ALGORITHMS[0], PASSPHRASE),
    ],
)
async def test_each_kind_of_key_works(
    reached: Reached, ssh_server: SshServer, name: str, algorithm: str, passphrase: str
) -> None:
    pair = KeyPair(algorithm, passphrase or None)
    reached.hosted.rules = Rules(accounts=(Key(pair.public),))
    reached.secret.data = {
        name: pair.private.encode(),
        "identity.pub": pair.public.encode(),
        "known_hosts": ssh_server.known_hosts.encode(),
        "password": passphrase.encode(),
    }
    assert await reached.open().track(CLUSTER_UUID).tip() is None
    assert ssh_server.offered[-1] == pair.public


async def test_only_the_secrets_key_is_offered(
    reached: Reached, ssh_server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".ssh"
    folder.mkdir()
    KeyPair().write(folder / "id_ed25519")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    ssh_server.offered.clear()
    await reached.open().track(CLUSTER_UUID).tip()
    assert set(ssh_server.offered) == {ssh_server.client.public}


async def test_a_url_without_a_user_means_git(reached: Reached) -> None:
    store = reached.open(url=reached.hosted.url.replace("git@", ""))
    assert await store.track(CLUSTER_UUID).tip() is None
    reached.secret.data = {**reached.good, "username": b"jo"}
    with pytest.raises(CredentialsError, match="does not accept the key of the Secret ns/git"):
        await store.track(CLUSTER_UUID).tip()


async def test_ssh_wants_a_secret(reached: Reached) -> None:
    with pytest.raises(CredentialsError) as none:
        await reached.open(anonymous=True).track(CLUSTER_UUID).tip()
    assert str(none.value) == (
        f"the state repository {reached.hosted.url} wants a key: put it and the host's known_hosts in a"
        " Secret, and name that in spec.state.git.secretRef"
    )


@pytest.mark.parametrize(
    "known",
    ["{elsewhere}", "git.example {other}\n", "127.0.0.1 {other}\n"],
    ids=["a comment", "another host", "another port"],
)
async def test_a_host_key_that_is_not_known_is_refused_and_the_key_not_offered(
    reached: Reached, ssh_server: SshServer, known: str
) -> None:
    text = known.format(other=KeyPair().public, elsewhere=f"git.example {KeyPair().public}\n# nothing else\n")
    reached.secret.data = {**reached.good, "known_hosts": text.encode()}
    ssh_server.offered.clear()
    store = reached.open()
    with pytest.raises(UntrustedError) as unknown:
        await store.track(CLUSTER_UUID).tip()
    assert str(unknown.value) == (
        "the host key of 127.0.0.1 is not in known_hosts of the Secret ns/git: add its line there, once it is"
        " sure that it is the host's"
    )
    assert ssh_server.offered == []
    reached.secret.data = reached.good
    assert await store.track(CLUSTER_UUID).tip() is None


async def test_a_host_key_that_changed_is_refused_until_a_person_says_otherwise(
    reached: Reached, ssh_server: SshServer
) -> None:
    store = reached.open()
    first = await append(store.track(CLUSTER_UUID), make_snapshot(make_app()), None)
    before = ssh_server.host_keys
    ssh_server.use_host_keys(KeyPair())
    try:
        ssh_server.offered.clear()
        for _ in range(2):  # not even the second time
            with pytest.raises(UntrustedError) as changed:
                await store.track(CLUSTER_UUID).tip()
        assert str(changed.value) == (
            "127.0.0.1 has another host key than known_hosts in the Secret ns/git says: somebody may be in"
            " between; if its key was changed, put the new line there"
        )
        assert ssh_server.offered == []
        reached.secret.data = {**reached.good, "known_hosts": ssh_server.known_hosts.encode()}
        assert await store.track(CLUSTER_UUID).tip() == first
    finally:
        ssh_server.use_host_keys(*before)


async def test_a_revoked_host_key_is_refused(reached: Reached, ssh_server: SshServer) -> None:
    line = ssh_server.known_hosts
    reached.secret.data = {**reached.good, "known_hosts": f"{line}@revoked {line}".encode()}
    with pytest.raises(
        UntrustedError, match=r"the host key of 127\.0\.0\.1 is marked as revoked in known_hosts of"
    ):
        await reached.open().track(CLUSTER_UUID).tip()


async def test_hosts_that_are_not_there_or_never_speak_are_named(reached: Reached) -> None:
    with silence() as port:
        for url, says in (
            (f"ssh://git@127.0.0.1:{port}/x.git", "does not answer: nothing came for 1 seconds"),
            ("ssh://git@nowhere.invalid/x.git", "the host nowhere.invalid is not known"),
            ("ssh://git@127.0.0.1:1/x.git", "cannot be reached: 127.0.0.1 port 1: Connection refused; see"),
        ):
            with pytest.raises(StoreError, match=says):
                await reached.open(url=url, timeouts=SHORT).track(CLUSTER_UUID).tip()


async def test_a_proxy_command_is_run_and_what_it_says_is_passed_on(reached: Reached, tmp_path: Path) -> None:
    said = tmp_path / "asked"
    tunnel = tmp_path / "tunnel.py"
    tunnel.write_text(_TUNNEL)
    command = f'python3 "{tunnel}" %h %p "{said}"'
    store = reached.open(proxy=ProxySettings(ssh_command=command))
    assert await store.track(CLUSTER_UUID).tip() is None
    host, port = said.read_text().split()
    assert reached.hosted.url.startswith(f"ssh://git@{host}:{port}/")
    broken = reached.open(proxy=ProxySettings(ssh_command="no-such-program-at-all %h %p"))
    with pytest.raises(StoreError, match=r"the connection to the state repository .* broke"):
        await broken.track(CLUSTER_UUID).tip()


_TUNNEL = """
import os, selectors, socket, sys
host, port, said = sys.argv[1:]
open(said, "w").write(f"{host} {port}")
far = socket.create_connection((host, int(port)))
with selectors.DefaultSelector() as selector:
    selector.register(0, selectors.EVENT_READ)
    selector.register(far, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            piece = os.read(0, 65536) if key.fd == 0 else far.recv(65536)
            if not piece:
                sys.exit()
            far.sendall(piece) if key.fd == 0 else os.write(1, piece)
"""


async def test_a_missing_ssh_is_named(
    reached: Reached, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "env"):
        (programs / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(StoreError, match="a program is missing here: install openssh-client for ssh://"):
        await reached.open().track(CLUSTER_UUID).tip()
