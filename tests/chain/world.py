"""The whole chain: real reconciles, a real store, a real ledger, and pushes to a receiver behind a socket.

Only the cluster is a stand-in (``cluster``), and time passes when the test says so. A ``Process`` is what
dies in a crash; a ``World`` is what survives it: the cluster, the project, the disk, the receiver.
"""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any, Protocol

import msgspec

from examples.receiver.receiver import AppId, Known
from reconciler.delivery.deliver import Delivered, Delivery
from reconciler.delivery.endpoint import endpoint_of
from reconciler.model import App, AppKey, emitted, encode
from reconciler.operator import report
from reconciler.operator.conditions import conditions
from reconciler.operator.delivered import EVERY
from reconciler.operator.gaps import Gaps
from reconciler.operator.leadership import Leadership
from reconciler.operator.reconcile import Reconciler
from reconciler.operator.result import Result, after
from reconciler.policy import keys
from reconciler.policy.identity import derived_cluster_uuid
from reconciler.project import Condition, ConfigMapState, Duration, GitState, Project, Spec
from reconciler.settings import ApiSettings
from reconciler.state.configmap.store import ConfigMapStore
from reconciler.state.git.store import open_git_store
from reconciler.state.ledger.configmaps import ConfigMapLedger
from reconciler.state.ledger.contract import Ledger
from reconciler.state.ledger.file import FileLedger
from reconciler.state.store import Recorded, Revision, Store
from tests.chain.clock import VirtualClock
from tests.chain.cluster import StandInCluster, StandInSource
from tests.chain.faults import (
    Crash,
    Faults,
    FaultyAccess,
    FaultyApi,
    FaultyLedger,
    FaultySource,
    FaultyStore,
    When,
)
from tests.git.actions import is_clean
from tests.git.factory import git
from tests.unit.state.configmap_standin import StandIn
from tests.web.world import TOKEN, RecordingReceiver

EMAIL = "somebody@example.com"
NAMESPACE = "hossted-system"


class Disk(Protocol):
    """Where store and ledger are, whatever process has them open."""

    faults: Faults

    @property
    def state(self) -> GitState | ConfigMapState: ...

    def store(self) -> Store: ...

    def ledger(self) -> Ledger: ...

    def lose_ledger(self) -> None: ...

    def lose_store(self) -> None: ...

    def save(self) -> Any: ...

    def restore(self, saved: Any) -> None: ...

    def check(self) -> None:
        """What is there is whole."""
        ...


class GitDisk:
    """A repository that is the remote of a clone, and a file."""

    def __init__(self, folder: Path) -> None:
        self.faults = Faults()
        self.folder = folder / "disk"
        self.folder.mkdir()
        self.remote, self.file = self.folder / "remote.git", self.folder / "ledger.json"
        self.lose_store()
        self.state = GitState(url=f"file://{self.remote}")
        self._saved = 0

    def store(self) -> Store:
        return open_git_store(path=self.folder / "clone.git", url=self.state.url, branch=self.state.branch)

    def ledger(self) -> Ledger:
        return FileLedger(self.file)

    def lose_ledger(self) -> None:
        self.file.unlink(missing_ok=True)

    def lose_store(self) -> None:
        shutil.rmtree(self.remote, ignore_errors=True)
        git(self.folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.remote))

    def save(self) -> Path:
        self._saved += 1
        copy = self.folder.with_name(f"saved-{self._saved}")
        shutil.copytree(self.folder, copy)
        return copy

    def restore(self, saved: Path) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(saved, self.folder)

    def check(self) -> None:
        assert is_clean(self.remote)


class ConfigMapDisk:
    """ConfigMaps of a stand-in for an API server."""

    state = ConfigMapState()

    def __init__(self) -> None:
        self.faults = Faults()
        self.items = StandIn()
        self._restored = 0
        self.access = FaultyAccess(self.items, self.faults)

    def store(self) -> Store:
        return ConfigMapStore(self.access, NAMESPACE, self.state.name, self.state.history)

    def ledger(self) -> Ledger:
        return ConfigMapLedger(self.access, NAMESPACE)

    def _lose(self, prefix: str) -> None:
        left = {place: item for place, item in self.items.items.items() if not place[1].startswith(prefix)}
        self.items.items = left

    def lose_ledger(self) -> None:
        self._lose("hossted-ledger")

    def lose_store(self) -> None:
        self._lose("hossted-state")

    def save(self) -> Any:
        return dict(self.items.items)

    def restore(self, saved: Any) -> None:
        self.items.items = dict(saved)

    def restore_ledger(self, saved: Any, part: str = "hossted-ledger") -> None:
        """The ledger, or a part of it, as a backup has it: other objects, with UIDs of their own."""
        self._lose(part)
        self._restore(part, saved)

    def restore_store(self, saved: Any) -> None:
        """The store likewise."""
        self.lose_store()
        self._restore("hossted-state", saved)

    def _restore(self, prefix: str, saved: Any) -> None:
        self._restored += 1  # each time they have other UIDs, as on a server
        for item in saved.values():
            if item.name.startswith(prefix):
                self.items.put(msgspec.structs.replace(item, uid=f"restored-{self._restored}-{item.uid}"))

    def check(self) -> None:
        """The store verifies its digests whenever it is read."""


