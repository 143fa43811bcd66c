from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model import App, AppKey
from reconciler.project import (
    Condition,
    HelmStatus,
    Listing,
    SnapshotRef,
    Status,
    Summary,
    build_status,
    moment,
    parse_project,
    releases_of,
    status_patch,
)
from tests.builders import APP_UUID, make_app

AT = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 21, 11, 0, 0, tzinfo=UTC)


def as_json(status: Status) -> dict[str, Any]:
    return msgspec.json.decode(msgspec.json.encode(status), type=dict[str, Any])


def read(status: object) -> Status:
    return parse_project({"metadata": {"name": "hossted"}, "status": status}).status


UPSTREAM = {
    "clusterUUID": "K-a0d3cdd6-d93e-4be6-8e60-6683fcb9a23e",
    "dnsUpdated": True,
    "lastReconcileTimestamp": "2026-11-21 09:50:53.461499722 +0000 UTC m=+313.775245571",
    "helmStatus": [
        {
            "name": f"app-{number}",
            "namespace": "default",
            "appUUID": f"A-{number}",
            "revision": number,
            "updated": "2026-11-21 09:42:49.227889695 +0000 UTC",
            "status": "deployed",
            "chart": "keycloak",
            "appVersion": "23.0.4",
            "hossted_helm": False,
        }
        for number in range(201)
    ],
    "revision": [1, 1, 5],
}


def test_all_201_uuids_of_an_upstream_operators_status_are_found() -> None:
    status = read(UPSTREAM)
    assert status.clusterUUID == "K-a0d3cdd6-d93e-4be6-8e60-6683fcb9a23e"
    assert status.app_uuids() == {AppKey("default", f"app-{number}"): f"A-{number}" for number in range(201)}
    assert status.last_reconcile == datetime(2026, 11, 21, 9, 50, 53, 461499, tzinfo=UTC)
    assert status.observedGeneration == -1


@pytest.mark.parametrize(
    "raw",
    [
        {"clusterUUID": "K-1", "helmStatus": "none", "revision": ["x"], "conditions": 5, "summary": []},
        {"clusterUUID": "K-1", "helmStatus": None, "email_id": 7, "snapshot": {"digest": 1}},
        {"clusterUUID": "K-1", "reconcileHelmReleases": ["a"], "observedGeneration": "2"},
    ],
)
def test_one_field_that_cannot_be_read_costs_no_other(raw: dict[str, object]) -> None:
    assert read(raw) == Status(clusterUUID="K-1")


def test_one_release_that_cannot_be_read_costs_no_other() -> None:
    status = read(
        {"helmStatus": [7, {"name": "b"}, {"name": "a", "namespace": "n", "appUUID": "A-1", "revision": "x"}]}
    )
    assert status.helmStatus == (HelmStatus(name="b"),)
    assert status.app_uuids() == {}


