"""The stored documents as YAML: one app, or ``cluster.yaml``; one value has exactly one text.

Block style, keys in field order, UTF-8, lines never folded, so that a diff of two documents is a diff of
what they say. A string that any reader of YAML 1.1 or 1.2 could take for something else is quoted, and
one with line breaks is double-quoted on one line.
"""

import contextlib
import io
import re
from typing import TypeVar

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from reconciler.errors import FormatError
from reconciler.model import FORMAT, App, AppApiInfo, AppInfo, AppKey, Cluster, Value
from reconciler.state.plain_yaml import UnusualError, load_plain


class Told(Value, frozen=True):
    """An app as the API acknowledged it: under which key, and with which HTTP status (0: not known)."""

    idempotency_key: str
    api_status: int
    app_api_info: AppApiInfo
    app_info: AppInfo


class Ended(Value, frozen=True):
    """An app that the API acknowledged as uninstalled, and under which key."""

    namespace: str
    name: str
    idempotency_key: str

    @property
    def key(self) -> AppKey:
        return AppKey(self.namespace, self.name)


class _Uninstalled(Value, frozen=True):
    uninstalled: tuple[Ended, ...]


_Document = TypeVar("_Document", App, Cluster, Told, _Uninstalled)

_WIDTH = 2**31 - 1  # libyaml's greatest: no line is ever folded

# YAML 1.1 (which many tools still read) takes these for booleans, nulls and base-60 numbers; the 1.2 rules
# that the dumper follows would leave them bare.
_YAML_1_1 = re.compile(
    r"(?:y|n|yes|no|on|off)|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?", re.IGNORECASE
)

_BREAK = re.compile(r"[\n\x85\u2028\u2029]")  # YAML 1.1 breaks lines at all of these


class _Representer(SafeRepresenter):
    """Strings with a style of our choice; every sequence and mapping in full (no anchors)."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent_text(self, data: str) -> ScalarNode:
        style = None
        if _BREAK.search(data):
            style = '"'
        elif _YAML_1_1.fullmatch(data):
            style = "'"
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Representer.add_representer(str, _Representer.represent_text)


def dump_app(app: App) -> bytes:
    """The text of ``<namespace>/<release>.yaml``."""
    return _dump(app)


def dump_cluster(cluster: Cluster) -> bytes:
    """The text of ``cluster.yaml``."""
    return _dump(cluster)


def dump_told(told: Told) -> bytes:
    """The text of an app's file on the delivered branch."""
    return _dump(told)


def dump_ended(ended: tuple[Ended, ...]) -> bytes:
    """The text of ``uninstalled.yaml`` on the delivered branch."""
    return _dump(_Uninstalled(ended))


def load_app(data: bytes, where: str) -> App:
    """The inverse of ``dump_app``; ``where`` names the file in the FormatError for what is not an app."""
    return _convert(_load(data, where), App, where)


def load_cluster(data: bytes, where: str) -> Cluster:
    """The inverse of ``dump_cluster``; FormatError for a newer format and for what is no such document."""
    loaded = _load(data, where)
    if found := _newer_format(loaded):
        raise FormatError(
            f"{where} has format {found}, and this program knows formats up to {FORMAT}: upgrade the program"
        )
    return _convert(loaded, Cluster, where)


def load_told(data: bytes, where: str) -> Told:
    """The inverse of ``dump_told``; FormatError for what is no such document."""
    return _convert(_load(data, where), Told, where)


def load_ended(data: bytes, where: str) -> tuple[Ended, ...]:
    """The inverse of ``dump_ended``; FormatError for what is no such document."""
    return _convert(_load(data, where), _Uninstalled, where).uninstalled


def load_kube_system_uid(data: bytes, where: str) -> str:
    """Only the ``kube_system_uid`` ("" if there is none), of whatever format; FormatError if unreadable."""
    loaded = _load(data, where)
    uid = loaded.get("kube_system_uid", "") if isinstance(loaded, dict) else None
    if not isinstance(uid, str):
        raise FormatError(f"{where} does not say whose it is: restore it from the history")
    return uid


def is_newer(data: bytes, where: str) -> bool:
    """Whether it is a ``cluster.yaml`` of a newer format; False for what cannot be read at all."""
    with contextlib.suppress(FormatError):
        return _newer_format(_load(data, where)) > 0
    return False


def _newer_format(loaded: object) -> int:
    """The format of a ``cluster.yaml`` if it is newer than this program's, else 0."""
    found = loaded.get("format") if isinstance(loaded, dict) else None
    return found if isinstance(found, int) and found > FORMAT else 0


def _yaml() -> YAML:
    """A fresh one each time: the C emitter and parser keep state, also after an error."""
    yaml = YAML(typ="safe", pure=False)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # annotated as None
    yaml.allow_unicode = True
    yaml.width = _WIDTH
    return yaml


def _dump(value: Value) -> bytes:
    stream = io.BytesIO()
    _yaml().dump(msgspec.to_builtins(value), stream)
    return stream.getvalue()


def _load(data: bytes, where: str) -> object:
    with contextlib.suppress(UnusualError):
        return load_plain(data)
    try:
        loaded: object = _yaml().load(data)
    # The constructors of YAML's own types raise ValueError (a date of month 13), and a text that is
    # nested too deeply ends in RecursionError: all of them mean that the text is not ours.
    except (YAMLError, ValueError, RecursionError) as error:
        raise FormatError(
            f"{where} is not YAML ({_first_line(error)}): restore it from the history"
        ) from error
    return loaded


def _convert(loaded: object, kind: type[_Document], where: str) -> _Document:
    try:
        return msgspec.convert(loaded, kind, strict=True)
    except msgspec.ValidationError as error:
        what = f"{where} is not a stored {kind.__name__.lower()}"
        raise FormatError(f"{what} ({_first_line(error)}): restore it from the history") from error


def _first_line(error: BaseException) -> str:
    problem = getattr(error, "problem", None)  # of a YAML error, without the excerpt of the text
    lines = str(problem or error).splitlines()
    return lines[0] if lines else type(error).__name__
