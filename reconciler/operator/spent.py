"""The CPU of one piece of work, while others run between its steps."""

from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Metered(Awaitable[T], Generic[T]):
    """What ``work`` comes to when it is awaited; ``seconds``: what its own steps have taken so far by
    ``clock``, which tells a thread's seconds of CPU. What others do meanwhile, in this thread or another, is
    not in it."""

    def __init__(self, work: Awaitable[T], clock: Callable[[], float]) -> None:
        self._work = work
        self._clock = clock
        self.seconds = 0.0

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._work.__await__()
        step: Callable[[], Any] = steps.__next__
        while True:
            began = self._clock()
            try:
                waits_for = step()
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # as the work's own
            finally:
                self.seconds += self._clock() - began
            try:
                yield waits_for
            except BaseException as error:  # a cancellation, say, which is the work's to see
                step = partial(steps.throw, error)
            else:
                step = steps.__next__