def test_a_release_that_is_listed_twice_has_its_first_uuid() -> None:
    both = tuple(HelmStatus(name="a", namespace="n", appUUID=uuid) for uuid in ("", "A-1", "A-2"))
    assert Status(helmStatus=both).app_uuids() == {AppKey("n", "a"): "A-1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-21T10:00:00Z", AT),
        ("2026-11-21T10:00:00.123456789Z", AT.replace(microsecond=123456)),
        ("2026-11-21T15:30:00+05:30", AT),
        ("2026-11-21 10:00:00 +0000 UTC", AT),
        ("2026-11-21 12:00:00.5 +0200 CEST", AT.replace(microsecond=500000)),
        ("2026-11-21 10:00:00.25 +0000 UTC m=+1.5", AT.replace(microsecond=250000)),
        ("2026-11-21T10:00:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_moments_are_read_from_rfc_3339_and_from_gos_own_text(text: str, expected: datetime | None) -> None:
    assert moment(text) == expected


def test_the_status_shows_the_releases_in_the_documented_form() -> None:
    status = build_status(
        Status(),
        at=AT,
        generation=4,
        conditions=[Condition("Ready", "True", "Succeeded", "all is recorded and told")],
        cluster_uuid="K-1",
        kube_system_uid="uid",
        email_id="a@example.com",
        releases=releases_of(
            [
                make_app("default", "old", revision=5, updated="2026-11-20T10:00:00Z"),
                make_app(
                    "default", "new", revision=1, updated="2026-11-21T09:00:00+05:30", hossted_helm=True
                ),
            ]
        ),
        summary=Summary(releases=2, pods=2),
        snapshot=SnapshotRef("d1", "r1"),
        handled="t1",
    )
    assert as_json(status) == {
        "observedGeneration": 4,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Succeeded",
                "message": "all is recorded and told",
                "observedGeneration": 4,
                "lastTransitionTime": "2026-11-21T10:00:00Z",
            }
        ],
        "clusterUUID": "K-1",
        "kubeSystemUID": "uid",
        "email_id": "a@example.com",
        "lastReconcileTimestamp": "2026-11-21T10:00:00Z",
        "reconcileHelmReleases": {
            "default/new": "keycloak-18.3.3 revision 1",
            "default/old": "keycloak-18.3.3 revision 5",
        },
        "helmStatus": [
            {
                "name": name,
                "namespace": "default",
                "appUUID": APP_UUID,
                "revision": revision,
                "updated": updated,
                "status": "deployed",
                "chart": "keycloak",
                "appVersion": "23.0.4",
                "hossted_helm": hossted,
            }
            for name, revision, updated, hossted in (
                ("new", 1, "2026-11-21T09:00:00+05:30", True),
                ("old", 5, "2026-11-20T10:00:00Z", False),
            )
        ],
        "revision": [1, 5],
        "summary": {
            "releases": 2,
            "pods": 2,
            "pending": 0,
            "rejected": 0,
            "unreadable": 0,
            "unattributed": 0,
        },
        "snapshot": {"digest": "d1", "revision": "r1"},
        "lastHandledReconcileAt": "t1",
    }


def test_of_many_releases_the_1000_and_the_200_most_recent_are_shown() -> None:
    apps = [
        make_app(
            name=f"app-{number}",
            revision=number,
            updated=f"2026-11-21T{number // 60:02}:{number % 60:02}:00Z",
        )
        for number in range(1_100)
    ]
    status = build_status(Status(), at=AT, generation=1, conditions=(), releases=releases_of(apps))
    assert set(status.reconcileHelmReleases) == {f"default/app-{number}" for number in range(100, 1_100)}
    assert [one.revision for one in status.helmStatus] == list(range(1_099, 899, -1))
    assert status.revision == tuple(range(100, 1_100))


def test_the_order_in_which_apps_are_given_changes_nothing() -> None:
    apps = [make_app(namespace, name) for namespace in "ba" for name in "yx"]
    one = build_status(Status(), at=AT, generation=1, conditions=(), releases=releases_of(apps))
    other = build_status(Status(), at=AT, generation=1, conditions=(), releases=releases_of(reversed(apps)))
    assert one == other
    assert [item.namespace + item.name for item in one.helmStatus] == ["ax", "ay", "bx", "by"]


def test_what_a_reconcile_does_not_know_stays_as_it_was() -> None:
    old = build_status(
        Status(),
        at=AT,
        generation=1,
        conditions=(),
        cluster_uuid="K-1",
        email_id="a@example.com",
        releases=releases_of([make_app()]),
        summary=Summary(releases=1),
        snapshot=SnapshotRef("d", "r"),
        handled="t",
    )
    new = build_status(old, at=LATER, generation=2, conditions=())
    assert status_patch(old, new) == {
        "status": {"observedGeneration": 2, "lastReconcileTimestamp": "2026-11-21T11:00:00Z"}
    }


