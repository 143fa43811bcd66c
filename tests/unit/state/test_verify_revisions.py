"""Verifying a record in ConfigMaps: what is kept is rebuilt, and what was done to it is told."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from reconciler.errors import UsageError
from reconciler.state.store import Message, Recorded
from reconciler.state.verify.revisions import verify_revisions
from tests.builders import changes_between, make_app, make_snapshot
from tests.unit.state.configmap_standin import StandIn
from tests.unit.state.configmap_world import (
    NAMESPACE,
    START,
    append_all,
    edit,
    head_of,
    open_track,
    revisions,
)

WHERE = "ConfigMaps hossted/hossted-state"


async def test_a_record_is_good_and_tells_its_time() -> None:
    track = open_track(StandIn())
    on: Recorded | None = None
    for number in range(1, 31):
        snapshot = make_snapshot(make_app(revision=number))
        gap = (("Gap", "2026-11-21T10:00:00Z/2026-11-21T10:30:00Z down"),) if number == 20 else ()
        at = START + timedelta(hours=number)
        on = await track.append(
            snapshot,
            changes_between(on.snapshot if on else None, snapshot),
            Message("Record", "", (("Snapshot", snapshot.digest), *gap)),
            on=on, happened=at, recorded=at,
        )  # fmt: skip
    report = await verify_revisions(track, WHERE)
    assert report.is_good
    assert (report.revisions, report.checked, report.warnings) == (30, 30, ())
    assert (report.covered + report.uncovered, len(report.gaps)) == (timedelta(hours=29), 1)


async def test_a_text_that_tells_another_snapshot_is_bad() -> None:
    track = open_track(StandIn())
    snapshot = make_snapshot(make_app())
    made = await track.append(
        snapshot, changes_between(None, snapshot), Message("Record", "", (("Snapshot", "0" * 64),)),
        on=None, happened=START, recorded=START,
    )  # fmt: skip
    report = await verify_revisions(track, WHERE)
    assert report.bad[0].revision == made.revision.id
    assert report.bad[0].what.startswith("says that its snapshot is 000000000000…, and its apps make ")


async def test_where_nothing_is_recorded_there_is_nothing_to_verify() -> None:
    with pytest.raises(UsageError, match="nothing has been recorded"):
        await verify_revisions(open_track(StandIn()), WHERE)


def deleted(access: StandIn, name: str) -> None:
    del access.items[NAMESPACE, name]


def edited(access: StandIn, name: str) -> None:
    edit(access, name, binary_data={})


@pytest.mark.parametrize("kind", ["apps", "history"])
@pytest.mark.parametrize("meddle", [deleted, edited])
async def test_what_was_done_to_the_config_maps_is_told(
    kind: str, meddle: Callable[[StandIn, str], None]
) -> None:
    access = StandIn()
    await append_all(open_track(access), revisions(30))
    head = head_of(access)
    meddle(access, (head.shards if kind == "apps" else head.history)[0].name)
    report = await verify_revisions(open_track(access), WHERE)
    assert not report.is_good
    assert report.bad[0].means


async def test_what_is_kept_no_more_by_design_is_no_harm() -> None:
    access = StandIn()
    await append_all(open_track(access, history=25), revisions(70))
    report = await verify_revisions(open_track(access, history=25), WHERE)
    assert report.is_good
    assert report.revisions == 25
