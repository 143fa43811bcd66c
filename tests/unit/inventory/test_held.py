"""What is held of a kind while it is reflected, and who is told when that is to be relied on."""

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
            lambda one: self.told.append(f"put {one.name}"),
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
    kept.held.gone(Namespace("back", "2"))
    assert dict(kept.held.versions) == {Ref(Kind.NAMESPACES, "", "shop"): "7"}
    kept.held.replace([Namespace("shop", "1")])  # however it was found
    assert dict(kept.held.versions) == {}
