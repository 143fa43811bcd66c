"""Which details and operations two states come to."""

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.changes.change import Detail, Field, Operation
from reconciler.changes.diff import diff, diff_app
from reconciler.model import (
    App,
    AppInfo,
    AppKey,
    Container,
    IngressInfo,
    PodInfo,
    PolicyInEffect,
    Route,
    ServiceInfo,
    ServiceRecord,
    VolumeInfo,
)
from tests.builders import make_app, make_cluster, make_snapshot
from tests.unit.changes.strategies import apps

F = Field
GI = 1 << 30
LATER = "2026-11-22T00:00:00Z"
EARLIER = "2026-11-20T00:00:00Z"


def info(app: App, **blocks: tuple[object, ...]) -> App:
    changed: AppInfo = msgspec.structs.replace(app.app_info, **blocks)
    return msgspec.structs.replace(app, app_info=changed)


def record(app: App, **blocks: object) -> App:
    return msgspec.structs.replace(app, record=msgspec.structs.replace(app.record, **blocks))


def pods(*some: tuple[str, str, str]) -> App:
    return info(make_app(pods=0), pod_info=tuple(sorted(PodInfo(n, "default", i, s) for n, i, s in some)))


def ports(*some: int) -> App:
    return info(make_app(), service_info=tuple(ServiceInfo("web", "default", port) for port in some))


def hosts(*some: str) -> App:
    return info(make_app(), ingress_info=tuple(IngressInfo("web", "default", host) for host in some))


BASE = make_app(pods=0, ports=())