class Process:
    """One leadership, with nothing in memory yet."""

    def __init__(self, world: "World", gaps: Gaps) -> None:
        self.world = world
        clock = world.clock
        ledger = FaultyLedger(world.disk.ledger(), world.faults)
        draw = keys.source(clock.now, world.random.randbytes)
        self.leadership = Leadership(
            ledger,
            clock,
            instance=f"instance-{world.starts}",
            endpoint=endpoint_of(world.url) if world.url else "",
            email_id=EMAIL,
            draw=draw,
            gaps=gaps,
        )
        source = FaultySource(StandInSource(world.cluster, clock), world.faults)
        self.reconciler = Reconciler(source, self._open, self.leadership, clock)
        self.api: FaultyApi | None = None
        self.delivery: Delivery | None = None
        if world.url:
            settings = ApiSettings(url=world.url, token=world.token, token_file=world.token_file)
            self.api = FaultyApi(settings, world.faults)
            self.delivery = Delivery(
                self.api,
                ledger,
                email_id=EMAIL,
                draw=draw,
                now=clock.now,
                timeout=lambda: world.push_timeout,
                random=world.random,
            )

    def _open(self, _: Spec) -> Store:
        return FaultyStore(self.world.disk.store(), self.world.faults)

    async def close(self) -> None:
        await self.reconciler.close()
        if self.api is not None:
            await self.api.close()


