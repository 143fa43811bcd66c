"""Situations, and what a commit says of them."""

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings

from reconciler.changes.diff import diff
from reconciler.changes.message import message
from reconciler.model import (
    App,
    AppKey,
    Cluster,
    MatchInEffect,
    PolicyInEffect,
    PushPolicy,
    RuleInEffect,
    Snapshot,
)
from tests.builders import make_app, make_cluster, make_snapshot
from tests.unit.changes.strategies import apps
from tests.unit.changes.test_diff import hosts, pods, ports, record

GI, MI = 1 << 30, 1 << 20
NEXT = "2026-11-22T00:00:00Z"
WEB = "docker.io/shop/web:1.0"
WEB_NEXT = "docker.io/shop/web:1.1"


def cluster(name: str = "prod-eu", **policy: object) -> Cluster:
    return msgspec.structs.replace(
        make_cluster(name), policy=msgspec.structs.replace(PolicyInEffect(), **policy)
    )


def subject_and_body(
    before: App | None,
    after: App | None,
    revisions: Mapping[AppKey, list[tuple[int, str]]] | None = None,
) -> tuple[str, str]:
    return message(diff(_snapshot(before), _snapshot(after), revisions=revisions))


def _snapshot(app: App | None) -> Snapshot:
    return make_snapshot(*[] if app is None else [app])


def helm(revision: int, version: str = "18.3.3", **other: object) -> App:
    defaults = {"updated": f"2026-11-21T00:00:{revision:02}Z"}
    return make_app(revision=revision, chart_version=version, **(defaults | other))  # type: ignore[arg-type]  # passed on


IN_DEV = RuleInEffect(
    match=MatchInEffect(namespaces=("dev-*",), fields=("pod_info", "pod_info.status")), action="Ignore"
)
EVERYTHING = RuleInEffect(action="Push")
LONG = RuleInEffect(
    match=MatchInEffect(
        namespaces=("a", "b", "c", "d"),
        releases=("web-*",),
        charts=("nginx",),
        operations=("upgrade",),
    ),
    action="Record",
)

