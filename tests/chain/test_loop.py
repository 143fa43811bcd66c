"""The loop: who is served, when it looks again, delivery beside it, and what it writes into the status."""

from collections.abc import AsyncIterator

import pytest

from reconciler.errors import FormatError, KubernetesError, LedgerError, NotFoundError
from reconciler.operator.delivered import EVERY
from reconciler.operator.loop import JITTER
from tests.chain.faults import When
from tests.chain.gateway import OPEN, SILENT, Gateway
from tests.chain.operating import Operator
from tests.chain.world import EMAIL, World
from tests.web.wire import answer

INTERVAL = 600.0
LONGEST = INTERVAL * (1 + JITTER)


@pytest.fixture
def operator(in_configmaps: World) -> Operator:
    return Operator(in_configmaps)


@pytest.fixture
def beside(through: World) -> Operator:
    """An operator whose pushes go through the door."""
    return Operator(through)


async def test_an_app_is_recorded_told_and_shown(operator: Operator) -> None:
    operator.world.cluster.install("shop/web")
    async with operator.running():
        assert operator.looks() == 0, "there is no project yet"
        await operator.apply()
        assert operator.world.told == ["shop/web 1 deployed"]
        assert operator.server.said("hossted", "Ready") == "True UpToDate"
        assert operator.server.status("hossted")["reconcileHelmReleases"] == {
            "shop/web": "web-1.0.0 revision 1"
        }
        assert operator.server.status("hossted")["email_id"] == EMAIL
    assert [reason for reason, *_ in operator.server.events] == ["Recorded"]


async def test_only_the_oldest_project_is_served_and_the_others_are_told_which_that_is(
    operator: Operator,
) -> None:
    operator.world.cluster.install("shop/web")
    async with operator.running():
        await operator.apply("first")
        await operator.apply("second")
        assert operator.server.said("second", "Stalled") == "True NotTheOldest"
        assert operator.server.said("second", "Ready") == "False NotTheOldest"
        assert "first" in operator.server.message("second", "Stalled")
        assert operator.server.said("first", "Ready") == "True UpToDate"
        await operator.passes(3 * INTERVAL)
        assert len([name for name, _ in operator.server.patches if name == "second"]) == 1
        await operator.server.delete("first")
        await operator.idle()
        assert operator.server.said("second", "Ready") == "True UpToDate"
        assert operator.server.said("second", "Stalled") == ""
        assert len(operator.world.told) == 1, "it goes on from the same state"


