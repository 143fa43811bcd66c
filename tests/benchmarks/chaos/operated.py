"""The program itself between a cluster, a store and a receiver, and whether all of them agree in the end."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, get_args

from msgspec import structs

from examples.receiver.receiver import serving
from reconciler.errors import StoreError
from reconciler.inventory.fold import fold
from reconciler.inventory.live import LiveSource
from reconciler.kube.client import Client
from reconciler.kube.configmaps import ConfigMaps
from reconciler.model import UNINSTALLED, App, AppKey, Snapshot, emitted, encode
from reconciler.state.configmap.store import ConfigMapStore
from reconciler.state.git.network.access import Access, Given
from reconciler.state.git.store import open_git_store
from reconciler.state.store import Recorded, Store
from tests.benchmarks.chaos.weather import BadReceiver
from tests.benchmarks.chaos.witness import Witness
from tests.cluster.agreement import assert_apps_agree_with_helm, assert_apps_agree_with_kubectl
from tests.cluster.chain import ACCOUNT, EMAIL, SYSTEM
from tests.cluster.faulty_way import FaultyWay
from tests.cluster.test_collect import DENY_SYSTEM
from tests.controlplane.cluster import CommandError
from tests.controlplane.plane import ControlPlane
from tests.git.factory import BRANCH
from tests.git.servers.certificates import Authority
from tests.git.servers.hosting import Hosted
from tests.git.servers.https import HttpsServer
from tests.web.world import TOKEN

StoreKind = Literal["configmap", "git"]
STORES: tuple[StoreKind, ...] = get_args(StoreKind)

PATIENCE = 600.0  # seconds until everything must have come to agree
HISTORY = 1_000  # revisions that are kept in ConfigMaps: all of them
MODULE = "tests.benchmarks.chaos.impatient"
ROOT = Path(__file__).parents[3]
EVERYTHING_COUNTS = {"match": {"fields": ["pod_info", "pod_info.status"]}, "action": "Push"}
"""By the built-in rules pods that come and go are recorded and told with what comes next, and nothing would
agree with kubectl."""

_SECRET = "chaos-git"
_TAIL = 30  # lines of a log
_UNWELL = ("which must not happen", "Traceback")


class Operated:
    """``async with Operated(...) as operated:``, from the project to the receiver; the program runs until the
    block ends. ``hosted``: the repository, where the store is git; ``done``: what was done to the program.
    """

    def __init__(self, plane: ControlPlane, way: FaultyWay, folder: Path, store: StoreKind) -> None:
        self.plane = plane
        self.done: Counter[str] = Counter()
        self.witness = Witness(lambda: way.unknown)
        self.receiver = BadReceiver(self.witness)
        self.hosted: Hosted | None = None
        way.acted = self.witness.wrote
        self._way = way
        self._folder = folder
        self._kind: StoreKind = store
        self._process: subprocess.Popen[bytes] | None = None
        self._renewing = threading.Lock()
        self._stack = ExitStack()

    async def __aenter__(self) -> Self:
        with ExitStack() as stack:
            self._url = stack.enter_context(serving(self.receiver, token=TOKEN))
            self._client = Client.connect(kubeconfig=self.plane.kubeconfig)
            stack.callback(self._client.close)
            self._fresh = LiveSource(self._client)
            state = stack.enter_context(self._git()) if self._kind == "git" else self._in_configmaps()
            self._apply(state)
            stack.callback(self._end)
            self.start()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._stack.close)

    def start(self) -> None:
        """Start the program; what it logs is appended to the log of those before."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    MODULE,
                    *self._words("run", self._kubeconfig()),
                    "--identity",
                    "chaos",
                ],
                stderr=log,
                env=self._environment(),
                cwd=ROOT,
            )

    async def kill(self) -> None:
        """Kill the program as it stands, and start another; it must not have ended by itself."""
        assert self._process is not None
        assert self._process.poll() is None, f"the operator ended by itself with {self._process.returncode}"
        await asyncio.to_thread(self._end)
        await asyncio.to_thread(self.start)
        self.done["operator killed"] += 1

    def rotate(self) -> None:
        """Refuse the token that the program has; another one is in its kubeconfig a moment later."""
        asyncio.get_running_loop().run_in_executor(None, self._rotate)

    def tail(self) -> str:
        """The end of what the program logged."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_TAIL:])

    def unwell(self) -> list[str]:
        """What it logged that must not happen: that the live view had missed something, or a traceback."""
        lines = self._log.read_text(errors="replace").splitlines()
        return [line for line in lines if any(word in line for word in _UNWELL)]

    async def agreed(self) -> Recorded:
        """The newest revision, once cluster, store and receiver agree; AssertionError when they do not."""
        last: Exception | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        return await self._agree()
                    except (AssertionError, StoreError) as error:
                        assert self._process is not None
                        if self._process.poll() is not None:
                            raise
                        last = error
                    await asyncio.sleep(1.0)
        except TimeoutError:
            raise AssertionError(f"they do not agree after {PATIENCE:g} s: {last}") from last

    async def _agree(self) -> Recorded:
        async with self._store() as store:
            clusters = await store.clusters()
            assert len(clusters) == 1, f"the store has {len(clusters)} clusters"
            (cluster,) = clusters
            tip = await store.track(cluster.cluster_uuid).tip()
        assert tip is not None, "nothing is recorded"
        look = await self._fresh.look(DENY_SYSTEM)
        listed = fold(look, cluster_uuid=cluster.cluster_uuid, policy=DENY_SYSTEM, adopted={}, previous={})
        assert not look.gaps, look.gaps
        apps = tip.snapshot.apps
        differing = [*different(apps, listed.apps)]
        assert not differing, f"store and fresh list differ: {'; '.join(differing)}"
        self._told_as(tip.snapshot)
        for check in (assert_apps_agree_with_helm, assert_apps_agree_with_kubectl):
            await asyncio.to_thread(partial(check, list(apps.values()), self.plane, DENY_SYSTEM))
        return tip

    def _told_as(self, snapshot: Snapshot) -> None:
        """The receiver has every app as it is recorded, and those that are gone as uninstalled."""
        told = {AppKey(*key[1:]): known.push for key, known in self.receiver.apps.items()}
        for key, app in snapshot.apps.items():
            wanted = json.loads(encode(emitted(app, EMAIL)))
            assert told.get(key) == wanted, f"the receiver has {told.get(key)} in place of {wanted}"
        for key in told.keys() - snapshot.apps.keys():
            status = told[key]["app_info"]["helm_info"]["status"]
            assert status == UNINSTALLED, f"the receiver has {key}, which is gone, as {status}"

    async def revisions(self) -> int:
        """How many there are; in none of them an app has gone that was there."""
        count, later = 0, None
        async with self._store() as store:
            (cluster,) = await store.clusters()
            track = store.track(cluster.cluster_uuid)
            async for revision in track.history():
                recorded = await track.at(revision.id)
                if later is not None:
                    self._judge(recorded.snapshot, later)
                count, later = count + 1, recorded
        return count

    def _judge(self, before: Snapshot, after: Recorded) -> None:
        at = Fraction(int(after.revision.recorded.timestamp()) + 1)  # git knows whole seconds
        for key in before.apps.keys() - after.snapshot.apps.keys():
            self.witness.judged["removals recorded"] += 1
            if not self.witness.was_gone(key, before.apps[key].helm.updated, at):
                self.witness.found("recorded as gone while it was there", f"{key} in {after.revision.id}")

    async def verified(self) -> None:
        """``verify`` says that the record is good."""
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "reconciler", *self._words("verify", self.plane.kubeconfig)],
            env=self._environment(),
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"verify: {done.stdout}{done.stderr}"

    def counts(self) -> Counter[str]:
        """How often what was done to the program and to what is behind it."""
        counts = self.done + self.receiver.done
        return counts if self.hosted is None else counts + self.hosted.done

    @property
    def _log(self) -> Path:
        return self._folder / "operator.log"

    def _words(self, command: str, kubeconfig: Path) -> tuple[str, ...]:
        return (command, "--kubeconfig", str(kubeconfig))

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "POD_NAMESPACE": SYSTEM,
            "HOSSTED_API_URL": self._url,
            "HOSSTED_AUTH_TOKEN": TOKEN,
            "HOSSTED_API_RATE": "0",
            "EMAIL_ID": EMAIL,
        }

    def _kubeconfig(self) -> Path:
        """By the faulty way, with a new token."""
        with self._renewing:
            return self._way.kubeconfig(self.plane.kubeconfig_for(SYSTEM, ACCOUNT))

    def _rotate(self) -> None:
        path = self.plane.folder / f"{SYSTEM}.{ACCOUNT}.kubeconfig"
        with self._renewing:
            token = json.loads(path.read_text())["users"][0]["user"]["token"]
        self._way.refused |= {token}
        try:
            self._kubeconfig()
        except CommandError:  # the API server is being killed: it is the old one after all
            self._way.refused -= {token}
        else:
            self.done["token rotated"] += 1

    def _end(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _apply(self, state: Mapping[str, object]) -> None:
        spec = {
            "settle": "1s",
            "interval": "30s",
            "denyNamespaces": list(DENY_SYSTEM.denyNamespaces),
            "push": {"on": "AnyChange"},
            "rules": [EVERYTHING_COUNTS],
            "state": state,
        }
        project = {"apiVersion": "hossted.com/v1", "kind": "Hosstedproject", "metadata": {"name": "hossted"}}
        self.plane.apply({**project, "spec": spec})

    def _in_configmaps(self) -> dict[str, object]:
        return {"configMap": {"history": HISTORY}}

    @contextmanager
    def _git(self) -> Iterator[dict[str, object]]:
        """A repository behind HTTPS on this machine, whose authority only the Secret names."""
        authority = Authority(self._folder, "The git server")
        served = self._folder / "served"
        served.mkdir()
        self._access = Access(source=Given("chaos", {"ca.crt": authority.pem.encode()}))
        metadata = {"name": _SECRET, "namespace": SYSTEM}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
        self.plane.apply({**secret, "stringData": {"ca.crt": authority.pem}})
        with HttpsServer(served, authority.server("127.0.0.1")) as server:
            self.hosted = server.repository()
            yield {"git": {"url": self.hosted.url, "secretRef": {"name": _SECRET}}}

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[Store]:
        """The store as somebody else reads it."""
        if self.hosted is None:
            yield ConfigMapStore(ConfigMaps(self._client), SYSTEM, history=HISTORY)
            return
        path = self._folder / "reader.git"
        store = open_git_store(path=path, url=self.hosted.url, branch=BRANCH, access=self._access)
        try:
            yield store
        finally:
            await store.close()


def different(recorded: Mapping[AppKey, App], listed: Mapping[AppKey, App]) -> Iterator[str]:
    """Where two sets of apps differ, for a failure's message."""
    for key in sorted(recorded.keys() | listed.keys()):
        ours, theirs = recorded.get(key), listed.get(key)
        if ours is None or theirs is None:
            yield f"{key} is only {'listed' if ours is None else 'recorded'}"
            continue
        for part in ("app_api_info", "app_info", "record"):
            one, other = (structs.asdict(getattr(app, part)) for app in (ours, theirs))
            for name in one:
                if one[name] != other[name]:
                    yield f"{key} {name}: {one[name]} recorded, {other[name]} listed"
