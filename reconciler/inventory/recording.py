"""A recorded cluster: one look as a directory of JSON files, for demos, bug reports and tests.

``look.json`` has the format number, when the look was taken, the UID of kube-system, and what could not be
read; every other file is the list of one kind of object, in the look's order, indented for people and
diffs. A look holds nothing of a Secret but an app's UUID and a release's chart metadata, so neither does
a recording. The same look gives the same bytes.
"""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from reconciler.errors import UsageError
from reconciler.inventory.app_uuid import fault
from reconciler.inventory.objects import (
    Claim,
    Gap,
    Ingress,
    Look,
    Namespace,
    Pod,
    Service,
    StoredRelease,
    UuidSecret,
    Workload,
)
from reconciler.model import PolicyInEffect

FORMAT = 1
"""The version of a recording's form; a newer one is refused."""

_HEAD = "look.json"
_T = TypeVar("_T")
_Object = TypeVar("_Object", Pod, Service, Claim, Ingress, Workload)


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    taken_at: datetime
    kube_system_uid: str
    gaps: tuple[Gap, ...] = ()
    never_listed: tuple[Gap, ...] = ()


class _Format(msgspec.Struct):
    format: int


def write_recording(look: Look, directory: Path) -> None:
    """Write a look as a recording, over one that is there; UsageError when it cannot be written.

    A Secret ``uuid`` whose value is no UUID is written without it: it may be somebody's password.
    """
    files = {
        "namespaces": look.namespaces,
        "releases": look.releases,
        "uuid_secrets": tuple(map(_harmless, look.uuid_secrets)),
        "pods": look.pods,
        "services": look.services,
        "claims": look.claims,
        "ingresses": look.ingresses,
        "workloads": look.workloads,
    }
    head = _Head(FORMAT, look.taken_at, look.kube_system_uid, look.gaps, look.never_listed)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # The head goes first and comes last: a recording that was broken off is none.
        (directory / _HEAD).unlink(missing_ok=True)
        for name, values in files.items():
            _path(directory, name).write_bytes(_readable(values))
        (directory / _HEAD).write_bytes(_readable(head))
    except OSError as error:
        raise UsageError(f"the recording {directory} cannot be written: {error.strerror}") from error


def is_recording(directory: Path) -> bool:
    """Whether something was recorded there, be it an older recording that cannot be read any more."""
    return (directory / _HEAD).is_file()


def read_recording(directory: Path) -> Look:
    """The look that ``write_recording`` wrote; UsageError, naming the file, for anything else."""
    path = directory / _HEAD
    version = _decoded(path, _Format).format
    if version != FORMAT:
        raise UsageError(f"{path} has format {version}; this program reads format {FORMAT}")
    head = _decoded(path, _Head)
    return Look(
        taken_at=head.taken_at,
        kube_system_uid=head.kube_system_uid,
        namespaces=_listed(directory, "namespaces", Namespace),
        releases=_listed(directory, "releases", StoredRelease),
        uuid_secrets=_listed(directory, "uuid_secrets", UuidSecret),
        pods=_listed(directory, "pods", Pod),
        services=_listed(directory, "services", Service),
        claims=_listed(directory, "claims", Claim),
        ingresses=_listed(directory, "ingresses", Ingress),
        workloads=_listed(directory, "workloads", Workload),
        gaps=head.gaps,
        never_listed=head.never_listed,
    )


class RecordedSource:
    """A recording in the place of a live cluster; read again at each look, so it may be replaced."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def look(self, policy: PolicyInEffect) -> Look:
        """The recorded look without what the policy denies; UsageError as ``read_recording``."""
        return _without_denied(await asyncio.to_thread(read_recording, self._directory), policy)

    def rest(self) -> None:
        """A recording does nothing by itself."""


def _harmless(secret: UuidSecret) -> UuidSecret:
    problem = fault(secret)
    return UuidSecret(secret.namespace, problem=problem) if problem else secret


def _without_denied(look: Look, policy: PolicyInEffect) -> Look:
    """The look as it would have been under this policy."""
    return msgspec.structs.replace(
        look,
        namespaces=tuple(each for each in look.namespaces if not policy.denies(each.name)),
        releases=tuple(each for each in look.releases if not policy.denies(each.namespace)),
        uuid_secrets=tuple(each for each in look.uuid_secrets if not policy.denies(each.namespace)),
        pods=_allowed(look.pods, policy),
        services=_allowed(look.services, policy),
        claims=_allowed(look.claims, policy),
        ingresses=_allowed(look.ingresses, policy),
        workloads=_allowed(look.workloads, policy),
        gaps=_allowed_gaps(look.gaps, policy),
        never_listed=_allowed_gaps(look.never_listed, policy),
    )


def _allowed(objects: tuple[_Object, ...], policy: PolicyInEffect) -> tuple[_Object, ...]:
    return tuple(each for each in objects if not policy.denies(each.meta.namespace))


def _allowed_gaps(gaps: tuple[Gap, ...], policy: PolicyInEffect) -> tuple[Gap, ...]:
    return tuple(gap for gap in gaps if not (gap.namespace and policy.denies(gap.namespace)))


def _listed(directory: Path, name: str, kind: type[_T]) -> tuple[_T, ...]:
    return _decoded(_path(directory, name), tuple[kind, ...])  # type: ignore[valid-type]  # a type made while running


def _decoded(path: Path, form: type[_T]) -> _T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=form)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): is {path.parent} a recording?"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not part of a recording: {error}") from error


def _path(directory: Path, name: str) -> Path:
    return directory / f"{name}.json"


def _readable(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
