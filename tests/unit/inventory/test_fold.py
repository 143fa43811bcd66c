"""From one look to the inventory: apps, what is on its way, and what could not be told."""

import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.inventory.app_uuid import derived
from reconciler.inventory.fold import fold
from reconciler.inventory.helm import HelmRevision
from reconciler.inventory.inventory import Inventory
from reconciler.inventory.objects import (
    OWNER_KINDS,
    Claim,
    Gap,
    Ingress,
    Kind,
    Look,
    Namespace,
    Pod,
    Service,
    UuidSecret,
)
from reconciler.model import (
    App,
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
from tests.builders import CLUSTER_UUID, make_app
from tests.unit.inventory.looks import (
    NOW,
    UPDATED,
    a_cluster,
    deployment,
    look,
    meta,
    owned_by,
    pod,
    release,
    workload,
)

WEB, WEB_DB, TEST, SPREAD = (
    AppKey("shop", "web"),
    AppKey("shop", "web-db"),
    AppKey("test", "web"),
    AppKey("ops", "spread"),
)
GIB = 2**30


def folded(
    seen: Look,
    previous: Mapping[AppKey, App] | None = None,
    *,
    deny: tuple[str, ...] = (),
    adopted: Mapping[AppKey, str] | None = None,
) -> Inventory:
    return fold(
        seen,
        cluster_uuid=CLUSTER_UUID,
        policy=PolicyInEffect(denyNamespaces=deny),
        adopted=adopted or {},
        previous=previous or {},
    )


CLUSTER = look(*a_cluster())
FULL = folded(CLUSTER)


# What an app is


def test_a_chart_without_labels_comes_out_complete() -> None:
    web = FULL.apps[WEB]
    assert web.app_info.pod_info == (
        PodInfo("web-1", "shop", "proxy:1", "Running"),
        PodInfo("web-1", "shop", "web:2", "Running"),
    )
    assert web.app_info.service_info == (ServiceInfo("web", "shop", 80), ServiceInfo("web", "shop", 443))
    assert [info.domain for info in web.app_info.ingress_info] == ["a.example.com", "b.example.com"]
    assert web.record.containers == (
        Container("web-1", "c0", "app", "web:2", "sha256:web:2"),
        Container("web-1", "c1", "app", "proxy:1", "sha256:proxy:1"),
    )
    assert web.record.services == (ServiceRecord("web", "ClusterIP"),)
    assert web.record.routes == (Route("Ingress", "shop", "web"),)


def test_claims_of_a_scaled_down_statefulset_are_its_releases() -> None:
    claims = FULL.apps[WEB_DB].app_info.volume_info
    assert claims == tuple(VolumeInfo(f"data-web-db-{i}", "shop", 8 * GIB) for i in range(2))


def test_a_release_is_its_newest_revision_as_body_and_label_tell_it() -> None:
    helm = FULL.apps[SPREAD].helm
    assert (helm.revision, helm.status, helm.chart, helm.appVersion) == (10, "deployed", "spread-chart", "9")
    assert helm.updated == UPDATED
    assert FULL.apps[SPREAD].record.chart_version == "1.2.10"
    assert FULL.apps[SPREAD].record.rolled_back_to == 7
    assert FULL.apps[TEST].helm.status == "failed"


def test_two_releases_of_one_name_in_two_namespaces_are_two_apps() -> None:
    assert list(FULL.apps) == [SPREAD, WEB, WEB_DB, TEST]
    assert FULL.apps[TEST].app_info.pod_info == (PodInfo("web-l", "test", "web:1", "Pending"),)
    assert FULL.apps[TEST].app_info.volume_info == (VolumeInfo("files", "test", 2**20),)


def test_a_release_whose_name_begins_another_keeps_to_itself() -> None:
    assert {info.name for info in FULL.apps[WEB_DB].app_info.pod_info} == {"web-db-0"}
    assert not FULL.apps[WEB].app_info.volume_info


def test_objects_in_another_namespace_than_the_releases_belong_to_it() -> None:
    spread = FULL.apps[SPREAD]
    assert spread.app_info.ingress_info == (IngressInfo("door", "shop", ""),)
    assert spread.app_info.service_info == (ServiceInfo("outside", "ops", 0),)
    assert {info.name for info in spread.app_info.pod_info} == {"tidy-1-x"}


def test_an_empty_status_label_reads_as_helms_word_for_it() -> None:
    assert folded(look(release(status=""))).apps[WEB].helm.status == "unknown"


# Identity


def test_the_uuid_comes_from_the_secret_of_the_releases_namespace() -> None:
    for key in (WEB, WEB_DB):
        assert FULL.apps[key].app_uuid == "A-0d9771b2"
        assert FULL.apps[key].app_api_info.hossted_helm
    assert FULL.apps[SPREAD].app_uuid == derived(CLUSTER_UUID, SPREAD)
    assert not FULL.apps[SPREAD].app_api_info.hossted_helm
    assert FULL.apps[WEB].app_api_info.cluster_uuid == CLUSTER_UUID
    assert FULL.apps[WEB].app_api_info.app_name == "web"


def test_an_adopted_uuid_stands_where_there_is_no_secret() -> None:
    adopted = {WEB: "A-upstream", SPREAD: "A-old"}
    apps = folded(CLUSTER, adopted=adopted).apps
    assert (apps[WEB].app_uuid, apps[SPREAD].app_uuid) == ("A-0d9771b2", "A-old")
    assert not apps[SPREAD].app_api_info.hossted_helm


@pytest.mark.parametrize("secret", [UuidSecret("shop", "no uuid!"), UuidSecret("shop", problem="is away")])
def test_an_unusable_secret_keeps_the_last_uuid_and_is_named(secret: UuidSecret) -> None:
    found = folded(look(release(), secret), {WEB: FULL.apps[WEB]})
    assert found.apps[WEB].app_api_info == FULL.apps[WEB].app_api_info
    assert [problem.subject for problem in found.problems] == ["Secret shop/uuid"]
    assert "no uuid!" not in str(found.problems[0])


def test_a_secret_named_uuid_where_no_release_is_concerns_nobody() -> None:
    assert folded(look(release(), UuidSecret("elsewhere", "no uuid!"))).problems == ()


# What is on its way, kept, settling, unattributed


@pytest.mark.parametrize("status", ["pending-install", "pending-upgrade", "pending-rollback"])
def test_a_pending_release_is_on_its_way_since_its_revision_was_created(status: str) -> None:
    later = NOW + timedelta(hours=1)
    found = folded(look(release(version=2, status=status, modified=later), release(version=1)))
    assert found.in_transit == {WEB: NOW}
    assert found.apps[WEB].helm.status == status


def test_an_uninstalling_release_is_on_its_way_since_it_was_modified() -> None:
    later = NOW + timedelta(hours=1)
    assert folded(look(release(status="uninstalling", modified=later))).in_transit == {WEB: later}
    assert folded(look(release(status="uninstalling"))).in_transit == {WEB: NOW}


@pytest.mark.parametrize("status", ["deployed", "failed", "superseded", "unknown"])
def test_a_release_that_stands_is_not_on_its_way(status: str) -> None:
    assert folded(look(release(version=2, status=status), release(status="pending-upgrade"))).in_transit == {}


def test_a_release_uninstalled_with_its_history_kept_is_in_the_inventory_and_no_app() -> None:
    seen = look(release(version=3, status="uninstalled"), release(version=2, status="superseded"))
    found = folded(seen, {WEB: FULL.apps[WEB]})
    assert WEB not in found.apps
    assert (found.kept[WEB].helm.revision, found.kept[WEB].helm.chart) == (3, "web-chart")
    assert found.is_gone(WEB)


def test_the_label_tells_of_an_uninstalled_release_whose_body_cannot_be_read() -> None:
    found = folded(look(release(status="uninstalled", problem="is not gzip")), {WEB: FULL.apps[WEB]})
    assert WEB not in found.apps
    assert found.is_gone(WEB)
    assert [problem.key for problem in found.problems] == [WEB]


def test_an_app_with_a_pending_pod_is_settling() -> None:
    assert FULL.settling == {TEST}


def test_pods_of_no_release_are_listed_whatever_their_phase() -> None:
    hook = workload("Job", meta("migrate", instance="web", managed=True))
    done = pod(meta("migrate-x", owner=owned_by(hook)), phase="Succeeded")
    denied = pod(meta("proxy", "kube-system"))
    found = folded(look(*a_cluster(), hook, done, denied), deny=("kube-*",))
    assert [(at.namespace, at.name) for at in found.unattributed] == [
        ("shop", "migrate-x"),
        ("test", "lonely"),
    ]


def test_every_revision_that_helm_keeps_is_known_in_ascending_order() -> None:
    assert FULL.revisions[SPREAD] == (HelmRevision(9, "superseded"), HelmRevision(10, "deployed"))
    assert FULL.revisions[WEB] == (HelmRevision(1, "superseded"), HelmRevision(2, "deployed"))


@pytest.mark.parametrize(
    ("namespaces", "denied", "ending"),
    [
        ([("shop", False), ("ops", False)], (), False),
        ([("shop", True), ("ops", False)], (), True),
        ([("ops", False)], (), True),
        ([("ops", True)], (), True),
        ([], (), False),
        ([("ops", False)], ("ops",), False),
    ],
    ids=[
        "there",
        "being deleted",
        "not there",
        "the only one is another",
        "none was seen",
        "none is allowed",
    ],
)
def test_a_namespace_is_ending_while_it_is_deleted_and_after(
    namespaces: list[tuple[str, bool]], denied: tuple[str, ...], ending: bool
) -> None:
    seen = msgspec.structs.replace(
        look(), namespaces=tuple(Namespace(name, f"uid-{name}", terminating=so) for name, so in namespaces)
    )
    assert folded(seen, deny=denied).is_ending("shop") is ending


# Releases that cannot be read


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"problem": "is not gzip"}, "Secret shop/sh.helm.release.v1.web.v3 is not gzip"),
    ({"read": False}, "Secret shop/sh.helm.release.v1.web.v3 has a body that was not read"),
    ({"payload_name": "other"}, "says that it is of release 'other', but is labelled 'web'"),
    (
        {"version": "three", "created": NOW + timedelta(minutes=1)},
        "has the label version='three', which is no",
    ),
    (
        {"driver": Kind.RELEASE_CONFIGMAPS, "problem": "is not JSON"},
        "ConfigMap shop/sh.helm.release.v1.web.v3 is not JSON",
    ),
]


