"""What is ignored keeps its recorded value: element by element, and what that means for other fields."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.changes.change import Field
from reconciler.changes.diff import diff_app
from reconciler.model import App, Container, IngressInfo, Record, ServiceInfo, VolumeInfo
from reconciler.policy.masked import effective, masked
from reconciler.policy.rules import Rules, rules_of
from reconciler.project import Match, Rule, Spec
from tests.builders import make_app
from tests.unit.changes.strategies import apps
from tests.unit.changes.test_diff import info, pods
from tests.unit.policy.inventories import make_inventory

F = Field
LATER = "2026-11-22T00:00:00Z"
A1, A2 = ("a-0", "web:1", "Running"), ("a-0", "web:2", "Running")
B1, B2 = ("b-0", "web:1", "Running"), ("b-0", "web:2", "Running")
SIDE = ("a-0", "side:1", "Running")
FAILED = ("a-0", "web:1", "Failed")


def services(*some: tuple[str, int]) -> App:
    return info(make_app(), service_info=tuple(sorted(ServiceInfo(n, "default", p) for n, p in some)))


def volumes(*some: tuple[str, int]) -> App:
    return info(make_app(), volume_info=tuple(sorted(VolumeInfo(n, "default", s) for n, s in some)))


def hosts(*some: tuple[str, str]) -> App:
    return info(make_app(), ingress_info=tuple(sorted(IngressInfo(n, "default", d) for n, d in some)))


@pytest.mark.parametrize(
    ("ignored", "was", "live", "expected"),
    [
        pytest.param({F.STATUS}, make_app(), make_app(status="failed"), make_app(), id="a status"),
        pytest.param(
            {F.STATUS},
            make_app(),
            make_app(status="failed", revision=2),
            make_app(revision=2),
            id="a status, and what else differs is taken",
        ),
        pytest.param(
            {F.REVISION}, make_app(), make_app(revision=2, rolled_back_to=1), make_app(), id="a rollback"
        ),
        pytest.param(
            {F.UPDATED, F.CHART, F.APP_VERSION, F.CHART_VERSION},
            make_app(pods=0, ports=()),
            make_app(
                pods=0,
                ports=(),
                updated=LATER,
                chart="kc",
                app_version="24",
                chart_version="19",
                status="failed",
            ),
            make_app(pods=0, ports=(), status="failed"),
            id="the rest of Helm's",
        ),
        pytest.param(
            {F.APP_UUID},
            make_app(),
            make_app(app_uuid="A-new", hossted_helm=True),
            make_app(),
            id="a UUID, and where it is from",
        ),
        pytest.param({F.POD_STATUS}, pods(A1), pods(FAILED, B1), pods(A1, B1), id="a status, not a pod"),
        pytest.param({F.POD}, pods(A1), pods(FAILED, B1), pods(FAILED), id="pods that come"),
        pytest.param({F.POD}, pods(A1, B1), pods(A1), pods(A1, B1), id="pods that go"),
        pytest.param({F.POD, F.POD_STATUS}, pods(A1), pods(FAILED, B1), pods(A1), id="pods and their status"),
        pytest.param({F.POD}, pods(A1), pods(B2), pods(B2), id="a new image brings its pods along"),
        pytest.param(
            {F.POD, F.POD_STATUS},
            pods(A1, B1),
            pods(FAILED, B2),
            pods(A1, B2),
            id="but not the status of those on both sides",
        ),
        pytest.param({F.POD_IMAGE}, pods(A1), pods(A2), pods(A1), id="an image: the recorded pod stays"),
        pytest.param({F.POD_IMAGE}, pods(A1), pods(B2), pods(A1), id="also under another name"),
        pytest.param({F.POD_IMAGE}, pods(A1), pods(A1, B1), pods(A1, B1), id="a pod with an image on record"),
        pytest.param(
            {F.POD_IMAGE}, pods(A1), pods(A1, SIDE, B2), pods(A1), id="a container and a pod of other images"
        ),
        pytest.param(
            {F.POD_IMAGE}, pods(A1, SIDE), pods(FAILED), pods(FAILED, SIDE), id="an image that goes"
        ),
        pytest.param({F.POD_IMAGE, F.POD}, pods(A1), pods(B2), pods(A1), id="images and pods"),
        pytest.param(
            {F.SERVICE}, services(("a", 1)), services(("a", 2), ("b", 3)), services(("a", 2)), id="services"
        ),
        pytest.param(
            {F.SERVICE},
            services(("a", 1), ("b", 2)),
            services(("a", 1)),
            services(("a", 1), ("b", 2)),
            id="a service that goes",
        ),
        pytest.param(
            {F.SERVICE_PORT},
            services(("a", 1), ("a", 2)),
            services(("a", 2), ("a", 4), ("b", 3)),
            services(("a", 1), ("a", 2), ("b", 3)),
            id="ports",
        ),
        pytest.param(
            {F.VOLUME_SIZE},
            volumes(("a", 1), ("c", 1)),
            volumes(("a", 2), ("b", 3)),
            volumes(("a", 1), ("b", 3)),
            id="sizes",
        ),
        pytest.param(
            {F.VOLUME},
            volumes(("a", 1), ("c", 1)),
            volumes(("a", 2), ("b", 3)),
            volumes(("a", 2), ("c", 1)),
            id="volumes",
        ),
        pytest.param(
            {F.INGRESS_DOMAIN},
            hosts(("a", "x")),
            hosts(("a", "y"), ("b", "z")),
            hosts(("a", "x"), ("b", "z")),
            id="hosts",
        ),
        pytest.param(
            {F.INGRESS, F.INGRESS_DOMAIN},
            hosts(("a", "x")),
            hosts(("b", "z")),
            hosts(("a", "x")),
            id="ingresses",
        ),
    ],
)
def test_what_is_ignored_keeps_its_recorded_value(
    ignored: set[Field], was: App, live: App, expected: App
) -> None:
    assert masked(was, live, frozenset(ignored)) == expected


def test_an_app_that_differs_in_nothing_else_is_the_recorded_one_itself() -> None:
    was = make_app()
    assert masked(was, make_app(status="failed"), frozenset({F.STATUS})) is was


def container(pod: str, name: str, image: str, digest: str = "") -> Container:
    return Container(pod, name, "app", image, digest)


def test_containers_are_those_of_the_pods_that_are_taken() -> None:
    """A pod of which one image is held back has its other containers as they are now."""
    was, live = pods(A1, SIDE), pods(A2, SIDE, B2)
    was = msgspec.structs.replace(
        was,
        record=Record(
            "1", containers=(container("a-0", "main", "web:1", "x"), container("a-0", "side", "side:1"))
        ),
    )
    init = Container("a-0", "setup", "init", "setup:2", "")
    live = msgspec.structs.replace(
        live,
        record=Record(
            "1",
            containers=(
                container("a-0", "main", "web:2", "y"),
                init,
                container("a-0", "side", "side:1", "z"),
                container("b-0", "main", "web:2", "y"),
            ),
        ),
    )
    app = masked(was, live, frozenset({F.POD_IMAGE}))
    assert app.app_info == was.app_info
    assert app.record.containers == (
        container("a-0", "main", "web:1", "x"),
        init,
        container("a-0", "side", "side:1", "z"),
    )


def test_a_pod_that_only_the_record_has_keeps_all_its_containers() -> None:
    setup = Container("a-0", "setup", "init", "setup:1", "")
    was = msgspec.structs.replace(
        pods(A1), record=Record("1", containers=(container("a-0", "main", "web:1"), setup))
    )
    live = msgspec.structs.replace(
        pods(B2), record=Record("1", containers=(container("b-0", "main", "web:2"),))
    )
    assert masked(was, live, frozenset({F.POD_IMAGE})) == was


def is_possible(app: App) -> bool:
    """Whether no pod has two phases at once, and no volume two sizes."""
    pod_ids = [(pod.namespace, pod.name, pod.image) for pod in app.app_info.pod_info]
    volume_ids = [(volume.namespace, volume.name) for volume in app.app_info.volume_info]
    return len({*pod_ids, *volume_ids}) == len(pod_ids) + len(volume_ids)


POSSIBLE = apps().filter(is_possible)


@given(POSSIBLE, POSSIBLE, st.frozensets(st.sampled_from(Field)))
@settings(max_examples=60)
def test_a_masked_app_differs_in_nothing_that_is_ignored_and_masking_it_again_changes_nothing(
    was: App, live: App, fields: frozenset[Field]
) -> None:
    app = masked(was, live, fields)
    left_out = effective(was, live, fields)
    assert left_out >= fields - {F.POD, F.RECORD_CONTAINERS}
    assert not {detail.field for detail in diff_app(was, app)} & left_out
    assert masked(was, app, fields) == app
    assert masked(was, was, fields) == was


@given(POSSIBLE, POSSIBLE, st.frozensets(st.sampled_from(Field)))
@settings(max_examples=40)
def test_what_is_not_ignored_is_taken_as_it_is(was: App, live: App, fields: frozenset[Field]) -> None:
    """Of Helm's fields and of what is named there: the fields of pods hang together, see the table."""
    app = masked(was, live, fields)
    seen = {(one.field, one.item, one.before, one.after) for one in diff_app(was, live)}
    shown = {(one.field, one.item, one.before, one.after) for one in diff_app(was, app)}
    of_pods = {F.POD, F.POD_IMAGE, F.POD_STATUS, F.RECORD_CONTAINERS}
    assert {one for one in seen if one[0] not in fields | of_pods} == {
        one for one in shown if one[0] not in of_pods
    }
    assert masked(was, live, frozenset()) is live or masked(was, live, frozenset()) == live


