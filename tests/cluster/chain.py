"""The whole chain in this process, on a real cluster: everything of a leadership but the Lease and the loop.

It runs as the operator's ServiceAccount with the rights of `config/rbac`, has a real store and a real
ledger, and delivers to a receiver behind a socket. Only the clock is the test's: the real one, moved ahead
by as much as the test wants to have waited.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from reconciler.cli import wiring
from reconciler.delivery.deliver import Delivery
from reconciler.delivery.late import LateApi
from reconciler.inventory.live import LiveSource
from reconciler.kube.client import Client
from reconciler.kube.configmaps import ConfigMaps
from reconciler.kube.events import Events
from reconciler.kube.projects import Projects
from reconciler.model import App, AppKey
from reconciler.operator.gaps import Gaps
from reconciler.operator.reconcile import Reconciler
from reconciler.operator.reporter import Reporter
from reconciler.operator.result import Result, after
from reconciler.project import Project, Status, oldest, parse_project
from reconciler.settings import ApiSettings, Settings
from reconciler.state.configmap.store import ConfigMapStore
from reconciler.state.ledger.configmaps import ConfigMapLedger
from tests.cluster.agreement import assert_inventory_agrees_with_helm
from tests.controlplane.audit import AuditEvent
from tests.controlplane.plane import ControlPlane
from tests.web.world import TOKEN, RecordingReceiver

DEFAULT = str(Path(__file__).parents[2] / "config/default")
SYSTEM, ACCOUNT = "hossted-system", "hossted-reconciler"
USER = f"system:serviceaccount:{SYSTEM}:{ACCOUNT}"
EMAIL = "somebody@example.com"

SETTLE, INTERVAL = 60.0, 1800.0
"""Seconds of the chain's clock: far more than a slow machine takes from one look to the next."""

StoreKind = Literal["git", "configmap"]


class NewChain(Protocol):
    async def __call__(self, *, store: StoreKind = "git", api: bool = True, **spec: object) -> Chain: ...


class MovedClock:
    """The real clocks, moved ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0
        """Seconds: what happens in the cluster now is, to the chain, that old already."""

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += seconds


class Commit(NamedTuple):
    """`files`: the paths below the cluster's directory that it touched, in git only."""

    id: str
    subject: str
    body: str
    trailers: tuple[tuple[str, str], ...]
    files: tuple[str, ...] = ()


class Pushed(NamedTuple):
    """A request that reached the receiver."""

    app: str
    revision: int
    status: str


