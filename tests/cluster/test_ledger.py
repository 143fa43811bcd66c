"""The ledger on the real API server: what its field managers and UIDs tell, crashes, rights."""

import json
from collections.abc import Callable
from functools import cache
from random import Random
from string import ascii_letters
from typing import Any

import pytest

from reconciler.errors import LedgerError
from reconciler.kube.client import Client
from reconciler.kube.configmaps import ConfigMaps
from reconciler.model import AppKey
from reconciler.policy.entry import Entry, LedgerFacts, Sending
from reconciler.state.ledger.configmaps import ConfigMapLedger
from tests.builders import make_app
from tests.controlplane.cluster import Cluster
from tests.unit.state.configmap_standin import CrashError, Faulty

APP = make_app()
FACTS = LedgerFacts(cluster_uuid="K-1", instances=("i1",), endpoint="https://api.example/apps")


@cache
def bulky(mark: str) -> Entry:
    """An entry of 4 kB however it is packed: nine of them split a shard."""
    noise = "".join(Random(mark).choices(ascii_letters, k=3_100))
    return Entry(sending=Sending(mark, APP, mark + noise), last_key=mark)


def key(number: int) -> AppKey:
    return AppKey("default", f"app-{number}")


ENTRIES = {key(number): bulky("a") for number in range(12)}
CHANGED = {key(number): bulky("b") for number in range(12)}


@pytest.fixture
def access(cluster: Cluster) -> ConfigMaps:
    return ConfigMaps(Client.connect(kubeconfig=cluster.kubeconfig))


@pytest.fixture
def open_ledger(access: ConfigMaps, cluster: Cluster) -> Callable[[], ConfigMapLedger]:
    """Opens the ledger as a program that has just started does."""
    return lambda: ConfigMapLedger(access, cluster.namespace)


async def settled(open_ledger: Callable[[], ConfigMapLedger]) -> None:
    await open_ledger().write(ENTRIES, FACTS)
    assert not (await open_ledger().settle_suspicion()).suspect


def shard_names(cluster: Cluster) -> list[str]:
    items = cluster.get("configmaps", "-l", "hossted.com/state=ledger")
    return sorted(item["metadata"]["name"] for item in items if item["metadata"]["name"] != "hossted-ledger")


def backup(cluster: Cluster, name: str) -> dict[str, Any]:
    """A ConfigMap as backup tools keep it: without what is the server's."""
    item: dict[str, Any] = cluster.get("configmap", name)
    for field in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        item["metadata"].pop(field, None)
    return item


def restore(cluster: Cluster, name: str) -> None:
    item = backup(cluster, name)
    cluster.kubectl("delete", "configmap", name)
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(item))


def a_value(cluster: Cluster, name: str) -> tuple[str, str]:
    """A key of a ConfigMap, and its value with a blank more: the same to a reader, another to the server."""
    name, text = max(cluster.get("configmap", name)["data"].items())
    return name, f"{text} "


def patch(cluster: Cluster, name: str) -> None:
    data = dict([a_value(cluster, name)])
    cluster.kubectl("patch", "configmap", name, "--type=merge", "-p", json.dumps({"data": data}))


def edit(cluster: Cluster, name: str) -> None:
    # What kubectl edit does once the editor is closed.
    data = dict([a_value(cluster, name)])
    patch = json.dumps({"data": data})
    cluster.kubectl("patch", "configmap", name, "--field-manager=kubectl-edit", "--type=merge", "-p", patch)


def apply(cluster: Cluster, name: str) -> None:
    item = backup(cluster, name)
    item["data"] |= [a_value(cluster, name)]
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(item))


def apply_server_side(cluster: Cluster, name: str) -> None:
    item = backup(cluster, name)
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(item))


def replace(cluster: Cluster, name: str) -> None:
    item = backup(cluster, name)
    item["data"] |= [a_value(cluster, name)]
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(item))


def delete(cluster: Cluster, name: str) -> None:
    cluster.kubectl("delete", "configmap", name)


async def test_what_is_written_and_split_is_read_back(
    open_ledger: Callable[[], ConfigMapLedger], cluster: Cluster
) -> None:
    await settled(open_ledger)
    view = await open_ledger().load()
    assert (view.entries, view.facts, view.suspect) == (ENTRIES, FACTS, False)
    assert len(shard_names(cluster)) >= 3, "a branch and its leaves"


