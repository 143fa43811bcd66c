"""The safety brake: looks one after the other, and what each one says of the removals in it."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.inventory.inventory import Inventory
from reconciler.model import App, AppKey, PolicyInEffect
from reconciler.policy.brake import NOTHING, Braking, Course, are_too_many, brake, gone, left
from tests.builders import CLUSTER_UUID, OTHER_CLUSTER_UUID, make_app, make_snapshot
from tests.unit.policy.inventories import make_inventory

START = datetime(2026, 11, 21, 12, 0, 0, 123_456, tzinfo=UTC)
INTERVAL = timedelta(minutes=10)
BEGUN, HELD, AGREED, CONFIRMED, ENDED = (
    Course.BEGUN,
    Course.HELD,
    Course.AGREED,
    Course.CONFIRMED,
    Course.ENDED,
)


def some_apps(number: int, namespace: str = "shop") -> dict[AppKey, App]:
    apps = [make_app(namespace, f"app-{each:02}") for each in range(number)]
    return {app.key: app for app in apps}


def there(recorded: Mapping[AppKey, App], removed: int) -> list[App]:
    """All but the first so many."""
    return list(recorded.values())[removed:]


@pytest.mark.parametrize(
    ("removed", "of", "percent", "too_many"),
    [
        (4, 4, 30, False),
        (4, 5, 30, False),
        (5, 5, 30, True),
        (5, 16, 30, True),
        (5, 17, 30, False),
        (30, 100, 30, False),
        (31, 100, 30, True),
        (5, 500, 1, False),
        (6, 500, 1, True),
        (200, 200, 100, False),
        (0, 0, 1, False),
    ],
)
def test_too_many_are_more_than_the_share_and_at_least_five(
    removed: int, of: int, percent: int, too_many: bool
) -> None:
    assert are_too_many(removed, of, percent) is too_many
    recorded = some_apps(of)
    seen = Looks(recorded, percent).at(0, there(recorded, removed))
    assert (seen.course is BEGUN) is too_many
    assert len(seen.held) == (removed if too_many else 0)


class Looks:
    """Looks at what is recorded, which stays. ``memory``: what the ledger keeps between them."""

    def __init__(self, recorded: Mapping[AppKey, App], percent: int = 30) -> None:
        self.recorded = recorded
        self.percent = percent
        self.memory = ""

    def at(
        self,
        seconds: float,
        live: Iterable[App] = (),
        *,
        inventory: Inventory | None = None,
        complete: bool = True,
        confirmation: str = "",
    ) -> Braking:
        seen = brake(
            self.recorded,
            inventory or make_inventory(*live),
            cluster_uuid=CLUSTER_UUID,
            percent=self.percent,
            interval=INTERVAL,
            at=START + timedelta(seconds=seconds),
            complete=complete,
            memory=self.memory,
            confirmation=confirmation,
        )
        self.memory = seen.memory
        return seen


TEN = some_apps(10)
ALL, SIX, FIVE, FOUR, NONE = 10, 6, 5, 4, 0
Step = tuple[float, int, bool, Course]
"""Seconds; how many of the ten are gone; whether the look was complete; what comes of it."""


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([(0, ALL, True, BEGUN), (600, ALL, True, AGREED)], id="a second look agrees"),
        pytest.param(
            [(0, ALL, True, BEGUN), (599.9, ALL, True, HELD), (600, ALL, True, AGREED)],
            id="not before an interval has passed",
        ),
        pytest.param(
            [(0, ALL, True, BEGUN), (5, ALL, True, HELD), (300, ALL, True, HELD), (601, ALL, True, AGREED)],
            id="looks in between change nothing",
        ),
        pytest.param(
            [(0, ALL, True, BEGUN), (5, NONE, True, ENDED), (9, NONE, True, Course.NONE)], id="back"
        ),
        pytest.param(
            [(0, ALL, True, BEGUN), (5, NONE, True, ENDED), (600, ALL, True, BEGUN)],
            id="gone again begins anew",
        ),
        pytest.param([(0, FIVE, True, BEGUN), (5, FOUR, True, ENDED)], id="too few"),
        pytest.param(
            [
                (0, FIVE, True, BEGUN),
                (599, SIX, True, BEGUN),
                (600, SIX, True, HELD),
                (1199, SIX, True, AGREED),
            ],
            id="one more begins anew",
        ),
        pytest.param(
            [(0, SIX, True, BEGUN), (600, FIVE, True, BEGUN), (1200, FIVE, True, AGREED)],
            id="one less begins anew",
        ),
        pytest.param(
            [(0, ALL, True, BEGUN), (600, ALL, False, HELD), (900, ALL, True, AGREED)],
            id="a look with gaps does not agree",
        ),
        pytest.param(
            [
                (0, ALL, True, BEGUN),
                (300, SIX, False, HELD),
                (400, FOUR, False, HELD),
                (600, ALL, True, AGREED),
            ],
            id="a look with gaps ends nothing, and what it proves gone is held with the rest",
        ),
        pytest.param(
            [(0, FOUR, False, Course.NONE), (5, FOUR, True, Course.NONE)], id="few are few in any look"
        ),
        pytest.param([(0, ALL, False, BEGUN), (600, ALL, True, AGREED)], id="begun by a look with gaps"),
        pytest.param(
            [
                (0, ALL, True, BEGUN),
                (-3600, ALL, True, HELD),
                (-3001, ALL, True, HELD),
                (-3000, ALL, True, AGREED),
            ],
            id="a clock that was set back",
        ),
        pytest.param(
            [(0, ALL, True, BEGUN), (600, ALL, True, AGREED), (601, ALL, True, AGREED)],
            id="agreed until it is recorded",
        ),
    ],
)
def test_removals_are_held_until_a_second_complete_look(steps: list[Step]) -> None:
    looks = Looks(TEN)
    for seconds, removed, complete, course in steps:
        seen = looks.at(seconds, there(TEN, removed), complete=complete)
        assert seen.course is course, seconds
        assert len(seen.held) == (removed if course.holds else 0)


def test_what_is_held_is_named_counted_and_due() -> None:
    seen = Looks(TEN).at(0, there(TEN, SIX))
    assert (seen.keys, seen.of) == (tuple(sorted(TEN))[:SIX], 10)
    assert seen.due == START + INTERVAL


def test_the_memory_is_one_line_that_survives_a_restart_and_holds_nothing_that_it_need_not() -> None:
    looks = Looks(TEN)
    looks.at(0, confirmation="not a digest\nbut two lines")
    removals, since = looks.memory.split(" ")
    assert (len(removals), since) == (64, "2026-11-21T12:00:00.123456+00:00")
    again = Looks(TEN)
    again.memory = looks.memory
    assert again.at(600).course is AGREED


@pytest.mark.parametrize("memory", ["x", "x y", f"{'0' * 64} 2026-11-21", f"{'0' * 64}"])
def test_a_memory_that_cannot_be_read_begins_anew(memory: str) -> None:
    looks = Looks(TEN)
    looks.memory = memory
    assert looks.at(600).course is BEGUN


@pytest.mark.parametrize(
    ("how", "counted"),
    [
        ({}, 10),
        ({"kept": TEN.values()}, 10),
        ({"unproven": [""]}, 0),
        ({"unproven": ["shop"]}, 0),
        ({"unreadable": TEN}, 0),
        ({"namespaces": {"shop": False}}, 10),
        ({"namespaces": {"shop": True}}, 0),
        ({"namespaces": {"other": False}}, 0),
        ({"policy": PolicyInEffect(denyNamespaces=("sh*",))}, 0),
    ],
    ids=[
        "proven",
        "history kept",
        "nothing proven",
        "not proven there",
        "unreadable",
        "namespace there",
        "namespace being deleted",
        "namespace not there",
        "denied",
    ],
)
def test_what_counts_as_a_removal(how: Mapping[str, object], counted: int) -> None:
    inventory = make_inventory(**how)  # type: ignore[arg-type] # keyword arguments of a table
    assert len(gone(TEN, inventory)) == counted
    assert Looks(TEN).at(0, inventory=inventory).course is (BEGUN if counted else Course.NONE)


@pytest.mark.parametrize("how", ["denied", "its namespace is deleted"])
def test_what_does_not_count_is_not_among_those_of_which_it_is_a_share(how: str) -> None:
    recorded = some_apps(20) | some_apps(80, "team")
    policy = PolicyInEffect(denyNamespaces=("team",) if how == "denied" else ())
    live = there(some_apps(20), 7)
    seen = Looks(recorded).at(
        0, inventory=make_inventory(*live, policy=policy, namespaces={"shop": False, "team": True})
    )
    assert (seen.course, len(seen.held), seen.of) == (BEGUN, 7, 20)


class TestConfirming:
    """By the digest of the snapshot that would be left."""

    digest = make_snapshot(*there(TEN, SIX)).digest

    def test_the_digest_is_that_of_the_snapshot_without_the_removals(self) -> None:
        assert Looks(TEN).at(0, there(TEN, SIX)).left == self.digest

    def test_confirmed_it_is_released_at_once_and_until_it_is_recorded(self) -> None:
        looks = Looks(TEN)
        looks.at(0, there(TEN, SIX))
        for seconds in (1, 2):
            seen = looks.at(seconds, there(TEN, SIX), confirmation=self.digest)
            assert (seen.course, seen.held) == (CONFIRMED, frozenset())

    @pytest.mark.parametrize("wrong", ["", "yes", digest[:12], digest.upper(), make_snapshot().digest])
    def test_anything_else_is_ignored(self, wrong: str) -> None:
        looks = Looks(TEN)
        looks.at(0, there(TEN, SIX))
        seen = looks.at(1, there(TEN, SIX), confirmation=wrong)
        assert (seen.course, seen.stale) == (HELD, False)

    def test_it_confirms_exactly_these_removals(self) -> None:
        looks = Looks(TEN)
        looks.at(0, there(TEN, SIX))
        assert looks.at(1, there(TEN, FIVE), confirmation=self.digest).course is BEGUN

    def test_it_is_of_what_is_recorded_now(self) -> None:
        looks = Looks(TEN)
        looks.at(0, there(TEN, SIX))
        upgraded = make_app("shop", "app-09", revision=2)
        looks.recorded = {**TEN, upgraded.key: upgraded}
        live = [*there(TEN, SIX)[:-1], upgraded]
        seen = looks.at(1, live, confirmation=self.digest)
        assert (seen.course, seen.left) == (HELD, make_snapshot(*live).digest)

    def test_an_earlier_one_that_happens_to_fit_does_not_count_until_it_is_given_anew(self) -> None:
        looks = Looks(TEN)
        first = looks.at(0, there(TEN, SIX), confirmation=self.digest)
        assert (first.course, first.stale) == (BEGUN, True)
        again = looks.at(1, there(TEN, SIX), confirmation=self.digest)
        assert (again.course, again.stale) == (HELD, True)
        without = looks.at(2, there(TEN, SIX))
        assert (without.course, without.stale) == (HELD, False)
        assert looks.at(3, there(TEN, SIX), confirmation=self.digest).course is CONFIRMED

    def test_an_earlier_one_does_not_hinder_the_second_look(self) -> None:
        looks = Looks(TEN)
        looks.at(0, confirmation=make_snapshot().digest)
        assert looks.at(600, confirmation=make_snapshot().digest).course is AGREED

    def test_it_counts_in_a_look_with_gaps_that_proves_the_same(self) -> None:
        looks = Looks(TEN)
        looks.at(0, there(TEN, SIX))
        seen = looks.at(1, there(TEN, SIX), complete=False, confirmation=self.digest)
        assert seen.course is CONFIRMED

    def test_two_clusters_that_are_left_with_the_same_have_two_digests(self) -> None:
        assert left(CLUSTER_UUID, TEN, TEN) != left(OTHER_CLUSTER_UUID, TEN, TEN)


def test_while_a_look_fails_what_was_held_is_held() -> None:
    assert Looks(TEN).at(0).while_unknown.course is HELD
    assert NOTHING.while_unknown == Braking(Course.ENDED).while_unknown == NOTHING


LOOKS = st.lists(
    st.tuples(
        st.floats(0, 700),  # seconds since the look before
        st.one_of(st.just(range(10)), st.sets(st.integers(0, 9))),  # which of the ten are gone
        st.booleans(),  # complete
        st.sampled_from(["no", "right", "wrong"]),  # confirmed
    ),
    max_size=12,
)


@given(LOOKS)
@example([(0.0, range(10), True, "no"), (600.0, range(10), True, "no")])
@example([(0.0, set(), True, "no"), (0.0, range(10), False, "no"), (600.0, range(10), True, "no")])
def test_nothing_is_released_before_its_time_unless_it_is_confirmed(
    looks: list[tuple[float, Collection[int], bool, str]],
) -> None:
    """What was released was gone, and nothing else, in every complete look of at least an interval."""
    keys = sorted(TEN)
    memory, now = Looks(TEN), 0.0
    history: list[tuple[float, frozenset[AppKey], bool, str]] = []
    for passed, missing, complete, said in looks:
        now += passed
        removed = frozenset(keys[each] for each in missing)
        live = [app for key, app in TEN.items() if key not in removed]
        right = left(CLUSTER_UUID, TEN, removed)
        confirmation = {"no": "", "right": right, "wrong": "0" * 64}[said]
        known = memory.memory.partition(" ")[0]
        seen = memory.at(now, live, complete=complete, confirmation=confirmation)
        history.append((now, removed, complete, confirmation))
        if seen.course is CONFIRMED:
            assert confirmation == right
            assert known == seen.memory.partition(" ")[0], "these were held before they were confirmed"
        elif seen.course is AGREED:
            assert complete
            first = now
            for at, which, whole, _ in reversed(history):
                if whole and which != removed:
                    break
                first = at
            assert now - first >= INTERVAL.total_seconds() - 1e-6
        elif are_too_many(len(removed), 10, 30):
            assert seen.held == removed
        else:
            assert seen.held <= removed


@given(
    st.lists(st.floats(0, 599), max_size=6),
    st.floats(-1e6, 1e6),
    st.sampled_from(["", "wrong", make_snapshot().digest]),
)
def test_what_does_not_change_is_held_for_an_interval_and_no_longer(
    between: list[float], clock: float, confirmation: str
) -> None:
    """Whatever the memory says of a time before, in which the clock was another."""
    looks = Looks(TEN)
    looks.at(clock, confirmation=confirmation)
    looks.at(0, confirmation=confirmation)
    for seconds in sorted(between):
        looks.at(seconds, confirmation=confirmation)
    assert looks.at(600.001, confirmation=confirmation).course is AGREED