ONE = [
    pytest.param(None, helm(1), "install default/test: keycloak 18.3.3", id="install"),
    pytest.param(
        None, helm(3), "install default/test: keycloak 18.3.3, revision 3", id="install first seen late"
    ),
    pytest.param(
        None, helm(1, status="failed"), "install of default/test failed: keycloak 18.3.3", id="install failed"
    ),
    pytest.param(
        None,
        helm(1, status="pending-install"),
        "install of default/test is stuck: keycloak 18.3.3",
        id="install stuck",
    ),
    pytest.param(
        helm(4),
        helm(5, "18.4.0"),
        "upgrade default/test: keycloak 18.3.3 → 18.4.0, revision 4 → 5",
        id="upgrade",
    ),
    pytest.param(
        helm(4),
        helm(5),
        "upgrade default/test: keycloak 18.3.3, revision 4 → 5",
        id="upgrade of nothing seen",
    ),
    pytest.param(
        helm(4),
        helm(5, app_version="24.0.0"),
        "upgrade default/test: keycloak 18.3.3 (app 23.0.4 → 24.0.0), revision 4 → 5",
        id="upgrade of the app's version alone",
    ),
    pytest.param(
        helm(4, image=WEB),
        helm(5, image=WEB_NEXT),
        "upgrade default/test: keycloak 18.3.3, revision 4 → 5, image web 1.0 → 1.1",
        id="upgrade by values that changes an image",
    ),
    pytest.param(
        helm(4),
        helm(5, "2.0.0", chart="keycloakx"),
        "upgrade default/test: keycloak 18.3.3 → keycloakx 2.0.0, revision 4 → 5",
        id="upgrade to another chart",
    ),
    pytest.param(
        helm(4, "1.0.0-beta"),
        helm(5, ""),
        "upgrade default/test: keycloak 1.0.0-beta → none, revision 4 → 5",
        id="upgrade to a chart without version",
    ),
    pytest.param(
        helm(5),
        helm(6, "18.4.0", status="failed"),
        "upgrade of default/test failed: keycloak 18.3.3 → 18.4.0, revision 5 → 6",
        id="failed upgrade",
    ),
    pytest.param(
        helm(5),
        helm(6, "18.4.0", status="pending-upgrade"),
        "upgrade of default/test is stuck: keycloak 18.3.3 → 18.4.0, revision 5 → 6",
        id="stuck upgrade",
    ),
    pytest.param(
        helm(6, status="pending-upgrade"),
        helm(6),
        "change default/test: status pending-upgrade → deployed",
        id="stuck upgrade that ends",
    ),
    pytest.param(
        helm(6),
        helm(6, status="uninstalling"),
        "change default/test: status deployed → uninstalling",
        id="stuck uninstall",
    ),
    pytest.param(
        helm(5, "18.4.0"),
        helm(6, rolled_back_to=3),
        "roll back default/test to revision 3: keycloak 18.4.0 → 18.3.3, revision 5 → 6",
        id="rollback",
    ),
    pytest.param(
        helm(5, "18.4.0"),
        helm(6, rolled_back_to=3, status="failed"),
        "rollback of default/test to revision 3 failed: keycloak 18.4.0 → 18.3.3, revision 5 → 6",
        id="failed rollback",
    ),
    pytest.param(helm(4), None, "uninstall default/test: keycloak 18.3.3", id="uninstall"),
    pytest.param(
        helm(5),
        helm(1, "18.4.0", updated=NEXT),
        "reinstall default/test: keycloak 18.3.3 → 18.4.0, revision 5 → 1",
        id="reinstall",
    ),
    pytest.param(
        helm(1),
        helm(1, updated=NEXT),
        "reinstall default/test: keycloak 18.3.3, revision 1 → 1",
        id="reinstall as the same",
    ),
    pytest.param(
        helm(5), helm(4), "change default/test: revision 5 → 4", id="newest revision deleted by hand"
    ),
    pytest.param(
        helm(1, updated="2026-11-21T00:00:00Z"),
        helm(1, updated="2026-11-21T02:00:00+02:00"),
        "change default/test: updated 2026-11-21T00:00:00Z → 2026-11-21T02:00:00+02:00",
        id="the same moment in another zone",
    ),
    pytest.param(
        record(helm(1), rolled_back_to=3),
        helm(1),
        "change default/test: details of the record",
        id="what has no words of its own",
    ),
    pytest.param(
        helm(1, image=WEB), helm(1, image=WEB_NEXT), "change default/test: image web 1.0 → 1.1", id="image"
    ),
    pytest.param(
        helm(1, image=WEB),
        helm(1, image="ghcr.io/shop/web:1.0"),
        "change default/test: image docker.io/shop/web:1.0 → ghcr.io/shop/web:1.0",
        id="image from another registry",
    ),
    pytest.param(
        helm(1, image=WEB),
        helm(1, image="docker.io/other/web:1.0"),
        "change default/test: image shop/web:1.0 → other/web:1.0",
        id="image of another owner in the same registry",
    ),
    pytest.param(
        helm(1, image="web@sha256:" + "a" * 64),
        helm(1, image="web@sha256:" + "b" * 64),
        f"change default/test: image web @sha256:{'a' * 12} → @sha256:{'b' * 12}",
        id="image by digest",
    ),
    pytest.param(
        helm(1, image="web"), helm(1, image="web:2"), "change default/test: image web latest → 2", id="no tag"
    ),
    pytest.param(
        pods(("web-0", "web:1", "Running")),
        pods(("web-0", "web:1", "Running"), ("db-0", "quay.io/pg:17", "Running")),
        "change default/test: new image pg:17",
        id="one image more",
    ),
    pytest.param(
        pods(("web-0", "web:1", "Running"), ("db-0", "quay.io/pg:17", "Running")),
        pods(("web-0", "web:1", "Running")),
        "change default/test: image pg:17 gone",
        id="one image less",
    ),
    pytest.param(
        hosts("a.example.com"),
        hosts("a.example.com", "b.example.com"),
        "change default/test: new host b.example.com",
        id="new host",
    ),
    pytest.param(
        hosts("a.example.com"),
        hosts("b.example.com"),
        "change default/test: host a.example.com → b.example.com",
        id="another host",
    ),
    pytest.param(
        hosts("a.example.com", "b.example.com"),
        hosts("a.example.com"),
        "change default/test: host b.example.com gone",
        id="host gone",
    ),
    pytest.param(hosts("a"), hosts(""), "change default/test: host a gone", id="ingress without hosts left"),
    pytest.param(
        hosts(), hosts("a", "b"), "change default/test: new ingress web (a, b)", id="ingress with two hosts"
    ),
    pytest.param(hosts(""), hosts(), "change default/test: ingress web gone", id="ingress gone"),
    pytest.param(
        helm(1, volumes=[GI]),
        helm(1, volumes=[2 * GI]),
        "change default/test: volume data-test-keycloak-0 1Gi → 2Gi",
        id="bigger claim",
    ),
    pytest.param(
        helm(1, volumes=[]),
        helm(1, volumes=[1536 * MI]),
        "change default/test: new volume data-test-keycloak-0 (1536Mi)",
        id="new claim",
    ),
    pytest.param(
        helm(1, volumes=[10**10]),
        helm(1, volumes=[10**10 + 1]),
        "change default/test: volume data-test-keycloak-0 10G → 10,000,000,001 bytes",
        id="odd sizes",
    ),
    pytest.param(ports(80), ports(80, 443), "change default/test: service web: new port 443", id="port"),
    pytest.param(
        ports(80), ports(8080), "change default/test: service web: port 80 → 8080", id="another port"
    ),
    pytest.param(ports(), ports(0), "change default/test: new service web", id="service without ports"),
    pytest.param(
        ports(80, 443), ports(), "change default/test: service web (80, 443) gone", id="service gone"
    ),
    pytest.param(
        helm(1, app_uuid="A-1"),
        helm(1, app_uuid="A-2"),
        "change default/test: app UUID A-1 → A-2",
        id="app_uuid",
    ),
    pytest.param(
        helm(1, image=WEB, hosts=["a"]),
        helm(1, image=WEB_NEXT, hosts=["a", "b"]),
        "change default/test: image web 1.0 → 1.1, new host b",
        id="image and host",
    ),
    pytest.param(
        hosts(*(f"{n}.shop.example.com" for n in range(1))),
        hosts(*(f"{n}.shop.example.com" for n in range(9))),
        "change default/test: new host 1.shop.example.com, new host 2.shop.example.com and 6 more changes",
        id="more hosts than fit",
    ),
    pytest.param(
        pods(("web-0", "web:1", "Pending")),
        pods(("web-0", "web:1", "Running")),
        "change default/test: pod web-0 Pending → Running",
        id="a pod settled",
    ),
    pytest.param(
        pods(*((f"web-{n}", "web:1", "Pending") for n in range(3))),
        pods(*((f"web-{n}", "web:1", "Running") for n in range(3))),
        "change default/test: 3 pods Pending → Running",
        id="pods settled",
    ),
    pytest.param(
        pods(("web-0", "web:1", "Running"), ("web-1", "web:1", "Running")),
        pods(("web-0", "web:1", "Failed"), ("web-1", "web:1", "Pending"), ("web-2", "web:1", "Pending")),
        "change default/test: 2 pods changed status, new pod web-2 (web:1)",
        id="pods in different ways",
    ),
    pytest.param(
        pods(("web-0", "web:1", "Running")),
        pods(*((f"web-{n}", "web:1", "Running") for n in range(1, 4))),
        "change default/test: 3 new pods, 1 pod gone",
        id="pods replaced",
    ),
    pytest.param(
        helm(1, digest=""), helm(1), "change default/test: 1 container changed", id="a digest becomes known"
    ),
]


