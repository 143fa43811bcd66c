"""What survives a kill: the disk, the remote repository, the API server, the receiver, and the people.

``Outside.live`` gives the program a life and plays the people's part meanwhile; ``found`` reads what there
is, by other means than the program's own.
"""

import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from copy import deepcopy
from enum import Enum
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import msgspec

from examples.receiver.receiver import Known
from reconciler.model import emitted, encode, snapshot_of
from reconciler.policy.entry import LedgerView
from reconciler.policy.identity import derived_cluster_uuid
from reconciler.state.configmap.store import ConfigMapStore
from reconciler.state.documents import load_app, load_cluster
from reconciler.state.git.layout import key_of
from reconciler.state.ledger.configmaps import ConfigMapLedger
from reconciler.state.ledger.file import FileLedger
from tests.builders import KUBE_SYSTEM_UID
from tests.chain.cluster import Release
from tests.chain.world import EMAIL
from tests.crash.api_server import StandInApi
from tests.crash.checks import Found, Told
from tests.crash.child import Life
from tests.crash.script import Played, Step, script
from tests.crash.zygote import Zygote
from tests.git.factory import commit_as_a_person, git
from tests.unit.kube.server import Server
from tests.web.world import TOKEN, RecordingReceiver, receiving

NAMESPACE = "hossted-system"
CLUSTER_UUID = derived_cluster_uuid(KUBE_SYSTEM_UID)
_DIRECTORY = f"clusters/{CLUSTER_UUID}"

APART = 1000.0
"""Seconds between two lives, by their clocks: more than one life takes between two words."""

KEPT = 1_000
"""Revisions that ConfigMaps keep: more than a run has, so that each can be looked for."""

_HOOK = """#!/bin/sh
# Ends the whole container while the repository's refs are moved, when the file says so.
read -r when process 2>/dev/null <crash || exit 0
if [ "$1" = "$when" ]; then kill -9 "$process"; rm crash; kill -9 0; fi
exit 0
"""


class Way(Enum):
    """Which store and which ledger: as the operator has them, and ``once`` without a cluster."""

    GIT = "git, the ledger in ConfigMaps"
    CONFIGMAPS = "ConfigMaps"
    FILE = "git, the ledger in a file"


class Lived(msgspec.Struct):
    """What a life said. ``killed``: by a signal; ``ended``: how, as ``waitstatus_to_exitcode`` has it.
    ``conditions``: the message of Recorded when each step but the first began, and at the end."""

    points: list[tuple[str, int]]
    recorded: list[tuple[str, str]]
    unregistered: list[str]
    events: int = 0
    ended: int = 0
    conditions: list[str] = []
    failed: str = ""
    gave_up: bool = False
    step: int = 0
    orphans: int = 0

    @property
    def killed(self) -> bool:
        return self.ended < 0


