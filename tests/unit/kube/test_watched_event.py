"""The events of a watch, in both forms; real ones are for the cluster tests."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import ForbiddenError, KubernetesError, ReconcilerError
from reconciler.inventory.objects import Meta, Service
from reconciler.kube import watched_event
from reconciler.kube.resources import SERVICES
from reconciler.kube.watched_event import Event
from tests.unit.kube.server import Reply
from tests.unit.kube.watching import in_protobuf

READ = watched_event.reader("WATCH /x", SERVICES.reader.one)
META = {"name": "a", "namespace": "shop", "uid": "u", "resourceVersion": "9"}
SERVICE = {"metadata": META, "spec": {"type": "ClusterIP", "ports": [{"port": 80}]}}
KEPT = Service(Meta("shop", "a", "u"), "ClusterIP", (80,))


def in_json(type_: str, item: dict[str, Any]) -> bytes:
    return json.dumps({"type": type_, "object": item}).encode()


def as_protobuf(type_: str, item: dict[str, Any]) -> bytes:
    frames = in_protobuf(Reply(body=[{"type": type_, "object": item}])).body
    assert isinstance(frames, list)
    return bytes(frames[0])[4:]


FORMS = pytest.mark.parametrize("form", [in_json, as_protobuf])


@FORMS
@pytest.mark.parametrize("type_", ["ADDED", "MODIFIED", "DELETED"])
def test_what_happened_to_what(form: Any, type_: str) -> None:
    assert READ(form(type_, SERVICE)) == Event(type_, KEPT, "9")


@FORMS
def test_a_bookmark_has_a_version_and_nothing_else(form: Any) -> None:
    assert READ(form("BOOKMARK", {"metadata": {"resourceVersion": "12"}})) == Event("BOOKMARK", None, "12")


@FORMS
@pytest.mark.parametrize(("code", "kind"), [(410, KubernetesError), (403, ForbiddenError)])
def test_an_error_is_what_its_status_says(form: Any, code: int, kind: type[ReconcilerError]) -> None:
    said = {"kind": "Status", "code": code, "reason": "Reason", "message": "too old: 1"}
    with pytest.raises(kind, match=r"^WATCH /x: too old: 1$") as caught:
        READ(form("ERROR", said))
    assert getattr(caught.value, "status", code) == code


@FORMS
def test_of_what_was_cut_off_nothing_is_believed(form: Any) -> None:
    whole = form("ADDED", SERVICE)
    for end in range(len(whole)):
        with pytest.raises((ValueError, msgspec.DecodeError)):
            READ(whole[:end])


@FORMS
@given(st.binary(max_size=200))
def test_rubbish_is_no_event(form: Any, data: bytes) -> None:
    whole = form("ADDED", SERVICE)
    for frame in (data, b"{" + data, whole[: len(whole) // 2] + data):
        try:
            found = READ(frame)
        except (ValueError, msgspec.DecodeError, ReconcilerError):
            continue
        assert isinstance(found, Event)
