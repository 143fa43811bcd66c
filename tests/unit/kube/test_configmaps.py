"""ConfigMaps go in protobuf, come back as metadata alone, and are read in either form."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kube.client import FIELD_MANAGER
from reconciler.kube.configmaps import ConfigMap, ConfigMaps, read_config_map
from tests.unit.kube.server import Answerer, Reply, Server, in_turn
from tests.unit.kube.test_protobuf import answer, entry, has, listed, number

Serve = Callable[[Answerer], Server]

TEXTS = st.dictionaries(st.text("abc", min_size=1), st.text(max_size=20), max_size=3)
OWNED: tuple[dict[str, object], ...] = (
    {"f:data": {".": {}}},
    {"f:binaryData": {".": {}}},
    {"f:metadata": {"f:labels": {}}},
)
CONFIG_MAPS = st.builds(
    ConfigMap,
    name=st.just("it"),
    namespace=st.just("ours"),
    uid=st.just("u"),
    resource_version=st.just("7"),
    data=TEXTS,
    binary_data=st.dictionaries(st.text("xyz", min_size=1), st.binary(max_size=20), max_size=3),
    labels=TEXTS,
    immutable=st.booleans(),
)
MANAGERS = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(OWNED)), max_size=4)

Managers = list[tuple[str, Mapping[str, object]]]


def as_json(item: ConfigMap, managers: Managers) -> bytes:
    metadata = {"name": item.name, "namespace": item.namespace, "uid": item.uid, "labels": item.labels}
    owned = [{"manager": name, "fieldsV1": fields} for name, fields in managers]
    packed = {key: base64.b64encode(value).decode() for key, value in item.binary_data.items()}
    return json.dumps(
        {
            "metadata": {**metadata, "resourceVersion": item.resource_version, "managedFields": owned},
            "data": item.data,
            "binaryData": packed,
            "immutable": item.immutable,
        }
    ).encode()


def as_protobuf(item: ConfigMap, managers: Managers) -> bytes:
    metadata = has(
        1,
        *(has(1, item.name), has(3, item.namespace), has(5, item.uid), has(6, item.resource_version)),
        *(entry(11, key, value) for key, value in item.labels.items()),
        *(has(17, has(1, name), has(7, has(1, json.dumps(fields)))) for name, fields in managers),
    )
    data = (entry(2, key, value) for key, value in item.data.items())
    binary = (entry(3, key, value) for key, value in item.binary_data.items())
    return b"".join([metadata, *data, *binary, number(4, item.immutable)])


@given(CONFIG_MAPS, MANAGERS)
def test_it_is_the_same_in_both_forms(item: ConfigMap, managers: Managers) -> None:
    owners = {name for name, fields in managers if fields in OWNED[:2]}
    expected = msgspec.structs.replace(item, managers=tuple(sorted(owners)))
    for body in (as_json(item, managers), answer(as_protobuf(item, managers))):
        assert read_config_map(body) == expected


def test_a_manager_that_owns_nothing_is_none() -> None:
    metadata = has(1, has(1, "it"), has(17, has(1, "somebody")), has(17, has(1, "else"), has(7, has(1, ""))))
    assert read_config_map(answer(metadata)) == ConfigMap("it", "")


@pytest.mark.parametrize(
    "body",
    [
        answer(has(1, has(1, "it")), entry(2, "data", b"\xff")),
        answer(has(1, has(17, has(7, has(1, "{"))))),
        b"{}",
        b"",
    ],
)
def test_what_is_none_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_config_map(body)


WANTED = ConfigMap("it", "ours", data={"text": "ä"}, binary_data={"bytes": b"\0\xff"}, labels={"a": "b"})
"""What is created, and then replaced."""

KNOWN = {"name": "it", "namespace": "ours", "uid": "u", "resourceVersion": "8", "labels": {"a": "b"}}
IN_JSON = {"metadata": {**KNOWN, "managedFields": [{"manager": "m", "fieldsV1": {"f:data": {}}}]}}
IN_PROTOBUF = answer(
    has(
        1,
        *(has(1, "it"), has(3, "ours"), has(5, "u"), has(6, "8"), entry(11, "a", "b")),
        has(17, has(1, "m"), has(7, has(1, '{"f:data":{}}'))),
    )
)


@pytest.mark.parametrize("body", [IN_JSON, IN_PROTOBUF], ids=["JSON", "protobuf"])
async def test_what_answers_a_write_is_the_metadata_alone(serve: Serve, body: object) -> None:
    server = serve(lambda _: Reply(body=body))
    access = ConfigMaps(server.client())
    created = await access.create_config_map(WANTED)
    assert created == msgspec.structs.replace(WANTED, uid="u", resource_version="8", managers=("m",))
    assert await access.replace_config_map(created) == created
    for request, method, sent in zip(server.requests, ("POST", "PUT"), (WANTED, created), strict=True):
        assert request.method == method
        assert request.query == {"fieldManager": FIELD_MANAGER}
        assert request.headers["content-type"] == "application/vnd.kubernetes.protobuf"
        kinds = request.headers["accept"].split(",")
        assert [kind.partition(";")[0] for kind in kinds] == [
            "application/vnd.kubernetes.protobuf",
            "application/json",
        ]
        assert all(kind.endswith(";as=PartialObjectMetadata;g=meta.k8s.io;v=v1") for kind in kinds)
        assert read_config_map(request.body) == msgspec.structs.replace(sent, managers=())


async def test_they_are_listed_in_protobuf(serve: Serve) -> None:
    items = [ConfigMap(name, "ours", "u", "7", {"a": "1"}) for name in ("one", "two")]
    first, last = (
        listed(as_protobuf(items[0], [])),
        answer(has(1, has(2, "9")), has(2, as_protobuf(items[1], []))),
    )
    server = serve(in_turn(Reply(body=first), Reply(body=last)))
    assert await ConfigMaps(server.client()).list_config_maps("ours", "a=b") == items
    assert all("protobuf" in request.headers["accept"] for request in server.requests)