class Outside:
    """``step``: how many steps of the script have happened to the cluster."""

    def __init__(
        self, way: Way, folder: Path, script_name: str, receiver: RecordingReceiver, url: str
    ) -> None:
        self.way = way
        self.receiver = receiver
        self.script_name = script_name
        self.steps: tuple[Step, ...] = script(script_name)
        self.disk = folder / "disk"
        self.disk.mkdir()
        self.remote = self.disk / "remote.git"
        # Whatever is recorded is told, so that at rest the receiver has exactly what the record has.
        spec: dict[str, Any] = {"push": {"on": "AnyChange"}}
        if way is Way.CONFIGMAPS:
            spec["state"] = {"configMap": {"history": KEPT}}
        else:
            git(self.disk, "init", "--quiet", "--bare", "--initial-branch=main", str(self.remote))
            hook = self.remote / "hooks" / "reference-transaction"
            hook.parent.mkdir(exist_ok=True)
            for sample in hook.parent.iterdir():
                sample.unlink()
            hook.write_text(_HOOK)
            hook.chmod(0o755)
            spec["state"] = {"git": {"url": f"file://{self.remote}"}}
        self.api = StandInApi(spec)
        self.step = 0
        self.passed = 0.0
        self.error = 0.0
        self.neighbours = 0
        self.neighbours_commits: list[str] = []
        self._race = False
        self._folder = folder
        self._stack = ExitStack()
        self._url = url
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.disk),
            "XDG_CACHE_HOME": str(self.disk / "cache"),
            "HOSSTED_API_URL": url,
            "HOSSTED_AUTH_TOKEN": TOKEN,
            "EMAIL_ID": EMAIL,
            "POD_NAMESPACE": NAMESPACE,
        }
        self._server = Server(folder, self.api.answer)
        self._stack.callback(self._server.close)
        self._server.kubeconfig(token="t0ken")
        self._saved = 0
        self.zygote = Zygote()
        self._stack.callback(self.zygote.close)

    def close(self) -> None:
        self._stack.close()

    # A life

    def live(self, *, end: int = 0, **more: Any) -> Lived:
        """From the present step to before ``end`` (0: one step), or until it is killed."""
        end = end or self.step + 1
        self.passed += APART
        self._age()
        (self.remote / "crash").unlink(missing_ok=True)  # of a push that came too late to move anything
        self._write_project()
        life = Life(
            way="once" if self.way is Way.FILE else "run",
            script=self.script_name,
            step=self.step,
            end=end,
            folder=str(self.disk),
            environment=self._environment,
            kubeconfig=str(self._folder / "kubeconfig"),
            passed=self.passed,
            error=self.error,
            **more,
        )
        lived = Lived([], [], [], step=self.step)
        self.zygote.say(msgspec.json.encode(life))
        while not self._heard(self.zygote.listen(), lived):
            pass
        lived.conditions.append(self.condition("Recorded"))
        if not lived.killed:
            self.step = end
        return lived

    def _heard(self, word: Any, lived: Lived) -> bool:
        """Take note of a word, and answer it if it is a question; whether it was the last one."""
        match word:
            case {"point": str(name), "occurrence": int(occurrence)}:
                lived.points.append((name, occurrence))
            case {"recorded": str(revision), "digest": str(digest)}:
                lived.recorded.append((revision, digest))
            case {"unregistered": event, "at": at}:
                lived.unregistered.append(f"{event} at {at}")
            case {"step": _} | {"race": _}:
                self._answer(word, lived)
            case {"done": int(events), "passed": float(passed)}:
                lived.events, self.passed = events, passed
            case {"failed": str(why)}:
                lived.failed = why
            case {"gave_up": _}:
                lived.gave_up = True
            case {"ended": int(how), "orphans": int(orphans)}:
                lived.ended, lived.orphans = how, orphans
                return True
            case _:
                raise AssertionError(f"what does {word} mean?")
        return False

    def _answer(self, word: Any, lived: Lived) -> None:
        if "race" in word:
            self._overtake()
        else:
            if word["step"] > lived.step:
                lived.conditions.append(self.condition("Recorded"))
            self.passed, lived.step = word["passed"], word["step"]
            self._people(word["step"])
        self.zygote.say(b"go on")

    def condition(self, kind: str) -> str:
        """The message of one of the project's conditions, "" without it."""
        there = self.api.project.get("status", {}).get("conditions", [])
        return next((str(one["message"]) for one in there if one["type"] == kind), "")

    def _age(self) -> None:
        """What was left behind is old by now, also by the clock of the disk."""
        for name in leftovers(self.disk):
            with suppress(FileNotFoundError):
                os.utime(self.disk / name, (0, 0))

    def _people(self, number: int) -> None:
        """What happens around the cluster at a step; once, however often the step is begun."""
        if number < self.step or self._begun == number:
            return
        self._begun = self.step = number
        step = self.steps[number]
        if step.spec:
            self.api.edit(step.spec)
        self.receiver.heal()
        if step.fault:
            self.receiver.fail(step.fault)
        self._race = step.race

    _begun = -1

    def _overtake(self) -> None:
        if self._race:
            self._race = False
            self.commit_of_a_neighbour()

    def commit_of_a_neighbour(self) -> None:
        """Another cluster's directory on the same branch."""
        self.neighbours += 1
        path = f"clusters/K-5a4d1a0c-1111-4222-8333-0123456789ab/default/app-{self.neighbours}.yaml"
        commit = commit_as_a_person(self.remote, {path: f"number: {self.neighbours}\n"}, "Another cluster's")
        self.neighbours_commits.append(commit)

    def _write_project(self) -> None:
        project = {key: value for key, value in self.api.project.items() if key != "status"}
        (self.disk / "project.json").write_text(json.dumps(project))

    # Going back

    def save(self) -> Any:
        self._saved += 1
        copy = self._folder / f"saved-{self._saved}"
        copytree(self.disk, copy, symlinks=True)
        people = (self.step, self._begun, self.neighbours, self._race)
        told = (deepcopy(self.receiver.apps), list(self.receiver.requests), list(self.receiver.faults))
        return copy, people, told, self.api.save()

    def restore(self, saved: Any) -> None:
        """Back to ``save``, but for the clock, which only goes on."""
        copy, people, (apps, requests, faults), api = saved
        rmtree(self.disk)
        copytree(copy, self.disk, symlinks=True)
        self.step, self._begun, self.neighbours, self._race = people
        known: dict[tuple[str, str, str], Known] = deepcopy(apps)
        self.receiver.apps, self.receiver.requests = known, list(requests)
        self.receiver.heal()
        self.receiver.faults.extend(faults)
        self.api.restore(api)

    # What there is

    @property
    def releases(self) -> dict[str, Release]:
        """What the cluster has, by ``namespace/name``."""
        played = Played(self.steps)
        played.play_to(self.step)
        return {str(key): release for key, release in played.cluster.releases.items()}

    def told(self) -> Told:
        newest = {
            f"{namespace}/{name}": (known.newest, known.push)
            for (_, namespace, name), known in self.receiver.apps.items()
        }
        return Told(tuple(self.receiver.requests), newest)

    async def found(self) -> Found:
        view = await self._ledger()
        if self.way is Way.CONFIGMAPS:
            return await self._in_config_maps(view)
        return self._in_git(view)

    async def _ledger(self) -> LedgerView:
        if self.way is Way.FILE:
            return await FileLedger(self.disk / "remote.git.ledger.json").load()
        return await ConfigMapLedger(self.api.maps, NAMESPACE).load()

    async def _in_config_maps(self, view: LedgerView) -> Found:
        track = ConfigMapStore(self.api.maps, NAMESPACE, history=KEPT).track(CLUSTER_UUID)
        tip = await track.tip()
        revisions = [revision async for revision in track.history()]
        return Found(
            complaints=(),
            revisions=tuple(revision.id for revision in revisions),
            branch=tuple(revision.id for revision in revisions),
            subjects=tuple(revision.message.subject for revision in reversed(revisions)),
            apps={} if tip is None else {str(k): _emitted(app) for k, app in tip.snapshot.apps.items()},
            **_of_ledger(view),
        )

    def _in_git(self, view: LedgerView) -> Found:
        # A cache that git had no time to make is none yet; after the next life it must be.
        parts = ("HEAD", "objects", "refs")
        caches = [
            path
            for path in (self.disk / "cache").rglob("*.git")
            if all((path / part).exists() for part in parts)
        ]
        complaints = [said for path in (self.remote, *caches) for said in fsck(path)]
        branch: list[str] = []
        ours: list[list[str]] = []
        apps: dict[str, bytes] = {}
        if (self.remote / "refs/heads/main").exists() or (self.remote / "packed-refs").exists():
            branch = git(self.remote, "rev-list", "main").split()
            form = "--format=%H%x00%s%x00%(trailers:key=Snapshot,valueonly,separator=)"
            log = git(self.remote, "log", form, "main", "--", _DIRECTORY).splitlines()
            ours = [line.split("\0") for line in log]
        if ours:
            complaints += self._contents(ours[0][0], ours[0][2], apps)
        return Found(
            complaints=tuple(complaints),
            revisions=tuple(commit for commit, _, _ in ours),
            branch=tuple(branch),
            subjects=tuple(subject for _, subject, _ in reversed(ours)),
            apps=apps,
            leftovers=tuple(leftovers(self.disk)),
            **_of_ledger(view),
        )

    def _contents(self, commit: str, trailer: str, apps: dict[str, bytes]) -> Iterator[str]:
        listed = git(self.remote, "ls-tree", "-r", f"{commit}:{_DIRECTORY}").splitlines()
        blobs = {line.partition("\t")[2]: line.split()[2] for line in listed}
        texts = dict(zip(blobs, self._blobs(blobs.values()), strict=True))
        found = [load_app(text, path) for path, text in texts.items() if key_of(path) is not None]
        cluster = load_cluster(texts["cluster.yaml"], "cluster.yaml")
        apps.update({str(app.key): _emitted(app) for app in found})
        if trailer != snapshot_of(CLUSTER_UUID, cluster, found).digest:
            yield f"the Snapshot trailer of {commit} is not the digest of its tree"

    def _blobs(self, oids: Iterable[str]) -> Iterator[bytes]:
        """Their contents, by one git for all of them."""
        left = git(self.remote, "cat-file", "--batch", stdin="\n".join(oids)).encode()
        while left:
            head, _, left = left.partition(b"\n")
            size = int(head.split()[2])
            yield left[:size]
            left = left[size + 1 :]


