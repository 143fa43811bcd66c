"""What a command speaks of: a record, the cluster in it, its ledger, and the live cluster.

With ``--repo`` the record is that repository, and no cluster is asked. Otherwise it is where the project
that is served in the cluster says. Nothing is opened before it is needed, and nothing is ever written.
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from reconciler import settings as settings_module
from reconciler.cli import wiring
from reconciler.cli.output import note
from reconciler.cli.times import Times
from reconciler.errors import ForbiddenError, LedgerError, UsageError
from reconciler.kube.client import Client
from reconciler.policy.entry import LedgerFacts, LedgerView
from reconciler.project import GitState, Project, Spec
from reconciler.state.store import ClusterDirectory, Store, Track

_NOBODY = Project(name="")


class Target:
    """Made by ``target_of``. ``recording``: the directory that stands for the live cluster, if any."""

    def __init__(self, arguments: argparse.Namespace, stack: AsyncExitStack) -> None:
        self.settings = settings_module.load()
        self.times = Times(arguments.tz)
        self.recording: Path | None = getattr(arguments, "recording", None)
        self._arguments = arguments
        self._stack = stack
        self._client: Client | None = None
        self._project: Project | None = None
        self._store: Store | None = None
        self._cluster_uuid = ""
        self._ledger: LedgerView | None = None

    @property
    def client(self) -> Client:
        """The cluster's API."""
        if self._client is None:
            self._client = Client.connect(self._arguments.context, kubeconfig=self._arguments.kubeconfig)
            self._stack.callback(self._client.close)
        return self._client

    async def project(self) -> Project:
        """The project of ``--project``, else the one that is served; an empty one where there is none."""
        if self._project is None:
            self._project = await self._find_project()
        return self._project

    async def spec(self) -> Spec | None:
        """The spec whose state is meant; None for a recording of which no record is named."""
        if self._arguments.repo is not None:
            return Spec(state=_git_state(self._arguments.repo, self._arguments.branch))
        spec = (await self.project()).spec
        return None if self.recording is not None and not isinstance(spec.state, GitState) else spec

    async def store(self) -> Store:
        """The record. UsageError when there is none to speak of."""
        if self._store is None:
            spec = await self.spec()
            if spec is None:
                raise UsageError("a recording has no record: name one with --repo")
            opener = wiring.opener(self.settings, self._cluster, self._arguments.credentials)
            self._store = opener(_for_reading(spec))
            self._stack.push_async_callback(self._store.close)
        return self._store

    async def ledger(self) -> LedgerView:
        """What the ledger says; empty where there is none. Raises LedgerError, FormatError."""
        if self._ledger is None:
            spec = await self.spec()
            if self._cluster is None and spec is not None and _is_elsewhere(spec):
                self._ledger = LedgerView(LedgerFacts(), {})
            else:
                ledger = wiring.ledger_of(self.settings, spec or _NOBODY.spec, self._cluster)
                self._ledger = await ledger.load()
                await ledger.close()
        return self._ledger

    async def cluster_uuid(self) -> str:
        """The cluster whose record is meant. UsageError when that is not clear."""
        if not self._cluster_uuid:
            self._cluster_uuid = await self._find_cluster()
        return self._cluster_uuid

    async def track(self) -> Track:
        """The track of that cluster."""
        return (await self.store()).track(await self.cluster_uuid())

    @property
    def _cluster(self) -> Client | None:
        """The cluster in which the record is kept, or beside which; None where none is asked."""
        return None if self._arguments.repo is not None or self.recording is not None else self.client

    async def _find_cluster(self) -> str:
        wanted = self._arguments.cluster
        if wanted is None and self._cluster is not None and (known := await self._served_cluster()):
            return known
        store = await self.store()
        found = await store.clusters()
        matching = [one for one in found if wanted is None or one.cluster_uuid.startswith(wanted)]
        if len(matching) == 1:
            return matching[0].cluster_uuid
        if not found:
            raise UsageError(f"{store.location} has no record of any cluster yet")
        said = "several clusters" if wanted is None else f"{len(matching)} clusters that begin with {wanted}"
        raise UsageError(f"{store.location} has {said}: say which with --cluster: {_named(found)}")

    async def _served_cluster(self) -> str:
        """The cluster's UUID as the ledger has it, else the status."""
        try:
            known = (await self.ledger()).facts.cluster_uuid
        except LedgerError as error:
            if not isinstance(error.__cause__, ForbiddenError):
                raise
            known = ""
        return known or (await self.project()).status.clusterUUID

    async def _find_project(self) -> Project:
        path: Path | None = getattr(self._arguments, "project", None)
        if path is not None:
            return wiring.project_from(path)
        if self.recording is not None:
            return _NOBODY
        try:
            found = await wiring.find_project(self.client)
        except ForbiddenError as error:
            note(f"the project cannot be read, so the defaults are taken ({error})")
            return _NOBODY
        if found is None:
            note("the cluster has no Hosstedproject, so the defaults are taken")
        return found or _NOBODY


@asynccontextmanager
async def target_of(arguments: argparse.Namespace) -> AsyncIterator[Target]:
    """The target that a command's arguments name; everything is closed at the end."""
    async with AsyncExitStack() as stack:
        yield Target(arguments, stack)


def _for_reading(spec: Spec) -> Spec:
    """Without the key that signs: who only reads need not be allowed to see it."""
    if not isinstance(spec.state, GitState):
        return spec
    return msgspec.structs.replace(spec, state=msgspec.structs.replace(spec.state, signing=None))


def _is_elsewhere(spec: Spec) -> bool:
    """Whether the record is on another machine: there is no ledger beside it."""
    return isinstance(spec.state, GitState) and spec.state.scheme != "file"


def _git_state(repo: str, branch: str) -> GitState:
    """UsageError for a repository that cannot be one."""
    url = repo
    if "://" not in repo and not repo.startswith("git@"):
        path = Path(repo).expanduser().absolute()
        if not path.exists():
            raise UsageError(f"--repo {repo}: there is no such directory")
        url = path.as_uri()
    try:
        return GitState(url=url, branch=branch)
    except ValueError as error:
        raise UsageError(f"--repo: {error}") from error


def _named(found: tuple[ClusterDirectory, ...]) -> str:
    return ", ".join(one.cluster_uuid for one in found)