@pytest.mark.parametrize(("before", "after", "subject"), ONE)
def test_a_single_change_is_told_in_a_sentence(before: App | None, after: App | None, subject: str) -> None:
    assert subject_and_body(before, after)[0] == subject


def many(namespace: str = "default", *names: str, **other: object) -> list[App]:
    return [make_app(namespace, name, **other) for name in names]  # type: ignore[arg-type]  # passed on


ABC = many("default", "a", "b", "c")
ABC_NEXT = many("default", "a", "b", revision=2, updated=NEXT)
TEAM = many("team-a", "a", "b", "c")

SEVERAL = [
    pytest.param(
        None, make_snapshot(*ABC, cluster=cluster()), "record 3 apps of cluster prod-eu", id="first"
    ),
    pytest.param(
        None, make_snapshot(*ABC, cluster=cluster("")), "record 3 apps of the cluster", id="first, no name"
    ),
    pytest.param(
        None, make_snapshot(ABC[0], cluster=cluster()), "record 1 app of cluster prod-eu", id="first, one app"
    ),
    pytest.param(
        None, make_snapshot(cluster=cluster()), "record cluster prod-eu: no apps", id="first, without apps"
    ),
    pytest.param(
        make_snapshot(*ABC[:2]),
        make_snapshot(*ABC_NEXT, ABC[2]),
        "3 apps: 2 upgraded, 1 installed",
        id="two kinds",
    ),
    pytest.param(
        make_snapshot(*ABC[:2]), make_snapshot(*ABC_NEXT), "2 apps upgraded in default", id="one kind"
    ),
    pytest.param(
        make_snapshot(),
        make_snapshot(ABC[0], TEAM[0]),
        "2 apps installed",
        id="one kind in two namespaces",
    ),
    pytest.param(
        make_snapshot(*ABC[:2]),
        make_snapshot(*many("default", "a", "b", revision=2, updated=NEXT, status="failed")),
        "2 apps failed in default",
        id="failures",
    ),
    pytest.param(
        make_snapshot(*ABC, cluster=cluster()),
        make_snapshot(*ABC, cluster=cluster(stop=True)),
        "stop: nothing of cluster prod-eu is recorded or pushed",
        id="stop",
    ),
    pytest.param(
        make_snapshot(*ABC, cluster=cluster(stop=True)),
        make_snapshot(*ABC, cluster=cluster()),
        "resume: cluster prod-eu is recorded and pushed again",
        id="resume",
    ),
    pytest.param(
        make_snapshot(*ABC[:2], cluster=cluster(stop=True)),
        make_snapshot(*ABC_NEXT, ABC[2], cluster=cluster()),
        "resume: cluster prod-eu is recorded and pushed again; meanwhile 2 upgraded, 1 installed",
        id="resume, and what happened meanwhile",
    ),
    pytest.param(
        make_snapshot(*ABC, *TEAM, cluster=cluster()),
        make_snapshot(*ABC, cluster=cluster(denyNamespaces=("team-a",))),
        "deny team-a: 3 apps leave the record",
        id="denied",
    ),
    pytest.param(
        make_snapshot(TEAM[0], cluster=cluster()),
        make_snapshot(cluster=cluster(denyNamespaces=("team-*",))),
        "deny team-*: 1 app leaves the record",
        id="denied by a glob",
    ),
    pytest.param(
        make_snapshot(*ABC, cluster=cluster()),
        make_snapshot(*ABC, cluster=cluster(denyNamespaces=("team-a", "team-b"))),
        "deny team-a and 1 more change",
        id="denied, with nothing in it",
    ),
    pytest.param(
        make_snapshot(*ABC, cluster=cluster(denyNamespaces=("team-a",))),
        make_snapshot(*ABC, *TEAM, cluster=cluster()),
        "allow team-a again: 3 apps return to the record",
        id="allowed again",
    ),
    pytest.param(
        make_snapshot(*ABC, *TEAM, cluster=cluster()),
        make_snapshot(*ABC[:2], cluster=cluster(denyNamespaces=("team-a",))),
        "4 apps: 3 denied, 1 uninstalled",
        id="denied while another is uninstalled",
    ),
    pytest.param(
        make_snapshot(cluster=cluster()),
        make_snapshot(cluster=cluster(settle="10s")),
        "policy: settle 5s → 10s",
        id="settle",
    ),
    pytest.param(
        make_snapshot(cluster=cluster()),
        make_snapshot(cluster=cluster(push=PushPolicy(on="AnyChange"), interval="5m")),
        "policy: push on HelmUpdate → AnyChange and 1 more change",
        id="two of the policy",
    ),
    pytest.param(
        make_snapshot(cluster=cluster()),
        make_snapshot(cluster=cluster(rules=(IN_DEV,))),
        "policy: new rule 1: Ignore pod_info and pod_info.status in dev-*",
        id="a rule",
    ),
    pytest.param(
        make_snapshot(cluster=cluster(rules=(IN_DEV, EVERYTHING))),
        make_snapshot(cluster=cluster(rules=(LONG, EVERYTHING))),
        "policy: rule 1 gone: Ignore pod_info and pod_info.status in dev-* and 1 more change",
        id="another rule in its place",
    ),
    pytest.param(
        make_snapshot(cluster=cluster(rules=(IN_DEV, EVERYTHING))),
        make_snapshot(cluster=cluster(rules=(IN_DEV,))),
        "policy: rule 2 gone: Push everything",
        id="a rule less",
    ),
    pytest.param(
        make_snapshot(cluster=cluster()),
        make_snapshot(cluster=cluster(rules=(LONG,))),
        "policy: new rule 1: Record everything of web-* of the chart nginx in 4 namespaces at upgrade",
        id="a long rule",
    ),
    pytest.param(
        make_snapshot(cluster=cluster(denyNamespaces=("a", "b"))),
        make_snapshot(cluster=cluster(denyNamespaces=("b", "a"))),
        "denied namespaces listed in another order",
        id="policy in another order",
    ),
    pytest.param(
        make_snapshot(cluster=cluster()),
        make_snapshot(cluster=msgspec.structs.replace(cluster(), unreadable=("pods in team-a",))),
        "cannot read pods in team-a",
        id="unreadable",
    ),
    pytest.param(
        make_snapshot(cluster=msgspec.structs.replace(cluster(), unreadable=("pods in team-a",))),
        make_snapshot(cluster=cluster()),
        "can read pods in team-a again",
        id="readable again",
    ),
    pytest.param(
        make_snapshot(cluster=cluster()),
        make_snapshot(cluster=cluster("prod-us")),
        "cluster name prod-eu → prod-us",
        id="name",
    ),
    pytest.param(
        make_snapshot(*ABC, cluster=cluster()),
        make_snapshot(*ABC, cluster=msgspec.structs.replace(cluster(), format=2)),
        "migrate format 1 → 2",
        id="format",
    ),
]