@pytest.mark.parametrize(("how", "message"), BROKEN)
def test_an_unreadable_release_keeps_its_last_state_is_named_and_costs_nothing_else(
    how: dict[str, Any], message: str
) -> None:
    broken = release(**{"version": 3, **how})
    found = folded(look(*a_cluster(), broken), FULL.apps)
    assert found.apps == FULL.apps
    assert found.unreadable == found.carried == {WEB}
    assert [problem.key for problem in found.problems] == [WEB]
    assert message in str(found.problems[0])
    assert not found.is_gone(WEB)


@pytest.mark.parametrize(("how", "message"), BROKEN)
def test_an_unreadable_release_that_is_new_is_absent_named_and_not_gone(
    how: dict[str, Any], message: str
) -> None:
    found = folded(look(*a_cluster(), release(**{"version": 3, **how})))
    assert found.apps == {key: app for key, app in FULL.apps.items() if key != WEB}
    assert found.unreadable == {WEB}
    assert not found.is_gone(WEB)
    assert found.unattributed == FULL.unattributed


@pytest.mark.parametrize("name", ["../escape", "Upper", "a_b", "-a", "a.", "a" * 54, "line\nbreak"])
def test_a_release_with_a_name_that_helm_would_not_give_is_named_and_costs_nothing_else(name: str) -> None:
    found = folded(look(*a_cluster(), release(name)))
    assert found.apps == FULL.apps
    assert found.unreadable == {AppKey("shop", name)}
    assert "which is no name that Helm gives" in str(found.problems[0])


