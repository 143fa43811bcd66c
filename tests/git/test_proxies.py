"""git through a proxy, as the environment says; its credentials are never said. The Kubernetes API without.

The host ``git.example`` exists for nobody but the proxy: what reaches it went through there.
"""

import json
from pathlib import Path

import pytest

from reconciler.errors import CredentialsError, KubernetesError, StoreError
from reconciler.kube.client import Client
from reconciler.settings import load
from reconciler.state.git.network.access import Timeouts
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.git.actions import append
from tests.git.reached import Reached, over_https, over_ssh
from tests.git.servers.certificates import Authority
from tests.git.servers.hosting import Hosted, Login
from tests.git.servers.https import HttpsServer
from tests.git.servers.proxy import ConnectProxy, silence
from tests.git.servers.ssh import SshServer

LOGIN = Login("proxy-user", "canary:proxy/p@ss%word")
QUOTED = "canary%3Aproxy%2Fp%40ss%25word"


@pytest.fixture
def reached(https_repository: Hosted, authority: Authority, tmp_path: Path) -> Reached:
    return over_https(https_repository, tmp_path, authority)


@pytest.fixture
def far(reached: Reached, https_server: HttpsServer, proxy: ConnectProxy) -> str:
    """The repository's URL as only the proxy can reach it."""
    proxy.routes["git.example:443"] = https_server.port
    return reached.hosted.url.replace(f"127.0.0.1:{https_server.port}", "git.example")


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_https_goes_through_the_proxy_of_the_environment(
    reached: Reached, far: str, proxy: ConnectProxy, name: str
) -> None:
    store = reached.open(url=far, proxy=load({name: proxy.url}).proxy)
    await append(store.track(CLUSTER_UUID), make_snapshot(make_app()), None)
    assert {tunnel.target for tunnel in proxy.tunnels} == {"git.example:443"}
    assert all("authorization" not in tunnel.headers for tunnel in proxy.tunnels), (
        "the forge's, not the proxy's"
    )
    assert reached.hosted.pushes


async def test_a_proxy_that_wants_credentials_gets_those_of_its_url(
    reached: Reached, far: str, proxy: ConnectProxy
) -> None:
    proxy.login = LOGIN
    url = proxy.url.replace("//", f"//{LOGIN.user}:{QUOTED}@")
    store = reached.open(url=far, proxy=load({"HTTPS_PROXY": url}).proxy)
    assert await store.track(CLUSTER_UUID).tip() is None
    assert proxy.tunnels[-1].opened
    for wrong in (proxy.url, url.replace(LOGIN.user, "somebody")):
        with pytest.raises(CredentialsError) as refused:
            await reached.open(url=far, proxy=load({"HTTPS_PROXY": wrong}).proxy).track(CLUSTER_UUID).tip()
        assert str(refused.value) == (
            "the proxy on the way to git.example does not accept us: put its user and password into"
            " HTTPS_PROXY, as http://USER:PASSWORD@HOST:PORT"
        )


@pytest.mark.parametrize("exceptions", ["127.0.0.1", "other.example,127.0.0.1", "*"])
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
async def test_hosts_of_no_proxy_are_reached_without(
    reached: Reached, proxy: ConnectProxy, exceptions: str, name: str
) -> None:
    settings = load({"HTTPS_PROXY": proxy.url, name: exceptions})
    assert await reached.open(proxy=settings.proxy).track(CLUSTER_UUID).tip() is None
    assert proxy.tunnels == []


async def test_other_hosts_than_those_of_no_proxy_are_reached_through_it(
    reached: Reached, far: str, proxy: ConnectProxy
) -> None:
    settings = load({"HTTPS_PROXY": proxy.url, "NO_PROXY": "127.0.0.1,.svc"})
    assert await reached.open(url=far, proxy=settings.proxy).track(CLUSTER_UUID).tip() is None
    assert proxy.tunnels


async def test_what_is_wrong_with_a_proxy_is_said_without_its_credentials(
    reached: Reached, far: str, proxy: ConnectProxy
) -> None:
    proxy.routes.clear()
    with silence() as port:
        for url, says in (
            (f"http://u:{QUOTED}@127.0.0.1:1", "cannot be reached: Failed to connect to 127.0.0.1 port 1"),
            (
                f"http://u:{QUOTED}@proxy.invalid:1",
                "the proxy proxy.invalid is not known: correct HTTPS_PROXY",
            ),
            (
                proxy.url.replace("//", f"//u:{QUOTED}@"),
                "the proxy gives no way to git.example .*: let it, or",
            ),
            (f"http://u:{QUOTED}@127.0.0.1:{port}", "did not answer within 2 seconds"),
        ):
            settings = load({"HTTPS_PROXY": url})
            store = reached.open(url=far, proxy=settings.proxy, timeouts=Timeouts(answer=2.0))
            with pytest.raises(StoreError, match=says) as failed:
                await store.track(CLUSTER_UUID).tip()
            assert "canary" not in str(failed.value)
            assert "canary" not in repr(settings)


async def test_ssh_takes_a_proxy_command_and_no_other_proxy(
    ssh_repository: Hosted, ssh_server: SshServer, proxy: ConnectProxy, tmp_path: Path
) -> None:
    reached = over_ssh(ssh_repository, tmp_path, ssh_server)
    direct = load({"HTTPS_PROXY": proxy.url, "ALL_PROXY": proxy.url}).proxy
    assert await reached.open(proxy=direct).track(CLUSTER_UUID).tip() is None
    assert proxy.tunnels == []
    proxy.routes["git.example:22"] = ssh_server.port
    tunnel = tmp_path / "tunnel.py"
    tunnel.write_text(_CONNECT)
    command = f"python3 '{tunnel}' {proxy.port} %h:%p"
    key = ssh_server.known_hosts.partition(" ")[2]
    reached.secret.data = {**reached.good, "known_hosts": f"git.example {key}".encode()}
    url = reached.hosted.url.replace(f"127.0.0.1:{ssh_server.port}", "git.example")
    store = reached.open(url=url, proxy=load({"HOSSTED_SSH_PROXY_COMMAND": command}).proxy)
    await append(store.track(CLUSTER_UUID), make_snapshot(make_app()), None)
    assert {tunnel.target for tunnel in proxy.tunnels} == {"git.example:22"}


# As `nc -X connect -x 127.0.0.1:PORT HOST PORT`.
_CONNECT = """
import os, selectors, socket, sys
far = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
far.sendall(f"CONNECT {sys.argv[2]} HTTP/1.1\\r\\n\\r\\n".encode())
answer = b""
while not answer.endswith(b"\\r\\n\\r\\n"):
    answer += far.recv(1)
assert b" 200 " in answer
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


@pytest.fixture
def kubeconfig(https_server: HttpsServer, authority: Authority, tmp_path: Path) -> Path:
    """Of a cluster whose API server is the server of this test: it is none, and tells what it was asked."""
    cluster = {"server": https_server.url, "certificate-authority": str(authority.file)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(config))
    return file


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_the_kubernetes_api_is_not_reached_through_the_environments_proxy(
    proxy: ConnectProxy,
    https_server: HttpsServer,
    kubeconfig: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    for other in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, proxy.url)
    https_server.strays.clear()
    client = Client.connect(kubeconfig=kubeconfig)
    with pytest.raises(KubernetesError):
        await client.get("/api/v1/namespaces")
    client.close()
    assert proxy.tunnels == []
    assert [request.path for request in https_server.strays] == ["/api/v1/namespaces"]