@pytest.mark.parametrize(
    ("status", "reason", "since"),
    [
        ("True", "Succeeded", "2026-11-21T10:00:00Z"),
        ("True", "Other", "2026-11-21T10:00:00Z"),
        ("False", "Succeeded", "2026-11-21T11:00:00Z"),
    ],
)
def test_a_condition_dates_from_when_its_status_changed(status: str, reason: str, since: str) -> None:
    old = build_status(Status(), at=AT, generation=1, conditions=[Condition("Ready", "True", "Succeeded")])
    new = build_status(old, at=LATER, generation=1, conditions=[Condition("Ready", status, reason)])
    assert new.conditions[0].lastTransitionTime == since


def test_a_condition_that_is_not_given_any_more_is_gone() -> None:
    old = build_status(
        Status(), at=AT, generation=1, conditions=[Condition("Stalled", "True", "InvalidSpec")]
    )
    assert build_status(old, at=LATER, generation=1, conditions=()).condition("Stalled") is None


@pytest.mark.parametrize("length", [1_024, 1_025, 5_000])
def test_a_message_is_cut_at_1024_characters(length: int) -> None:
    status = build_status(
        Status(), at=AT, generation=1, conditions=[Condition("Ready", "False", "Bad", "x" * length)]
    )
    message = status.conditions[0].message
    assert len(message) == 1_024
    assert message.endswith("…" if length > 1_024 else "x")


def test_nothing_changed_is_no_patch() -> None:
    status = build_status(Status(), at=AT, generation=1, conditions=(), releases=releases_of([make_app()]))
    assert status_patch(status, status) is None
    assert status_patch(status, read(as_json(status))) is None


def test_a_release_that_is_gone_is_removed_by_the_patch_and_the_others_are_not_in_it() -> None:
    old = Status(
        reconcileHelmReleases={"a/a": "x-1 revision 1", "a/b": "x-1 revision 1"}, email_id="a@example.com"
    )
    new = Status(reconcileHelmReleases={"a/b": "x-1 revision 1"})
    assert status_patch(old, new) == {"status": {"reconcileHelmReleases": {"a/a": None}, "email_id": None}}


def merged(target: object, patch: object) -> object:
    """RFC 7386, section 2, word for word."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


words = st.sampled_from(["", "a", "b"])
statuses = st.builds(
    Status,
    observedGeneration=st.integers(-1, 2),
    conditions=st.lists(st.builds(Condition, words, words), max_size=2).map(tuple),
    clusterUUID=words,
    email_id=words,
    lastReconcileTimestamp=words,
    reconcileHelmReleases=st.dictionaries(words, words, max_size=3),
    helmStatus=st.lists(st.builds(HelmStatus, name=words), max_size=2).map(tuple),
    revision=st.lists(st.integers(0, 2), max_size=2).map(tuple),
    summary=st.none() | st.builds(Summary, pods=st.integers(0, 1)),
    snapshot=st.none() | st.builds(SnapshotRef, digest=words),
)


@settings(max_examples=200)
@given(statuses, statuses)
def test_the_patch_turns_the_old_status_into_the_new_one(old: Status, new: Status) -> None:
    before = as_json(old)
    patch = status_patch(old, new)
    after = before if patch is None else merged({"status": before}, patch)["status"]  # type: ignore[index]  # JSON
    assert read(after) == new
    assert (patch is None) == (old == new)


KEYS = [AppKey("default", name) for name in "abc"]
recorded = st.fixed_dictionaries(
    {},
    optional={
        key: st.sampled_from(
            [make_app(*key, revision=day, updated=f"2026-11-2{day}T10:00:00Z") for day in (1, 2, 3)]
            + [make_app(*key, updated="")]
        )
        for key in KEYS
    },
)


@given(st.lists(recorded, max_size=6))
def test_what_is_listed_is_what_would_be_listed_from_nothing(states: list[dict[AppKey, App]]) -> None:
    listing = Listing()
    for apps in states:
        assert listing.of(apps) == releases_of(apps.values())
