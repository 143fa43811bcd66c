"""What is recorded and live is mostly one value, which saves steps and decides nothing: the same apps, each a
value of its own on either side, come to the same."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.changes.diff import diff
from reconciler.differing import Comparison, Derived, differing, with_these
from reconciler.inventory.inventory import Inventory
from reconciler.model import App, AppKey, PolicyInEffect, Snapshot
from reconciler.policy import quiet
from reconciler.policy.brake import gone
from reconciler.policy.record import recordable
from reconciler.policy.rules import rules_of
from tests.builders import CLUSTER_UUID, make_app, make_cluster
from tests.unit.policy.inventories import make_inventory

WALL = datetime(2026, 11, 21, 12, tzinfo=UTC)
POLICIES = (PolicyInEffect(), PolicyInEffect(denyNamespaces=("team-*",)))
KEYS = [AppKey("default", "a"), AppKey("default", "b"), AppKey("default", "c"), AppKey("team-a", "a")]
STATES: Mapping[AppKey, tuple[App, ...]] = {
    key: (
        make_app(*key),
        make_app(*key, pod_status="Failed"),
        make_app(*key, pod_status="Pending"),
        make_app(*key, revision=2),
        make_app(*key, revision=2, hosts=["a"]),
    )
    for key in KEYS
}

Apps = Mapping[AppKey, App]


@st.composite
def some(draw: st.DrawFn) -> dict[AppKey, App]:
    """Apps in key order."""
    return {key: app for key in KEYS if (app := draw(st.none() | st.sampled_from(STATES[key])))}


def copied(apps: Apps) -> dict[AppKey, App]:
    """The same, each another value."""
    return {key: msgspec.structs.replace(app) for key, app in apps.items()}


def of_policy(apps: Apps, policy: PolicyInEffect) -> Inventory:
    """What a look finds by a policy."""
    seen = [app for key, app in apps.items() if not policy.denies(key.namespace)]
    return make_inventory(*seen, policy=policy)


@given(some(), some(), st.permutations(KEYS))
def test_what_differs_is_what_is_another_value(one: Apps, other: Apps, order: Iterable[AppKey]) -> None:
    expected = {key for key in one.keys() | other.keys() if one.get(key) is not other.get(key)}
    assert differing(one, other) == expected
    assert differing(one, {key: other[key] for key in order if key in other}) == expected
    assert differing(one, dict(one)) == differing(one, one) == set()
    assert differing(one, copied(one)) == one.keys()


@given(some(), some(), st.frozensets(st.sampled_from(KEYS)))
def test_apps_with_others_chosen_are_in_order(before: Apps, coming: Apps, going: frozenset[AppKey]) -> None:
    after = with_these(before, {**coming, **dict.fromkeys(going)})
    assert after == {key: app for key, app in {**before, **coming}.items() if key not in going}
    assert list(after) == sorted(after)
    assert (after is before) == (not differing(before, after))


@given(some(), st.lists(some(), min_size=1, max_size=4), some(), st.sampled_from(POLICIES), st.data())
@settings(max_examples=25)
def test_that_values_are_shared_changes_nothing(
    recorded: Apps, looks: list[Apps], marked: Apps, policy: PolicyInEffect, data: st.DataObject
) -> None:
    marks = {key: app.digest for key, app in marked.items()}
    tracked: Mapping[AppKey, quiet.Tracked] = {}
    now, comparison = 0.0, Comparison[AppKey, App]()
    for live in looks:
        now += data.draw(st.sampled_from((0.5, 6.0, 70.0)))
        found = []
        for before in (recorded, copied(recorded)):
            inventory = of_policy(live, policy)
            differ = comparison.of(before, inventory.apps) if before is recorded else None
            observation = quiet.observe(
                tracked,
                inventory,
                before,
                now=now,
                wall=WALL,
                settle=5.0,
                interval=600.0,
                rules=rules_of(policy),
                unsettled=marks,
                differ=differ,
            )
            chosen = recordable(
                before, inventory, observation.verdicts, policy=policy, unsettled=marks, differ=differ
            )
            tip = Snapshot(CLUSTER_UUID, make_cluster(), before)
            changes = diff(tip, Snapshot(CLUSTER_UUID, make_cluster(), chosen.apps))
            found.append((observation, chosen, changes, gone(before, inventory, differ)))
        assert found[0] == found[1]
        assert list(chosen.apps) == sorted(chosen.apps)
        tracked, recorded = found[0][0].tracked, found[0][1].apps


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("ab"), some(), st.frozensets(st.sampled_from(KEYS))), max_size=12))
def test_what_differs_is_remembered_along_the_way(
    steps: list[tuple[str, Apps, frozenset[AppKey]]],
) -> None:
    """Two mappings, each made from what it was, in any turns; and all of their earlier states."""
    sides: dict[str, list[Apps]] = {"a": [{}], "b": [{}]}
    comparison = Comparison[AppKey, App]()
    for side, coming, going in steps:
        sides[side].append(with_these(sides[side][-1], {**coming, **dict.fromkeys(going)}))
        one, other = sides["a"][-1], sides["b"][-1]
        assert comparison.of(one, other) == differing(dict(one), dict(other))
        newest = sides[side][-1]
        assert list(newest) == sorted(newest)
        for before in sides[side]:
            expected = differing(dict(before), dict(newest))
            assert differing(before, newest) == differing(newest, before) == expected


def test_what_differs_between_a_mapping_and_what_became_of_it_takes_no_look_at_the_others() -> None:
    first = Derived({key: states[0] for key, states in STATES.items()}, {})
    second = Derived(first, {KEYS[0]: None, KEYS[1]: STATES[KEYS[1]][1]})
    assert second.since(first) == frozenset(KEYS[:2])
    assert Derived(second, {KEYS[2]: None}).since(first) == frozenset(KEYS[:3])
    assert first.since(second) is None
