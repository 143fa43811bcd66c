"""The story of the demo: what ``examples/demo/story.yaml`` says, as values."""

from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reconciler.errors import UsageError
from reconciler.inventory.recording import read_recording
from reconciler.project import GitState, Project, parse_project

EXAMPLES = Path(__file__).parents[2] / "examples"
"""The examples of a checkout, the demo's recordings among them; an installed package has none."""

_T = TypeVar("_T")


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One state of the cluster. ``did``: the commands that led to it; ``words``: what else did."""

    recording: str
    did: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a step must come to. ``pushed``: the apps acknowledged, in order; ``requests``: all that were
    sent, None for as many as that."""

    commits: int
    pushed: tuple[str, ...] = ()
    requests: int | None = None


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step. ``api``: a fault of the receiver, "" for none; ``killed``: the process ends after its first
    request; ``deny``: namespaces that the project denies from here on."""

    title: str
    shows: str
    looks: tuple[Seen, ...]
    expect: Expected
    api: str = ""
    killed: bool = False
    deny: tuple[str, ...] = ()


class Story(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    steps: tuple[Step, ...]


def read_story(folder: Path) -> Story:
    """The story in ``folder``; UsageError when there is none."""
    return _converted(folder / "story.yaml", Story)


def read_project(folder: Path, url: str) -> Project:
    """The demo's project, its state in the repository at ``url``."""
    project = parse_project(_loaded(folder / "project.yaml"))
    spec = msgspec.structs.replace(project.spec, state=GitState(url=url))
    return msgspec.structs.replace(project, spec=spec)


def recorded_at(recording: Path) -> datetime:
    """When a cluster looked as a recording has it; UsageError when it cannot be read."""
    return read_recording(recording).taken_at


def _converted(path: Path, form: type[_T]) -> _T:
    try:
        return msgspec.convert(_loaded(path), form)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path} is no story: {error}") from error


def _loaded(path: Path) -> Any:
    try:
        return YAML(typ="safe").load(path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): the demo needs a checkout of the project"
        ) from error
    except YAMLError as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from error