@pytest.mark.parametrize(
    ("before", "after", "details"),
    [
        pytest.param(BASE, BASE, [], id="nothing"),
        pytest.param(make_app(revision=4), make_app(revision=5), [(F.REVISION, "", "4", "5")], id="revision"),
        pytest.param(
            make_app(), make_app(status="failed"), [(F.STATUS, "", "deployed", "failed")], id="status"
        ),
        pytest.param(
            make_app(),
            make_app(updated=LATER),
            [(F.UPDATED, "", make_app().helm.updated, LATER)],
            id="updated",
        ),
        pytest.param(
            BASE, make_app(pods=0, ports=(), chart="kc"), [(F.CHART, "", "keycloak", "kc")], id="chart"
        ),
        pytest.param(
            make_app(),
            make_app(chart_version="18.4.0"),
            [(F.CHART_VERSION, "", "18.3.3", "18.4.0")],
            id="chart version",
        ),
        pytest.param(
            make_app(), make_app(app_version="24"), [(F.APP_VERSION, "", "23.0.4", "24")], id="app version"
        ),
        pytest.param(
            make_app(app_uuid="A-1"),
            make_app(app_uuid="A-2", hossted_helm=True),
            [(F.APP_UUID, "", "A-1", "A-2"), (F.APP_UUID, "hossted_helm", "false", "true")],
            id="app_uuid, and hossted_helm with it",
        ),
        pytest.param(
            record(BASE, rolled_back_to=0),
            record(BASE, rolled_back_to=3),
            [(F.REVISION, "rolled_back_to", "0", "3")],
            id="rolled back to",
        ),
        pytest.param(
            pods(("web-0", "web:1", "Running")),
            pods(("web-0", "web:1", "Failed")),
            [(F.POD_STATUS, "web-0", "Running", "Failed")],
            id="a pod on both sides has another status",
        ),
        pytest.param(
            pods(("web-0", "web:1", "Pending"), ("web-0", "side:1", "Pending")),
            pods(("web-0", "web:1", "Running"), ("web-0", "side:1", "Running")),
            [(F.POD_STATUS, "web-0", "Pending", "Running")],
            id="a pod with two images has one status",
        ),
        pytest.param(
            pods(("web-5d4f9c8b7-x2zqk", "web:1", "Running")),
            pods(("web-5d4f9c8b7-zzzzz", "web:1", "Running")),
            [(F.POD, "web-5d4f9c8b7-x2zqk", "web:1", None), (F.POD, "web-5d4f9c8b7-zzzzz", None, "web:1")],
            id="a pod replaced by its like",
        ),
        pytest.param(
            pods(("web-0", "web:1", "Running")),
            pods(("web-0", "web:2", "Running")),
            [
                (F.POD_IMAGE, "web", "web:1", "web:2"),
                (F.POD, "web-0", None, "web:2"),
                (F.POD, "web-0", "web:1", None),
            ],
            id="an image",
        ),
        pytest.param(
            pods(("web-0", "web:1", "Running")),
            pods(("web-0", "web:1", "Running"), ("nightly-29912345-x2zqk", "tool:1", "Pending")),
            [(F.POD, "nightly-29912345-x2zqk", None, "tool:1")],
            id="a CronJob's pod with an image of its own",
        ),
        pytest.param(
            pods(("web-0", "web:1", "Running"), ("nightly-29912345-x2zqk", "tool:1", "Succeeded")),
            pods(("web-0", "web:1", "Running"), ("nightly-29913785-zzzzz", "tool:2", "Running")),
            [
                (F.POD, "nightly-29912345-x2zqk", "tool:1", None),
                (F.POD, "nightly-29913785-zzzzz", None, "tool:2"),
            ],
            id="a CronJob's next run",
        ),
        pytest.param(ports(80), ports(80, 443), [(F.SERVICE_PORT, "web", None, "443")], id="a port more"),
        pytest.param(ports(80), ports(8080), [(F.SERVICE_PORT, "web", "80", "8080")], id="another port"),
        pytest.param(ports(0), ports(80), [(F.SERVICE_PORT, "web", None, "80")], id="a first port"),
        pytest.param(ports(80), ports(0), [(F.SERVICE_PORT, "web", "80", None)], id="no port any more"),
        pytest.param(ports(), ports(80, 443), [(F.SERVICE, "web", None, "80, 443")], id="a service comes"),
        pytest.param(ports(0), ports(), [(F.SERVICE, "web", "0", None)], id="a service without ports goes"),
        pytest.param(hosts("a"), hosts("a", "b"), [(F.INGRESS_DOMAIN, "web", None, "b")], id="a host more"),
        pytest.param(
            hosts("a"), hosts("a", "__b"), [(F.INGRESS_DOMAIN, "web", None, "__b")], id="a host like a dunder"
        ),
        pytest.param(hosts("a"), hosts("b"), [(F.INGRESS_DOMAIN, "web", "a", "b")], id="another host"),
        pytest.param(hosts(""), hosts("b"), [(F.INGRESS_DOMAIN, "web", None, "b")], id="a first host"),
        pytest.param(
            hosts("a", "b"),
            hosts("c"),
            [
                (F.INGRESS_DOMAIN, "web", None, "c"),
                (F.INGRESS_DOMAIN, "web", "a", None),
                (F.INGRESS_DOMAIN, "web", "b", None),
            ],
            id="one host for two",
        ),
        pytest.param(hosts(), hosts("a", "b"), [(F.INGRESS, "web", None, "a, b")], id="an ingress comes"),
        pytest.param(
            make_app(volumes=[GI]),
            make_app(volumes=[2 * GI]),
            [(F.VOLUME_SIZE, "data-test-keycloak-0", str(GI), str(2 * GI))],
            id="a bigger claim",
        ),
        pytest.param(
            make_app(volumes=[GI]),
            make_app(volumes=[GI, GI]),
            [(F.VOLUME, "data-test-keycloak-1", None, str(GI))],
            id="another claim",
        ),
        pytest.param(
            BASE,
            info(BASE, volume_info=(VolumeInfo("data", "elsewhere", 1),)),
            [(F.VOLUME, "elsewhere/data", None, "1")],
            id="an object in another namespace is named with it",
        ),
        pytest.param(
            record(BASE, containers=(Container("web-0", "web", "app", "web:1", ""),)),
            record(BASE, containers=(Container("web-0", "web", "app", "web:1", "sha256:ab"),)),
            [(F.RECORD_CONTAINERS, "web-0/web", "web:1", "web:1 sha256:ab")],
            id="a digest becomes known",
        ),
        pytest.param(
            record(BASE, services=(ServiceRecord("web", "ClusterIP"),)),
            record(BASE, services=(ServiceRecord("web", "LoadBalancer"),)),
            [(F.RECORD_SERVICES, "web", "ClusterIP", "LoadBalancer")],
            id="a service's type",
        ),
        pytest.param(
            BASE,
            record(BASE, routes=(Route("Ingress", "default", "web"),)),
            [(F.RECORD_ROUTES, "web", None, "Ingress")],
            id="a route",
        ),
    ],
)
def test_each_difference_is_a_detail_of_its_field(
    before: App, after: App, details: list[tuple[Field, str, str | None, str | None]]
) -> None:
    assert diff_app(before, after) == tuple(Detail(*detail) for detail in details)


@given(apps(), apps())
@settings(max_examples=80)
def test_there_are_details_exactly_when_the_digests_differ(before: App, after: App) -> None:
    details = diff_app(before, after)
    assert bool(details) == (before.digest != after.digest)
    assert list(details) == sorted(details, key=lambda d: list(Field).index(d.field))
    assert all(d.before != d.after for d in details)


@given(apps(), apps())
@settings(max_examples=25)
def test_the_way_back_has_the_same_details_turned_round(before: App, after: App) -> None:
    there = {(d.field, d.before, d.after) for d in diff_app(before, after) if d.field is not Field.POD_IMAGE}
    back = {(d.field, d.after, d.before) for d in diff_app(after, before) if d.field is not Field.POD_IMAGE}
    assert there == back


def test_equal_apps_cost_no_comparison() -> None:
    assert diff_app(make_app(), make_app()) == ()
    assert not diff(make_snapshot(make_app()), make_snapshot(make_app()))