class Chain:
    """One operator's chain over any number of leaderships: `restart` begins the next one.

    `spec`: of the Hosstedproject, beside the store; `api`: False for one without HOSSTED_API_URL.
    """

    def __init__(
        self,
        plane: ControlPlane,
        folder: Path,
        receiver: RecordingReceiver,
        url: str,
        *,
        store: StoreKind = "git",
        api: bool = True,
        **spec: object,
    ) -> None:
        self.plane = plane
        self.receiver = receiver
        self.clock = MovedClock()
        self.agreement = True
        """Whether the last look is to agree with `helm list`: not where Helm, or we, could not see."""
        self._store = store
        self.repository = folder / "record.git"
        folder.mkdir()
        api_settings = ApiSettings(url=url, token=TOKEN, email_id=EMAIL) if api else None
        self._settings = Settings(api_settings, namespace=SYSTEM, cache=folder / "cache", email_id=EMAIL)
        self._spec: dict[str, object] = {"settle": f"{SETTLE:.0f}s", "interval": f"{INTERVAL:.0f}s", **spec}
        if store == "git":
            subprocess.run(
                ["git", "init", "--quiet", "--bare", "--initial-branch=main", self.repository], check=True
            )
            self._spec["state"] = {"git": {"url": f"file://{self.repository}"}}
        self._kubeconfig = plane.kubeconfig_for(SYSTEM, ACCOUNT)
        self._client: Client | None = None
        self._told_commits: set[str] = set()
        self._told_requests = 0
        self._result: Result | None = None

    async def start(self) -> None:
        """Apply the project, and record the cluster as it is."""
        self.edit()
        await self._lead()
        await self.settle()
        await self.commits()
        self.pushes()

    async def restart(self) -> None:
        """A new process: nothing is left of the old one but what is durable."""
        await self.close()
        await self._lead()

    async def close(self) -> None:
        if self._client is None:
            return
        self._reporting.cancel()
        with suppress(asyncio.CancelledError):
            await self._reporting
        await self._reconciler.close()
        if self._delivery is not None:
            await self._delivery[0].close()
        await self._ledger.close()
        self._client.close()
        self._client = None

    async def _lead(self) -> None:
        self._client = client = Client.connect(kubeconfig=self._kubeconfig)
        self._ledger = ConfigMapLedger(ConfigMaps(client), SYSTEM)
        leadership = wiring.leadership_of(self._settings, self._ledger, self.clock, Gaps())
        self._reconciler = Reconciler(
            LiveSource(client, self.clock.now),
            wiring.opener(self._settings, client),
            leadership,
            self.clock,
        )
        self._delivery: tuple[LateApi, Delivery] | None = wiring.delivery_of(
            self._settings, self._ledger, self.clock
        )
        self._projects = Projects(client)
        self._reporter = Reporter(self._projects, Events(client, "chain"), self.clock, EMAIL)
        self._reporting = asyncio.create_task(self._reporter.run())

    async def look(self) -> Result:
        """One reconcile, one delivery, and the reports of both."""
        project = await self.project()
        result = await self._reconciler.reconcile(project)
        await self._reporter.reconciled(project, result)
        if self._delivery is not None:
            delivered = await self._delivery[1].deliver(self._reconciler.plan)
            result = msgspec.structs.replace(result, delivery=after(delivered))
            await self._reporter.delivered(project, result, delivered)
        self._result = result
        return result

    async def settle(self) -> Result:
        """Look, let `settle` pass, and look again: what is quiet is then recorded and told."""
        await self.look()
        self.clock.advance(SETTLE)
        return await self.look()

    async def wait(self, seconds: float) -> Result:
        """Let time pass, with looks when they are asked for, and one at its end."""
        end = self.clock.monotonic() + seconds
        while True:
            result = await self.look()
            left = end - self.clock.monotonic()
            if left <= 0:
                return result
            self.clock.advance(min(left, max(result.next_look or left, 1.0)))

    async def project(self) -> Project:
        return oldest([parse_project(raw) for raw in await self._projects.list_projects()])

    async def status(self) -> Status:
        """The status as it is on the server, once the newest report is written."""
        await self._reporter.flush()
        return (await self.project()).status

    async def status_after(self, known: Status) -> Status:
        """The status once the reporter has written another one than is known, of its own accord."""
        async with asyncio.timeout(30):
            while True:
                status = (await self.project()).status
                if status != known:
                    return status

    def edit(self, **spec: object) -> None:
        """Change fields of the project's spec, as a person would; None takes one away."""
        self._spec = {key: value for key, value in {**self._spec, **spec}.items() if value is not None}
        self.plane.apply(
            {
                "apiVersion": "hossted.com/v1",
                "kind": "Hosstedproject",
                "metadata": {"name": "hossted"},
                "spec": self._spec,
            }
        )

    async def commits(self) -> list[Commit]:
        """The commits since the last call, oldest first."""
        found = _git_commits(self.repository) if self._store == "git" else await self._changesets()
        new = [commit for commit in found if commit.id not in self._told_commits]
        self._told_commits.update(commit.id for commit in new)
        return new

    async def subjects(self) -> list[str]:
        """The subjects of the commits since the last call."""
        return [commit.subject for commit in await self.commits()]

    def pushes(self) -> list[Pushed]:
        """The requests since the last call, in the order of their apps."""
        new = self.receiver.requests[self._told_requests :]
        self._told_requests += len(new)
        return sorted(_pushed(body) for _, body in new)

    def emitted(self, app: str) -> dict[str, Any]:
        """The `app_info` of an app (`namespace/name`), as the receiver has it."""
        (known,) = [one for key, one in self.receiver.apps.items() if "/".join(key[1:]) == app]
        info: dict[str, Any] = known.push["app_info"]
        return info

    def recorded(self, app: str) -> App:
        """An app as the newest revision has it."""
        assert self._result is not None
        assert self._result.recorded is not None
        return self._result.recorded.snapshot.apps[AppKey.parse(app)]

    def stored(self) -> dict[str, str]:
        """All that is durable, by a version of each part: git's refs, the ConfigMaps of the operator."""
        maps = self.plane.get("configmaps", "-n", SYSTEM)
        found = {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in maps}
        if self._store == "git":
            found["git"] = git(self.repository, "for-each-ref")
        return found

    def asked(self, mark: int) -> list[AuditEvent]:
        """What the operator asked of the API server since a mark."""
        return self.plane.api_requests(mark, user=USER)

    async def assert_agrees_with_helm(self) -> None:
        """What was seen last is what `helm list` shows, both drivers."""
        if not self.agreement:
            return
        assert self._result is not None
        assert self._result.inventory is not None, self._result.failure
        policy = (await self.project()).spec.in_effect()
        assert_inventory_agrees_with_helm(self._result.inventory, self.plane, policy)

    async def _changesets(self) -> list[Commit]:
        """The history in ConfigMaps, as somebody else reads it."""
        client = Client.connect(kubeconfig=self._kubeconfig)
        store = ConfigMapStore(ConfigMaps(client), SYSTEM)
        try:
            (cluster,) = await store.clusters()
            revisions = [one async for one in store.track(cluster.cluster_uuid).history()]
        finally:
            client.close()
        return [
            Commit(one.id, one.message.subject, one.message.body, one.message.trailers)
            for one in reversed(revisions)
        ]


def git(repository: Path, *args: str) -> str:
    """What git prints: the test's own eyes, not the store's."""
    done = subprocess.run(
        ["git", "-C", repository, *args], check=True, capture_output=True, text=True, encoding="utf-8"
    )
    return done.stdout


def _git_commits(repository: Path) -> list[Commit]:
    form = "%x01%H%x00%s%x00%b%x00%(trailers:only,unfold)%x00"
    log = git(repository, "log", "--reverse", f"--format={form}", "--name-only", "--all")
    return [_git_commit(text) for text in log.split("\x01")[1:]]


def _git_commit(text: str) -> Commit:
    oid, subject, body, trailers, files = text.split("\x00")
    pairs = [line.partition(": ") for line in trailers.splitlines() if line]
    return Commit(
        id=oid,
        subject=subject,
        body=body.removesuffix(trailers).strip(),
        trailers=tuple((name, value) for name, _, value in pairs),
        files=tuple(path.partition("/")[2].partition("/")[2] for path in files.split()),
    )


def _pushed(body: bytes) -> Pushed:
    helm = json.loads(body)["app_info"]["helm_info"]
    return Pushed(f"{helm['namespace']}/{helm['name']}", helm["revision"], helm["status"])


@contextmanager
def in_background(work: Callable[[], object]) -> Iterator[Future[object]]:
    """Do something in a thread beside the block; it must have ended well soon after the block."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        yield future
        future.result(timeout=30)
