"""A leadership at work: the real loop on a world, and what an API server does for it.

Listing projects, telling of changes, patching a status and Events are scripted here; everything else is as
in the other tests. Nothing sleeps: time passes when the test says so.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Literal

import msgspec

from reconciler.errors import KubernetesError, NotFoundError
from reconciler.operator.loop import Loop
from reconciler.operator.reporter import Reporter
from reconciler.project import REQUESTED_AT
from tests.chain.world import EMAIL, World


class ApiServer:
    """Projects as the API server has them: a write makes another resourceVersion, only edits are told.

    ``patches``: those of a status, with the project's name; ``events``: reason, type and message.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.patches: list[tuple[str, dict[str, Any]]] = []
        self.events: list[tuple[str, str, str]] = []
        self.error: KubernetesError | None = None
        self._made = 0
        self.connect()

    def connect(self) -> None:
        """There is a new process that watches; what the last one has not noticed is not told again."""
        self._changes: asyncio.Queue[None] = asyncio.Queue()

    def _touch(self, name: str) -> None:
        self._made += 1
        self.objects[name]["metadata"]["resourceVersion"] = str(self._made)

    async def apply(self, name: str, spec: Mapping[str, object], **annotations: str) -> None:
        """Make or edit a project, and have it noticed. ``requestedAt`` is Flux's annotation, the others ours:
        ``confirm_removals``."""
        self.edit(name, spec, **annotations)
        await self.noticed()

    def edit(self, name: str, spec: Mapping[str, object], **annotations: str) -> None:
        """The same while nobody watches."""
        there = self.objects.get(name)
        if there is None:
            created = f"2026-11-21T11:00:{self._made % 60:02}Z"
            metadata = {
                "name": name,
                "uid": f"uid-{self._made}",
                "creationTimestamp": created,
                "generation": 0,
            }
            there = self.objects[name] = {"metadata": metadata}
        there["spec"] = {"settle": "0s", **spec}
        there["metadata"]["generation"] += 1
        there["metadata"]["annotations"] = {_annotation(name): value for name, value in annotations.items()}
        self._touch(name)

    async def delete(self, name: str) -> None:
        del self.objects[name]
        await self.noticed()

    async def noticed(self) -> None:
        await self._changes.put(None)
        await self._changes.join()

    def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self.objects[name].get("status", {})
        return status

    def said(self, name: str, kind: str) -> str:
        """A condition as ``True UpToDate``, "" when it is not there."""
        found = [one for one in self.status(name).get("conditions", ()) if one["type"] == kind]
        return f"{found[0]['status']} {found[0]['reason']}" if found else ""

    def message(self, name: str, kind: str) -> str:
        (found,) = [one for one in self.status(name)["conditions"] if one["type"] == kind]
        message: str = found["message"]
        return message

    # ProjectAccess, StatusAccess, EventAccess

    async def list_projects(self) -> list[bytes]:
        if self.error is not None:
            raise self.error
        return [json.dumps(each).encode() for each in self.objects.values()]

    async def changes(self) -> AsyncIterator[None]:
        while True:
            await self._changes.get()
            yield
            self._changes.task_done()

    async def patch_status(self, name: str, patch: Mapping[str, object]) -> None:
        if self.error is not None:
            raise self.error
        if name not in self.objects:
            raise NotFoundError(f"{name} is gone", 404)
        wire = json.loads(msgspec.json.encode(patch))
        self.patches.append((name, wire["status"]))
        _merge(self.objects[name], wire)
        self._touch(name)

    async def emit(
        self, name: str, uid: str, type_: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        self.events.append((reason, type_, message))


def _annotation(name: str) -> str:
    return REQUESTED_AT if name == "requestedAt" else f"hossted.com/{name.replace('_', '-')}"


def _merge(target: dict[str, Any], patch: Mapping[str, Any]) -> None:
    """RFC 7386."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


class Operator:
    """A leadership at work on a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.server = ApiServer()
        self.clock = world.clock
        self.random = Random(3)
        self.moved: asyncio.Event | None = None
        self.spent = 0.0  # seconds of CPU for each look

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """One leadership, until the end of the block."""
        self.server.connect()
        process = await self.world.start()
        clock = self.clock
        reporter = Reporter(self.server, self.server, clock, EMAIL, wait=clock.wait)
        self.waiters = (2 if process.delivery is None else 4) + (self.moved is not None)
        loop = Loop(
            self.server,
            process.reconciler,
            process.delivery,
            reporter,
            clock,
            wait=clock.wait,
            random=self.random,
            moved=self.moved,
            spent=lambda: self.spent * self.looks(),
        )
        self.work = asyncio.create_task(loop.run())
        try:
            await self.idle()
            yield
        finally:
            self.work.cancel()
            await asyncio.gather(self.work, return_exceptions=True)
            await self.world.stop()

    async def idle(self) -> None:
        """Until it waits for something to happen, or for time to pass. Raises what it ended of."""
        idle = asyncio.create_task(self.clock.idle(self.waiters))
        try:
            await asyncio.wait([idle, self.work], return_when=asyncio.FIRST_COMPLETED)
            if self.work.done():
                self.work.result()
        finally:
            idle.cancel()

    async def passes(self, seconds: float) -> None:
        """Time passes, and everything that was to happen in it happens when it should."""
        until = self.clock.monotonic() + seconds
        while self.clock.monotonic() + self.clock.next <= until:
            self.clock.advance(max(self.clock.next, 0.001))
            await self.idle()
        self.clock.advance(max(0.0, until - self.clock.monotonic()))
        await self.idle()

    async def notice(self) -> None:
        """What was edited is noticed, and what comes of it is done."""
        await self.server.noticed()
        await self.idle()

    async def apply(self, name: str = "hossted", **spec: object) -> None:
        await self.server.apply(name, spec)
        await self.idle()

    def looks(self) -> int:
        return self.world.faults.names.count("look")
