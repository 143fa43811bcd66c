"""A folding that is kept up to date says at any time what a fresh look would."""

from collections.abc import Mapping
from unittest.mock import MagicMock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.inventory.fold import Folding, fold
from reconciler.inventory.inventory import Inventory
from reconciler.inventory.judge import judge
from reconciler.inventory.objects import (
    Claim,
    Gap,
    Ingress,
    Look,
    Namespace,
    Pod,
    Service,
    StoredRelease,
    UuidSecret,
    Workload,
)
from reconciler.inventory.ownership import Ref
from reconciler.model import App, AppKey, PolicyInEffect
from tests.builders import CLUSTER_UUID, make_app
from tests.unit.inventory.looks import NOW, a_cluster, look, meta, pod, release
from tests.unit.inventory.universe import GAPS, ITEMS, REVISIONS, SECRETS, Object, ref_of

WEB, WEB_DB = AppKey("shop", "web"), AppKey("shop", "web-db")
NAMESPACES = (Namespace("ops", "1"), Namespace("shop", "2", terminating=True))


class Question(msgspec.Struct, frozen=True):
    """What an inventory is asked with."""

    gaps: tuple[Gap, ...] = ()
    policy: PolicyInEffect = PolicyInEffect()
    adopted: Mapping[AppKey, str] = {}
    recorded: bool = False
    """Whether what was found before is the last known state from now on."""


QUESTIONS = st.builds(
    Question,
    gaps=st.just(()) | GAPS,
    policy=st.sampled_from([PolicyInEffect(), PolicyInEffect(), PolicyInEffect(denyNamespaces=("ops",))]),
    adopted=st.sampled_from([{}, {WEB: "A-1"}]),
    recorded=st.booleans(),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "drop"]), ITEMS | REVISIONS | REVISIONS | SECRETS) | QUESTIONS,
    max_size=40,
)


def put(folding: Folding, item: Object) -> None:
    if isinstance(item, StoredRelease):
        folding.put_release(item)
    elif isinstance(item, UuidSecret):
        folding.put_secret(item)
    elif isinstance(item, Workload):
        folding.index.put_workload(item)
    else:
        folding.index.put(item)


def drop(folding: Folding, item: Object) -> None:
    if isinstance(item, StoredRelease):
        folding.drop_release(ref_of(item))
    elif isinstance(item, UuidSecret):
        folding.drop_secret(item.namespace)
    elif isinstance(item, Workload):
        folding.index.drop_workload(ref_of(item))
    else:
        folding.index.drop(ref_of(item))


def seen_at_once(there: Mapping[Ref, Object], gaps: tuple[Gap, ...]) -> Look:
    objects = there.values()
    return Look(
        taken_at=NOW,
        kube_system_uid="kube-system-uid",
        namespaces=NAMESPACES,
        releases=tuple(each for each in objects if isinstance(each, StoredRelease)),
        uuid_secrets=tuple(each for each in objects if isinstance(each, UuidSecret)),
        pods=tuple(each for each in objects if isinstance(each, Pod)),
        services=tuple(each for each in objects if isinstance(each, Service)),
        claims=tuple(each for each in objects if isinstance(each, Claim)),
        ingresses=tuple(each for each in objects if isinstance(each, Ingress)),
        workloads=tuple(each for each in objects if isinstance(each, Workload)),
        gaps=gaps,
    )


def asked(folding: Folding, question: Question, previous: Mapping[AppKey, App]) -> Inventory:
    return folding.inventory(
        cluster_uuid=CLUSTER_UUID,
        policy=question.policy,
        adopted=question.adopted,
        previous=previous,
        gaps=question.gaps,
    )


@settings(max_examples=250)
@given(STEPS)
def test_any_history_folds_as_a_fresh_look_at_its_end(steps: list[tuple[str, Object] | Question]) -> None:
    folding, there, previous = Folding(), dict[Ref, Object](), dict[AppKey, App]()
    folding.know_namespaces(NAMESPACES)
    for step in [*steps, Question()]:
        if isinstance(step, Question):
            fresh = fold(
                seen_at_once(there, step.gaps),
                cluster_uuid=CLUSTER_UUID,
                policy=step.policy,
                adopted=step.adopted,
                previous=previous,
            )
            found = asked(folding, step, previous)
            assert found == fresh
            if step.recorded:
                previous = dict(found.apps)
            continue
        action, item = step
        if action == "put":
            put(folding, item)
            there[ref_of(item)] = item
        else:
            drop(folding, item)
            there.pop(ref_of(item), None)


def test_only_what_something_was_done_to_is_judged_again() -> None:
    folding = Folding.of(look(*a_cluster()))
    first = asked(folding, Question(), {})
    again = asked(folding, Question(), {})
    assert again == first
    assert all(again.apps[key] is app for key, app in first.apps.items())
    folding.index.put(pod(meta("web-new", release="web")))
    third = asked(folding, Question(), {})
    assert {key for key, app in third.apps.items() if app is not first.apps[key]} == {WEB}


@pytest.mark.parametrize("were_known", [False, True])
def test_what_was_recorded_as_it_was_found_is_not_judged_again(
    were_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``were_known``: there was another record of each before."""
    folding = Folding.of(look(*a_cluster()))
    before = {key: make_app(key.namespace, key.name, 99) for key in (WEB, WEB_DB)} if were_known else {}
    first = asked(folding, Question(), before)
    recorded = {key: msgspec.structs.replace(app) for key, app in first.apps.items()}  # as it is read
    judged = MagicMock(side_effect=judge)
    monkeypatch.setattr("reconciler.inventory.fold.judge", judged)
    second = asked(folding, Question(), recorded)
    assert second.apps == first.apps
    assert all(app is recorded[key] for key, app in second.apps.items())
    judged.assert_not_called()
    folding.index.put(pod(meta("web-new", release="web")))
    asked(folding, Question(), recorded)
    assert [called.args[0].key for called in judged.call_args_list] == [WEB]


def test_a_uuid_secret_touches_the_apps_of_its_namespace() -> None:
    folding = Folding.of(look(*a_cluster()))
    first = asked(folding, Question(), {})
    folding.drop_secret("shop")
    second = asked(folding, Question(), {})
    assert {key for key, app in second.apps.items() if app.app_uuid != first.apps[key].app_uuid} == {
        WEB,
        WEB_DB,
    }


def test_a_uuid_secret_that_comes_or_changes_is_seen() -> None:
    folding = Folding.of(look(release(), UuidSecret("shop", "one")))
    assert asked(folding, Question(), {}).apps[WEB].app_uuid == "A-one"
    folding.put_secret(UuidSecret("shop", "two"))
    assert asked(folding, Question(), {}).apps[WEB].app_uuid == "A-two"


def test_what_cannot_be_read_follows_the_record() -> None:
    folding = Folding.of(look(release(problem="is not gzip")))
    assert asked(folding, Question(), {}).apps == {}
    for revision in (1, 2):
        recorded = {WEB: make_app("shop", "web", revision)}
        assert asked(folding, Question(), recorded).apps == recorded
