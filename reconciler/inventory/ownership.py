"""What belongs to which release: Helm's annotations, then owners, then claim templates, then labels.

Annotations are decisive, on the object or on the first of its owners that has them: what is annotated for
a release that is not there belongs to none. The walk through owners goes by the controlling
ownerReference, within the namespace, and ends at a kind that is not read, at an owner that is missing or
has another UID, and in a cycle. Labels count only on the object itself and in the release's own
namespace, so that a hook's pods belong to the release only when they are labelled themselves.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from reconciler.inventory.objects import OWNER_KINDS, Claim, Kind, Meta, Workload
from reconciler.model import AppKey

_CLAIM = re.compile(r"(.+)-(?:0|[1-9][0-9]*)", re.ASCII)
"""``<template>-<StatefulSet>-<ordinal>`` (StatefulSet, "Stable Storage"): the ordinal is what follows the
last hyphen, so ``data-web-1-0`` is the first claim of ``web-1`` and none of ``web``."""


class Belonging(NamedTuple):
    """``key``: the release that the object belongs to, or None. ``lost``: the kind of the owner that the
    walk did not find; what it says of ``key`` then rests on less than there may be."""

    key: AppKey | None
    lost: Kind | None = None


class Ownership:
    """The index of one look: built once, then every object is attributed in a few look-ups."""

    def __init__(self, releases: Iterable[AppKey], workloads: Iterable[Workload]) -> None:
        self._releases = frozenset(releases)
        self._owners: dict[tuple[str, str, str], Meta] = {}
        self._templates: dict[tuple[str, str], list[Meta]] = {}
        for workload in workloads:
            meta = workload.meta
            self._owners[workload.kind, meta.namespace, meta.name] = meta
            for template in workload.claim_templates:
                self._templates.setdefault((meta.namespace, f"{template}-{meta.name}"), []).append(meta)

    def of(self, meta: Meta) -> Belonging:
        """Whose a pod, service or ingress is."""
        claimed, lost = self._annotated(meta)
        if claimed is not None:
            return Belonging(self._there(claimed))
        return Belonging(self._labelled(meta) if meta.helm_managed else None, lost)

    def of_claim(self, claim: Claim) -> Belonging:
        """Whose a claim is: its StatefulSet's, scaled down or not, even if nothing on it says so."""
        claimed, lost = self._annotated(claim.meta)
        if claimed is None:
            claimed = self._templated(claim.meta)
        if claimed is not None:
            return Belonging(self._there(claimed))
        return Belonging(self._labelled(claim.meta), lost)

    def _annotated(self, meta: Meta) -> tuple[AppKey | None, Kind | None]:
        """The release that the object's annotations name, or its owners'; and the kind that was missed."""
        seen = set()
        while True:
            if meta.release_name and meta.release_namespace:
                return AppKey(meta.release_namespace, meta.release_name), None
            owner = meta.owner
            if owner is None or owner.kind not in OWNER_KINDS:
                return None, None
            place = (owner.kind, meta.namespace, owner.name)
            found = self._owners.get(place)
            if found is None or (owner.uid and found.uid and owner.uid != found.uid):
                return None, OWNER_KINDS[owner.kind]
            if place in seen:
                return None, None
            seen.add(place)
            meta = found

    def _templated(self, meta: Meta) -> AppKey | None:
        """The release of the StatefulSet that made the claim; None when two releases' could have."""
        name = _CLAIM.fullmatch(meta.name)
        candidates = self._templates.get((meta.namespace, name[1]), ()) if name else ()
        claimed = {self._annotated(candidate)[0] for candidate in candidates}
        return claimed.pop() if len(claimed) == 1 else None

    def _labelled(self, meta: Meta) -> AppKey | None:
        return self._there(AppKey(meta.namespace, meta.instance))

    def _there(self, key: AppKey) -> AppKey | None:
        return key if key in self._releases else None