def of(*fields: str, action: str = "Ignore") -> Rules:
    return rules_of(Spec(rules=(Rule(action=action, match=Match(fields=fields)),)).in_effect())


PENDING = ("a-0", "web:1", "Pending")
NEW_PENDING = ("b-0", "web:1", "Pending")


@pytest.mark.parametrize(
    ("fields", "was", "live", "waits"),
    [
        pytest.param(("pod_info.status",), pods(A1), pods(PENDING), False, id="a status that is ignored"),
        pytest.param(
            ("pod_info.status",), pods(A1), pods(A1, NEW_PENDING), True, id="a new pod is no status"
        ),
        pytest.param(("pod_info.status",), None, pods(PENDING), True, id="a new app is taken as it is"),
        pytest.param(("pod_info",), pods(A1), pods(A1, NEW_PENDING), False, id="a pod that is ignored"),
        pytest.param(("pod_info",), pods(A1), pods(PENDING), True, id="the status of a pod that is not"),
        pytest.param(
            ("pod_info",), pods(PENDING), pods(B1, NEW_PENDING), False, id="a pod that is there no more"
        ),
        pytest.param(("service_info",), pods(A1), pods(PENDING), True, id="something else"),
    ],
)
def test_what_is_ignored_is_not_waited_for(
    fields: tuple[str, ...], was: App | None, live: App, waits: bool
) -> None:
    inventory = msgspec.structs.replace(make_inventory(live), settling=frozenset({live.key}))
    recorded = {} if was is None else {was.key: was}
    assert bool(of(*fields).compared(inventory, recorded).settling) is waits


def test_the_inventory_is_compared_as_it_is_masked_but_for_what_is_not_on_record() -> None:
    known, new = make_app(name="known"), make_app(name="new", status="failed")
    live = make_app(name="known", status="failed")
    inventory = make_inventory(live, new)
    assert of("helm_info.status").compared(inventory, {known.key: known}).apps == {
        known.key: known,
        new.key: new,
    }
    assert of("helm_info.status", action="Defer").compared(inventory, {known.key: known}) is inventory
