"""What the chain says to others: the original's JSON to the API, few requests to the cluster, no secrets."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.chain import EMAIL, SYSTEM, Chain, NewChain, StoreKind
from tests.controlplane.build import go_root
from tests.controlplane.cluster import CHARTS
from tests.controlplane.plane import ControlPlane
from tests.web.world import TOKEN

HERE = Path(__file__).parent
KEYCLOAK, BARE = str(CHARTS / "keycloak"), str(CHARTS / "bare")


def secret(name: str, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}


async def test_what_is_emitted_is_the_sample_of_the_originals_documentation(chain: Chain) -> None:
    chain.plane.apply(secret("uuid", uuid="2222-2222-2222-2222"))
    chain.plane.helm("install", "test", KEYCLOAK)
    chain.plane.rolled_out()
    await chain.settle()
    (_, body), *others = chain.receiver.requests
    assert not others
    emitted = json.loads(body)
    sample = json.loads((HERE / "original_sample.json").read_text())
    assert shape(emitted) == shape(sample)
    # What the sample has by chance is replaced by what is so here; the rest is equal.
    expected = json.loads(json.dumps(sample))
    who, info = emitted["app_api_info"], emitted["app_info"]
    assert who["cluster_uuid"].startswith("K-")
    expected["app_api_info"] |= {
        "cluster_uuid": who["cluster_uuid"],
        "app_uuid": "A-2222-2222-2222-2222",
        "email_id": EMAIL,
    }
    expected["app_info"]["helm_info"]["updated"] = info["helm_info"]["updated"]
    expected["app_info"]["service_info"].sort(key=lambda one: one["name"])
    expected["app_info"]["volume_info"][0]["size"] = 8 * 2**30
    assert emitted == expected


def shape(value: object) -> object:
    """Keys in their order, and types; of a list, those of its elements."""
    if isinstance(value, dict):
        return [(key, shape(each)) for key, each in value.items()]
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value).__name__


async def test_what_is_emitted_decodes_into_the_originals_types(chain: Chain, tmp_path: Path) -> None:
    for name, chart in (("test", KEYCLOAK), ("net", str(CHARTS / "network"))):
        chain.plane.helm("install", name, chart)
    chain.plane.rolled_out()
    await chain.settle()
    bodies = [body for _, body in chain.receiver.requests]
    assert len(bodies) == 2
    program = built(HERE / "original_types.go", tmp_path / "original_types")
    for body in bodies:
        assert output_of(program, body) == body + b"\n"


def built(source: Path, program: Path) -> Path:
    """A Go program that needs only Go's own library, built offline."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    command = [str(go_root() / "bin/go"), "build", "-trimpath", "-o", str(program), str(source)]
    subprocess.run(command, check=True, env={**environment, "GOTOOLCHAIN": "local"})
    return program


def output_of(program: Path, text: bytes) -> bytes:
    return subprocess.run([program], input=text, check=True, capture_output=True).stdout


@pytest.mark.parametrize("store", ["git", "configmap"])
async def test_an_unchanged_cluster_costs_the_same_requests_with_5_and_with_100_releases(
    new_chain: NewChain, store: StoreKind
) -> None:
    """Helm installs five; the others are its Secret of one of them under other names."""
    chain = await new_chain(store=store)
    for number in range(5):
        chain.plane.helm("install", f"app-{number}", str(CHARTS / "network"))
    with_five = await requests_of_an_unchanged_look(chain)
    copy(chain.plane, "app-0", [f"copy-{number}" for number in range(95)])
    with_hundred = await requests_of_an_unchanged_look(chain)
    assert len(chain.receiver.apps) == 100
    assert with_hundred == with_five
    assert {what for what in with_five if what[0] == "get" and what[1] != "configmaps"} == set()
    assert with_five.total() < 20


async def requests_of_an_unchanged_look(chain: Chain) -> Counter[tuple[str, str]]:
    """By verb and resource."""
    await chain.settle()
    await chain.status()
    mark = chain.plane.mark()
    await chain.look()
    return Counter((one.verb, one.resource) for one in chain.asked(mark))


def copy(plane: ControlPlane, of: str, names: list[str]) -> None:
    """Releases like one that Helm installed, without objects of their own."""
    original = plane.get("secret", f"sh.helm.release.v1.{of}.v1")
    release = json.loads(gzip.decompress(unpacked(original)))
    items = []
    for name in names:
        body = base64.b64encode(gzip.compress(json.dumps({**release, "name": name}).encode(), 1))
        metadata = {
            "name": f"sh.helm.release.v1.{name}.v1",
            "namespace": "default",
            "labels": {**original["metadata"]["labels"], "name": name},
        }
        items.append({**original, "metadata": metadata, "data": {"release": base64.b64encode(body).decode()}})
    plane.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def unpacked(stored: dict[str, Any]) -> bytes:
    return base64.b64decode(base64.b64decode(stored["data"]["release"]))