@pytest.mark.parametrize(("before", "after", "subject"), SEVERAL)
def test_several_changes_are_counted_and_the_policy_s_are_named(
    before: Snapshot | None, after: Snapshot, subject: str
) -> None:
    assert message(diff(before, after)).subject == subject


def test_the_body_has_a_line_per_difference_with_its_old_and_new_value() -> None:
    before = helm(4, image=WEB, volumes=[GI], hosts=["a"])
    after = helm(7, "18.4.0", image=WEB_NEXT, volumes=[2 * GI], hosts=["a", "b"], ports=[80, 443])
    revisions = {before.key: [(4, "superseded"), (5, "superseded"), (6, "failed"), (7, "deployed")]}
    assert subject_and_body(before, after, revisions)[1].splitlines() == [
        "revision 4 → 7",
        "updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:07Z",
        "chart version 18.3.3 → 18.4.0",
        "image web 1.0 → 1.1",
        "new pod test-keycloak-0 (shop/web:1.1)",
        "pod test-keycloak-0 (shop/web:1.0) gone",
        "service test-keycloak: new port 443",
        "volume data-test-keycloak-0 1Gi → 2Gi",
        "new host b (ingress test-keycloak)",
        "revisions 5 (superseded) and 6 (failed) came and went unseen",
    ]


