"""Protobuf as the API server writes it, by hand; real objects in both forms are for the cluster tests."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import ForbiddenError
from reconciler.inventory.objects import Claim, Kind, Meta, Namespace, Owner, Pod, PodContainer, StoredRelease
from reconciler.kube import answers, protobuf, resources
from reconciler.kube.resources import ListedRelease
from reconciler.kube.transport import Answer

CREATED = datetime(2026, 11, 21, 9, tzinfo=UTC)


def varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def has(number: int, *parts: bytes | str) -> bytes:
    """A field with a length: a text, or a message of these fields."""
    data = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return varint(number << 3 | 2) + varint(len(data)) + data


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def entry(field: int, key: str, value: bytes | str) -> bytes:
    return has(field, has(1, key), has(2, value))


def answer(*raw: bytes) -> bytes:
    return b"k8s\0" + has(1, has(1, "v1"), has(2, "List")) + has(2, *raw) + has(3, "") + has(4, "")


def listed(*items: bytes) -> bytes:
    metadata = has(1, has(1, ""), has(2, "9"), has(3, "t"), number(4, 300))
    return answer(metadata, *(has(2, item) for item in items))


META = has(
    1,
    *(has(1, "it"), has(2, "generated-"), has(3, "shop"), has(4, ""), has(5, "u"), has(6, "5")),
    *(number(7, 300), has(8, number(1, int(CREATED.timestamp()))), has(17, has(1, "managed" * 100))),
)  # fmt: skip
PLAIN = Meta("shop", "it", "u")


def test_of_a_pod_what_is_needed_is_kept() -> None:
    meta = META[:1] + varint(len(META) - 3)  # of the fields without tag and two bytes of length
    assert META.startswith(meta)
    marks = (
        entry(11, "app.kubernetes.io/instance", "i") + entry(11, "app.kubernetes.io/managed-by", "Helm"),
        entry(12, "meta.helm.sh/release-name", "r") + entry(12, "meta.helm.sh/release-namespace", "n"),
        entry(12, "not/text", b"\xff\xfe") + entry(11, "other", "x"),
        has(13, has(1, "ConfigMap"), has(3, "c"), has(4, "1")),
        has(13, has(1, "ReplicaSet"), has(3, "s"), has(4, "2"), has(5, "apps/v1"), number(6, 1)),
    )
    pod = (
        has(1, META[3:], *marks),
        has(
            2, has(1, "volume"), has(2, has(1, "a"), has(2, "web:1")), has(20, has(1, "i"), has(2, "init:3"))
        ),
        has(3, has(1, "Running"), has(8, has(1, "a"), number(5, 7), has(7, "x/web@sha256:aa"))),
    )
    page = resources.PODS.read(listed(b"".join(pod), META))
    owner = Owner("ReplicaSet", "s", "2")
    containers = (
        PodContainer("a", "web:1", digest="sha256:aa"),
        PodContainer("i", "init:3", init=True),
    )
    assert page.items == [
        Pod(Meta("shop", "it", "u", "r", "n", "i", True, owner), "Running", containers),
        Pod(PLAIN, ""),
    ]
    assert (page.resource_version, page.token) == ("9", "t")


def test_a_claim_has_the_size_that_it_asks_for_and_none_when_it_asks_for_none() -> None:
    spec = has(2, has(1, "ReadWriteOnce"), has(2, entry(1, "storage", has(1, "9Gi")), entry(2, "storage", has(1, "1500m"))))  # fmt: skip # noqa: E501
    assert resources.CLAIMS.read(listed(META + spec, META)).items == [Claim(PLAIN, 2), Claim(PLAIN, 0)]


def test_metadata_makes_namespaces_and_releases() -> None:
    deleted = has(1, has(1, "shop"), has(5, "u"), has(9, number(1, 1)))
    assert resources.NAMESPACES.read(listed(META, deleted)).items == [
        Namespace("it", "u"),
        Namespace("shop", "u", terminating=True),
    ]
    labels = {
        "name": "app",
        "owner": "helm",
        "status": "deployed",
        "version": "10",
        "modifiedAt": "1795254180",
    }
    meta = has(1, META[3:], *(entry(11, key, value) for key, value in labels.items()))
    modified = datetime.fromtimestamp(1795254180, UTC)
    release = StoredRelease(
        *(Kind.RELEASE_SECRETS, "shop", "it", "u", "app", "10", "deployed", CREATED, modified)
    )
    assert resources.RELEASE_SECRETS.read(listed(meta)).items == [ListedRelease(release, "5")]


def test_an_empty_list_is_one() -> None:
    page = resources.PODS.read(listed())
    assert (page.items, page.resource_version) == ([], "9")


def test_an_error_is_what_its_status_says() -> None:
    body = answer(has(1), has(2, "Failure"), has(3, "pods is forbidden"), has(4, "Forbidden"), number(6, 403))
    error = answers.error_for("GET /api/v1/pods", Answer(403, body))
    assert isinstance(error, ForbiddenError)
    assert str(error) == "GET /api/v1/pods: pods is forbidden"
    assert answers.status_in(b"k8s\0rubbish") == answers.Status()


BODY = listed(META, META)


@given(st.integers(len(protobuf.MAGIC), len(BODY) - 1))
def test_what_was_cut_off_is_never_taken_for_all(end: int) -> None:
    whole = resources.SERVICES.read(BODY)
    try:
        page = resources.SERVICES.read(BODY[:end])
    except ValueError:
        return
    assert page == whole  # only what follows the list, in its envelope, is missing


@given(st.binary(max_size=200))
def test_rubbish_is_a_value_error(data: bytes) -> None:
    for body in (protobuf.MAGIC + data, answer(data), listed(data)):
        try:
            resources.PODS.read(body)
        except ValueError:
            continue


def test_what_is_not_protobuf_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="not in protobuf"):
        protobuf.one("Status", b"{}")


def test_messages_are_made_once_though_many_threads_need_them_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    described: list[str] = []
    make = protobuf._described

    def describe(name: str, fields: str) -> bytes:
        described.append(name)
        return make(name, fields)

    monkeypatch.setattr(protobuf, "_described", describe)
    for each in (protobuf._types, protobuf._made_types):
        each.cache_clear()
    threads = 8
    together = threading.Barrier(threads)

    def read(_: int) -> int:
        together.wait()
        return len(resources.PODS.read(listed(META)).items)

    with ThreadPoolExecutor(threads) as pool:
        assert list(pool.map(read, range(threads))) == [1] * threads
    assert sorted(described) == sorted(protobuf._MESSAGES)