async def test_a_project_that_is_being_deleted_is_not_served(operator: Operator) -> None:
    async with operator.running():
        await operator.apply()
        looks = operator.looks()
        operator.server.objects["hossted"]["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
        await operator.server.noticed()
        await operator.idle()
        await operator.passes(2 * INTERVAL)
        assert operator.looks() == looks


@pytest.mark.parametrize(
    "wrong",
    [{"interval": "soon"}, {"rules": [{"action": "Drop"}]}, {"state": {"git": {"url": "ftp://git/x"}}}],
    ids=["invalid", "a rule of no action", "a store that cannot be"],
)
async def test_a_spec_that_cannot_be_used_is_stalled_and_nothing_is_looked_at_until_it_is_right(
    wrong: dict[str, object], operator: Operator
) -> None:
    operator.world.cluster.install("shop/web")
    async with operator.running():
        await operator.server.apply("hossted", wrong)
        await operator.idle()
        assert operator.server.said("hossted", "Stalled") == "True InvalidSpec"
        assert next(iter(wrong)) in operator.server.message("hossted", "Stalled")
        await operator.passes(2 * INTERVAL)
        assert (operator.looks(), operator.world.told) == (0, [])
        await operator.apply()
        assert operator.server.said("hossted", "Stalled") == ""
        assert operator.world.told == ["shop/web 1 deployed"]


@pytest.mark.parametrize("how", ["deleted", "invalid"])
async def test_without_a_project_that_can_be_served_nothing_is_told_any_more(
    how: str, beside: Operator, door: Gateway
) -> None:
    beside.world.cluster.install("shop/web")
    await door.set(answer(503))
    async with beside.running():
        await beside.apply()
        assert beside.server.said("hossted", "Delivered") == "False Pending"
        asked = len(door.asked)
        if how == "deleted":
            await beside.server.delete("hossted")
            await beside.idle()
        else:
            await beside.server.apply("hossted", {"interval": "soon"})
            await beside.idle()
        await door.set(OPEN)
        await beside.passes(3 * INTERVAL)
        assert len(door.asked) == asked
        if how != "deleted":
            assert beside.server.said("hossted", "Delivered") != "True UpToDate"
        await beside.apply()
        await beside.passes(INTERVAL)
        assert beside.world.told == ["shop/web 1 deployed"]


async def test_a_change_of_the_project_is_acted_on_at_once_and_an_interval_is_kept_otherwise(
    operator: Operator,
) -> None:
    async with operator.running():
        await operator.apply()
        assert operator.looks() == 1
        await operator.passes(INTERVAL - 1)
        assert operator.looks() == 1
        await operator.passes(1 + INTERVAL * JITTER)
        assert operator.looks() == 2
        await operator.apply(clusterName="prod")
        assert operator.looks() == 3
        await operator.server.apply("hossted", {"clusterName": "prod"}, requestedAt="t1")
        await operator.idle()
        assert operator.looks() == 4
        assert operator.server.status("hossted")["lastHandledReconcileAt"] == "t1"


async def test_an_interval_is_a_little_longer_each_time_so_that_a_fleet_gets_out_of_step(
    operator: Operator,
) -> None:
    async with operator.running():
        await operator.apply()
        operator.clock.waits.clear()
        await operator.passes(20 * INTERVAL)
    waits = [wait for wait in operator.clock.waits if wait >= INTERVAL]
    assert len(waits) == 19
    assert len(set(waits)) == 19
    assert all(wait <= LONGEST for wait in waits)
    assert max(waits) - min(waits) > INTERVAL * JITTER / 2


async def test_a_change_is_acted_on_by_its_event_alone_and_no_time_need_pass(operator: Operator) -> None:
    async with operator.running():
        await operator.apply()
        await operator.passes(15)
        before = operator.clock.monotonic()
        operator.world.cluster.install("shop/web")
        await operator.apply(clusterName="prod", interval="24h")
        assert operator.clock.monotonic() - before < 0.01, "but for what makes two changes have two times"
        assert operator.looks() == 2
        assert operator.world.told == ["shop/web 1 deployed"]
        assert operator.server.status("hossted")["observedGeneration"] == 2


class TestAskingForAReconcile:
    """By Flux's annotation, which its client waits for, or by our own; one field answers both."""

    @pytest.fixture(autouse=True)
    async def at_work(self, operator: Operator) -> AsyncIterator[None]:
        async with operator.running():
            await operator.apply()
            await operator.passes(15)
            yield

    async def ask(self, operator: Operator, **annotations: str) -> None:
        looks = operator.looks()
        await operator.server.apply("hossted", {}, **annotations)
        await operator.idle()
        assert operator.looks() == looks + 1

    def answered(self, operator: Operator) -> str:
        answer: str = operator.server.status("hossted")["lastHandledReconcileAt"]
        return answer

    @pytest.mark.parametrize("annotation", ["requestedAt", "reconcile"])
    async def test_each_new_value_is_acted_on_and_answered(self, annotation: str, operator: Operator) -> None:
        for value in ("a", "b", "a"):
            await self.ask(operator, **{annotation: value})
            await operator.passes(10)
            assert self.answered(operator) == value

    async def test_of_both_the_one_that_changed_is_answered(self, operator: Operator) -> None:
        for flux, ours, shown in (("f1", "o1", "f1"), ("f1", "o2", "o2"), ("f2", "o2", "f2")):
            await self.ask(operator, requestedAt=flux, reconcile=ours)
            assert self.answered(operator) == shown
            await operator.passes(30)

    async def test_of_two_that_changed_at_once_each_is_answered_once_and_flux_first(
        self, operator: Operator
    ) -> None:
        await self.ask(operator, requestedAt="f", reconcile="o")
        assert self.answered(operator) == "f"
        await operator.passes(10)
        assert self.answered(operator) == "o"
        written = len(operator.server.patches)
        await operator.passes(3 * LONGEST)
        assert len(operator.server.patches) == written + 3, "the time of each look, and nothing else"

    async def test_a_request_is_answered_by_a_reconcile_that_began_after_it_even_if_it_fails(
        self, operator: Operator
    ) -> None:
        operator.world.cluster.away = True
        await self.ask(operator, requestedAt="f")
        assert self.answered(operator) == "f"
        assert operator.server.said("hossted", "Ready") == "False KubernetesUnavailable"


async def test_after_a_fault_it_tries_again_ever_later_and_at_most_an_interval_apart(
    operator: Operator,
) -> None:
    async with operator.running():
        await operator.apply()
        operator.world.cluster.away = True
        operator.clock.waits.clear()
        await operator.passes(2 * INTERVAL)
        tries = [wait for wait in operator.clock.waits if wait <= INTERVAL]
        pauses = [wait for wait in tries if wait not in (INTERVAL, EVERY, 10.0)]
        assert 8 <= len(pauses) <= 14
        for doublings, pause in enumerate(pauses, start=1):
            assert 0.5 <= pause / (0.75 * 2**doublings) <= 1.0
        assert operator.server.said("hossted", "Ready") == "False KubernetesUnavailable"
        assert operator.server.said("hossted", "Reconciling") == "True Retrying"
        assert len([event for event in operator.server.events if event[1] == "Warning"]) == 1
        operator.world.cluster.away = False
        await operator.passes(LONGEST)
        assert operator.server.said("hossted", "Ready") == "True UpToDate"


async def test_a_fault_that_needs_a_person_is_not_tried_before_the_interval(operator: Operator) -> None:
    async with operator.running():
        operator.server.edit("hossted", {})
        status = {"clusterUUID": "K-another", "kubeSystemUID": "another"}
        operator.server.objects["hossted"]["status"] = status
        await operator.server.noticed()
        await operator.idle()
        assert operator.server.said("hossted", "Stalled") == "True IdentityUnclear"
        operator.clock.waits.clear()
        await operator.passes(INTERVAL - 1)
        assert operator.clock.waits == []


async def test_while_the_api_server_is_away_the_last_known_project_goes_on_and_its_status_comes_later(
    operator: Operator,
) -> None:
    async with operator.running():
        await operator.apply()
        operator.server.error = KubernetesError("no answer")
        operator.world.cluster.install("shop/web")
        await operator.passes(INTERVAL + 60)
        assert operator.world.told == ["shop/web 1 deployed"]
        assert "reconcileHelmReleases" not in operator.server.status("hossted")
        operator.server.error = None
        await operator.passes(10)
        assert "shop/web" in operator.server.status("hossted")["reconcileHelmReleases"]


async def test_a_cluster_that_does_not_know_the_kind_is_asked_again(operator: Operator) -> None:
    operator.server.error = NotFoundError("no such kind", 404)
    async with operator.running():
        await operator.passes(60)
        operator.server.error = None
        await operator.apply()
        assert operator.server.said("hossted", "Ready") == "True UpToDate"


async def test_delivery_to_an_api_that_hangs_does_not_hold_up_recording(
    beside: Operator, door: Gateway
) -> None:
    world = beside.world
    world.cluster.install("shop/web")
    async with beside.running():
        await door.set(SILENT)
        await beside.server.apply("hossted", {})
        await door.waiting.wait()
        beside.waiters = 3  # all but delivery, which waits for the API
        for name in ("shop/db", "shop/new"):
            world.cluster.install(name)
            await beside.server.noticed()
            await beside.idle()
        assert await subjects(world) == [
            "record 1 app of the cluster",
            "install shop/db: web 1.0.0",
            "install shop/new: web 1.0.0",
        ]
        assert beside.server.said("hossted", "Recorded") == "True UpToDate"
        assert beside.server.said("hossted", "Delivered") == "False Pending"
        beside.waiters = 4
        await door.answer_those_waiting()
        await beside.idle()
        assert sorted(world.told) == ["shop/db 1 deployed", "shop/new 1 deployed", "shop/web 1 deployed"]
        assert beside.server.said("hossted", "Delivered") == "True UpToDate"


async def subjects(world: World) -> list[str]:
    store = world.disk.store()
    (cluster,) = await store.clusters()
    found = [each.message.subject async for each in store.track(cluster.cluster_uuid).history()]
    return found[::-1]


async def test_what_was_not_told_is_told_when_its_pause_ends_without_another_look(
    beside: Operator, door: Gateway
) -> None:
    beside.world.cluster.install("shop/web")
    await door.set(answer(429, Retry_After="30"))
    async with beside.running():
        await beside.apply()
        await beside.passes(10)
        assert "answered 429" in beside.server.message("hossted", "Delivered")
        looks = beside.looks()
        await door.set(OPEN)
        await beside.passes(19)
        assert beside.world.told == []
        await beside.passes(2)
        assert beside.world.told == ["shop/web 1 deployed"]
        assert beside.looks() == looks
        assert beside.server.said("hossted", "Delivered") == "True UpToDate"


async def test_a_look_while_the_api_is_away_keeps_saying_why_telling_waits(
    beside: Operator, door: Gateway
) -> None:
    beside.world.cluster.install("shop/web")
    await door.set(answer(401))
    async with beside.running():
        await beside.apply()
        await beside.apply(clusterName="prod")
        assert beside.server.said("hossted", "Delivered") == "False ApiUnusable"
        assert "answered 401" in beside.server.message("hossted", "Delivered")


async def test_a_ledger_that_cannot_be_read_for_a_push_is_tried_again_soon(operator: Operator) -> None:
    operator.world.cluster.install("shop/web")
    async with operator.running():
        await operator.apply()
        operator.world.cluster.install("shop/db")
        operator.world.faults.errors["load"] = (When.BEFORE, LedgerError("it is away"))
        await operator.server.noticed()
        await operator.idle()
        assert operator.server.said("hossted", "Ready") == "False LedgerUnavailable"
        operator.world.faults.errors.clear()
        await operator.passes(10)
        assert operator.world.told[1:] == ["shop/db 1 deployed"]
        assert operator.server.said("hossted", "Ready") == "True UpToDate"


async def test_a_ledger_of_a_newer_program_stalls_and_does_not_end_the_process(operator: Operator) -> None:
    operator.world.cluster.install("shop/web")
    async with operator.running():
        await operator.apply()
        operator.world.cluster.upgrade("shop/web")
        newer = FormatError("the ledger was written by a newer program: upgrade this one")
        operator.world.faults.errors["load"] = (When.BEFORE, newer)
        await operator.server.noticed()
        await operator.idle()
        assert operator.server.said("hossted", "Stalled") == "True UnknownFormat"
        operator.world.faults.errors.clear()
        await operator.passes(LONGEST)
        assert operator.world.told[1:] == ["shop/web 2 deployed"]


async def test_after_a_start_that_cannot_record_nothing_is_said_to_be_acknowledged(
    operator: Operator,
) -> None:
    operator.world.faults.errors["tip"] = (When.BEFORE, LedgerError("it is away"))
    async with operator.running():
        await operator.apply()
        assert operator.server.said("hossted", "Delivered") == "Unknown NotYet"
        assert operator.server.said("hossted", "Recorded").startswith("False")


async def test_a_status_is_written_once_a_reconcile_and_its_time_at_most_once_an_interval(
    operator: Operator,
) -> None:
    operator.world.cluster.install("shop/web")
    async with operator.running():
        await operator.apply(interval="10m")
        written = len(operator.server.patches)
        assert written <= 2, "one of the look, one of the delivery"
        for _ in range(20):
            await operator.server.noticed()
            await operator.idle()
        assert operator.looks() == 21
        assert len(operator.server.patches) == written
        await operator.passes(3 * LONGEST)
        assert [set(patch) for _, patch in operator.server.patches[written:]] == [
            {"lastReconcileTimestamp"}
        ] * 3


async def test_a_condition_that_changes_is_written_at_once_and_the_rest_ten_seconds_after_the_last_write(
    operator: Operator,
) -> None:
    world, server = operator.world, operator.server
    world.cluster.install("shop/web")
    async with operator.running():
        await operator.apply()
        await operator.passes(10)
        world.cluster.away = True
        await server.noticed()
        await operator.idle()
        assert server.said("hossted", "Ready") == "False KubernetesUnavailable"
        world.cluster.away = False
        await server.noticed()
        await operator.idle()
        assert server.said("hossted", "Ready") == "True UpToDate"
        written = len(server.patches)
        world.cluster.change("shop/web", image="web:hand", pods=3)
        await server.noticed()
        await operator.idle()
        assert len(server.patches) == written
        await operator.passes(10)
        assert len(server.patches) == written + 1
        assert server.status("hossted")["summary"]["pods"] == 3


async def test_a_status_that_somebody_wiped_is_written_anew(operator: Operator) -> None:
    operator.world.cluster.install("shop/web")
    async with operator.running():
        await operator.apply()
        await operator.passes(10)
        before = operator.server.status("hossted")["clusterUUID"]
        del operator.server.objects["hossted"]["status"]
        await operator.apply()
        assert operator.server.status("hossted")["clusterUUID"] == before
        assert operator.server.said("hossted", "Ready") == "True UpToDate"


async def test_fields_of_the_upstream_operator_are_named_by_one_event_a_generation(
    operator: Operator,
) -> None:
    async with operator.running():
        await operator.apply(monitoring={"enable": True}, cve={"enable": True})
        await operator.passes(2 * INTERVAL)
        told = [message for reason, _, message in operator.server.events if reason == "FieldsIgnored"]
        assert len(told) == 1
        assert told[0].startswith("spec.monitoring, spec.cve: ")


async def test_each_revision_and_each_rejection_is_an_event(beside: Operator, door: Gateway) -> None:
    beside.world.cluster.install("shop/web")
    await door.set(answer(422, "no", Content_Type="text/plain"))
    async with beside.running():
        await beside.apply()
        beside.world.cluster.upgrade("shop/web")
        await beside.server.noticed()
        await beside.idle()
        await beside.passes(2 * INTERVAL)
    assert [(reason, kind) for reason, kind, _ in beside.server.events] == [
        ("Recorded", "Normal"),
        ("Rejected", "Warning"),
        ("Recorded", "Normal"),
        ("Rejected", "Warning"),
    ]
    assert beside.server.events[1][2] == "the API rejected shop/web: answered 422: no"


async def test_without_an_api_everything_else_works_and_says_so(operator: Operator) -> None:
    operator.world.url = ""
    operator.world.cluster.install("shop/web")
    async with operator.running():
        await operator.apply()
        assert operator.server.said("hossted", "Delivered") == "Unknown NotConfigured"
        assert operator.server.said("hossted", "Ready") == "True UpToDate"
        assert "HOSSTED_API_URL is not set" in operator.server.message("hossted", "Delivered")


async def test_an_app_that_settles_is_looked_at_again_when_it_may_have(operator: Operator) -> None:
    operator.world.cluster.install("shop/web")
    async with operator.running():
        await operator.apply(settle="5s")
        assert operator.server.said("hossted", "Reconciling") == "True Settling"
        await operator.passes(6)
        assert operator.world.told == ["shop/web 1 deployed"]
        assert operator.looks() == 2
        assert operator.server.said("hossted", "Reconciling") == ""


async def test_cancelled_everything_ends_at_once_and_the_next_leadership_goes_on(
    beside: Operator, door: Gateway
) -> None:
    beside.world.cluster.install("shop/web")
    async with beside.running():
        await door.set(SILENT)
        await beside.server.apply("hossted", {})
        await door.waiting.wait()
    await door.answer_those_waiting()
    async with beside.running():
        await beside.passes(INTERVAL)
        assert beside.server.said("hossted", "Delivered") == "True UpToDate"
    assert set(beside.world.told) == {"shop/web 1 deployed"}
    assert len(set(door.asked)) == 1, "the same key"
