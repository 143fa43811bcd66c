"""What goes into the next snapshot, app by app."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.inventory.inventory import Inventory
from reconciler.model import App, AppKey, PolicyInEffect, PushPolicy
from reconciler.policy.quiet import Verdict, has_left
from reconciler.policy.record import SETTLED, Recordable, recordable
from reconciler.policy.rules import BUILT_IN, Rules
from tests.builders import make_app
from tests.unit.changes.strategies import apps
from tests.unit.policy.inventories import make_inventory

QUIET, STANDS, WAIT = Verdict.QUIET, Verdict.AS_IT_STANDS, Verdict.WAIT

V1 = make_app(revision=1)
V1_RESTARTED = make_app(revision=1, pod_status="Failed")
V1_HOST = make_app(revision=1, hosts=["a"])
V2 = make_app(revision=2)
V2_PENDING = make_app(revision=2, pod_status="Pending")
V2_DIGEST = make_app(revision=2, digest="")
V2_PENDING_HOST = make_app(revision=2, pod_status="Pending", hosts=["a"])
V3_PENDING = make_app(revision=3, pod_status="Pending")
KEY = V1.key
DENYING = PolicyInEffect(denyNamespaces=("defa*",))


def record(
    previous: App | None,
    live: App | None,
    verdict: Verdict | None,
    *,
    mark: App | None = None,
    policy: PolicyInEffect | None = None,
    inventory: Inventory | None = None,
) -> Recordable:
    return recordable(
        {} if previous is None else {KEY: previous},
        inventory or make_inventory(*[] if live is None else [live]),
        {} if verdict is None else {KEY: verdict},
        policy=policy or PolicyInEffect(),
        unsettled={} if mark is None else {KEY: mark.digest},
    )


@pytest.mark.parametrize(
    ("previous", "live", "verdict", "taken"),
    [
        pytest.param(V1, V1, None, V1, id="nothing differs"),
        pytest.param(V1, V2, QUIET, V2, id="a quiet upgrade"),
        pytest.param(V1, V2, WAIT, V1, id="an upgrade that has not settled"),
        pytest.param(V1, V2, None, V1, id="no verdict"),
        pytest.param(V1, V2_PENDING, STANDS, V2_PENDING, id="an upgrade as it stands"),
        pytest.param(None, V1, QUIET, V1, id="a quiet install"),
        pytest.param(None, V1, WAIT, None, id="an install that has not settled"),
        pytest.param(None, V2_PENDING, STANDS, V2_PENDING, id="an install as it stands"),
        pytest.param(V1, V1_RESTARTED, QUIET, V1, id="only what is deferred"),
        pytest.param(V1, V1_RESTARTED, STANDS, V1, id="only what is deferred, as it stands"),
        pytest.param(V1_RESTARTED, V1_HOST, QUIET, V1_HOST, id="a host, and what was deferred with it"),
        pytest.param(V1, None, QUIET, None, id="an uninstall"),
        pytest.param(V1, None, STANDS, None, id="an uninstall among changes"),
        pytest.param(V1, None, WAIT, V1, id="an uninstall that may become a reinstall"),
        pytest.param(V1, None, None, V1, id="an absence without verdict"),
    ],
)
def test_an_app_is_taken_whole_or_stays(
    previous: App | None, live: App | None, verdict: Verdict | None, taken: App | None
) -> None:
    result = record(previous, live, verdict)
    assert result.apps == ({} if taken is None else {KEY: taken})
    assert all(result.apps[key] is taken for key in result.apps)


@pytest.mark.parametrize(
    "inventory",
    [
        pytest.param(make_inventory(unproven=["default"]), id="its namespace was not listed"),
        pytest.param(make_inventory(unproven=[""]), id="a driver was not listed"),
        pytest.param(make_inventory(unreadable=[KEY]), id="it cannot be read"),
    ],
)
@pytest.mark.parametrize("verdict", list(Verdict))
def test_what_is_not_proven_gone_stays_whatever_the_verdict(inventory: Inventory, verdict: Verdict) -> None:
    assert record(V1, None, verdict, inventory=inventory).apps == {KEY: V1}


def test_a_release_uninstalled_with_its_history_kept_leaves() -> None:
    kept = make_inventory(kept=[V1.as_uninstalled()])
    assert record(V1, None, WAIT, inventory=kept).apps == {KEY: V1}
    assert record(V1, None, QUIET, inventory=kept).apps == {}


@pytest.mark.parametrize("live", [None, V1, V2])
def test_a_denied_namespace_s_apps_leave_at_once(live: App | None) -> None:
    assert record(V1, live, WAIT, policy=DENYING) == Recordable({}, {})


@pytest.mark.parametrize("push_on", list(BUILT_IN))
def test_what_is_recorded_does_not_depend_on_what_is_pushed(push_on: str) -> None:
    policy = PolicyInEffect(push=PushPolicy(on=push_on))
    assert record(V1, V1_HOST, QUIET, policy=policy).apps == {KEY: V1_HOST}
    assert record(V1, V1_RESTARTED, QUIET, policy=policy).apps == {KEY: V1}


@pytest.mark.parametrize(
    ("previous", "live", "verdict", "mark", "expected"),  # expected: taken, marked, whether as settled
    [
        pytest.param(
            None, V2_PENDING, STANDS, None, (V2_PENDING, V2_PENDING, False), id="an install is marked"
        ),
        pytest.param(V1, V2_PENDING, STANDS, None, (V2_PENDING, V2_PENDING, False), id="so is an upgrade"),
        pytest.param(V1, V1_HOST, STANDS, None, (V1_HOST, None, False), id="a new host is not"),
        pytest.param(V1, V2, QUIET, None, (V2, None, False), id="nor what is quiet"),
        pytest.param(
            V2_PENDING, V2, QUIET, V2_PENDING, (V2, None, False), id="the first quiet state is taken"
        ),
        pytest.param(V2_PENDING, V2, STANDS, V2_PENDING, (V2_PENDING, None, False), id="not one that is not"),
        pytest.param(V2_PENDING, V2, WAIT, V2_PENDING, (V2_PENDING, None, False), id="nor one that may be"),
        pytest.param(V2_PENDING, V2, QUIET, V1, (V2_PENDING, None, False), id="nor by another state's mark"),
        pytest.param(
            V2_PENDING, V2_PENDING, QUIET, V2_PENDING, (V2_PENDING, None, True), id="it was quiet all along"
        ),
        pytest.param(
            V2_PENDING, V2_PENDING, STANDS, V2_PENDING, (V2_PENDING, None, False), id="it is not quiet yet"
        ),
        pytest.param(
            V2_DIGEST, V2, QUIET, V2_DIGEST, (V2, None, False), id="taken, with nothing new to tell"
        ),
        pytest.param(
            V2_PENDING,
            V3_PENDING,
            STANDS,
            V2_PENDING,
            (V3_PENDING, V3_PENDING, False),
            id="the mark moves on",
        ),
        pytest.param(
            V2_PENDING,
            V2_PENDING_HOST,
            STANDS,
            V2_PENDING,
            (V2_PENDING_HOST, V2_PENDING_HOST, False),
            id="also with a host that comes meanwhile",
        ),
        pytest.param(V2, V2_PENDING, QUIET, V2_PENDING, (V2, None, False), id="once only"),
    ],
)
def test_a_helm_change_recorded_as_it_stands_is_completed_by_its_first_quiet_state(
    previous: App | None,
    live: App,
    verdict: Verdict,
    mark: App | None,
    expected: tuple[App, App | None, bool],
) -> None:
    taken, marked, settled = expected
    marks = {KEY: SETTLED} if settled else {} if marked is None else {KEY: marked.digest}
    assert record(previous, live, verdict, mark=mark) == Recordable({KEY: taken}, marks)


KEYS = [AppKey("default", "a"), AppKey("default", "b"), AppKey("team-a", "a")]


@st.composite
def situations(
    draw: st.DrawFn,
) -> tuple[Mapping[AppKey, App], Inventory, Mapping[AppKey, Verdict], dict[AppKey, str]]:
    """Recorded apps, a look with gaps, verdicts, and marks that fit or do not."""
    previous = {key: app for key in KEYS if (app := draw(st.none() | apps(key)))}
    live = []
    for key in KEYS:
        same = previous.get(key)
        app = draw(st.none() | apps(key) | st.just(same))
        live.extend([app] if app else [])
    inventory = make_inventory(
        *live,
        kept=[previous[key] for key in draw(st.frozensets(st.sampled_from(KEYS))) if key in previous],
        unproven=draw(st.frozensets(st.sampled_from(("default", "team-a")))),
    )
    verdicts = draw(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(Verdict)))
    marks = {key: app.digest for key, app in previous.items() if draw(st.booleans())}
    return previous, inventory, verdicts, marks


@given(situations(), st.sampled_from((PolicyInEffect(), PolicyInEffect(denyNamespaces=("team-*",)))))
@settings(max_examples=30)
def test_recording_keeps_its_guarantees(
    situation: tuple[Mapping[AppKey, App], Inventory, Mapping[AppKey, Verdict], dict[AppKey, str]],
    policy: PolicyInEffect,
) -> None:
    previous, inventory, verdicts, marks = situation
    once = recordable(previous, inventory, verdicts, policy=policy, unsettled=marks)

    new_marks = marks | dict(once.mark_unsettled)
    for unsettled in (marks, new_marks):
        again = recordable(once.apps, inventory, verdicts, policy=policy, unsettled=unsettled)
        assert again.apps == once.apps, "recording twice is recording once"
    assert not again.mark_unsettled

    for key, was in previous.items():
        if key not in once.apps:
            assert policy.denies(key.namespace) or has_left(inventory, key), "nothing leaves without proof"
        elif once.apps[key] != was and key not in marks:
            assert Rules("HelmUpdate").recorded_by_itself(was, once.apps[key]), (
                "what is deferred changes nothing"
            )
    for key, app in once.apps.items():
        assert app in (previous.get(key), inventory.apps.get(key)), "an app is taken whole"
    assert list(once.apps) == sorted(once.apps)
