"""The objects of a cluster by the release that they belong to, kept up to date one object at a time.

What one object's coming, change or going costs is independent of how many there are: only what hangs on it
is attributed anew. A controller has what its ownerReferences lead to, and claims by its templates' names.
In whatever order objects come and go, what the index says is what it would say had it been filled at once.
"""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from reconciler.inventory.objects import ROUTE_KINDS, Claim, Ingress, Kind, Part, Pod, Service, Workload
from reconciler.inventory.ownership import (
    Belonging,
    Ownership,
    Ref,
    claim_base,
    claim_bases,
    owner_ref,
    workload_ref,
)
from reconciler.model import AppKey

_KINDS: Mapping[type[Part], Kind] = {Pod: Kind.PODS, Service: Kind.SERVICES, Claim: Kind.CLAIMS}

_Key = TypeVar("_Key")


class Index:
    """``changed``: the releases to which something has happened since it was last cleared, None for what
    belongs to none."""

    def __init__(self) -> None:
        self.changed: set[AppKey | None] = set()
        self._ownership = Ownership()
        self._belonging: dict[Ref, Belonging] = {}
        self._parts: dict[AppKey | None, dict[Ref, Part]] = {}
        self._owned: dict[Ref, set[Ref]] = {}
        self._claims: dict[tuple[str, str], set[Ref]] = {}
        # One value for all that belong alike: there are ten times as many parts as releases.
        self._alike: dict[AppKey | None, dict[Kind | None, Belonging]] = {}

    def parts(self, key: AppKey | None) -> Mapping[Ref, Part]:
        """What is said to belong to a release, there or not; to none, for None."""
        return self._parts.get(key, {})

    def claimed(self) -> Iterator[AppKey]:
        """The releases that something is said to belong to, there or not."""
        return (key for key in self._parts if key is not None)

    def belonging(self, ref: Ref) -> Belonging:
        """Why a part is where it is; KeyError for one that is not there."""
        return self._belonging[ref]

    def sizes(self) -> Mapping[str, int]:
        """How much is kept, for people who watch memory."""
        return {
            "parts": len(self._belonging),
            "releases": len(self._parts),
            "owners": len(self._owned),
            "claims": len(self._claims),
            "belongings": len(self._alike),
        }

    def put(self, part: Part, at: Ref | None = None) -> None:
        """An object that came, or is as it is now. ``at``: where it is, so that whoever knows and the index
        keep one value."""
        ref = at or part_ref(part)
        known = self._belonging.get(ref)
        if known is not None and self._parts[known.key][ref] == part:
            return  # nearly all that happens to a pod is nothing that an inventory has
        self.drop(ref)
        self._hang(ref, part)
        belonging = self._of(part)
        self._belonging[ref] = belonging
        self._parts.setdefault(belonging.key, {})[ref] = part
        self._touch(belonging)

    def drop(self, ref: Ref) -> None:
        """An object that is gone, or was never there."""
        belonging = self._belonging.pop(ref, None)
        if belonging is None:
            return
        self._unhang(ref, self._taken(ref, belonging))
        self._touch(belonging)

    def put_workload(self, workload: Workload, at: Ref | None = None) -> None:
        """A controller that came, or is as it is now; as ``put``."""
        ref = at or workload_ref(workload)
        if self._ownership.get(ref) == workload:
            return
        before = self._forget(ref)
        self._ownership.put(workload)
        self._hang(ref, workload)
        self._attribute_again(ref, before, workload)

    def drop_workload(self, ref: Ref) -> None:
        """A controller that is gone, or was never there."""
        before = self._forget(ref)
        if before is not None:
            self._attribute_again(ref, before)

    def _forget(self, ref: Ref) -> Workload | None:
        before = self._ownership.drop(ref)
        if before is not None:
            self._unhang(ref, before)
        return before

    def _of(self, part: Part) -> Belonging:
        found = self._ownership.of_claim(part) if isinstance(part, Claim) else self._ownership.of(part.meta)
        return self._alike.setdefault(found.key, {}).setdefault(found.lost, found)

    def _touch(self, belonging: Belonging) -> None:
        self.changed.add(belonging.key)

    def _taken(self, ref: Ref, belonging: Belonging) -> Part:
        parts = self._parts[belonging.key]
        part = parts.pop(ref)
        if not parts:
            del self._parts[belonging.key]
            self._alike.pop(belonging.key, None)
        return part

    def _hang(self, ref: Ref, item: Part | Workload) -> None:
        """Note what decides whose it is, besides itself."""
        if (owner := owner_ref(item.meta)) is not None:
            self._owned.setdefault(owner, set()).add(ref)
        if isinstance(item, Claim) and (base := claim_base(item.meta)) is not None:
            self._claims.setdefault(base, set()).add(ref)

    def _unhang(self, ref: Ref, item: Part | Workload) -> None:
        if (owner := owner_ref(item.meta)) is not None:
            _discard(self._owned, owner, ref)
        if isinstance(item, Claim) and (base := claim_base(item.meta)) is not None:
            _discard(self._claims, base, ref)

    def _attribute_again(self, ref: Ref, *versions: Workload | None) -> None:
        """Attribute anew what hangs on a controller, as it was and as it is."""
        found: set[Ref] = set()
        waiting = [ref]
        for workload in versions:
            self._collect_claims(workload, found)
        seen = {ref}
        while waiting:
            for child in self._owned.get(waiting.pop(), ()):
                if child in self._belonging:
                    found.add(child)
                elif child not in seen:
                    seen.add(child)
                    waiting.append(child)
                    self._collect_claims(self._ownership.get(child), found)
        for each in found:
            before = self._belonging[each]
            part = self._parts[before.key][each]
            now = self._of(part)
            if now is not before:
                self._taken(each, before)
                self._belonging[each] = now
                self._parts.setdefault(now.key, {})[each] = part
                self._touch(before)
                self._touch(now)

    def _collect_claims(self, workload: Workload | None, found: set[Ref]) -> None:
        for base in claim_bases(workload) if workload is not None else ():
            found |= self._claims.get(base, set())


def part_ref(part: Part) -> Ref:
    """Where a part of an app is."""
    kind = ROUTE_KINDS[part.kind] if isinstance(part, Ingress) else _KINDS[type(part)]
    return Ref(kind, part.meta.namespace, part.meta.name)


def _discard(sets: dict[_Key, set[Ref]], key: _Key, ref: Ref) -> None:
    members = sets[key]
    members.discard(ref)
    if not members:
        del sets[key]
