"""``demo``: all of it, in one minute, on recorded clusters."""

import argparse
import secrets
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import msgspec

from reconciler.demo import check, show
from reconciler.demo.parts import RecordedCluster, VirtualClock, receiving
from reconciler.demo.play import Outcome, Player
from reconciler.demo.process import Process
from reconciler.demo.screen import Screen
from reconciler.demo.story import EXAMPLES, Step, read_project, read_story, recorded_at
from reconciler.errors import UsageError
from reconciler.settings import ApiSettings
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.store import open_git_store
from reconciler.state.store import Revision

if TYPE_CHECKING:
    from examples.receiver.receiver import Receiver

EMAIL_ID = "ops@example.com"


async def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 when everything went as the story expects, else 1."""
    screen = Screen(arguments.svg)
    with _folder(arguments.keep) as folder:
        problems = await play(screen, folder, EXAMPLES)
        show.farewell(screen, arguments.keep, _program())
    screen.save("hossted-reconciler demo")
    return int(bool(problems))


async def play(screen: Screen, folder: Path, examples: Path) -> list[str]:
    """Play the story of ``examples``; what did not go as it expects, a sentence each.

    In ``folder``, an empty one, stand then the repository ``record.git``, its ledger beside it, what the
    receiver accepted (``pushes.jsonl``) and what was sent (``requests.jsonl``).
    """
    story, token = read_story(examples / "demo"), secrets.token_hex(16)
    recordings = examples / "demo" / "recordings"
    record = folder / "record.git"
    record.mkdir()
    Repository(record, durable=False).run("init", "--quiet", "--bare", "--initial-branch=main", str(record))
    receiver, serving = receiving(examples, folder / "pushes.jsonl", token)
    cluster = RecordedCluster()
    clock = VirtualClock(recorded_at(recordings / story.steps[0].looks[0].recording))
    random = Random(2026)  # noqa: S311 - so that the demo ends in the same commits each time
    with serving() as url, tempfile.TemporaryDirectory() as clone:

        def start() -> Process:
            return Process(
                cluster,
                clock,
                random,
                api=ApiSettings(url=url, token=token, email_id=EMAIL_ID),
                ledger=folder / "record.git.ledger.json",
                clone=Path(clone) / "clone.git",
            )

        project = read_project(examples / "demo", record.absolute().as_uri())
        player = Player(project, recordings, cluster=cluster, clock=clock, receiver=receiver, start=start)
        try:
            return await _play(screen, folder, story.steps, player, receiver)
        finally:
            await player.process.end()


async def _play(
    screen: Screen, folder: Path, steps: Sequence[Step], player: Player, receiver: "Receiver"
) -> list[str]:
    outcomes: list[Outcome] = []
    problems: list[str] = []
    for number, step in enumerate(steps, 1):
        show.begin(screen, number, step)
        outcomes.append(await player.play(step))
        show.outcome(screen, step, outcomes[-1])
        wrong = check.of_step(step.expect, outcomes[-1])
        show.wrong(screen, wrong)
        problems += [f"step {number}: {what}" for what in wrong]
    _write_requests(folder / "requests.jsonl", outcomes)
    ledger = await player.process.ledger.load()
    if not ledger.facts.cluster_uuid:  # not even the first look came to anything
        return problems
    history = await _show_record(screen, folder, ledger.facts.cluster_uuid)
    received = {app: known.push for app, known in receiver.apps.items()}
    show.received(screen, (push for _, push in sorted(received.items(), key=lambda item: item[0])))
    wrong = check.of_all(outcomes, history, ledger, received, EMAIL_ID)
    show.wrong(screen, wrong)
    problems += wrong
    if not problems:
        show.totals(screen, outcomes, receiver.counts["repeated"])
    return problems


async def _show_record(screen: Screen, folder: Path, cluster_uuid: str) -> list[Revision]:
    """The history, and what it comes to; its revisions, newest first."""
    store = open_git_store(path=folder / "record.git", url=None, branch="main")
    try:
        track = store.track(cluster_uuid)
        history = [revision async for revision in track.history()]
        show.history(screen, history)
        if history:
            first, last = await track.at(history[-1].id), await track.at(history[0].id)
            show.difference(screen, first, last)
        return history
    finally:
        await store.close()


def _write_requests(path: Path, outcomes: Iterable[Outcome]) -> None:
    lines = [msgspec.json.encode(request) for outcome in outcomes for request in outcome.requests]
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def _program() -> str:
    """What a person types to run this program here; ``make demo`` installs no command."""
    called = Path(sys.argv[0])
    if called.name != "__main__.py":
        return called.name
    python = Path(sys.executable)
    here = Path.cwd()
    return f"{python.relative_to(here) if python.is_relative_to(here) else python.name} -m reconciler"


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where the demo writes: a folder that goes away, or the one that is to be kept."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="hossted-demo-") as folder:
            yield Path(folder)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        empty = not any(keep.iterdir())
    except OSError as error:
        raise UsageError(f"--keep {keep}: {error.strerror}") from error
    if not empty:
        raise UsageError(f"--keep {keep}: the folder is not empty; name another")
    yield keep.absolute()
