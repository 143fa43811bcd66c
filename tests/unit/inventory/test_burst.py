"""What happens is told of at once when it is rare, and together when it is not."""

import heapq
from collections.abc import Callable

import pytest

from reconciler.inventory.burst import Burst

SECONDS = 1.0


class World:
    """A clock that stands still until it is told to go on. ``told``: when it was told; ``touched``: whether
    there is news; ``looks``: whether somebody looks as soon as it is told."""

    def __init__(self, *, looks: bool = True) -> None:
        self.told: list[float] = []
        self.touched = False
        self._looks = looks
        self._at = 0.0
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._burst = Burst(self._tell, lambda: self.touched, SECONDS, lambda: self)

    def time(self) -> float:
        return self._at

    def call_later(self, delay: float, callback: Callable[[], None], /) -> None:
        heapq.heappush(self._later, (self._at + delay, callback))

    def until(self, at: float) -> None:
        while self._later and self._later[0][0] <= at:
            self._at, callback = heapq.heappop(self._later)
            callback()
        self._at = at

    def happens(self, *moments: float) -> None:
        for at in moments:
            self.until(at)
            self.touched = True
            self._burst.heard()

    def _tell(self) -> None:
        self.told.append(self._at)
        self.touched = not self._looks


@pytest.mark.parametrize(
    ("moments", "told"),
    [
        ([5.0], [5.0]),
        ([0.0, 0.0, 0.25, 0.5], [0.0, 1.0]),
        ([0.0, 1.0, 2.0], [0.0, 1.0, 2.0]),
        ([0.0, 0.75, 1.5], [0.0, 1.0, 2.0]),
        ([n / 8 for n in range(25)], [0.0, 1.0, 2.0, 3.0, 4.0]),
        ([0.0, 0.5, 60.0, 60.5], [0.0, 1.0, 60.0, 61.0]),
    ],
)
def test_what_happens_is_told(moments: list[float], told: list[float]) -> None:
    world = World()
    world.happens(*moments)
    world.until(1000.0)
    assert world.told == told


def test_what_was_looked_at_meanwhile_is_not_told_and_what_follows_is() -> None:
    world = World()
    world.happens(0.0, 0.25)
    world.touched = False  # looked at for another reason
    world.until(10.0)
    assert world.told == [0.0]
    world.happens(10.0)
    assert world.told == [0.0, 10.0]


def test_while_nobody_looks_it_is_told_again() -> None:
    world = World(looks=False)
    world.happens(0.0, 0.5, 1.5)
    world.until(10.0)
    assert world.told == [0.0, 1.0, 2.0]