class World:
    """``token``: what the next process sends, unless it is in ``token_file``; ``url``: of the API, "" for
    none, for the next process. ``live``: looks are in passing, wherever a whole round is not due."""

    def __init__(self, disk: Disk, receiver: RecordingReceiver, url: str) -> None:
        self.clock = VirtualClock()
        self.cluster = StandInCluster(self.clock)
        self.disk = disk
        self.receiver = receiver
        self.url = url
        self.token = TOKEN
        self.token_file: Path | None = None
        self.push_timeout = 10.0
        self.live = False
        self.faults = disk.faults
        self.random = Random(3)
        self.starts = 0
        self.spec(settle=Duration(), first=True)
        self.process: Process | None = None
        self.results: list[Result] = []

    # What people do

    def spec(self, *, first: bool = False, **changes: object) -> None:
        """Edit the project; ``first``: it is made anew, with another UID and without a status."""
        if first:
            self.project = Project(
                name="hossted", uid=f"uid-{self.clock.monotonic()}", spec=Spec(state=self.disk.state)
            )
        self.project = msgspec.structs.replace(
            self.project,
            generation=self.project.generation + 1,
            spec=msgspec.structs.replace(self.project.spec, **changes),
        )

    def annotate(self, **annotations: str) -> None:
        """Annotate the project: ``take_over="…"`` sets ``hossted.com/take-over``."""
        named = {f"hossted.com/{name.replace('_', '-')}": value for name, value in annotations.items()}
        self.project = msgspec.structs.replace(self.project, annotations=named)

    # What happens to the process

    async def start(self, gaps: Gaps | None = None) -> Process:
        """A new process, the old one ended."""
        await self.stop()
        self.starts += 1
        self.clock.advance(1)
        self.process = Process(self, gaps or Gaps())
        return self.process

    async def stop(self) -> None:
        if self.process is not None:
            await self.process.close()
            self.process = None
        self.faults.dead = False

    async def look(self) -> Result:
        """One reconcile, and the status that it gives."""
        process = self.process or await self.start()
        self.clock.advance(0.5)
        in_passing = self.live and bool(self.results) and self.result.failure is None  # as the loop does
        self._keep(await process.reconciler.reconcile(self.project, in_passing=in_passing))
        return self.result

    async def deliver(self) -> Delivered | None:
        """One delivery, and the status that it gives."""
        process = self.process or await self.start()
        if process.delivery is None:
            return None
        delivered = await process.reconciler.deliver(process.delivery)
        if process.reconciler.has_plan:
            self._keep(msgspec.structs.replace(self.result, delivery=after(delivered)))
        return delivered

    async def show(self) -> None:
        """Show what was delivered, where the store has a place for it, all of it."""
        process = self.process or await self.start()
        while await process.reconciler.show_delivered():
            self.clock.advance(EVERY)

    async def step(self) -> Result:
        """One reconcile and one delivery."""
        await self.look()
        await self.deliver()
        return self.result

    async def converge(self) -> Result:
        """Look and deliver until nothing waits, as much time passing as each asks for."""
        for _ in range(40):
            result = await self.look()
            delivered = await self.deliver()
            assert result.failure is None, result.failure
            if result.next_look is not None:
                self.clock.advance(max(result.next_look, 0.05))
            elif delivered is not None and delivered.next_try is not None:
                self.clock.advance_to(delivered.next_try)
            else:
                await self.show()
                return self.result
        raise AssertionError(f"it does not end: {self.result}")

    async def until_killed(self, at: int, when: When) -> bool:
        """Start anew and converge, dying at an effect; whether it came to that."""
        await self.start()
        self.faults.names.clear()
        self.faults.crash_at = (at, when)
        try:
            await self.converge()
        except Crash:
            return True
        except BaseExceptionGroup as group:
            only, rest = group.split(Crash)
            if rest is not None or only is None:
                raise
            return True
        finally:
            self.faults.crash_at = None
            await self.stop()
        return False

    # What it came to

    @property
    def result(self) -> Result:
        return self.results[-1]

    @property
    def conditions(self) -> Mapping[str, Condition]:
        return {one.type: one for one in conditions(self.result)}

    def said(self, kind: str) -> str:
        """A condition as ``True UpToDate``; "" when it is not there."""
        one = self.conditions.get(kind)
        return "" if one is None else f"{one.status} {one.reason}"

    async def revisions(self) -> list[Revision]:
        """Of this cluster's record, oldest first."""
        store = self.disk.store()
        found = [each async for each in store.track(self.cluster_uuid).history()]
        await store.close()
        return found[::-1]

    async def subjects(self) -> list[str]:
        return [revision.message.subject for revision in await self.revisions()]

    async def tip(self) -> Recorded:
        store = self.disk.store()
        tip = await store.track(self.cluster_uuid).tip()
        await store.close()
        assert tip is not None
        return tip

    @property
    def cluster_uuid(self) -> str:
        known = (result.cluster_uuid for result in reversed(self.results) if result.cluster_uuid)
        return next(known, derived_cluster_uuid(self.cluster.uid))

    @property
    def requests(self) -> list[tuple[str, dict[str, Any]]]:
        """What reached the receiver: keys and bodies."""
        return [(key, json.loads(body)) for key, body in self.receiver.requests]

    @property
    def told(self) -> list[str]:
        """What reached the receiver, in words: ``shop/web 2 deployed``."""
        return [_words(body) for _, body in self.requests]

    def knows(self) -> dict[str, str]:
        """What the receiver has, in words, by app: ``{"shop/web": "2 deployed"}``."""
        words = (_words(known.push).partition(" ") for known in self.receiver.apps.values())
        return {name: rest for name, _, rest in sorted(words)}

    async def check(self) -> None:
        """The end that everything comes to: the receiver has what is recorded, which is what there is."""
        self.disk.check()
        tip = await self.tip()
        pushes = {AppKey(where, name): known.push for (_, where, name), known in self.receiver.apps.items()}
        for key, app in tip.snapshot.apps.items():
            assert pushes.pop(key) == _emitted(app)
        assert [str(key) for key, push in pushes.items() if _status(push) != "uninstalled"] == []
        assert set(tip.snapshot.apps) == set(self.cluster.releases)
        for key, release in self.cluster.releases.items():
            assert tip.snapshot.apps[key].helm.revision == release.revision
        self.check_keys()
        await self._check_shown()

    async def _check_shown(self) -> None:
        """What was delivered is shown as the ledger has it, where the store has a place for it."""
        store, view = self.disk.store(), await self.disk.ledger().load()
        branch = store.delivered(self.cluster_uuid, view.facts.endpoint)
        if branch is not None:
            acked = {key: entry.acked.key for key, entry in view.entries.items() if entry.acked is not None}
            assert await branch.keys() == acked
        await store.close()

    def check_keys(self) -> None:
        """No key with two contents."""
        contents: dict[str, bytes] = {}
        for key, body in self.receiver.requests:
            assert contents.setdefault(key, body) == body

    def repeated(self) -> set[str]:
        """The keys that came more than once."""
        return {key for key, times in Counter(key for key, _ in self.receiver.requests).items() if times > 1}

    # Going back

    def save(self) -> Any:
        """Everything but the process, to go back to."""
        receiver = (deepcopy(self.receiver.apps), list(self.receiver.requests))
        kept = (self.project, dict(self.cluster.releases), dict(self.cluster.secrets), list(self.results))
        return self.disk.save(), receiver, kept

    def restore(self, saved: Any) -> None:
        """Back to ``save``, but for the clock, which only goes on."""
        disk, receiver, kept = saved
        assert self.process is None
        self.disk.restore(disk)
        apps: dict[AppId, Known] = deepcopy(receiver[0])
        self.receiver.apps, self.receiver.requests = apps, list(receiver[1])
        self.project, self.results = kept[0], list(kept[3])
        self.cluster.releases, self.cluster.secrets = dict(kept[1]), dict(kept[2])

    def _keep(self, result: Result) -> None:
        self.results.append(result)
        status = report.status_of(self.project, result, EMAIL)
        self.project = msgspec.structs.replace(self.project, status=status)


def _words(push: Mapping[str, Any]) -> str:
    helm = push["app_info"]["helm_info"]
    return f"{helm['namespace']}/{helm['name']} {helm['revision']} {helm['status']}"


def _status(push: Mapping[str, Any]) -> str:
    status: str = push["app_info"]["helm_info"]["status"]
    return status


def _emitted(app: App) -> Any:
    return json.loads(encode(emitted(app, EMAIL)))
