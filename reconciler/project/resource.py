"""The object itself: its metadata, its spec and its status, read from JSON or from a dict."""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from reconciler.errors import SpecError
from reconciler.project.duration import Duration
from reconciler.project.spec import ConfigMapState, GitState, Policy, Spec
from reconciler.project.status import Status, read_status

GROUP, VERSION, KIND, PLURAL = "hossted.com", "v1", "Hosstedproject", "hosstedprojects"

REQUESTED_AT = "reconcile.fluxcd.io/requestedAt"
"""Flux's annotation whose new value asks for a reconcile now."""

RECONCILE = "hossted.com/reconcile"
"""Our own that asks for the same."""

IGNORED = ("monitoring", "cve", "logging", "ingress", "helm")
"""The upstream operator's fields that are accepted and have no effect here."""

_EPOCH = datetime.fromtimestamp(0, UTC)
_T = TypeVar("_T")
_AT_PATH = re.compile(r"(?s)(?P<text>.*) - at `\$(?P<path>[^`]*)`")


class InvalidProjectError(SpecError):
    """The spec cannot be used. ``project``: the same one with a spec that stops, to report it with."""

    def __init__(self, message: str, project: "Project") -> None:
        super().__init__(message)
        self.project = project


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """One Hosstedproject. ``annotations``: only those of hossted.com and reconcile.fluxcd.io."""

    name: str
    uid: str = ""
    generation: int = 0
    created: datetime = _EPOCH
    resource_version: str = ""
    annotations: Mapping[str, str] = {}
    spec: Spec = Spec()
    status: Status = Status()
    deleting: bool = False

    @property
    def requests(self) -> tuple[str, ...]:
        """The values of the annotations that ask for a reconcile, Flux's first."""
        values = (self.annotations.get(name, "") for name in (REQUESTED_AT, RECONCILE))
        return tuple(filter(None, values))


class _WireState(msgspec.Struct, frozen=True, rename="camel"):
    git: GitState | None = None
    config_map: ConfigMapState | None = None


class _WireSpec(Policy, frozen=True, kw_only=True):
    state: _WireState = _WireState()


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    uid: str = ""
    generation: int = 0
    creation_timestamp: datetime = _EPOCH
    resource_version: str = ""
    annotations: Mapping[str, str] | None = None
    deletion_timestamp: str | None = None


class _Object(msgspec.Struct, frozen=True):
    metadata: _Metadata
    spec: dict[str, Any] | None = None
    status: dict[str, Any] | None = None


def parse_project(raw: bytes | Mapping[str, object]) -> Project:
    """A project from its JSON, or from the object as decoded.

    Raises InvalidProjectError when its spec cannot be used (``.project`` is there to report it with),
    SpecError when it is no Hosstedproject at all.
    """
    try:
        parsed = msgspec.json.decode(raw, type=_Object) if isinstance(raw, bytes) else _convert(raw, _Object)
    except msgspec.MsgspecError as error:
        raise SpecError(f"{KIND}: {_explain(error, '')}") from error
    meta = parsed.metadata
    project = Project(
        name=meta.name,
        uid=meta.uid,
        generation=meta.generation,
        created=meta.creation_timestamp,
        resource_version=meta.resource_version,
        annotations={
            key: value
            for key, value in (meta.annotations or {}).items()
            if key.partition("/")[0] in (GROUP, REQUESTED_AT.partition("/")[0])
        },
        status=read_status(parsed.status or {}),
        deleting=meta.deletion_timestamp is not None,
    )
    try:
        return msgspec.structs.replace(project, spec=_spec(parsed.spec or {}))
    except ValueError as error:
        stopped = msgspec.structs.replace(project, spec=Spec(stop=True))
        raise InvalidProjectError(f"{KIND} {meta.name}: {_explain(error, 'spec')}", stopped) from error


def oldest(projects: Collection[Project]) -> Project:
    """The one that is served: by creation, then by name. ValueError when there is none."""
    return min(projects, key=lambda project: (project.created, project.name))


def _spec(raw: dict[str, Any]) -> Spec:
    push = raw.get("push")
    if isinstance(push, dict) and push.keys() & {"true", True}:
        raise ValueError('push: write "on" in quotes, because YAML takes a bare on for true')
    wire = _convert(raw, _WireSpec)
    if wire.state.git is not None and wire.state.config_map is not None:
        raise ValueError("state: git and configMap exclude each other; keep one")
    common = {field: getattr(wire, field) for field in Policy.__struct_fields__}
    return Spec(
        **common,
        state=wire.state.git or wire.state.config_map or ConfigMapState(),
        ignored=tuple(field for field in IGNORED if raw.get(field) is not None),
    )


def _convert(value: object, kind: type[_T]) -> _T:
    return msgspec.convert(value, kind, dec_hook=_decode_hook)


def _decode_hook(kind: type, value: object) -> object:
    if kind is Duration and isinstance(value, str):
        return Duration.parse(value)
    raise ValueError(f"Expected a duration such as 10m, got {value!r}")


def _explain(error: Exception, root: str) -> str:
    """``spec.brake.percent: Expected `int`, got `str``` from msgspec's message, or from one of ours."""
    found = _AT_PATH.fullmatch(str(error))
    text, path = (found["text"], found["path"]) if found else (str(error), "")
    names_field = re.match(r"[a-z][A-Za-z.]*: ", text)
    return f"{root}{path}{'.' if names_field else ': '}{text}".lstrip(".: ")
