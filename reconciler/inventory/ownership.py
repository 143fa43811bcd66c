"""What belongs to which release: Helm's annotations, then owners, then claim templates, then labels.

Annotations are decisive, on the object or on the first of its owners that has them: what is annotated for
a release that is not there belongs to none. The walk through owners goes by the controlling
ownerReference, within the namespace, and ends at a kind that is not read, at an owner that is missing or
has another UID, and in a cycle. Labels count only on the object itself and in the release's own
namespace, so that a hook's pods belong to the release only when they are labelled themselves.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from reconciler.inventory.objects import OWNER_KINDS, Claim, Kind, Meta, Workload
from reconciler.model import AppKey

_CLAIM = re.compile(r"(.+)-(?:0|[1-9][0-9]*)", re.ASCII)
"""``<template>-<StatefulSet>-<ordinal>`` (StatefulSet, "Stable Storage"): the ordinal is what follows the
last hyphen, so ``data-web-1-0`` is the first claim of ``web-1`` and none of ``web``."""


class Ref(NamedTuple):
    """Where an object is."""

    kind: Kind
    namespace: str
    name: str


class Belonging(NamedTuple):
    """``key``: the release that the object is said to belong to, whether that is there or not; None for
    none. ``lost``: the kind of the owner that the walk did not find; what it says of ``key`` then rests on
    less than there may be."""

    key: AppKey | None
    lost: Kind | None = None


class Ownership:
    """The controllers of pods, by which an object is attributed in a few look-ups."""

    def __init__(self, workloads: Iterable[Workload] = ()) -> None:
        self._workloads: dict[Ref, Workload] = {}
        self._templates: dict[tuple[str, str], dict[Ref, Meta]] = {}
        for workload in workloads:
            self.put(workload)

    def put(self, workload: Workload) -> None:
        """Know a controller, in place of the one of that name."""
        ref = workload_ref(workload)
        self.drop(ref)
        self._workloads[ref] = workload
        for base in claim_bases(workload):
            self._templates.setdefault(base, {})[ref] = workload.meta

    def get(self, ref: Ref) -> Workload | None:
        """The controller that is there."""
        return self._workloads.get(ref)

    def drop(self, ref: Ref) -> Workload | None:
        """Forget a controller; what it was."""
        workload = self._workloads.pop(ref, None)
        for base in claim_bases(workload) if workload is not None else ():
            candidates = self._templates[base]
            del candidates[ref]
            if not candidates:
                del self._templates[base]
        return workload

    def of(self, meta: Meta) -> Belonging:
        """Whose a pod, service or ingress is."""
        claimed, lost = self._annotated(meta)
        if claimed is not None:
            return Belonging(claimed)
        return Belonging(_labelled(meta) if meta.helm_managed else None, lost)

    def of_claim(self, claim: Claim) -> Belonging:
        """Whose a claim is: its StatefulSet's, scaled down or not, even if nothing on it says so."""
        claimed, lost = self._annotated(claim.meta)
        if claimed is None:
            claimed = self._templated(claim.meta)
        if claimed is not None:
            return Belonging(claimed)
        return Belonging(_labelled(claim.meta), lost)

    def _annotated(self, meta: Meta) -> tuple[AppKey | None, Kind | None]:
        """The release that the object's annotations name, or its owners'; and the kind that was missed."""
        seen = set()
        while True:
            if meta.release_name and meta.release_namespace:
                return AppKey(meta.release_namespace, meta.release_name), None
            place = owner_ref(meta)
            if place is None:
                return None, None
            found = self._workloads.get(place)
            uid = meta.owner.uid if meta.owner is not None else ""
            if found is None or (uid and found.meta.uid and uid != found.meta.uid):
                return None, place.kind
            if place in seen:
                return None, None
            seen.add(place)
            meta = found.meta

    def _templated(self, meta: Meta) -> AppKey | None:
        """The release of the StatefulSet that made the claim; None when two releases' could have."""
        base = claim_base(meta)
        candidates = self._templates.get(base, {}).values() if base is not None else ()
        claimed = {self._annotated(candidate)[0] for candidate in candidates}
        return claimed.pop() if len(claimed) == 1 else None


def owner_ref(meta: Meta) -> Ref | None:
    """Where the controlling owner should be; None where there is none that is read."""
    owner = meta.owner
    if owner is None or owner.kind not in OWNER_KINDS:
        return None
    return Ref(OWNER_KINDS[owner.kind], meta.namespace, owner.name)


def workload_ref(workload: Workload) -> Ref:
    """Where a controller is."""
    return Ref(OWNER_KINDS[workload.kind], workload.meta.namespace, workload.meta.name)


def claim_base(meta: Meta) -> tuple[str, str] | None:
    """Namespace and name of a claim without its ordinal, if it has one."""
    name = _CLAIM.fullmatch(meta.name)
    return (meta.namespace, name[1]) if name else None


def claim_bases(workload: Workload) -> Iterator[tuple[str, str]]:
    """Those of the claims that a StatefulSet's templates make."""
    meta = workload.meta
    return ((meta.namespace, f"{template}-{meta.name}") for template in workload.claim_templates)


def _labelled(meta: Meta) -> AppKey | None:
    return AppKey(meta.namespace, meta.instance) if meta.instance else None
