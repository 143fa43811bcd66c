"""The index says the same in whatever order objects came, changed and went, and what that touched."""

from collections.abc import Iterable, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.inventory.index import Index
from reconciler.inventory.objects import (
    Claim,
    Owner,
    Part,
    Workload,
)
from reconciler.inventory.ownership import Ref, workload_ref
from reconciler.model import AppKey
from tests.unit.inventory.looks import a_cluster, deployment, meta, owned_by, pod, workload
from tests.unit.inventory.universe import ITEMS, ref_of

WEB, WEB_DB = AppKey("shop", "web"), AppKey("shop", "web-db")

STEPS = st.lists(st.tuples(st.sampled_from(["put", "put", "drop"]), ITEMS), max_size=30)


def put(index: Index, item: Part | Workload) -> None:
    if isinstance(item, Workload):
        index.put_workload(item)
    else:
        index.put(item)


def drop(index: Index, item: Part | Workload) -> None:
    if isinstance(item, Workload):
        index.drop_workload(ref_of(item))
    else:
        index.drop(ref_of(item))


def of(items: Iterable[Part | Workload]) -> Index:
    index = Index()
    for item in items:
        put(index, item)
    return index


def said(index: Index) -> Mapping[AppKey | None, Mapping[Ref, tuple[Part, object]]]:
    """All that it says, and why."""
    keys: list[AppKey | None] = [None, *index.claimed()]
    return {
        key: {ref: (part, index.belonging(ref)) for ref, part in index.parts(key).items()}
        for key in keys
        if index.parts(key)
    }


@settings(max_examples=300)
@given(STEPS)
def test_any_history_ends_as_if_all_had_come_at_once(steps: list[tuple[str, Part | Workload]]) -> None:
    index, there = Index(), dict[Ref, Part | Workload]()
    for step, item in steps:
        if step == "put":
            put(index, item)
            there[ref_of(item)] = item
        else:
            drop(index, item)
            there.pop(ref_of(item), None)
    owners_last = sorted(there.values(), key=lambda item: isinstance(item, Workload))
    for items in (owners_last, owners_last[::-1]):
        assert said(index) == said(of(items))


@settings(max_examples=300)
@given(STEPS)
def test_what_was_not_touched_has_not_changed(steps: list[tuple[str, Part | Workload]]) -> None:
    index = Index()
    for step, item in steps:
        before = {key: dict(index.parts(key)) for key in index.claimed()}
        index.changed.clear()
        (put if step == "put" else drop)(index, item)
        after = {key: dict(index.parts(key)) for key in index.claimed()}
        differing = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert differing <= index.changed


@settings(max_examples=300)
@given(STEPS)
def test_nothing_is_left_of_what_went(steps: list[tuple[str, Part | Workload]]) -> None:
    index, there = Index(), dict[Ref, Part | Workload]()
    for _, item in steps:
        put(index, item)
        there[ref_of(item)] = item
    for item in there.values():
        drop(index, item)
    assert said(index) == {}
    assert not any(index.sizes().values())


def test_a_pod_touches_its_own_release_alone() -> None:
    index = of(item for item in a_cluster() if isinstance(item, Part | Workload))
    index.changed.clear()
    index.put(pod(meta("web-db-0", owner=Owner("StatefulSet", "web-db", "uid-shop-web-db")), "db:2"))
    assert index.changed == {WEB_DB}


def test_what_comes_again_as_it_was_touches_nothing() -> None:
    items = [item for item in a_cluster() if isinstance(item, Part | Workload)]
    index = of(items)
    index.changed.clear()
    for item in items:
        put(index, item)
    assert not index.changed


def test_a_controller_that_comes_late_brings_what_it_owns() -> None:
    top, middle = deployment("web", release="web")
    index = of([pod(meta("web-1", owner=owned_by(middle))), middle])
    assert not index.parts(WEB)
    index.put_workload(top)
    assert list(index.parts(WEB)) == [ref_of(pod(meta("web-1")))]
    assert index.changed == {None, WEB}
    index.drop_workload(workload_ref(middle))
    assert not index.parts(WEB)


def test_a_statefulset_has_the_claims_that_its_templates_made_before_it_was_seen() -> None:
    claim = Claim(meta("data-db-0"))
    index = of([claim])
    index.put_workload(workload("StatefulSet", meta("db", release="web"), "data"))
    assert list(index.parts(WEB)) == [ref_of(claim)]
    index.put_workload(workload("StatefulSet", meta("db", release="web"), "logs"))
    assert not index.parts(WEB)