DENYING = msgspec.structs.replace(make_cluster(), policy=PolicyInEffect(denyNamespaces=("defa*",)))
V4 = make_app(revision=4, updated="2026-11-21T00:00:00Z")


@pytest.mark.parametrize(
    ("before", "after", "operation"),
    [
        pytest.param(None, V4, Operation.INSTALL, id="comes"),
        pytest.param(V4, None, Operation.UNINSTALL, id="goes"),
        pytest.param(V4, make_app(revision=5, updated=LATER), Operation.UPGRADE, id="revision rose"),
        pytest.param(
            V4,
            make_app(revision=5, updated=LATER, status="failed"),
            Operation.UPGRADE,
            id="revision rose, and the upgrade failed",
        ),
        pytest.param(
            V4, make_app(revision=5, updated=LATER, rolled_back_to=3), Operation.ROLLBACK, id="rolled back"
        ),
        pytest.param(
            make_app(revision=5, rolled_back_to=3),
            make_app(revision=5, rolled_back_to=3, hosts=["a"]),
            Operation.CHANGE,
            id="changed after a rollback",
        ),
        pytest.param(V4, make_app(revision=1, updated=LATER), Operation.INSTALL, id="revision restarted"),
        pytest.param(V4, make_app(revision=4, updated=LATER), Operation.INSTALL, id="installed anew"),
        pytest.param(
            V4, make_app(revision=3, updated=EARLIER), Operation.CHANGE, id="newest revision deleted by hand"
        ),
        pytest.param(V4, make_app(revision=1, updated="nonsense"), Operation.INSTALL, id="no date"),
        pytest.param(
            V4,
            make_app(revision=4, updated="2026-11-21T02:00:00+02:00"),
            Operation.CHANGE,
            id="the same instant in another zone",
        ),
        pytest.param(
            V4, make_app(revision=4, updated=V4.helm.updated, hosts=["a"]), Operation.CHANGE, id="host"
        ),
    ],
)
def test_an_operation_is_told_from_the_revisions(
    before: App | None, after: App | None, operation: Operation
) -> None:
    changes = diff(make_snapshot(*[before] if before else []), make_snapshot(*[after] if after else []))
    (change,) = changes
    assert (change.operation, change.before, change.after) == (operation, before, after)
    assert change.details == (diff_app(before, after) if before and after else ())


def test_an_app_whose_namespace_becomes_denied_is_not_uninstalled() -> None:
    (change,) = diff(make_snapshot(V4), make_snapshot(cluster=DENYING))
    assert change.operation is Operation.DENY


def test_an_app_whose_namespace_is_allowed_again_comes_back() -> None:
    (change,) = diff(make_snapshot(cluster=DENYING), make_snapshot(V4))
    assert change.operation is Operation.ALLOW


REVISIONS = [(n, "superseded") for n in range(1, 7)] + [(7, "deployed")]


@pytest.mark.parametrize(
    ("before", "after", "unseen"),
    [
        pytest.param(V4, make_app(revision=7, updated=LATER), [5, 6], id="between"),
        pytest.param(V4, make_app(revision=5, updated=LATER), [], id="none between"),
        pytest.param(None, make_app(revision=3), [1, 2], id="a fresh install"),
        pytest.param(V4, make_app(revision=2, updated=LATER), [1], id="a reinstall"),
        pytest.param(V4, None, [], id="an uninstall"),
    ],
)
def test_revisions_that_came_and_went_between_two_looks_are_named(
    before: App | None, after: App | None, unseen: list[int]
) -> None:
    known: Mapping[AppKey, list[tuple[int, str]]] = {V4.key: REVISIONS}
    changes = diff(
        make_snapshot(*[before] if before else []),
        make_snapshot(*[after] if after else []),
        revisions=known,
    )
    (change,) = changes
    assert [(u.revision, u.status) for u in change.unseen] == [(n, "superseded") for n in unseen]


def test_the_first_revision_of_a_track_has_seen_nothing_and_so_missed_nothing() -> None:
    (change,) = diff(None, make_snapshot(make_app(revision=3)), revisions={V4.key: REVISIONS})
    assert change.unseen == ()


KEYS = [AppKey("default", "a"), AppKey("default", "b"), AppKey("team-a", "a")]
SNAPSHOTS = st.tuples(*(st.none() | apps(key) for key in KEYS)).map(
    lambda some: make_snapshot(*[app for app in some if app is not None])
)


@given(SNAPSHOTS, SNAPSHOTS)
@settings(max_examples=20)
def test_a_changeset_names_exactly_the_apps_that_differ(before, after) -> None:  # type: ignore[no-untyped-def]  # drawn values
    changes = diff(before, after)
    differing = {
        key
        for key in KEYS
        if getattr(before.apps.get(key), "digest", "") != getattr(after.apps.get(key), "digest", "")
    }
    assert {change.key for change in changes} == differing
    assert [change.key for change in changes] == sorted(differing)