def test_one_unseen_revision_is_named_in_the_singular() -> None:
    body = subject_and_body(helm(4), helm(6), {helm(4).key: [(5, "superseded")]})[1]
    assert body.splitlines()[-1] == "revision 5 (superseded) came and went unseen"


def test_many_pods_are_counted_in_the_body() -> None:
    before = pods(*((f"old-{n}", "web:1", "Running") for n in range(5)))
    after = pods(*((f"new-{n}", "web:1", "Running") for n in range(6)))
    assert subject_and_body(before, after)[1].splitlines() == ["6 new pods", "5 pods gone"]


def test_an_install_whose_subject_says_it_all_has_no_body() -> None:
    assert subject_and_body(None, helm(1))[1] == ""


def test_the_body_of_several_has_a_sentence_per_app_and_the_policy_first() -> None:
    before = make_snapshot(*ABC[:2], cluster=cluster())
    after = make_snapshot(ABC_NEXT[0], ABC[1], ABC[2], cluster=cluster(settle="10s"))
    assert message(diff(before, after)).body.splitlines() == [
        "policy: settle 5s → 10s",
        "",
        "upgrade default/a: keycloak 18.3.3, revision 1 → 2",
        "  revision 1 → 2",
        "  updated 2026-11-21T09:42:49.227889695Z → 2026-11-22T00:00:00Z",
        "install default/c: keycloak 18.3.3",
    ]


