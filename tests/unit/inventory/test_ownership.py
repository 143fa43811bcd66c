"""What belongs to which release: annotations, owners, claim templates, labels, in that order."""

import pytest

from reconciler.inventory.objects import Claim, Kind, Meta, Owner, Workload
from reconciler.inventory.ownership import Belonging, Ownership
from reconciler.model import AppKey
from tests.unit.inventory.looks import deployment, meta, owned_by, workload

WEB, WEB_DB, OTHER, OPS = (
    AppKey("shop", "web"),
    AppKey("shop", "web-db"),
    AppKey("test", "web"),
    AppKey("ops", "spread"),
)
RELEASES = (WEB, WEB_DB, OTHER, OPS)

WEB_DEPLOYMENT, WEB_RS = deployment("web", release="web")
GONE_DEPLOYMENT, GONE_RS = deployment("gone", release="gone")
BARE_DEPLOYMENT, BARE_RS = deployment("bare")
CRON = workload("CronJob", meta("tidy", "ops", release="spread"))
JOB = workload("Job", meta("tidy-1", "ops", owner=owned_by(CRON)))
DAEMONS = workload("DaemonSet", meta("logs", release="web-db"))
HOOK = workload("Job", meta("migrate", instance="web", managed=True))
ONE = workload("Job", meta("one", owner=Owner("Job", "two", "uid-shop-two")))
TWO = workload("Job", meta("two", owner=Owner("Job", "one", "uid-shop-one")))
WORKLOADS = (
    *(WEB_DEPLOYMENT, WEB_RS, GONE_DEPLOYMENT, GONE_RS, BARE_DEPLOYMENT, BARE_RS),
    *(CRON, JOB, DAEMONS, HOOK, ONE, TWO),
)


def there(said: Belonging) -> Belonging:
    """The same, if the release that it names is there."""
    return said if said.key in RELEASES else Belonging(None, said.lost)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (meta("x", release="web"), WEB),
        (meta("x", "ops", release="web", release_namespace="shop"), WEB),
        (meta("x", release="spread", release_namespace="ops"), OPS),
        (meta("x", release="web", instance="web-db", managed=True), WEB),
        (meta("x", release="gone", instance="web", managed=True), None),
        (meta("x", release="web", owner=owned_by(DAEMONS)), WEB),
        (Meta("shop", "x", release_name="web"), None),  # half an annotation is none
        (Meta("shop", "x", release_name="gone", instance="web", helm_managed=True), WEB),
    ],
)
def test_annotations_decide_whatever_else_is_said(of: Meta, expected: AppKey | None) -> None:
    assert there(Ownership(WORKLOADS).of(of)).key == expected


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (meta("p", owner=owned_by(WEB_RS)), Belonging(WEB)),
        (meta("p", "ops", owner=owned_by(JOB)), Belonging(OPS)),
        (meta("p", owner=owned_by(DAEMONS)), Belonging(WEB_DB)),
        # An owner's annotations come before the object's labels, and are as decisive.
        (meta("p", owner=owned_by(WEB_RS), instance="web-db", managed=True), Belonging(WEB)),
        (meta("p", owner=owned_by(GONE_RS), instance="web", managed=True), Belonging(None)),
        # Owners that say nothing leave it to labels.
        (meta("p", owner=owned_by(BARE_RS), instance="web", managed=True), Belonging(WEB)),
        (meta("p", owner=owned_by(BARE_RS)), Belonging(None)),
        # Kinds that are not walked, cycles, and owners of another namespace or UID end the walk.
        (meta("p", owner=Owner("Rollout", "web", "r")), Belonging(None)),
        (meta("p", owner=owned_by(ONE)), Belonging(None)),
        (meta("p", "ops", owner=owned_by(WEB_RS)), Belonging(None, Kind.REPLICA_SETS)),
        (meta("p", owner=Owner("ReplicaSet", "web-rs", "older")), Belonging(None, Kind.REPLICA_SETS)),
        (meta("p", owner=Owner("DaemonSet", "missing", "m")), Belonging(None, Kind.DAEMON_SETS)),
        (
            meta("p", owner=Owner("Job", "missing", "m"), instance="web", managed=True),
            Belonging(WEB, Kind.JOBS),
        ),
    ],
)
def test_owners_are_walked_to_the_first_that_is_annotated(of: Meta, expected: Belonging) -> None:
    assert there(Ownership(WORKLOADS).of(of)) == expected


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (meta("x", instance="web", managed=True), WEB),
        (meta("x", "test", instance="web", managed=True), OTHER),
        (meta("x", instance="web-db", managed=True), WEB_DB),
        (meta("x", instance="web", managed=False), None),
        (meta("x", instance="we", managed=True), None),
        (meta("x", instance="web-d", managed=True), None),
        (meta("x", "ops", instance="web", managed=True), None),
        (meta("x", managed=True), None),
    ],
)
def test_labels_name_a_release_exactly_and_in_its_own_namespace(of: Meta, expected: AppKey | None) -> None:
    assert there(Ownership(WORKLOADS).of(of)).key == expected


def test_a_hooks_pod_belongs_to_the_release_only_when_it_is_labelled_itself() -> None:
    ownership = Ownership(WORKLOADS)
    assert ownership.of(meta("p", owner=owned_by(HOOK))).key is None
    assert ownership.of(meta("p", owner=owned_by(HOOK), instance="web", managed=True)).key == WEB


def stateful(name: str, release: str, *templates: str, namespace: str = "shop") -> Workload:
    return workload("StatefulSet", meta(name, namespace, release=release), *templates)


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("data-db-0", WEB),
        ("data-db-12", WEB),  # of a replica that was scaled down
        ("logs-db-0", WEB),
        ("data-db-1-0", WEB_DB),  # of the StatefulSet db-1, not the second of db
        ("data-db-01", None),
        ("data-db-", None),
        ("data-db", None),
        ("other-db-0", None),
        ("data-db-x", None),
        ("a-b-c-0", None),  # either release's: nobody's
        ("x-y-z-0", WEB),  # either StatefulSet's, but one release's
    ],
)
def test_a_claim_belongs_to_the_statefulset_whose_template_made_it(
    claim: str, expected: AppKey | None
) -> None:
    sets = (
        stateful("db", "web", "data", "logs"),
        stateful("db-1", "web-db", "data"),
        stateful("c", "web", "a-b"),
        stateful("b-c", "web-db", "a"),
        stateful("z", "web", "x-y"),
        stateful("y-z", "web", "x"),
    )
    assert Ownership(sets).of_claim(Claim(meta(claim))).key == expected
    assert Ownership(sets).of_claim(Claim(meta(claim, "test"))).key is None


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (meta("files", instance="web"), WEB),
        (meta("files", instance="gone"), None),
        (meta("files", release="web-db", instance="web"), WEB_DB),
        (meta("data-db-0", instance="web-db"), WEB),
        (meta("data-db-0", release="gone", instance="web"), None),
        (meta("files", owner=owned_by(stateful("db", "web")), instance="web-db"), WEB),
    ],
)
def test_a_claim_is_told_by_annotation_owner_template_and_instance_alone(
    of: Meta, expected: AppKey | None
) -> None:
    ownership = Ownership([stateful("db", "web", "data")])
    assert there(ownership.of_claim(Claim(of))).key == expected


def test_claims_of_a_release_that_is_not_there_belong_to_none() -> None:
    ownership = Ownership([stateful("db", "gone", "data")])
    assert there(ownership.of_claim(Claim(meta("data-db-0", instance="web")))).key is None
