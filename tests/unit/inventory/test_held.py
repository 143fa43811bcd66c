"""What is held of a kind while it is reflected, and who is told when that is to be relied on."""

from collections.abc import Callable

import pytest

from reconciler.errors import KubernetesError, NotFoundError
from reconciler.inventory.held import Held
from reconciler.inventory.objects import Kind, Namespace
from reconciler.inventory.ownership import Ref


class Kept:
    """``told``: what came and went; ``turns``: how often it was said that trust has changed."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.turns = 0
        self.held = Held[Namespace](
            lambda one: Ref(Kind.NAMESPACES, "", one.name),
            lambda ref, _: self.told.append(f"put {ref.name}"),
            lambda ref, _: self.told.append(f"drop {ref.name}"),
            turned=self._turn,
        )

    def _turn(self) -> None:
        self.turns += 1


def test_what_cannot_be_found_is_not_gone() -> None:
    kept = Kept()
    kept.held.listed([Namespace("shop", "1")], ["1"])
    kept.held.failed(NotFoundError("LIST: 404", 404))
    assert (kept.told, list(kept.held.items)) == (["put shop"], [Ref(Kind.NAMESPACES, "", "shop")])
    assert isinstance(kept.held.error, NotFoundError)


def test_recovery_is_told_and_trouble_when_it_lasts() -> None:
    kept = Kept()
    kept.held.listed([], [])
    assert kept.turns == 0
    kept.held.failed(KubernetesError("broke"))
    assert kept.turns == 0
    kept.held.current()
    kept.held.current()
    assert kept.turns == 1
    for _ in range(3):
        kept.held.failed(KubernetesError("broke"))
    assert kept.turns == 2
    kept.held.current()
    assert kept.turns == 3


def test_versions_are_those_of_what_was_reflected_last() -> None:
    kept = Kept()
    kept.held.listed([Namespace("shop", "1"), Namespace("back", "2")], ["5", "6"])
    kept.held.put(Namespace("shop", "1"), "7")
    kept.held.gone(Namespace("back", "2"), "8")
    assert dict(kept.held.versions) == {Ref(Kind.NAMESPACES, "", "shop"): "7"}
    kept.held.replace([Namespace("shop", "1")])  # however it was found
    assert dict(kept.held.versions) == {}


def test_what_happens_is_noted_while_somebody_compares() -> None:
    kept, old, new = Kept(), Namespace("old", "1"), Namespace("new", "2")
    kept.held.listed([old], ["5"])
    kept.held.gone(new, "6")  # before
    since = kept.held.note()
    kept.held.put(old, "7")
    kept.held.put(new, "8")
    kept.held.gone(old, "9")
    kept.held.gone(Namespace("unheld", "3"), "10")
    names = {ref.name: version for ref, version in since.gone.items()}
    assert ({ref.name for ref in since.came}, names) == ({"new"}, {"old": "9", "unheld": "10"})
    since.over = True
    kept.held.gone(new, "11")
    assert len(since.gone) == 2


@pytest.mark.parametrize(
    "again", [lambda held: held.listed([], []), lambda held: held.replace([]), lambda held: held.begin()]
)
def test_what_is_listed_again_needs_no_comparison(again: Callable[[Held[Namespace]], None]) -> None:
    held = Kept().held
    since = held.note()
    assert not since.over
    again(held)
    assert since.over