def test_one_app_that_comes_with_resume_is_named_in_the_body() -> None:
    text = message(diff(make_snapshot(cluster=cluster(stop=True)), make_snapshot(ABC[0], cluster=cluster())))
    assert text.subject.endswith("again; meanwhile 1 app installed in default")
    assert text.body.splitlines()[-1] == "install default/a: keycloak 18.3.3"


def test_a_long_body_is_grouped_by_namespace() -> None:
    names = [f"app-{n:02}" for n in range(10)]
    after = make_snapshot(*many("default", *names), *many("team-a", *names), cluster=cluster())
    lines = message(diff(None, after)).body.splitlines()
    assert lines[:2] == ["default: 10 apps", "  app-00: keycloak 18.3.3"]
    assert lines[11:13] == ["", "team-a: 10 apps"]


def test_a_very_long_body_is_cut_and_says_by_how_much() -> None:
    apps = many("default", *(f"app-{n:03}" for n in range(500)))
    lines = message(diff(None, make_snapshot(*apps))).body.splitlines()
    assert len(lines) == 200
    assert lines[-1] == "… and 302 more lines"


def test_text_from_the_cluster_cannot_add_a_line_or_a_trailer() -> None:
    app = helm(1, "1\n\nInstance: forged\x1b[31m" + "x" * 500)
    subject, body = subject_and_body(None, app)
    assert subject.startswith("install default/test: keycloak 1��Instance: forged�[31mxxx")
    assert subject.endswith("…")
    assert body == ""


@given(apps(), apps())
@settings(max_examples=40)
def test_every_difference_has_words(before: App, after: App) -> None:
    changes = diff(make_snapshot(before), make_snapshot(after))
    if changes:
        subject, body = message(changes)
        assert subject.startswith(("upgrade ", "roll", "reinstall ", "change "))
        assert not subject.endswith(": ")
        assert len(subject) <= 110
        assert all(line.isprintable() for line in (subject, *body.splitlines()))


def test_a_difference_that_only_the_record_has_is_told() -> None:
    subject, _ = subject_and_body(record(helm(1), services=()), helm(1))
    assert subject == "change default/test: type of service test-keycloak none → ClusterIP"