def test_an_older_revision_that_cannot_be_read_is_nobodys_concern() -> None:
    older = release(version="one", problem="is not gzip", created=NOW - timedelta(minutes=1))
    found = folded(look(*a_cluster(), older))
    assert (found.apps, found.problems) == (FULL.apps, ())


def test_an_object_that_names_no_release_is_named_itself() -> None:
    nameless = msgspec.structs.replace(release(), name="")
    found = folded(look(nameless))
    assert [str(problem) for problem in found.problems] == [
        "Secret shop/sh.helm.release.v1.web.v1 has no label that names its release"
    ]
    assert not found.apps


# Denied namespaces


def test_nothing_comes_from_a_denied_namespace() -> None:
    found = folded(CLUSTER, FULL.apps, deny=("shop",))
    assert list(found.apps) == [SPREAD, TEST]
    assert not found.apps[SPREAD].app_info.ingress_info  # it stands in shop
    assert not found.is_gone(WEB)
    assert WEB not in found.revisions
    assert "shop" not in {at.namespace for at in found.unattributed}


@pytest.mark.parametrize(
    "denied",
    [
        pod(meta("x", "secret", release="web", release_namespace="shop")),
        Service(meta("x", "secret", release="web", release_namespace="shop"), "ClusterIP", (1,)),
        Claim(meta("x", "secret", release="web", release_namespace="shop")),
        Ingress(meta("x", "secret", release="web", release_namespace="shop")),
    ],
    ids=["pod", "service", "claim", "ingress"],
)
def test_an_object_in_a_denied_namespace_is_nobodys(denied: Pod | Service | Claim | Ingress) -> None:
    seen = look(release(), denied)
    assert folded(seen).apps != folded(look(release())).apps
    assert folded(seen, deny=("secret",)).apps == folded(look(release())).apps