@pytest.mark.parametrize(
    ("tamper", "where"),
    [
        *((tamper, "leaf") for tamper in (restore, patch, edit, apply, apply_server_side, replace, delete)),
        *((tamper, "facts") for tamper in (restore, patch, apply_server_side, delete)),
        *((tamper, "branch") for tamper in (restore, patch, delete)),
    ],
)
async def test_a_ledger_that_somebody_else_wrote_is_suspect_until_settled_and_then_notices_the_next(
    open_ledger: Callable[[], ConfigMapLedger],
    cluster: Cluster,
    tamper: Callable[[Cluster, str], None],
    where: str,
) -> None:
    await settled(open_ledger)
    branch, *leaves = shard_names(cluster)
    name = {"facts": "hossted-ledger", "branch": branch, "leaf": leaves[0]}[where]
    for _ in range(2):
        tamper(cluster, name)
        ledger = open_ledger()
        assert (await ledger.load()).suspect
        assert (await ledger.write(CHANGED)).suspect
        assert (await open_ledger().load()).suspect
        await ledger.settle_suspicion()
        view = await open_ledger().load()
        assert (view.entries, view.suspect) == (CHANGED, False)


async def test_labels_and_annotations_of_others_are_no_reason_for_suspicion(
    open_ledger: Callable[[], ConfigMapLedger], cluster: Cluster
) -> None:
    await settled(open_ledger)
    for name in ("hossted-ledger", *shard_names(cluster)):
        cluster.kubectl("label", "configmap", name, "team=a")
        cluster.kubectl("annotate", "configmap", name, "seen=yes")
    assert not (await open_ledger().load()).suspect
    assert not (await open_ledger().write(CHANGED)).suspect


@pytest.mark.parametrize("made", [False, True], ids=["not made", "made, not answered"])
async def test_a_crash_at_any_request_of_a_split_loses_nothing_and_is_no_reason_for_suspicion(
    access: ConfigMaps, cluster: Cluster, made: bool
) -> None:
    before = {key(number): bulky("a") for number in range(8)}
    at, total = 0, 1
    while at < total:
        name = f"ledger-{at}"
        await ConfigMapLedger(access, cluster.namespace, name).write(before)
        await ConfigMapLedger(access, cluster.namespace, name).settle_suspicion()
        faulty = Faulty(access, at, made=made)
        with pytest.raises(CrashError):
            await ConfigMapLedger(faulty, cluster.namespace, name).write(CHANGED)
        view = await ConfigMapLedger(access, cluster.namespace, name).load()
        assert not view.suspect
        total = 2 * 2 + 1  # two children created and filled, and the branch
        assert view.entries == (CHANGED if made and at == total - 1 else before)
        assert (await ConfigMapLedger(access, cluster.namespace, name).write(CHANGED)).entries == CHANGED
        assert (await ConfigMapLedger(access, cluster.namespace, name).load()).entries == CHANGED
        at += 1


async def test_of_two_writers_one_loses(open_ledger: Callable[[], ConfigMapLedger]) -> None:
    await settled(open_ledger)
    mine, others = open_ledger(), open_ledger()
    await mine.load()
    await others.load()
    await mine.write({key(0): bulky("m")})
    with pytest.raises(LedgerError, match="somebody else wrote in between"):
        await others.write({key(0): bulky("o")})
    assert (await others.load()).entries[key(0)] == bulky("m")


async def test_a_hundred_apps_of_a_shard_are_marked_by_one_request(
    access: ConfigMaps, cluster: Cluster, controlplane_mark: Callable[[], list[str]]
) -> None:
    ledger = ConfigMapLedger(access, cluster.namespace)
    await ledger.write({key(number): Entry(last_key="1") for number in range(100)}, FACTS)
    await ledger.settle_suspicion()
    assert len({ledger.shard_of(key(number)) for number in range(100)}) == 1
    controlplane_mark()
    await ledger.write({key(number): Entry(last_key="2") for number in range(100)})
    assert controlplane_mark() == ["update"]


@pytest.fixture
def controlplane_mark(cluster: Cluster) -> Callable[[], list[str]]:
    """The verbs of the requests on this namespace's ConfigMaps since the last call."""
    marks = [cluster.mark()]

    def since() -> list[str]:
        events = cluster.api_requests(since=marks[-1], user_agent="hossted")
        marks.append(cluster.mark())
        return [event.verb for event in events if event.namespace == cluster.namespace]

    return since


async def test_rights_on_the_configmaps_of_one_namespace_are_enough(cluster: Cluster) -> None:
    name = "ledger-keeper"
    verbs = ["get", "list", "create", "update", "delete"]
    cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": name},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": cluster.namespace}],
        },
    )
    kubeconfig = cluster.kubeconfig_for(cluster.namespace, name)
    ledger = ConfigMapLedger(ConfigMaps(Client.connect(kubeconfig=kubeconfig)), cluster.namespace)
    await ledger.write(ENTRIES, FACTS)
    await ledger.settle_suspicion()
    patch(cluster, "hossted-ledger")
    await ledger.load()
    view = await ledger.settle_suspicion()
    assert (view.entries, view.suspect) == (ENTRIES, False)
    elsewhere = ConfigMapLedger(ConfigMaps(Client.connect(kubeconfig=kubeconfig)), "default")
    with pytest.raises(LedgerError, match="forbidden"):
        await elsewhere.load()
