"""Release bodies are read by their beginning, and whatever is wrong with one is said."""

import base64
import gzip
import random
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import ReleaseError
from reconciler.inventory import helm
from reconciler.inventory.helm import HelmRevision, by_key, history, newest, read_payload
from reconciler.inventory.objects import Kind, ReleasePayload, StoredRelease
from reconciler.model import AppKey
from tests.unit.inventory.payloads import DEPLOYED, body, bomb, go_json, stored, wrapped

DRIVERS = [Kind.RELEASE_SECRETS, Kind.RELEASE_CONFIGMAPS]
KEYCLOAK = ReleasePayload(
    name="test", last_deployed=DEPLOYED, chart_name="keycloak", chart_version="18.3.3", app_version="23.0.4"
)
NOW = datetime(2026, 11, 21, 9, 42, tzinfo=UTC)


class Meter:
    """Counts what zlib really inflates."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inflated = 0
        real, meter = zlib.decompressobj, self

        class Counting:
            def __init__(self, wbits: int) -> None:
                self._stream = real(wbits=wbits)

            def decompress(self, data: bytes, most: int) -> bytes:
                piece = self._stream.decompress(data, most)
                meter.inflated += len(piece)
                return piece

            def __getattr__(self, name: str) -> Any:
                return getattr(self._stream, name)

        monkeypatch.setattr("reconciler.inventory.helm.zlib.decompressobj", Counting)


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Meter:
    return Meter(monkeypatch)


def noise(size: int) -> str:
    return base64.b64encode(random.Random(4).randbytes(size)).decode()


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("version", [3, 4])
def test_a_release_of_helm_3_and_4_is_read_in_both_drivers(version: int, driver: Kind) -> None:
    assert read_payload(stored(body(version), driver), driver) == KEYCLOAK
    assert read_payload(stored(body(version), driver).encode(), driver) == KEYCLOAK


def test_a_large_release_is_inflated_only_to_the_end_of_its_charts_metadata(meter: Meter) -> None:
    release = body(templates=200, template=noise(6_000), values={"password": noise(50_000)})
    assert len(go_json(release)) > 2_000_000
    assert read_payload(stored(release), Kind.RELEASE_SECRETS) == KEYCLOAK
    assert meter.inflated <= 16 * 2**10


def test_the_end_of_the_metadata_is_found_wherever_it_falls(meter: Meter) -> None:
    first = go_json(body(notes="n")).index(b'},"lock":')
    for shift in range(12):  # the end lies on either side of the first 16 KiB, and across
        notes = "n" * (16 * 2**10 - first - shift + 1)
        meter.inflated = 0
        release = body(notes=notes, template=noise(60_000))
        assert read_payload(stored(release), Kind.RELEASE_SECRETS) == KEYCLOAK
        assert meter.inflated <= 32 * 2**10


def test_notes_as_long_as_they_like_are_skipped() -> None:
    release = body(notes='}},"lock":' + noise(300_000))
    assert read_payload(stored(release), Kind.RELEASE_SECRETS) == KEYCLOAK


def test_nothing_of_values_notes_or_manifest_is_kept() -> None:
    release = body(notes="canary-notes", manifest="canary-manifest", description="canary-description")
    assert "canary" not in repr(read_payload(stored(release), Kind.RELEASE_SECRETS))


def reordered(release: dict[str, Any]) -> dict[str, Any]:
    """Members in alphabetical order, as another program than Helm may write them."""
    return {
        key: reordered(value) if isinstance(value, dict) else value for key, value in sorted(release.items())
    }


@pytest.mark.parametrize(
    "release",
    [
        reordered(body(templates=50, template=noise(9_000))),
        dict(reversed(body(templates=50, template=noise(9_000)).items())),
        {**body(), "info": {"resources": {"v1/Lock": [{"metadata": {}, "lock": 1}]}, **body()["info"]}},  # type: ignore[dict-item]  # JSON
    ],
    ids=["alphabetical", "reversed", "a lock before the chart"],
)
def test_members_in_another_order_are_read_all_the_same(release: dict[str, Any]) -> None:
    assert read_payload(stored(release), Kind.RELEASE_SECRETS) == KEYCLOAK


@pytest.mark.parametrize(
    ("description", "revision"),
    [
        ("Rollback to 2", 2),
        ("Rollback to 12", 12),
        ("Install complete", 0),
        ("rollback to 2", 0),
        ("Rollback to 2 of something", 0),
        ("Rollback to 02", 0),
        ("Rollback to ٢", 0),
        ('Rollback "test" failed: Rollback to 2', 0),
    ],
)
def test_a_rollback_is_known_from_helms_own_words_and_no_others(description: str, revision: int) -> None:
    payload = read_payload(stored(body(description=description)), Kind.RELEASE_SECRETS)
    assert payload.rolled_back_to == revision


def changed(**members: object) -> bytes:
    release = {**body(), **members}
    return gzip.compress(go_json({key: value for key, value in release.items() if value is not None}))


CHART: dict[str, Any] = body()["chart"]  # type: ignore[assignment]  # JSON
INFO: dict[str, Any] = body()["info"]  # type: ignore[assignment]  # JSON
WHOLE = gzip.compress(go_json(body(template=noise(20_000))))
BROKEN: dict[str, tuple[str, str]] = {
    "empty": ("", "is empty"),
    "not base64": ("*** not base64 ***", "is not base64"),
    "beyond ASCII": ("é" * 40, "is not base64"),
    "one base64 too few": (base64.b64encode(WHOLE).decode(), "is not base64"),
    "not gzip": (wrapped(go_json(body())), "is not gzip"),
    "not JSON": (wrapped(gzip.compress(b"release: test")), "is not JSON"),
    "JSON cut before gzip": (wrapped(gzip.compress(go_json(body())[:300])), "is not JSON"),
    "not UTF-8": (wrapped(gzip.compress(b'{"name":"\xff"}')), "is not JSON"),
    "a list": (wrapped(gzip.compress(b"[]")), "is not a release of Helm's: Expected `object`, got `array`"),
    "half": (wrapped(WHOLE[: len(WHOLE) // 2]), "is truncated or damaged"),
    "a few bytes": (wrapped(WHOLE[:5]), "is truncated"),
    "base64 cut": (base64.b64encode(base64.b64encode(WHOLE)[:-9]).decode(), "is not base64, or truncated"),
    "trailer gone": (wrapped(gzip.compress(b"{}")[:-8] + bytes(8)), "is truncated or damaged"),
    "longer than it says": (wrapped(WHOLE[:-4] + b"\1\0\0\0"), "is truncated or damaged: it is longer"),
    "garbage in gzip": (wrapped(WHOLE[:10] + b"\xff" * 60 + WHOLE[-8:]), "is truncated or damaged"),
    "no chart": (wrapped(changed(chart=None)), "missing required field `chart`"),
    "no chart metadata": (
        wrapped(changed(chart={**CHART, "metadata": None})),
        r"got `null` - at `\$.chart.met",
    ),
    "chart without a name": (wrapped(changed(chart={"metadata": {"version": "1"}})), "required field `name`"),
    "chart with an empty name": (
        wrapped(changed(chart={"metadata": {"name": ""}})),
        "names no release, or no",
    ),
    "no info": (wrapped(changed(info=None)), "missing required field `info`"),
    "an empty name": (wrapped(changed(name="")), "names no release, or no"),
    "no name": (wrapped(changed(name=None)), "missing required field `name`"),
    "name of the wrong type": (wrapped(changed(name=7)), r"Expected `str`, got `int` - at `\$.name`"),
    "endless name": (wrapped(changed(name="x" * 2000)), "length <= 1024"),
    "no time": (wrapped(changed(info={**INFO, "last_deployed": "yesterday"})), "not RFC 3339"),
}


@pytest.mark.parametrize(("data", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_body_that_cannot_be_read_says_why(data: str, message: str) -> None:
    with pytest.raises(ReleaseError, match=message) as caught:
        read_payload(data, Kind.RELEASE_SECRETS)
    assert "canary" not in str(caught.value)


def test_a_configmaps_body_that_is_not_base64_says_so_too() -> None:
    text = stored(body(), Kind.RELEASE_CONFIGMAPS)
    with pytest.raises(ReleaseError, match="is not base64"):
        read_payload(text[:8] + "****" + text[8:], Kind.RELEASE_CONFIGMAPS)


def test_a_release_that_was_never_deployed_has_no_time() -> None:
    release = changed(info={**INFO, "last_deployed": ""})
    assert read_payload(wrapped(release), Kind.RELEASE_SECRETS).last_deployed == ""


def test_a_bomb_of_a_gibibyte_is_refused_before_a_byte_is_inflated(meter: Meter) -> None:
    with pytest.raises(ReleaseError, match="would inflate to 1024 MiB"):
        read_payload(wrapped(bomb(1024)), Kind.RELEASE_SECRETS)
    assert meter.inflated == 0


@pytest.mark.parametrize(
    ("gzipped", "most"),
    [
        (bomb(200), helm.MAX_INFLATED),
        (bomb(1024, declared=200 * 2**20), helm.MAX_INFLATED),
        (bomb(1024, declared=2**20), 2**20),
        (bomb(200, head=b'{"name":"test","info":{"notes":"'), helm.MAX_INFLATED),
        (bomb(200, head=b'{"name":"test","chart":{"metadata":{"name":1},"lock":null,'), helm.MAX_INFLATED),
    ],
    ids=[
        "200 MiB",
        "1 GiB that says 200 MiB",
        "1 GiB that says 1 MiB",
        "in the notes",
        "behind a wrong chart",
    ],
)
def test_a_bomb_costs_no_more_than_the_bound(gzipped: bytes, most: int, meter: Meter) -> None:
    with pytest.raises(ReleaseError):
        read_payload(wrapped(gzipped), Kind.RELEASE_SECRETS)
    assert most < meter.inflated <= most + 16 * 2**10


def test_what_lies_behind_the_chart_costs_nothing(meter: Meter) -> None:
    head = go_json(body())
    head = head[: head.index(b'"lock":{')] + b'"lock":null,"files":"'
    assert read_payload(wrapped(bomb(200, head)), Kind.RELEASE_SECRETS) == KEYCLOAK
    assert meter.inflated <= 16 * 2**10


@settings(max_examples=60)
@given(st.integers(0, len(WHOLE) - 1))
def test_a_body_cut_anywhere_is_refused_or_says_the_same(length: int) -> None:
    try:
        payload = read_payload(wrapped(WHOLE[:length]), Kind.RELEASE_SECRETS)
    except ReleaseError:
        return
    assert payload == KEYCLOAK


@settings(max_examples=60)
@given(st.binary(max_size=200), st.sampled_from(DRIVERS))
def test_rubbish_of_any_form_is_a_release_error(rubbish: bytes, driver: Kind) -> None:
    for data in (rubbish, wrapped(rubbish, driver), wrapped(gzip.compress(rubbish), driver)):
        with pytest.raises(ReleaseError):
            read_payload(data, driver)


@settings(max_examples=60)
@given(st.text(min_size=1, max_size=60).map(lambda text: text.encode("utf-8", "replace").decode()))
def test_no_text_in_a_release_confuses_the_reading(text: str) -> None:
    hard = text + '},"lock":' + text
    release = body(name=text, description=hard, notes=hard, manifest=hard)
    payload = read_payload(stored(release), Kind.RELEASE_SECRETS)
    assert (payload.name, payload.chart_name) == (text, "keycloak")


def revision(
    version: str, minutes: int = 0, driver: Kind = Kind.RELEASE_SECRETS, status: str = "superseded"
) -> StoredRelease:
    return StoredRelease(
        driver=driver,
        namespace="default",
        object_name=f"sh.helm.release.v1.test.v{version}",
        uid=f"{version}-{minutes}",
        name="test",
        version=version,
        status=status,
        created=NOW + timedelta(minutes=minutes),
    )


@pytest.mark.parametrize(
    ("revisions", "expected"),
    [
        ([revision("9"), revision("10"), revision("1")], "10"),
        ([revision("10", 0), revision("9", 5)], "10"),  # by number, not by time
        ([revision("two")], "two"),
        ([revision("two", 5), revision("1", 0)], "two"),  # cannot be compared: the later one
        ([revision("two", 0), revision("1", 5)], "1"),
        ([revision("two", 0), revision("1", 0)], "1"),
        ([revision("-3", 0), revision("1", 0)], "1"),
        ([revision("٣", 0), revision("2", 1)], "2"),
    ],
)
def test_the_newest_revision_is_the_greatest_integer(revisions: list[StoredRelease], expected: str) -> None:
    assert newest(revisions).version == expected
    assert newest(reversed(revisions)).version == expected


def test_of_one_revision_in_both_drivers_the_later_object_counts() -> None:
    secret, configmap = revision("3", 1), revision("3", 2, Kind.RELEASE_CONFIGMAPS)
    assert newest([secret, configmap]) == newest([configmap, secret]) == configmap


def test_revisions_are_grouped_by_namespace_and_release() -> None:
    nameless = StoredRelease(Kind.RELEASE_SECRETS, "default", "odd", "u", "", "1", "deployed", NOW)
    first, second = revision("1"), revision("2")
    assert by_key([first, nameless, second]) == {AppKey("default", "test"): (first, second)}


def test_the_history_is_ascending_and_leaves_out_what_has_no_number() -> None:
    revisions = [revision("10", status="deployed"), revision("x"), revision("9", status="failed")]
    assert history(revisions) == (HelmRevision(9, "failed"), HelmRevision(10, "deployed"))
