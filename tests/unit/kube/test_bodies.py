"""Bodies of releases and of Secrets named uuid are the same in both forms; real ones are elsewhere."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kube import bodies
from reconciler.kube.resources import RELEASE_CONFIGMAPS, RELEASE_SECRETS
from tests.unit.kube.test_protobuf import answer, entry, has, listed, number

KEYS = st.sampled_from(["release", "uuid", "other", "Release"])
UIDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
SECRETS = st.dictionaries(KEYS, st.binary(max_size=300), max_size=3)
CONFIGMAPS = st.dictionaries(KEYS, st.text(max_size=100), max_size=3)

Data = dict[str, bytes] | dict[str, str]


def as_protobuf(uid: str, data: Data) -> bytes:
    metadata = has(1, has(1, "it"), has(3, "shop"), has(5, uid), has(6, "7"))
    entries = b"".join(entry(2, key, value) for key, value in data.items())
    return metadata + entries + has(3, "helm.sh/release.v1") + number(5, 1)  # immutable, were it a Secret


def as_json(uid: str, data: Data) -> dict[str, object]:
    texts = {
        key: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for key, value in data.items()
    }
    found: dict[str, object] = {"metadata": {"name": "it", "uid": uid}, "type": "helm.sh/release.v1"}
    return {**found, "data": texts} if data else found


def plain(content: bodies.Content[str | bytes], *, secret: bool) -> tuple[str, bytes | None]:
    """Without what is only the form's."""
    uid, value = content
    if isinstance(value, str):
        return uid, base64.b64decode(value) if secret else value.encode()
    return uid, value


@given(UIDS, SECRETS)
def test_a_secret_is_the_same_in_both_forms(uid: str, data: dict[str, bytes]) -> None:
    protobuf, text = answer(as_protobuf(uid, data)), json.dumps(as_json(uid, data)).encode()
    assert bodies.uuid_body(protobuf) == bodies.uuid_body(text) == (uid, data.get("uuid"))
    for body in (protobuf, text):
        assert plain(bodies.release_body(body), secret=True) == (uid, data.get("release"))


@given(UIDS, CONFIGMAPS)
def test_a_configmap_is_the_same_in_both_forms(uid: str, data: dict[str, str]) -> None:
    value = data["release"].encode() if "release" in data else None
    for body in (answer(as_protobuf(uid, data)), json.dumps(as_json(uid, data)).encode()):
        assert plain(bodies.release_body(body), secret=False) == (uid, value)


@given(st.lists(st.tuples(UIDS, SECRETS), max_size=4))
def test_a_page_has_what_each_has_by_itself(items: list[tuple[str, dict[str, bytes]]]) -> None:
    body = listed(*(as_protobuf(*item) for item in items))
    page = bodies.release_bodies([body])
    assert page.token == "t"
    assert list(page.items) == [(uid, data.get("release")) for uid, data in items]
    uuids = bodies.uuid_bodies([body])
    assert list(uuids.items) == [(uid, data.get("uuid")) for uid, data in items]


def test_a_page_in_another_form_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="it is not in protobuf"):
        bodies.release_bodies([b'{"metadata": {"resourceVersion": "9"}, "items": null}'])


@given(st.binary(max_size=200))
def test_rubbish_is_a_value_error(data: bytes) -> None:
    for body in (answer(data), listed(data)):
        try:
            bodies.release_body(body)
            list(bodies.release_bodies([body]).items)
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("resource", "fields"),
    [(RELEASE_SECRETS, "type=helm.sh/release.v1,"), (RELEASE_CONFIGMAPS, "")],
)
def test_superseded_revisions_and_denied_namespaces_are_left_out_by_the_server(
    resource: bodies.Releases, fields: str
) -> None:
    assert bodies.current_params(resource, {"b", "a"}) == {
        "fieldSelector": f"{fields}metadata.namespace!=a,metadata.namespace!=b",
        "labelSelector": "owner=helm,status!=superseded",
    }