VALUE, IN_A_SECRET, IN_A_CONFIG_MAP, IN_A_BROKEN_RELEASE, UUID_NEIGHBOUR = CANARIES = (
    "canary-in-a-value-7f3a",
    "canary-in-a-secret-91bc",
    "canary-in-a-configmap-2d40",
    "canary-in-a-broken-release-c58e",
    "canary-beside-the-uuid-66f1",
)


@pytest.mark.parametrize("store", ["git", "configmap"])
async def test_nothing_secret_is_recorded_told_logged_or_reported(
    new_chain: NewChain, store: StoreKind, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    chain = await new_chain(store=store)
    chain.agreement = False  # Helm shows the broken release's older revision
    plane = chain.plane
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "some", "namespace": "default"}}
    plane.apply(
        secret("uuid", uuid="u-1", other=UUID_NEIGHBOUR),
        secret("some", password=IN_A_SECRET),
        {**config, "data": {"some": IN_A_CONFIG_MAP}},
    )
    plane.helm("install", "test", KEYCLOAK, "--set", f"adminPassword={VALUE}")
    stored = plane.get("secret", "sh.helm.release.v1.test.v1")
    assert VALUE.encode() in gzip.decompress(unpacked(stored))
    plane.rolled_out()
    await chain.settle()
    plane.helm("upgrade", "test", KEYCLOAK, "--set", f"adminPassword={VALUE}-2")
    plane.rolled_out()
    chain.receiver.fail("500:1")
    chain.receiver.fail("401:1")
    await chain.settle()
    chain.clock.advance(3600)
    await chain.look()
    chain.clock.advance(3600)
    await chain.look()
    break_the_newest(plane, stored)
    await chain.settle()
    await chain.status()
    broken = json.dumps(plane.get("hosstedprojects"))
    assert "sh.helm.release.v1.test.v3" in broken
    plane.kubectl("delete", "secret", "sh.helm.release.v1.test.v3")
    plane.helm("uninstall", "test", "--keep-history")
    await chain.settle()
    await chain.status()

    places = dict(places_where_something_is_said(chain))
    places |= {"log": caplog.text.encode(), "status of then": broken.encode()}
    assert len(chain.receiver.requests) == 3
    for place, content in places.items():
        assert b"test" in content, f"{place} says nothing"
        for canary in (*CANARIES, TOKEN):
            assert canary.encode() not in content, f"{canary} is in {place}"


def break_the_newest(plane: ControlPlane, like: dict[str, Any]) -> None:
    """A revision whose body is JSON, but of no release."""
    body = json.dumps({"name": [IN_A_BROKEN_RELEASE], "info": IN_A_BROKEN_RELEASE}).encode()
    packed = base64.b64encode(base64.b64encode(gzip.compress(body))).decode()
    labels = {**like["metadata"]["labels"], "version": "3"}
    metadata = {"name": "sh.helm.release.v1.test.v3", "namespace": "default", "labels": labels}
    plane.kubectl(
        "create", "-f", "-", stdin=json.dumps({**like, "metadata": metadata, "data": {"release": packed}})
    )


def places_where_something_is_said(chain: Chain) -> Iterator[tuple[str, bytes]]:
    plane = chain.plane
    if chain.repository.exists():
        yield "git", git_objects(chain.repository)
    maps = plane.get("configmaps", "-n", SYSTEM)
    yield "ConfigMaps", b"\n".join(map(opened, maps))
    yield "status", json.dumps(plane.get("hosstedprojects")).encode()
    yield "events", json.dumps(plane.get("events", "--all-namespaces")).encode()
    yield "requests", b"\n".join(body for _, body in chain.receiver.requests)


def git_objects(repository: Path) -> bytes:
    command = ["git", "-C", str(repository), "cat-file", "--batch-all-objects", "--batch"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def opened(config_map: dict[str, Any]) -> bytes:
    """All that a ConfigMap says, unpacked where it is packed."""
    packed = [base64.b64decode(value) for value in config_map.get("binaryData", {}).values()]
    return b"\n".join([json.dumps(config_map).encode(), *map(gzip.decompress, packed)])
