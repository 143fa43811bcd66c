"""Whether the record goes on where it was left, and what it was, as far as the ledger can tell."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec
import pytest

from reconciler.errors import UsageError
from reconciler.model import App, AppKey, PolicyInEffect
from reconciler.operator.continuity import (
    Continuity,
    Course,
    believed,
    continuity,
    missing,
    place_of,
    vanished,
)
from reconciler.policy.entry import Acked, Entry, LedgerFacts, Sending
from reconciler.policy.keys import ENTROPY, draw, drawn_at
from reconciler.project import ConfigMapState, GitState, Spec
from reconciler.state.store import Recorded, Repair, Store, Track, Trailer
from tests.builders import make_app, make_cluster, make_snapshot
from tests.unit.operator.results import KEY, NOW, make_recorded

HERE, THERE = "branch main of file:///srv/a.git", "ConfigMaps hossted-state-* in namespace hossted"
LOST = (Repair("ConfigMap x was deleted: 1 app is lost", loses=True),)


class Asked:
    """A track that has these revisions."""

    def __init__(self, *revisions: str) -> None:
        self.revisions = revisions

    async def at(self, revision: str) -> Recorded:
        if revision not in self.revisions:
            raise UsageError("no such revision")
        return make_recorded(revision=revision)


TABLE = [
    pytest.param("", "", "r9", [], Course.ON, id="nothing is remembered"),
    pytest.param(HERE, "c1", "c1", [], Course.ON, id="the last one is the tip"),
    pytest.param(HERE, "c1", "c2", ["c1"], Course.ON, id="the tip is after the last one"),
    pytest.param(HERE, "c2", "c1", [], Course.SET_BACK, id="the last one is not there any more"),
    pytest.param(HERE, "c2", None, [], Course.SET_BACK, id="nothing is there any more"),
    pytest.param(THERE, "r7", None, [], Course.MOVED, id="a new place"),
    pytest.param(THERE, "r7", "c1", [], Course.MOVED, id="a place from before"),
    pytest.param(THERE, "r7", "r7", ["r7"], Course.MOVED, id="a number is the same in every place"),
    pytest.param("branch main of /b.git", "c1", "c2", ["c1"], Course.ON, id="a copy of the repository"),
]


@pytest.mark.parametrize(("location", "last", "tip", "has", "course"), TABLE)
async def test_how_a_track_stands_to_what_the_ledger_remembers(
    location: str, last: str, tip: str | None, has: list[str], course: Course
) -> None:
    known = LedgerFacts(location=location, revision=last)
    track = cast("Track", Asked(*has))
    recorded = None if tip is None else make_recorded(revision=tip)
    assert (await continuity(track, recorded, known, HERE)).course is course


async def test_what_a_commit_has_told_already_is_not_told_again() -> None:
    known = LedgerFacts(location=THERE, revision="r7")
    tip = make_recorded(revision="c1", trailers=((Trailer.PREVIOUS, f"{THERE} r7"),))
    assert (await continuity(cast("Track", Asked()), tip, known, HERE)).course is Course.ON


def test_a_place_is_told_in_words_that_stay_the_same() -> None:
    class Somewhere:
        location = "https://git.example.com/fleet.git"

    store = cast("Store", Somewhere())
    git = Spec(state=GitState(url="https://git.example.com/fleet.git", branch="state/{cluster_uuid}"))
    assert place_of(git, store, "K-1") == "branch state/K-1 of https://git.example.com/fleet.git"
    assert place_of(Spec(state=ConfigMapState()), store, "K-1") == Somewhere.location


def test_a_record_that_goes_on_says_nothing_of_it() -> None:
    here = Continuity(Course.ON, HERE, LedgerFacts(location=HERE, revision="c1"))
    assert (here.is_broken, here.trailers(), here.notes(make_recorded())) == (False, (), ())


def key_at(moment: datetime) -> str:
    return draw("", int(moment.timestamp() * 1000), bytes(ENTROPY))


def acked(app: App | None, at: datetime) -> Entry:
    return Entry(acked=Acked(key_at(at), "A-1", at, app))


def sending(app: App, at: datetime) -> Entry:
    return Entry(sending=Sending(key_at(at), app, ""))


OLD, NEW = (
    make_app(revision=1, updated="2026-11-21T11:00:00Z"),
    make_app(revision=2, updated="2026-11-21T12:00:00Z"),
)
LATER, EARLIER = NOW + timedelta(minutes=1), NOW - timedelta(minutes=1)
TOLD = [
    pytest.param([OLD], acked(NEW, LATER), False, [OLD], id="goes on: the tip is right"),
    pytest.param([OLD], acked(NEW, LATER), True, [NEW], id="told since: it had been recorded"),
    pytest.param([OLD], sending(NEW, LATER), True, [NEW], id="perhaps told since"),
    pytest.param([NEW], acked(OLD, EARLIER), True, [NEW], id="told before: the tip is newer"),
    pytest.param(
        [OLD], acked(NEW, NOW + timedelta(seconds=0.5)), True, [NEW], id="the same second: Helm tells"
    ),
    pytest.param([NEW], acked(OLD, NOW + timedelta(seconds=0.5)), True, [NEW], id="the same second, older"),
    pytest.param([], acked(NEW, LATER), True, [NEW], id="an app that it had not yet"),
    pytest.param(
        [], acked(OLD, NOW + timedelta(seconds=0.5)), True, [], id="the same second, and it had left by then"
    ),
    pytest.param([OLD], acked(None, LATER), True, [], id="an end that was told"),
    pytest.param([OLD], sending(NEW.as_uninstalled(), LATER), True, [], id="an end that was perhaps told"),
    pytest.param([OLD], Entry(), True, [OLD], id="nothing was told"),
]


@pytest.mark.parametrize(("tip", "entry", "broken", "expected"), TOLD)
def test_what_was_told_since_the_tip_had_been_recorded(
    tip: list[App], entry: Entry, expected: list[App], *, broken: bool
) -> None:
    found = believed(make_recorded(make_snapshot(*tip)), {KEY: entry}, (), broken=broken)
    assert list(found.values()) == expected


def test_of_a_store_that_is_empty_all_that_was_told_is_believed() -> None:
    assert dict(believed(None, {KEY: acked(NEW, EARLIER)}, (), broken=True)) == {KEY: NEW}


def test_a_live_app_is_not_taken_for_uninstalled() -> None:
    tip = make_recorded(make_snapshot(OLD))
    assert believed(tip, {KEY: acked(None, LATER)}, [KEY], broken=True) == {KEY: OLD}


def lossy(*apps: App) -> Recorded:
    recorded = make_recorded(make_snapshot(*apps))
    return Recorded(recorded.revision, recorded.snapshot, LOST)


@pytest.mark.parametrize(("live", "expected"), [([KEY], {KEY: OLD}), ([], {})])
def test_where_apps_may_be_missing_the_live_ones_are_as_they_were_told(
    live: list[AppKey], expected: Mapping[AppKey, App]
) -> None:
    assert believed(lossy(), {KEY: acked(OLD, EARLIER)}, live, broken=False) == expected


@pytest.mark.parametrize(
    ("tip", "entries", "app", "lost"),
    [
        pytest.param(lossy(), {}, OLD, True, id="Helm was done with it before the tip was recorded"),
        pytest.param(lossy(), {}, make_app(updated="2026-11-21T13:00:00Z"), False, id="Helm was not"),
        pytest.param(lossy(), {KEY: acked(OLD, EARLIER)}, make_app(updated="?"), True, id="it was told"),
        pytest.param(lossy(OLD), {}, OLD, False, id="it is there"),
        pytest.param(make_recorded(make_snapshot()), {}, OLD, False, id="nothing was lost"),
    ],
)
def test_an_app_is_missing_when_it_is_not_new(
    tip: Recorded, entries: Mapping[AppKey, Entry], app: App, *, lost: bool
) -> None:
    assert missing(tip, entries, {app.key: app}) == (frozenset({KEY}) if lost else frozenset())


def test_what_was_denied_was_not_lost() -> None:
    cluster = msgspec.structs.replace(make_cluster(), policy=PolicyInEffect(denyNamespaces=("default",)))
    tip = msgspec.structs.replace(lossy(), snapshot=make_snapshot(cluster=cluster))
    entries = {KEY: acked(OLD, EARLIER)}
    assert missing(tip, entries, {KEY: OLD}) == frozenset()
    assert believed(tip, entries, [KEY], broken=False) == {}


def test_nothing_is_missing_where_there_is_no_tip() -> None:
    assert missing(None, {}, {KEY: OLD}) == frozenset()


def test_a_key_tells_when_it_was_drawn() -> None:
    moment = datetime(2026, 11, 21, 12, 30, 0, 250_000, tzinfo=UTC)
    assert drawn_at(key_at(moment)) == moment


DENYING = PolicyInEffect(denyNamespaces=("team-*",))


@pytest.mark.parametrize(
    ("namespace", "then", "now", "lost", "counts"),
    [
        ("team-a", DENYING, PolicyInEffect(), False, True),
        ("team-a", DENYING, DENYING, False, False),
        ("team-a", PolicyInEffect(), DENYING, False, False),
        ("shop", DENYING, PolicyInEffect(), False, False),
        ("shop", PolicyInEffect(), PolicyInEffect(), True, True),
        ("shop", PolicyInEffect(), PolicyInEffect(), False, False),
        ("team-a", DENYING, DENYING, True, False),
    ],
)
def test_an_app_that_was_told_and_is_not_recorded_has_vanished_if_no_removal_of_it_was(
    namespace: str, then: PolicyInEffect, now: PolicyInEffect, lost: bool, counts: bool
) -> None:
    """``then``: the policy of the tip; ``lost``: whether apps may be missing from it."""
    app, here = make_app(namespace, "gone"), make_app("shop", "here")
    cluster = msgspec.structs.replace(make_cluster(), policy=then)
    tip = msgspec.structs.replace(
        make_recorded(make_snapshot(here, cluster=cluster)), repairs=LOST if lost else ()
    )
    entries = {one.key: Entry(acked=Acked("k", one.app_uuid, NOW, one)) for one in (app, here)}
    assert vanished(tip, entries, now) == ({app.key: app} if counts else {})
    told_gone = {app.key: Entry(acked=Acked("k", app.app_uuid, NOW))}
    assert vanished(tip, told_gone, now) == {}
    assert vanished(None, entries, now) == {}