@pytest.mark.parametrize("kind", [Kind.NAMESPACES, Kind.RELEASE_SECRETS, Kind.PODS])
def test_an_app_of_a_denied_namespace_is_not_carried_forward(kind: Kind) -> None:
    found = folded(look(gaps=(Gap(kind),)), FULL.apps, deny=("shop",))
    assert not {WEB, WEB_DB} & found.apps.keys()
    assert not found.is_gone(WEB)


def test_a_block_that_is_carried_forward_leaves_a_denied_namespace_too() -> None:
    found = folded(msgspec.structs.replace(CLUSTER, gaps=(Gap(Kind.INGRESSES),)), FULL.apps, deny=("shop",))
    assert found.apps[SPREAD].app_info.ingress_info == ()
    assert found.apps[SPREAD].record.routes == ()


def test_what_is_carried_forward_leaves_a_denied_namespace_too() -> None:
    gap = Gap(Kind.RELEASE_SECRETS, "ops")
    found = folded(msgspec.structs.replace(CLUSTER, gaps=(gap,)), FULL.apps, deny=("shop",))
    spread = found.apps[SPREAD]
    assert SPREAD in found.carried
    assert (spread.app_info.ingress_info, spread.record.routes) == ((), ())
    assert spread.app_info.pod_info == FULL.apps[SPREAD].app_info.pod_info


# Absence needs proof


def test_a_release_missing_from_a_complete_look_is_gone() -> None:
    found = folded(look(pod(meta("p"))), {WEB: FULL.apps[WEB]})
    assert WEB not in found.apps
    assert found.is_gone(WEB)
    assert not FULL.is_gone(WEB)


@pytest.mark.parametrize("forbidden", [False, True])
@pytest.mark.parametrize("namespace", ["", "shop"])
@pytest.mark.parametrize("kind", [Kind.NAMESPACES, Kind.RELEASE_SECRETS, Kind.RELEASE_CONFIGMAPS])
def test_releases_that_could_not_be_listed_are_not_gone(kind: Kind, namespace: str, forbidden: bool) -> None:
    gap = Gap(kind, namespace, forbidden)
    found = folded(look(gaps=(gap,), never_listed=(gap,)), FULL.apps)
    assert {key: found.apps[key] for key in (WEB, WEB_DB)} == {key: FULL.apps[key] for key in (WEB, WEB_DB)}
    assert not found.is_gone(WEB)
    assert found.is_gone(TEST) is (namespace == "shop")
    assert WEB in found.carried


def test_a_release_last_seen_uninstalled_is_not_gone_while_the_other_driver_is_unlisted() -> None:
    gap = Gap(Kind.RELEASE_CONFIGMAPS)
    found = folded(look(release(status="uninstalled"), gaps=(gap,)), {WEB: FULL.apps[WEB]})
    assert found.apps[WEB] == FULL.apps[WEB]
    assert not found.is_gone(WEB)


def test_a_release_stays_as_it_was_while_its_driver_cannot_be_listed_and_others_go_on() -> None:
    gap = Gap(Kind.RELEASE_CONFIGMAPS, message="timed out")
    newer = look(
        *a_cluster(), release(version=3), release("new", driver=Kind.RELEASE_CONFIGMAPS), gaps=(gap,)
    )
    found = folded(newer, FULL.apps)
    assert found.apps[WEB].helm.revision == 3
    assert found.apps[WEB_DB] == FULL.apps[WEB_DB]
    assert found.waiting == {AppKey("shop", "new"): "configmaps cannot be listed: timed out"}


def test_the_pods_of_an_app_whose_releases_are_hidden_still_belong_to_it() -> None:
    gap = Gap(Kind.RELEASE_SECRETS)
    without = tuple(each for each in a_cluster() if not hasattr(each, "driver"))
    assert folded(look(*without, gaps=(gap,)), FULL.apps).unattributed == FULL.unattributed


