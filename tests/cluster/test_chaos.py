"""A short chaos: what `make bench ARGS=chaos` does for ten minutes, in a dozen operations with a fixed seed.

What happens when is the machine's to say; what must hold in the end is not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import ConflictError, KubernetesError
from reconciler.kube.client import Client
from reconciler.kube.configmaps import ConfigMap, ConfigMaps
from reconciler.kube.lease import Lease
from reconciler.kube.protobuf import packed
from reconciler.model import AppKey, emitted, encode
from reconciler.policy.entry import Entry, Sending
from reconciler.state.ledger.shards import SHARD_KEY, data_key, encode_entry
from tests.benchmarks.chaos.main import Plan, chaos
from tests.benchmarks.chaos.operated import STORES, StoreKind
from tests.benchmarks.chaos.witness import LEDGER, Witness
from tests.builders import make_app
from tests.cluster.chain import DEFAULT, SYSTEM
from tests.cluster.faulty_way import Asked, FaultyWay
from tests.controlplane.plane import ControlPlane


@pytest.fixture(scope="module")
def installed(controlplane: ControlPlane) -> Iterator[ControlPlane]:
    """A cluster of its own: others would notice that its API server is killed."""
    with controlplane.fork() as plane:
        plane.kubectl("apply", "-k", DEFAULT)
        plane.kubectl("delete", "deployment", "--all", "-n", SYSTEM, "--cascade=foreground")
        plane.kinds_served()
        plane.remember()
        yield plane


@pytest.mark.parametrize("store", STORES)
async def test_record_and_receiver_agree_with_helm_and_kubectl_whatever_broke(
    installed: ControlPlane, store: StoreKind
) -> None:
    installed.reset()
    plan = Plan(store, seed=14, operations=12, between=0.5, restarts=0.1, kills=0.2, most=4)
    toll = await chaos(installed, plan)
    assert toll.operations.total() == 12 - 3
    assert toll.faults["API server killed, etcd compacted"] == 1
    assert toll.faults["operator killed"] == 2
    assert toll.faults.total() > 3
    assert toll.results["revisions"] > 0
    assert toll.results["judged: requests"] > 0


async def test_a_write_that_is_lost_is_not_done_and_one_whose_answer_is_lost_is(
    installed: ControlPlane, tmp_path: Path
) -> None:
    installed.reset()
    async with FaultyWay(installed, tmp_path) as way:
        acted: list[int] = []
        way.acted = lambda asked, body, code: acted.append(code)
        client = Client.connect(kubeconfig=way.kubeconfig(installed.kubeconfig))
        maps = ConfigMaps(client)
        for answer in (False, True):
            way.lose(lambda asked: asked.is_write, answer=answer)
            with pytest.raises(KubernetesError, match="broke"):
                await maps.create_config_map(ConfigMap(name="sent", namespace="default", data={"a": "b"}))
            found = await maps.get_config_map("default", "sent")
            assert (found is not None) == answer
        assert acted == [201]
        with pytest.raises(ConflictError):
            await maps.create_config_map(ConfigMap(name="sent", namespace="default"))
        way.lie(lambda asked: asked.is_write, 500)
        with pytest.raises(KubernetesError, match="a lie of 500"):
            await maps.delete_config_map("default", "sent")
        way.out()
        with pytest.raises(KubernetesError):
            await maps.delete_config_map("default", "sent")
        way.back()
        await maps.delete_config_map("default", "sent")
        client.close()
    assert acted == [201, 409, 200]
    lost = {"write lost": 1, "answer to a write lost": 1, "500 for a write": 1, "outage": 1}
    assert {name: way.done[name] for name in lost} == lost


async def test_an_answer_that_breaks_off_in_its_head_is_a_failure_like_any_other(
    installed: ControlPlane, tmp_path: Path
) -> None:
    """To HTTP it is one of 200 without a body. What only reads may have been asked again."""
    installed.reset()
    async with FaultyWay(installed, tmp_path) as way:
        client = Client.connect(kubeconfig=way.kubeconfig(installed.kubeconfig))
        maps = ConfigMaps(client)
        kept = await maps.create_config_map(ConfigMap(name="kept", namespace="default"))
        asks: list[Callable[[], Awaitable[object]]] = [
            lambda: maps.get_config_map("default", "kept"),
            lambda: maps.list_config_maps("default", ""),
            lambda: maps.create_config_map(ConfigMap(name="new", namespace="default")),
            lambda: maps.replace_config_map(kept),
            Lease(client, "default", "somebody").acquire,
        ]
        for number, ask in enumerate(asks, 1):
            await client.get("/version")  # over the connection that is truncated then
            way.truncate()
            with suppress(KubernetesError):
                await ask()
            assert way.done["truncated"] == number
        client.close()


WEB = AppKey("default", "web")
KEYS = [f"019aa000-0000-7000-8000-00000000000{number}" for number in range(4)]


class Case:
    """A witness, and what it is shown."""

    def __init__(self) -> None:
        self.unknown = 0
        self.witness = Witness(lambda: self.unknown)
        self.witness.begins(WEB)
        self.app = make_app("default", "web", updated=datetime.now(UTC).isoformat())

    def marks(self, key: str, body: bytes) -> None:
        entry = encode_entry(Entry(sending=Sending(key, self.app, body.decode()), last_key=key))
        sent = packed("ConfigMap", data={SHARD_KEY: b"{}", data_key(WEB): entry.encode()})
        self.witness.wrote(Asked(f"{LEDGER}/x", "PUT"), sent, 200)

    def arrives(self, key: str, *, replicas: int = 1, uninstalled: bool = False, marked: bool = True) -> None:
        told = self.app.as_uninstalled() if uninstalled else self.app
        body = encode(emitted(told, f"{replicas}@example.com"))
        if marked:
            self.marks(key, body)
        self.witness.arrived(key, body)


def test_a_witness_finds_nothing_wrong_where_nothing_is() -> None:
    case = Case()
    case.arrives(KEYS[0])
    case.arrives(KEYS[0], marked=False)
    case.arrives(KEYS[1], replicas=2)
    case.arrives(KEYS[2])
    case.witness.ends(WEB)
    case.arrives(KEYS[3], uninstalled=True)
    assert case.witness.wrong == []
    assert case.witness.judged == {"requests": 5, "again under the same key": 1, "uninstalled": 1}


@pytest.mark.parametrize(
    ("arrivals", "wrong"),
    [
        ([{"key": KEYS[0], "marked": False}], "sent before it was marked so"),
        ([{"key": KEYS[0], "uninstalled": True}], "told uninstalled while it was there"),
        ([{"key": KEYS[0]}, {"key": KEYS[1]}], "the same again under another key"),
        ([{"key": KEYS[0]}, {"key": KEYS[0], "replicas": 2}], "other bytes under one key"),
        ([{"key": KEYS[1]}, {"key": KEYS[0], "replicas": 2}], "a key that is older than the last"),
    ],
)
def test_a_witness_finds_what_is_wrong(arrivals: list[dict[str, Any]], wrong: str) -> None:
    case = Case()
    for arrival in arrivals:
        case.arrives(**arrival)
    assert case.witness.wrong == [f"{wrong}: default/web"]
