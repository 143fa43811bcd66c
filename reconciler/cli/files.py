"""What ``snapshot`` prints, and how it is read back: apps in the emitted or in the stored form.

JSON is the array of what is emitted. YAML is a stream of documents, each the text that the store has of
an app, below a comment that says whose they are.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reconciler.changes.wording import count
from reconciler.errors import UsageError
from reconciler.model import App, AppApiInfo, AppKey, EmittedApp, Record, Snapshot, emitted
from reconciler.state.documents import dump_app

_SEPARATOR = "---\n"


class Printed(NamedTuple):
    """``with_record``: whether the apps have the record block, which is never emitted."""

    apps: dict[AppKey, App]
    with_record: bool


def as_json(snapshot: Snapshot, email_id: str) -> list[EmittedApp]:
    """The emitted form, in key order."""
    return [emitted(app, email_id) for app in snapshot.apps.values()]


def as_yaml(snapshot: Snapshot) -> str:
    """The stored form, in key order."""
    head = f"# {count(len(snapshot.apps), 'app')} of cluster {snapshot.cluster_uuid}\n"
    return head + "".join(_SEPARATOR + dump_app(app).decode() for app in snapshot.apps.values())


def text_of(path: Path) -> str:
    """A file's text; UsageError, naming the file, when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"{path} cannot be read: {why}") from error


def read(path: Path) -> Printed:
    """What a file holds of either form; UsageError, naming the file, for anything else."""
    text = text_of(path)
    try:
        if text.lstrip().startswith("["):
            return Printed(_by_key(map(_stored, msgspec.json.decode(text, type=list[EmittedApp]))), False)
        if text.strip():
            documents = YAML(typ="safe").load_all(text)
            apps = [msgspec.convert(one, App, strict=True) for one in documents if one is not None]
            return Printed(_by_key(apps), True)
    except (msgspec.MsgspecError, YAMLError, ValueError, RecursionError) as error:
        why = str(error).partition("\n")[0]
        raise UsageError(f"{path} is not what snapshot prints, as JSON or YAML: {why}") from error
    raise UsageError(f"{path} is empty: an inventory without apps is [] in JSON")


def _by_key(apps: Iterable[App]) -> dict[AppKey, App]:
    return {app.key: app for app in apps}


def _stored(told: EmittedApp) -> App:
    who = told.app_api_info
    return App(
        app_api_info=AppApiInfo(who.cluster_uuid, who.app_uuid, who.app_name, who.hossted_helm),
        app_info=told.app_info,
        record=Record(chart_version=""),
    )