@pytest.mark.parametrize("kind", Kind)
def test_a_new_app_waits_while_any_kind_fails_to_be_listed(kind: Kind) -> None:
    gap = Gap(kind, "shop", message="timed out")
    found = folded(msgspec.structs.replace(CLUSTER, gaps=(gap,)))
    assert found.waiting == dict.fromkeys((WEB, WEB_DB), f"{kind} in shop cannot be listed: timed out")
    assert list(found.apps) == [SPREAD, TEST]
    assert not found.is_gone(WEB)
    everywhere = folded(msgspec.structs.replace(CLUSTER, gaps=(Gap(kind),)))
    assert everywhere.waiting == dict.fromkeys(FULL.apps, f"{kind} cannot be listed")
    assert not everywhere.apps


@pytest.mark.parametrize(
    ("kind", "empty"),
    [
        (Kind.PODS, "pod_info"),
        (Kind.SERVICES, "service_info"),
        (Kind.CLAIMS, "volume_info"),
        (Kind.INGRESSES, "ingress_info"),
    ],
)
def test_a_kind_that_is_forbidden_is_empty_in_a_new_app_and_kept_in_a_known_one(
    kind: Kind, empty: str
) -> None:
    gap = Gap(kind, forbidden=True)
    partial = without(CLUSTER, {kind}, (gap,))
    new = folded(partial).apps
    for key in (WEB, WEB_DB, SPREAD):
        assert getattr(new[key].app_info, empty) == ()
    assert folded(partial, FULL.apps).apps == FULL.apps


def test_only_the_namespace_that_could_not_be_listed_is_carried_forward() -> None:
    gap = Gap(Kind.INGRESSES, "shop")
    moved = Ingress(meta("gate", "ops", release="spread"), ("ops.example.com",))
    kept = tuple(each for each in a_cluster() if not isinstance(each, Ingress))
    found = folded(look(*kept, moved, gaps=(gap,)), FULL.apps)
    assert found.apps[SPREAD].app_info.ingress_info == (
        IngressInfo("door", "shop", ""),
        IngressInfo("gate", "ops", "ops.example.com"),
    )
    assert found.apps[WEB] == FULL.apps[WEB]
    assert found.carried == {WEB, SPREAD}


def test_new_pods_of_owners_that_may_not_be_read_are_not_guessed_but_known_ones_stay() -> None:
    deploy, replica_set = deployment("web", release="web")
    old, new = (pod(meta(f"web-{i}", owner=owned_by(replica_set))) for i in range(2))
    before = folded(look(release(), deploy, replica_set, old))
    gap = Gap(Kind.REPLICA_SETS, forbidden=True)
    after = folded(look(release(), deploy, old, new, gaps=(gap,), never_listed=(gap,)), before.apps)
    assert after.apps == before.apps
    assert [at.name for at in after.unattributed] == ["web-1"]
    # What is really gone is gone.
    emptied = folded(look(release(), deploy, new, gaps=(gap,), never_listed=(gap,)), before.apps)
    assert emptied.apps[WEB].app_info.pod_info == ()


@pytest.mark.parametrize("kind", OWNER_KINDS.values())
def test_pods_and_claims_stay_as_they_were_while_their_owners_fail_to_be_listed(kind: Kind) -> None:
    newer = (
        pod(meta("newer", instance="web", managed=True)),
        Claim(meta("newer", instance="web"), 1),
        *(each for each in a_cluster() if not isinstance(each, Pod | Claim)),
    )
    found = folded(look(*newer, gaps=(Gap(kind),)), FULL.apps)
    for key in FULL.apps:
        assert found.apps[key].app_info.pod_info == FULL.apps[key].app_info.pod_info
        assert found.apps[key].record == FULL.apps[key].record
    claims = [info.name for info in found.apps[WEB].app_info.volume_info]
    assert claims == ([] if kind is Kind.STATEFUL_SETS else ["newer"])
    assert found.carried >= {WEB, SPREAD}


def test_a_release_kept_after_its_uninstall_is_not_among_the_apps_carried_forward() -> None:
    seen = look(release(status="uninstalled"), gaps=(Gap(Kind.PODS),))
    found = folded(seen, {WEB: FULL.apps[WEB]})
    assert (set(found.kept), found.carried, found.is_gone(WEB)) == ({WEB}, frozenset(), True)


