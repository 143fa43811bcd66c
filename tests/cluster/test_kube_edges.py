"""Our requests on the real API server: ConfigMaps, projects, the Lease, Events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from kubernetes.config import incluster_config

from reconciler.errors import (
    ConflictError,
    ForbiddenError,
    LeaseLostError,
    NotFoundError,
    SettingsError,
    TooLargeError,
)
from reconciler.kube.client import FIELD_MANAGER, Client
from reconciler.kube.configmaps import ConfigMap, ConfigMaps
from reconciler.kube.events import Events
from reconciler.kube.lease import Lease
from reconciler.kube.projects import PATH, Projects
from reconciler.kube.watch import changes
from reconciler.project import parse_project
from tests.controlplane.cluster import Cluster

CRD = Path(__file__).parents[2] / "config/crd/hossted.com_hosstedprojects.yaml"


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return Client.connect(kubeconfig=cluster.kubeconfig)


@pytest.fixture
def project(cluster: Cluster) -> dict[str, Any]:
    """A project that stops everything, so that whoever else looks leaves it alone."""
    cluster.kubectl("apply", "-f", str(CRD))
    cluster.kinds_served()
    metadata = {"name": cluster.namespace}
    body = {"apiVersion": "hossted.com/v1", "kind": "Hosstedproject", "metadata": metadata}
    cluster.apply({**body, "spec": {"stop": True}})
    found: dict[str, Any] = cluster.get("hosstedproject", cluster.namespace)
    return found


async def test_a_configmap_is_kept_by_compare_and_swap(cluster: Cluster, client: Client) -> None:
    access, where = ConfigMaps(client), cluster.namespace
    wanted = ConfigMap(
        "state", where, data={"text": "ä"}, binary_data={"bytes": b"\0\xff"}, labels={"part": "head"}
    )
    assert await access.get_config_map(where, "state") is None
    created = await access.create_config_map(wanted)
    assert created.managers == (FIELD_MANAGER,)
    assert msgspec.structs.replace(created, uid="", resource_version="", managers=()) == wanted
    assert await access.list_config_maps(where, "part in (head, tail)") == [created]
    with pytest.raises(ConflictError, match="already exists"):
        await access.create_config_map(wanted)
    replaced = await access.replace_config_map(msgspec.structs.replace(created, data={"text": "b"}))
    assert (replaced.data, replaced.uid) == ({"text": "b"}, created.uid)
    with pytest.raises(ConflictError, match="has been modified"):
        await access.replace_config_map(created)
    with pytest.raises(TooLargeError):
        await access.replace_config_map(msgspec.structs.replace(replaced, data={"text": "x" * 2**20}))
    with pytest.raises(ConflictError):
        await access.delete_config_map(where, "state", "another-uid")
    await access.delete_config_map(where, "state", created.uid)
    await access.delete_config_map(where, "state", created.uid)
    with pytest.raises(NotFoundError):
        await access.replace_config_map(replaced)


async def test_who_else_wrote_a_configmaps_data_is_known(cluster: Cluster, client: Client) -> None:
    access, where = ConfigMaps(client), cluster.namespace
    await access.create_config_map(ConfigMap("state", where, data={"a": "1"}))
    cluster.kubectl("label", "configmap", "state", "by=hand")
    labelled = await access.get_config_map(where, "state")
    assert labelled
    assert labelled.managers == (FIELD_MANAGER,)
    cluster.kubectl("patch", "configmap", "state", "-p", '{"data": {"b": "2"}}')
    patched = await access.get_config_map(where, "state")
    assert patched
    assert patched.managers == (FIELD_MANAGER, "kubectl-patch")


async def test_an_immutable_configmap_stays_as_it_is(cluster: Cluster, client: Client) -> None:
    access = ConfigMaps(client)
    kept = await access.create_config_map(
        ConfigMap("shard", cluster.namespace, binary_data={"z": b"1"}, immutable=True)
    )
    assert kept.immutable
    with pytest.raises(Exception, match="immutable"):
        await access.replace_config_map(msgspec.structs.replace(kept, binary_data={"z": b"2"}))


async def test_projects_are_listed_and_their_status_merged(
    cluster: Cluster, client: Client, project: dict[str, Any]
) -> None:
    projects, name = Projects(client), cluster.namespace
    await projects.patch_status(name, {"status": {"clusterUUID": "K-1", "email_id": "me@example.com"}})
    await projects.patch_status(name, {"status": {"clusterUUID": "K-2"}})
    (ours,) = [one for one in map(parse_project, await projects.list_projects()) if one.name == name]
    assert ours.uid == project["metadata"]["uid"]
    assert (ours.status.clusterUUID, ours.status.email_id) == ("K-2", "me@example.com")
    with pytest.raises(NotFoundError):
        await projects.patch_status("nobody", {"status": {"clusterUUID": "K-1"}})


async def test_the_loop_is_woken_by_spec_and_annotation_and_not_by_a_status_write(
    cluster: Cluster, client: Client, project: dict[str, Any]
) -> None:
    projects, name, last = Projects(client), cluster.namespace, f"{cluster.namespace}-last"
    async with aclosing(changes(client, PATH)) as stream:
        assert name in await anext(stream)
        for number in range(3):
            await projects.patch_status(name, {"status": {"clusterUUID": f"K-{number}"}})
        cluster.kubectl("annotate", "hp", name, "reconcile.fluxcd.io/requestedAt=now")
        cluster.kubectl("patch", "hp", name, "--type=merge", "-p", '{"spec": {"interval": "7m"}}')
        await projects.patch_status(name, {"status": {"clusterUUID": "K-9"}})
        cluster.kubectl("delete", "hp", name)
        cluster.apply({**project, "metadata": {"name": last}})
        woken = 0
        while last not in (names := await anext(stream)):
            woken += name in names
    async with aclosing(projects.changes()) as wakes:
        await anext(wakes)
        cluster.kubectl("delete", "hp", last)
        await anext(wakes)
    assert woken == 3  # the annotation, the spec, the deletion


async def test_the_lease_goes_from_one_to_the_next(cluster: Cluster, client: Client) -> None:
    first = Lease(client, cluster.namespace, "first")
    assert (await first.acquire()).renewed_before is None
    lease = cluster.get("lease", "hossted-reconciler")
    assert lease["spec"]["holderIdentity"] == "first"
    assert 50 < first.remaining() <= 55
    await first.release()
    assert "holderIdentity" not in cluster.get("lease", "hossted-reconciler")["spec"]
    found = await Lease(client, cluster.namespace, "second").acquire()
    assert found.released
    assert found.renewed_before
    spec = cluster.get("lease", "hossted-reconciler")["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("second", 1)


async def test_losing_the_lease_cancels_everything_of_its_task_group(
    cluster: Cluster, client: Client
) -> None:
    cancelled = False

    async def at_once(_: float) -> None:
        """The wait before a renewal, in no time."""

    async def work() -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    lease = Lease(client, cluster.namespace, "loser", sleep=at_once)
    await lease.acquire()
    cluster.kubectl(
        "patch", "lease", "hossted-reconciler", "--type=merge", "-p", '{"spec": {"holderIdentity": "winner"}}'
    )

    async def lead() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(work())
            tasks.create_task(lease.hold())

    with pytest.raises(ExceptionGroup) as caught:
        await lead()
    assert caught.group_contains(LeaseLostError)
    assert cancelled


async def test_an_event_shows_in_the_projects_description(
    cluster: Cluster, client: Client, project: dict[str, Any]
) -> None:
    events, uid = Events(client, "pod-1"), project["metadata"]["uid"]
    await events.emit(cluster.namespace, uid, "Warning", "Stalled", "somebody must see to it " + "→" * 1000)
    described = cluster.kubectl("describe", "hp", cluster.namespace)
    assert "Stalled" in described
    assert "somebody must see to it" in described


@pytest.fixture
def mounted(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Makes this process look as if it ran in a pod; mounts a token in it."""
    token, server = tmp_path / "token", urlsplit(cluster.server)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(server.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(cluster.ca_file))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    return lambda text: token.write_text(f"{text}\n")


async def test_inside_a_cluster_the_mounted_token_is_used_and_read_again_when_it_was_replaced(
    cluster: Cluster, mounted: Callable[[str], object]
) -> None:
    mounted("expired")
    client = Client.connect()
    mounted(cluster.token_for(cluster.namespace, "default"))
    with pytest.raises(ForbiddenError, match=f"system:serviceaccount:{cluster.namespace}:default"):
        await ConfigMaps(client).get_config_map(cluster.namespace, "any")


@pytest.mark.usefixtures("mounted")
def test_without_any_cluster_one_sentence_says_what_to_do() -> None:
    with pytest.raises(SettingsError, match=r"no cluster to connect to .*: set KUBECONFIG"):
        Client.connect()


async def test_what_is_not_permitted_is_an_error_that_names_it(cluster: Cluster) -> None:
    account = {"name": "nobody", "namespace": cluster.namespace}
    cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    client = Client.connect(kubeconfig=cluster.kubeconfig_for(cluster.namespace, "nobody"))
    with pytest.raises(ForbiddenError, match=r"configmaps is forbidden: User .*nobody.* cannot list"):
        await ConfigMaps(client).list_config_maps(cluster.namespace, "a=b")
