"""A recorded cluster is read back as it was seen, and says which of its files is wrong."""

import json
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import UsageError
from reconciler.inventory.objects import (
    Claim,
    Gap,
    Ingress,
    Kind,
    Look,
    Namespace,
    Pod,
    Service,
    StoredRelease,
    UuidSecret,
    Workload,
)
from reconciler.inventory.recording import RecordedSource, is_recording, read_recording, write_recording
from reconciler.model import PolicyInEffect
from tests.unit.inventory.looks import a_cluster, look, meta, pod, release

GAPS = (Gap(Kind.PODS, "test", True, "no"), Gap(Kind.SERVICES))
CLUSTER = look(*a_cluster(), gaps=GAPS, never_listed=GAPS[:1])
FILES = {
    "claims.json", "ingresses.json", "look.json", "namespaces.json", "pods.json", "releases.json",
    "services.json", "uuid_secrets.json", "workloads.json",
}  # fmt: skip


def test_a_recording_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    write_recording(CLUSTER, tmp_path / "new" / "shop")
    assert read_recording(tmp_path / "new" / "shop") == CLUSTER
    assert is_recording(tmp_path / "new" / "shop")
    assert not is_recording(tmp_path / "new")
    assert {path.name for path in (tmp_path / "new" / "shop").iterdir()} == FILES


moments = st.datetimes(timezones=st.just(UTC))
uuid_secrets = st.builds(
    UuidSecret, value=st.from_regex(r"[a-z0-9][a-z0-9-]{0,40}", fullmatch=True)
) | st.builds(UuidSecret, value=st.just(""), problem=st.text(min_size=1))


@settings(max_examples=25)
@given(
    st.builds(
        Look,
        taken_at=moments,
        namespaces=st.lists(st.from_type(Namespace), max_size=2).map(tuple),
        releases=st.lists(
            st.builds(StoredRelease, created=moments, modified=st.none() | moments), max_size=2
        ).map(tuple),
        uuid_secrets=st.lists(uuid_secrets, max_size=2).map(tuple),
        pods=st.lists(st.from_type(Pod), max_size=2).map(tuple),
        services=st.lists(st.from_type(Service), max_size=2).map(tuple),
        claims=st.lists(st.from_type(Claim), max_size=2).map(tuple),
        ingresses=st.lists(st.from_type(Ingress), max_size=2).map(tuple),
        workloads=st.lists(st.from_type(Workload), max_size=2).map(tuple),
        gaps=st.lists(st.from_type(Gap), max_size=2).map(tuple),
    )
)
def test_any_look_survives_recording_with_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, seen: Look
) -> None:
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    write_recording(seen, one)
    back = read_recording(one)
    assert back == seen
    write_recording(back, two)
    assert {path.name: path.read_bytes() for path in one.iterdir()} == {
        path.name: path.read_bytes() for path in two.iterdir()
    }


def test_a_recording_is_readable_by_people(tmp_path: Path) -> None:
    write_recording(CLUSTER, tmp_path)
    text = (tmp_path / "services.json").read_text()
    assert text.startswith('[\n  {\n    "meta": {\n      "namespace": "shop",\n      "name": "web",')
    assert text.endswith("]\n")
    assert json.loads((tmp_path / "look.json").read_text())["format"] == 1


def test_a_uuid_secret_that_holds_something_else_is_recorded_without_it(tmp_path: Path) -> None:
    write_recording(look(release(), UuidSecret("shop", "hunter2 is my password")), tmp_path)
    assert "hunter2" not in (tmp_path / "uuid_secrets.json").read_text()
    (secret,) = read_recording(tmp_path).uuid_secrets
    assert secret.value == ""
    assert secret.problem.startswith("the value of its key uuid is no app UUID")


def test_a_recording_replaces_the_one_that_was_there(tmp_path: Path) -> None:
    write_recording(CLUSTER, tmp_path)
    smaller = look(release())
    write_recording(smaller, tmp_path)
    assert read_recording(tmp_path) == smaller


def test_a_recording_that_was_broken_off_is_none(tmp_path: Path) -> None:
    write_recording(CLUSTER, tmp_path)
    (tmp_path / "workloads.json").unlink()
    (tmp_path / "workloads.json").mkdir()  # the last list cannot be written
    with pytest.raises(UsageError, match=f"the recording {tmp_path} cannot be written"):
        write_recording(look(release()), tmp_path)
    with pytest.raises(UsageError, match=r"look\.json cannot be read"):
        read_recording(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("look.json", None, r"look\.json cannot be read \(No such file or directory\): is .* a recording\?"),
        ("look.json", "{}", r"look\.json is not part of a recording: .*`format`"),
        ("look.json", '{"format": 2, "new": 1}', r"look\.json has format 2; this program reads format 1"),
        ("look.json", '{"format": 1}', r"look\.json is not part of a recording: .*`taken_at`"),
        ("pods.json", None, r"pods\.json cannot be read"),
        ("pods.json", "[", r"pods\.json is not part of a recording: Input data was truncated"),
        ("pods.json", '[{"meta": 1}]', r"pods\.json is not part of a recording: .*\$\[0\]\.meta"),
        ("releases.json", '[{"driver": "disk"}]', r"releases\.json is not part of a recording: .*'disk'"),
        ("claims.json", b"[\xff]", r"claims\.json is not part of a recording"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, name: str, text: str | bytes | None, message: str) -> None:
    write_recording(CLUSTER, tmp_path)
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=message):
        read_recording(tmp_path)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        read_recording(tmp_path / "nowhere")


async def test_a_recorded_source_shows_the_recording_as_a_live_cluster_would(tmp_path: Path) -> None:
    write_recording(CLUSTER, tmp_path)
    source = RecordedSource(tmp_path)
    assert await source.look(PolicyInEffect()) == CLUSTER
    write_recording(look(release(), pod(meta("p"))), tmp_path)
    assert (await source.look(PolicyInEffect())).pods == (pod(meta("p")),)


async def test_a_recorded_source_shows_nothing_of_denied_namespaces(tmp_path: Path) -> None:
    write_recording(CLUSTER, tmp_path)
    seen = await RecordedSource(tmp_path).look(PolicyInEffect(denyNamespaces=("shop", "te*")))
    ops = tuple(each for each in a_cluster() if place(each) == "ops")
    assert seen == look(*ops, gaps=GAPS[1:])


def place(each: StoredRelease | UuidSecret | Pod | Service | Claim | Ingress | Workload) -> str:
    return each.namespace if isinstance(each, StoredRelease | UuidSecret) else each.meta.namespace
