"""What the demo brings of its own to the real parts: a clock, a source that moves on, a wire that listens.

Everything else is what the operator runs.
"""

import asyncio
import importlib.util
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from reconciler.delivery.answers import Answer
from reconciler.delivery.api import Api
from reconciler.errors import UsageError
from reconciler.inventory.objects import Look
from reconciler.inventory.recording import RecordedSource
from reconciler.model import AppKey, EmittedApp, PolicyInEffect
from reconciler.settings import ApiSettings

if TYPE_CHECKING:
    from examples.receiver.receiver import Receiver


class VirtualClock:
    """Time as the story has it; it passes when the player says so."""

    def __init__(self, start: datetime) -> None:
        self._start = self._now = start

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._start).total_seconds()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)

    def reach(self, moment: datetime) -> None:
        """Go on to a moment, unless it is over."""
        self._now = max(self._now, moment)


class RecordedCluster:
    """A source of looks whose recording is changed as the story goes on."""

    def __init__(self) -> None:
        self.recording = Path()

    async def look(self, policy: PolicyInEffect) -> Look:
        return await RecordedSource(self.recording).look(policy)

    def rest(self) -> None:
        """A recording does nothing by itself."""


class Request(msgspec.Struct, frozen=True):
    """One request, and what its answer meant."""

    at: datetime
    app: AppKey
    key: str
    body: str
    answer: Answer


class Wire(Api):
    """The client of the API, with a record of every request.

    With ``break_off`` set nobody gets the next answer: ``answered`` tells that it came.
    """

    def __init__(self, settings: ApiSettings, now: Callable[[], datetime]) -> None:
        super().__init__(settings)
        self.requests: list[Request] = []
        self.break_off = False
        self.answered = asyncio.Event()
        self._now = now

    async def push(self, body: bytes, key: str, timeout: float) -> Answer:  # noqa: ASYNC109 - as in Api
        answer = await super().push(body, key, timeout)
        helm = msgspec.json.decode(body, type=EmittedApp).app_info.helm_info
        self.requests.append(
            Request(self._now(), AppKey(helm.namespace, helm.name), key, body.decode(), answer)
        )
        if self.break_off:
            self.answered.set()
            await asyncio.Event().wait()  # until the process is ended
        return answer


def receiving(
    examples: Path, state: Path, token: str
) -> tuple["Receiver", Callable[[], AbstractContextManager[str]]]:
    """The example's receiver, which keeps what it accepts in ``state``; and what serves it, giving its URL.

    It is a program of the checkout and no part of this package, so it is read as a file. UsageError when
    there is none.
    """
    path = examples / "receiver" / "receiver.py"
    if not path.is_file():
        raise UsageError(f"there is no {path}: the demo needs a checkout of the project")
    spec = importlib.util.spec_from_file_location("hossted_example_receiver", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python program")
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    receiver = cast("Receiver", module.Receiver(state))
    return receiver, lambda: cast("AbstractContextManager[str]", module.serving(receiver, token=token))
