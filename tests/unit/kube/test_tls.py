"""Whom the API server's certificate must be of, and what is read for it, over real TLS."""

import asyncio
import json
import ssl
from pathlib import Path

import pytest

from reconciler.errors import KubernetesError
from reconciler.kube.client import Client
from tests.git.servers.certificates import Authority
from tests.web.wire import answer, wire

ANSWER = answer(200, "{}")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def machine(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[ssl.SSLContext]:
    """The contexts into which the machine's authorities were read: the test's own is one of them."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    read: list[ssl.SSLContext] = []
    load = ssl.SSLContext.load_default_certs

    def noted(self: ssl.SSLContext, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        read.append(self)
        load(self, purpose)

    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", noted)
    return read


def client_of(url: str, folder: Path, **cluster: object) -> Client:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": url.removesuffix("/apps"), **cluster}}],
        "contexts": [{"name": "x", "context": {"cluster": "c"}}],
        "current-context": "x",
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    return Client.connect(kubeconfig=folder / "kubeconfig")


async def test_the_machines_authorities_are_read_once_for_all_connections(
    authority: Authority, machine: list[ssl.SSLContext], tmp_path: Path
) -> None:
    async with wire(ANSWER, tls=authority.server("127.0.0.1")) as served:
        client = client_of(served.url, tmp_path)
        await asyncio.gather(*(client.get("/version") for _ in range(3)))
        client.close()
    assert (len(served.requests), len(machine)) == (3, 1)


async def test_a_server_of_an_authority_that_the_machine_does_not_know_is_not_asked(
    machine: list[ssl.SSLContext], tmp_path: Path
) -> None:
    other = Authority(tmp_path, "Other authority").server("127.0.0.1")
    async with wire(ANSWER, tls=other) as served:
        with pytest.raises(KubernetesError, match=r"TLS with .* failed"):
            await client_of(served.url, tmp_path).get("/version")
    assert (served.requests, len(machine)) == ([], 1)


async def test_a_server_of_another_name_is_not_asked(
    authority: Authority, machine: list[ssl.SSLContext], tmp_path: Path
) -> None:
    async with wire(ANSWER, tls=authority.server("192.0.2.1")) as served:
        with pytest.raises(KubernetesError, match=r"TLS with .* failed"):
            await client_of(served.url, tmp_path).get("/version")
        named = client_of(served.url, tmp_path, **{"tls-server-name": "192.0.2.1"})
        assert await named.get("/version") == b"{}"
        named.close()
    assert len(machine) == 2


async def test_where_no_authority_is_asked_none_is_read(
    machine: list[ssl.SSLContext], tmp_path: Path
) -> None:
    other = Authority(tmp_path, "Other authority").server("127.0.0.1")
    async with wire(ANSWER, tls=other) as served:
        client = client_of(served.url, tmp_path, **{"insecure-skip-tls-verify": True})
        with pytest.warns(Warning, match="Unverified HTTPS request"):
            assert await client.get("/version") == b"{}"
        client.close()
    assert machine == []


async def test_of_a_cluster_with_an_authority_of_its_own_only_that_one_is_read_and_may_be_replaced(
    machine: list[ssl.SSLContext], tmp_path: Path
) -> None:
    first, second = Authority(tmp_path, "First authority"), Authority(tmp_path, "Second authority")
    file = tmp_path / "ca.crt"
    file.write_text(first.pem)
    async with wire(ANSWER, tls=second.server("127.0.0.1")) as served:
        client = client_of(served.url, tmp_path, **{"certificate-authority": str(file)})
        with pytest.raises(KubernetesError, match=r"TLS with .* failed"):
            await client.get("/version")
        file.write_text(second.pem)
        assert await client.get("/version") == b"{}"
        client.close()
    assert machine == []