def _emitted(app: Any) -> bytes:
    return encode(emitted(app, EMAIL))


def _of_ledger(view: LedgerView) -> dict[str, Any]:
    return {
        "doubted": {e.sending.key: e.sending.body.encode() for e in view.entries.values() if e.sending},
        "acked": {str(k): e.acked.key for k, e in view.entries.items() if e.acked and not e.sending},
    }


def fsck(repository: Path) -> list[str]:
    done = subprocess.run(
        ["git", "-C", str(repository), "fsck", "--full", "--strict", "--no-dangling", "--no-progress"],
        capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"},
    )  # fmt: skip
    # It notices that there is no branch yet, or in a cache that HEAD points to none; which is no complaint.
    said = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("notice: ")]
    if done.returncode and not said:
        said = [f"exit status {done.returncode}"]
    return [f"git fsck of {repository.name}: {line}" for line in said]


def leftovers(folder: Path) -> list[str]:
    """Locks, and files that were not finished, as git and we name them."""
    found = []
    for path in folder.rglob("*"):
        name = path.name
        if name.endswith(".ledger.json.lock"):
            continue  # there for good: what counts is who has locked it
        if name.endswith((".lock", ".new", ".tmp")) or name.startswith(("tmp_", ".tmp", "incoming-", "tmp")):
            found.append(str(path.relative_to(folder)))
    return sorted(found)


@contextmanager
def outside(way: Way, folder: Path, script_name: str) -> Iterator[Outside]:
    with receiving() as (receiver, url):
        world = Outside(way, folder, script_name, receiver, url)
        try:
            yield world
        finally:
            world.close()
