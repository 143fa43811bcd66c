"""What the ledger must know before a leadership's first commit and first push."""

import itertools

import pytest

from reconciler.inventory.app_uuid import derived
from reconciler.model import AppKey
from reconciler.operator import facts
from reconciler.policy.entry import Acked, Entry, LedgerFacts, LedgerView
from reconciler.policy.protocol import acknowledge, body_of, mark
from reconciler.project import HelmStatus, Status
from reconciler.state.ledger.contract import INSTANCES_KEPT
from tests.builders import CLUSTER_UUID, make_app
from tests.unit.operator.results import KEY, NOW, make_recorded

UPSTREAM = Status(
    clusterUUID="K-up",
    helmStatus=(HelmStatus(name="test", namespace="default", appUUID="A-up"), HelmStatus(name="half")),
)


def draw(last: str) -> str:
    return f"{last}+"


def made(known: LedgerFacts | None = None, **changes: str) -> LedgerFacts:
    view = LedgerView(known or LedgerFacts(), {})
    given = {"cluster_uuid": "K", "kube_system_uid": "u", "instance": "i", "endpoint": "e", **changes}
    return facts.facts_of(view, adopted={KEY: "A-new"}, **given)


class TestFacts:
    def test_our_instance_is_listed_once_and_newest_last(self) -> None:
        assert made(LedgerFacts(instances=("a", "i", "b"))).instances == ("a", "i", "b")
        assert made(LedgerFacts(instances=("a",))).instances == ("a", "i")

    def test_who_wrote_the_newest_revision_is_not_forgotten_before_others(self) -> None:
        known = LedgerFacts(instances=("author", *(f"i{number}" for number in range(INSTANCES_KEPT - 1))))
        assert made(known, author="author").instances[-2:] == ("author", "i")
        assert made(known, author="a stranger").instances == (*known.instances[1:], "i")

    def test_what_was_adopted_before_stays(self) -> None:
        assert made(LedgerFacts(adopted={str(KEY): "A-old"})).adopted == {str(KEY): "A-old"}
        assert made().adopted == {str(KEY): "A-new"}

    def test_taking_the_api_away_for_a_while_keeps_what_the_ledger_is_about(self) -> None:
        assert made(LedgerFacts(endpoint="https://old/"), endpoint="").endpoint == "https://old/"

    def test_marks_of_unsettled_apps_survive_a_restart(self) -> None:
        assert made(LedgerFacts(unsettled={str(KEY): "d"})).unsettled == {str(KEY): "d"}

    def test_where_approval_began_holds_for_the_same_cluster_only(self) -> None:
        for known in ("", "K"):
            assert made(LedgerFacts(cluster_uuid=known, required="c1")).required == "c1"
        assert made(LedgerFacts(cluster_uuid="K-other", required="c1")).required is None


class TestApprovedSince:
    @pytest.mark.parametrize("required", ["", "1ff61fe915b0a7c2"])
    def test_the_record_tells_a_new_ledger_where_approval_began(self, required: str) -> None:
        trailers = facts.approved_since(LedgerFacts(required=required))
        assert facts.required_since(make_recorded(trailers=trailers)) == required

    def test_a_commit_of_a_time_when_nobody_need_approve_tells_nothing(self) -> None:
        assert facts.approved_since(LedgerFacts()) == ()
        assert facts.required_since(make_recorded()) is None
        assert facts.required_since(None) is None


class TestAdoptions:
    def test_an_upstream_status_tells_the_app_uuids_that_it_drew(self) -> None:
        assert facts.adoptions(UPSTREAM, (), "K-up") == {KEY: "A-up"}

    def test_two_hundred_and_one_of_them(self) -> None:
        many = tuple(HelmStatus(name=f"app-{n}", namespace="x", appUUID=f"A-{n}") for n in range(201))
        assert len(facts.adoptions(Status(clusterUUID="K-up", helmStatus=many), (), "K-up")) == 201

    def test_our_own_status_tells_what_was_adopted_and_neither_what_is_derived_nor_what_a_secret_gave(
        self,
    ) -> None:
        plain = derived("K-1", AppKey("default", "plain"))
        given = (
            HelmStatus(name="plain", namespace="default", appUUID=plain),
            HelmStatus(name="secret", namespace="default", appUUID="A-secret", hossted_helm=True),
        )
        ours = Status(clusterUUID="K-1", kubeSystemUID="u", helmStatus=(*UPSTREAM.helmStatus, *given))
        assert facts.adoptions(ours, (), "K-1") == {KEY: "A-up"}

    def test_the_status_of_another_cluster_tells_nothing(self) -> None:
        assert facts.adoptions(UPSTREAM, (), "K-1") == {}

    def test_the_record_tells_what_was_adopted_before_the_ledger_was_lost(self) -> None:
        plain = make_app(name="plain", app_uuid=derived(CLUSTER_UUID, AppKey("default", "plain")))
        secret = make_app(name="secret", app_uuid="A-secret", hossted_helm=True)
        recorded = (make_app(app_uuid="A-old"), plain, secret)
        assert facts.adoptions(UPSTREAM, recorded, CLUSTER_UUID) == {KEY: "A-old"}


class TestDoubts:
    ACKED = acknowledge(mark(Entry(), make_app(), "k1", body_of(make_app(), "")), NOW)

    def test_what_an_old_ledger_says_was_acknowledged_will_be_told_again_under_a_greater_key(self) -> None:
        doubted = facts.doubts(LedgerView(LedgerFacts(), {KEY: self.ACKED}, suspect=True), {}, draw, "")
        sending = doubted[KEY].sending
        assert sending is not None
        assert (sending.key, sending.app) == ("k1+", make_app())

    @pytest.mark.parametrize(
        "known", [{}, {KEY: Entry(acked=Acked("k2", "A", NOW), last_key="k2")}], ids=["nothing", "its end"]
    )
    def test_what_is_recorded_and_the_ledger_knows_nothing_of_or_only_the_end_will_be_told_again(
        self, known: dict[AppKey, Entry]
    ) -> None:
        app = make_app(revision=3)
        doubted = facts.doubts(LedgerView(LedgerFacts(), known, suspect=True), {KEY: app}, draw, "")
        sending = doubted[KEY].sending
        assert sending is not None
        assert sending.app == app

    def test_what_ended_and_is_not_in_the_record_stays_ended(self) -> None:
        view = LedgerView(LedgerFacts(), {KEY: Entry(acked=Acked("k2", "A", NOW))}, suspect=True)
        assert facts.doubts(view, {}, draw, "") == {}


def test_another_endpoint_starts_empty_and_the_same_one_or_none_does_not() -> None:
    for known, now in itertools.product(("", "https://a/", "https://b/"), repeat=2):
        view = LedgerView(LedgerFacts(endpoint=known), {KEY: TestDoubts.ACKED})
        moved = bool(known and now and known != now)
        assert facts.other_endpoint(view, now) == ({KEY: None} if moved else None), (known, now)