def test_a_claim_of_a_statefulset_that_may_not_be_read_stays_with_its_app() -> None:
    gap = Gap(Kind.STATEFUL_SETS, forbidden=True)
    found = folded(without(CLUSTER, {Kind.STATEFUL_SETS}, (gap,)), FULL.apps)
    assert found.apps[WEB_DB].app_info.volume_info == FULL.apps[WEB_DB].app_info.volume_info


# Properties


FIELDS = {
    Kind.NAMESPACES: "namespaces",
    Kind.UUID_SECRETS: "uuid_secrets",
    Kind.PODS: "pods",
    Kind.SERVICES: "services",
    Kind.CLAIMS: "claims",
    Kind.INGRESSES: "ingresses",
}


def without(seen: Look, kinds: set[Kind], gaps: tuple[Gap, ...]) -> Look:
    """A look to which these kinds, everywhere or in the gaps' one namespace, were never visible."""

    def hidden(kind: Kind, namespace: str) -> bool:
        return any(gap.kind is kind and gap.namespace in ("", namespace) for gap in gaps if gap.kind in kinds)

    def place(each: Any) -> str:
        return each.name if isinstance(each, type(seen.namespaces[0])) else getattr(each, "namespace", "")

    fields: dict[str, Any] = {
        "releases": tuple(each for each in seen.releases if not hidden(each.driver, each.namespace)),
        "workloads": tuple(
            each for each in seen.workloads if not hidden(OWNER_KINDS[each.kind], each.meta.namespace)
        ),
    }
    for kind, field in FIELDS.items():
        fields[field] = tuple(
            each
            for each in getattr(seen, field)
            if not hidden(kind, each.meta.namespace if hasattr(each, "meta") else place(each))
        )
    return msgspec.structs.replace(seen, gaps=gaps, never_listed=gaps, **fields)


some_gaps = st.lists(
    st.builds(
        Gap,
        st.sampled_from(Kind),
        st.sampled_from(["", "shop", "ops", "test"]),
        st.booleans(),
        st.sampled_from(["timed out", "refused"]),
    ),
    min_size=1,
    max_size=6,
).map(tuple)


@settings(max_examples=200)
@given(some_gaps)
def test_a_partial_look_at_an_unchanged_cluster_changes_no_app(gaps: tuple[Gap, ...]) -> None:
    partial = without(CLUSTER, {gap.kind for gap in gaps}, gaps)
    found = folded(partial, FULL.apps)
    assert found.apps == FULL.apps
    assert not any(found.is_gone(key) for key in FULL.apps)
    assert not found.waiting


@settings(max_examples=100)
@given(some_gaps)
def test_a_partial_first_look_never_calls_an_app_gone(gaps: tuple[Gap, ...]) -> None:
    found = folded(without(CLUSTER, {gap.kind for gap in gaps}, gaps))
    assert not any(found.is_gone(key) for key in FULL.apps)


@settings(max_examples=60)
@given(st.randoms(use_true_random=False), some_gaps | st.just(()), st.booleans())
def test_the_inventory_does_not_depend_on_the_order_of_the_objects(
    rng: random.Random, gaps: tuple[Gap, ...], known: bool
) -> None:
    broken = (release("odd", problem="is not JSON"), release("odd", driver=Kind.RELEASE_CONFIGMAPS))
    objects = [*a_cluster(), *broken, UuidSecret("test", "!"), pod(meta("stray"))]
    previous = FULL.apps if known else {}
    expected = folded(look(*objects, gaps=gaps), previous)
    rng.shuffle(objects)
    shuffled = folded(look(*objects, gaps=tuple(reversed(gaps))), previous)
    assert shuffled == expected
    assert list(shuffled.apps) == list(expected.apps)


@settings(max_examples=100)
@given(st.sets(st.sampled_from([each for each in a_cluster() if not hasattr(each, "driver")]), max_size=12))
def test_what_comes_out_is_sorted_and_without_duplicates(chosen: set[Any]) -> None:
    releases = [each for each in a_cluster() if hasattr(each, "driver")]
    for app in folded(look(*releases, *chosen)).apps.values():
        info, record = app.app_info, app.record
        for values in (
            *(info.pod_info, info.service_info, info.volume_info, info.ingress_info),
            *(record.containers, record.services, record.routes),
        ):
            assert list(values) == sorted(set(values))


def test_an_unchanged_cluster_folds_to_the_same_apps_from_what_was_known() -> None:
    assert folded(CLUSTER, FULL.apps).apps == FULL.apps
    assert folded(CLUSTER, {AppKey("shop", "old"): make_app("shop", "old")}).apps == FULL.apps
