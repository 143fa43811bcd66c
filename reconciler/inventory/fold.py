"""From the objects of a cluster to its live inventory: apps, what is on its way, what could not be told.

Pure but for its memory, and independent of the order of the objects. A ``Folding`` is filled once, from a
look, or kept up to date object by object; either way ``inventory`` judges again only those releases that
something was done to, or whose circumstances have changed.

Where owners are forbidden, which lasts, an object that is still there stays with the app that had it. What
else becomes of what a look could not see is said in ``judge``.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from typing import NamedTuple

import msgspec

from reconciler.differing import differing
from reconciler.inventory.app_uuid import fault
from reconciler.inventory.gaps import Gaps
from reconciler.inventory.index import Index
from reconciler.inventory.inventory import Inventory, inventory_of, patched
from reconciler.inventory.judge import (
    Allowed,
    Circumstances,
    Judged,
    Problem,
    Release,
    as_last_known,
    judge,
    subject,
)
from reconciler.inventory.objects import Gap, Kind, Look, Meta, Namespace, Part, StoredRelease, UuidSecret
from reconciler.inventory.ownership import Ref
from reconciler.model import App, AppKey, PolicyInEffect


class LiveLook(Look, frozen=True, kw_only=True):
    """A look at what is folded all the time: of its objects only the releases are told one by one."""

    folding: "Folding"

    @property
    def names(self) -> int:
        return self.folding.names


def fold(
    look: Look,
    *,
    cluster_uuid: str,
    policy: PolicyInEffect,
    adopted: Mapping[AppKey, str],
    previous: Mapping[AppKey, App],
) -> Inventory:
    """The inventory of a look.

    ``adopted``: UUIDs taken over from an upstream operator; ``previous``: each app as last known.
    """
    folding = look.folding if isinstance(look, LiveLook) else Folding.of(look)
    return folding.inventory(
        cluster_uuid=cluster_uuid, policy=policy, adopted=adopted, previous=previous, gaps=look.gaps
    )


class _Basis(NamedTuple):
    """What a release was judged by, besides its objects."""

    at: Circumstances
    last: App | None
    adopted: str
    stayed: tuple[Part, ...]

    def is_same(self, other: "_Basis") -> bool:
        """Whether judging by the other comes to the same; an app that was replaced counts as another."""
        if self.at is not other.at or self.last is not other.last:
            return False
        return self.adopted == other.adopted and self.stayed == other.stayed


class _Memo(NamedTuple):
    basis: _Basis
    judged: Judged

    def as_recorded(self, basis: _Basis) -> "_Memo | None":
        """By another basis, for a release to which nothing happened; None when it is to be judged again.

        What was judged and then recorded as it was comes out the same again, as long as there are no gaps:
        whatever the last known state is asked for then, it says what was said without it.
        """
        if self.basis.is_same(basis):
            return self
        last, app = basis.last, self.judged.app
        if last is None or basis.at.gaps or not self.basis._replace(last=last).is_same(basis) or app != last:
            return None
        return _Memo(basis, msgspec.structs.replace(self.judged, app=last))


class _Last(NamedTuple):
    """An inventory, and what it was asked with."""

    at: Circumstances
    previous: Mapping[AppKey, App]
    adopted: Mapping[AppKey, str]
    inventory: Inventory


class _Homeless(NamedTuple):
    """Parts of no release that there is. ``stayed``: those that stay with the app that had them."""

    unattributed: tuple[Meta, ...]
    stayed: Mapping[AppKey, tuple[Part, ...]]


class Folding:
    """The objects of a cluster, and what was made of them so far.

    ``index``: the controllers, and the parts of apps, to be put and dropped there.
    """

    def __init__(self) -> None:
        self.index = Index()
        self._releases: dict[AppKey, dict[Ref, StoredRelease]] = {}
        self._stored: dict[Ref, StoredRelease] = {}
        self._nameless: dict[Ref, StoredRelease] = {}
        self._secrets: dict[str, UuidSecret] = {}
        self._namespaces: Mapping[str, bool] = {}
        self._changed: set[AppKey | None] = set()
        self._circumstances: tuple[tuple[object, ...], Circumstances] | None = None
        self._memos: dict[AppKey, _Memo] = {}
        self._came_or_went = True  # a release, a namespace, or something that is of no release
        self._last: _Last | None = None
        self._without_home: tuple[Circumstances, frozenset[AppKey], _Homeless] | None = None

    @classmethod
    def of(cls, look: Look) -> "Folding":
        """All that a look saw."""
        found = cls()
        found.know_namespaces(look.namespaces)
        for stored in look.releases:
            found.put_release(stored)
        for secret in look.uuid_secrets:
            found.put_secret(secret)
        for workload in look.workloads:  # first: nothing is then attributed twice
            found.index.put_workload(workload)
        for parts in (look.pods, look.services, look.claims, look.ingresses):
            for part in parts:
                found.index.put(part)
        return found

    @property
    def releases(self) -> Iterable[StoredRelease]:
        """Every revision of every release."""
        return self._stored.values()

    @property
    def names(self) -> int:
        """As ``Look.names``."""
        nameless = {stored.namespace for stored in self._nameless.values()}
        return len(self._releases) + len(nameless)

    @property
    def is_touched(self) -> bool:
        """Whether something was done to it since the last inventory."""
        return bool(self._changed or self.index.changed)

    def put_release(self, stored: StoredRelease) -> None:
        """A revision that came, or is as it is now."""
        ref = Ref(stored.driver, stored.namespace, stored.object_name)
        if self._stored.get(ref) == stored:
            return
        self.drop_release(ref)
        self._stored[ref] = stored
        if not stored.name:
            self._nameless[ref] = stored
            self._came_or_went = True
            self._changed.add(None)
            return
        key = AppKey(stored.namespace, stored.name)
        self._came_or_went |= key not in self._releases
        self._releases.setdefault(key, {})[ref] = stored
        self._changed.add(key)

    def drop_release(self, ref: Ref) -> None:
        """A revision that is gone, or was never there."""
        stored = self._stored.pop(ref, None)
        if stored is None:
            return
        if self._nameless.pop(ref, None) is not None:
            self._came_or_went = True
            self._changed.add(None)
            return
        key = AppKey(stored.namespace, stored.name)
        del self._releases[key][ref]
        if not self._releases[key]:
            del self._releases[key]
            self._came_or_went = True
        self._changed.add(key)

    def put_secret(self, secret: UuidSecret) -> None:
        """A namespace's Secret uuid, as it is now."""
        if self._secrets.get(secret.namespace) != secret:
            self._secrets[secret.namespace] = secret
            self._came_or_went = True
            self._changed.update(self._in(secret.namespace))

    def drop_secret(self, namespace: str) -> None:
        """A namespace has no Secret uuid (any more)."""
        if self._secrets.pop(namespace, None) is not None:
            self._came_or_went = True
            self._changed.update(self._in(namespace))

    def know_secrets(self, secrets: Iterable[UuidSecret]) -> None:
        """All Secrets named uuid that there are."""
        found = {secret.namespace: secret for secret in secrets}
        for namespace in self._secrets.keys() - found.keys():
            self.drop_secret(namespace)
        for secret in found.values():
            self.put_secret(secret)

    def know_namespaces(self, namespaces: Iterable[Namespace]) -> None:
        """All namespaces that there are."""
        found = {each.name: each.terminating for each in namespaces}
        if found != self._namespaces:
            self._namespaces = found
            self._came_or_went = True
            self._changed.add(None)

    def inventory(
        self,
        *,
        cluster_uuid: str,
        policy: PolicyInEffect,
        adopted: Mapping[AppKey, str],
        previous: Mapping[AppKey, App],
        gaps: tuple[Gap, ...],
    ) -> Inventory:
        """What the cluster has now. ``gaps``: what of it could not be seen; else as ``fold``."""
        at, last = self._at(cluster_uuid, policy, gaps), self._last
        touched = self._changed | self.index.changed
        inventory: Inventory | None = None
        if last is not None and last.at is at and last.adopted == adopted:
            inventory = self._again(last, previous, touched)
        self._changed.clear()
        self.index.changed.clear()
        if inventory is None:
            inventory = self._whole(at, adopted, previous, touched)
        self._last = _Last(at, previous, adopted, inventory)
        return inventory

    def _again(
        self, last: "_Last", previous: Mapping[AppKey, App], touched: Set[AppKey | None]
    ) -> Inventory | None:
        """The last inventory, as those that were touched, or recorded anew, are now; None where that is not
        all there is to it. It costs what they cost."""
        recorded = _recorded_anew(last.previous, previous)
        if self._came_or_went or last.at.gaps or recorded is None or not recorded <= self._memos.keys():
            return None
        judged = {}
        for key in touched | recorded:
            memo = self._memos.get(key) if key is not None else None
            if key is None or memo is None:
                continue
            basis = memo.basis
            if key in recorded:
                basis = basis._replace(last=previous[key])
            again = self._memo(key, basis, touched)
            judged[key], self._memos[key] = (memo.judged, again.judged), again
        if touched <= judged.keys():
            return patched(last.inventory, judged)
        homes = self._without_home[1] if self._without_home is not None else frozenset()
        homeless = self._homeless(last.at, {}, homes, touched)
        return patched(last.inventory, judged, homeless.unattributed)

    def _whole(
        self,
        at: Circumstances,
        adopted: Mapping[AppKey, str],
        previous: Mapping[AppKey, App],
        touched: Collection[AppKey | None],
    ) -> Inventory:
        allowed = at.allowed
        known = {key: app for key, app in previous.items() if allowed[key.namespace]}
        listed = [key for key in self._releases if allowed[key.namespace]]
        unlisted = [key for key in known if key not in self._releases and not at.gaps.proven(key.namespace)]
        homeless = self._homeless(at, known, frozenset((*listed, *unlisted)), touched)
        memos = {}
        for key in listed:
            basis = _Basis(at, known.get(key), adopted.get(key, ""), homeless.stayed.get(key, ()))
            memos[key] = self._memo(key, basis, touched)
        self._memos, self._came_or_went = memos, False
        judged = {key: memo.judged for key, memo in memos.items()}
        for key in unlisted:
            judged[key] = Judged(app=as_last_known(known[key], allowed), carried=True)
        return inventory_of(
            judged,
            problems=self._problems(allowed),
            unattributed=homeless.unattributed,
            unproven=at.gaps.unproven,
            policy=at.policy,
            namespaces={name: ends for name, ends in self._namespaces.items() if allowed[name]},
        )

    def _at(self, cluster_uuid: str, policy: PolicyInEffect, gaps: tuple[Gap, ...]) -> Circumstances:
        """The same value while nothing of it has changed."""
        given = (cluster_uuid, policy, gaps)
        if self._circumstances is None or self._circumstances[0] != given:
            self._circumstances = (given, Circumstances(cluster_uuid, policy, Allowed(policy), Gaps(gaps)))
        return self._circumstances[1]

    def _memo(self, key: AppKey, basis: _Basis, touched: Collection[AppKey | None]) -> _Memo:
        """What is to be said of a release, judged again only if that may come to something else."""
        memo = self._memos.get(key)
        known = None if memo is None or key in touched else memo.as_recorded(basis)
        return known or _Memo(basis, self._judged(key, basis))

    def _judged(self, key: AppKey, basis: _Basis) -> Judged:
        allowed = basis.at.allowed
        parts = (part for ref, part in self.index.parts(key).items() if allowed[ref.namespace])
        release = Release(
            key=key,
            revisions=tuple(self._releases[key].values()),
            parts=(*parts, *basis.stayed),
            secret=self._secrets.get(key.namespace),
            adopted=basis.adopted,
            last=basis.last,
        )
        return judge(release, basis.at)

    def _homeless(
        self,
        at: Circumstances,
        known: Mapping[AppKey, App],
        homes: frozenset[AppKey],
        touched: Collection[AppKey | None],
    ) -> _Homeless:
        """What belongs to none of these releases: what is still there stays with the app that had it while
        its owners cannot be seen; the other pods are set apart."""
        before = self._without_home
        same = before is not None and not at.gaps and before[0] is at and before[1] == homes
        if before is not None and same and all(key in homes for key in touched):
            return before[2]
        had = dict(_owned(known)) if at.gaps else {}
        stayed: dict[AppKey, tuple[Part, ...]] = {}
        unattributed = []
        for key in (None, *(key for key in self.index.claimed() if key not in homes)):
            for ref, part in self.index.parts(key).items():
                if not at.allowed[ref.namespace]:
                    continue
                former = had.get(ref) if self._is_hidden(ref, at.gaps) else None
                if former is not None:
                    stayed[former] = (*stayed.get(former, ()), part)
                elif ref.kind is Kind.PODS:
                    unattributed.append(part.meta)
        unattributed.sort(key=lambda meta: (meta.namespace, meta.name))
        found = _Homeless(tuple(unattributed), stayed)
        self._without_home = (at, homes, found)
        return found

    def _is_hidden(self, ref: Ref, gaps: Gaps) -> bool:
        """Whether the owner that would say whose a pod or a claim is cannot be seen."""
        if ref.kind is Kind.CLAIMS:
            return gaps.covering(Kind.STATEFUL_SETS, ref.namespace) is not None
        lost = self.index.belonging(ref).lost
        return ref.kind is Kind.PODS and lost is not None and gaps.covering(lost, ref.namespace) is not None

    def _problems(self, allowed: Allowed) -> Iterator[Problem]:
        """Those that are of no release."""
        for stored in self._nameless.values():
            if allowed[stored.namespace]:
                yield Problem(subject(stored), "has no label that names its release")
        with_releases = {key.namespace for key in self._releases if allowed[key.namespace]}
        for namespace in sorted(with_releases & self._secrets.keys()):
            if why := fault(self._secrets[namespace]):
                yield Problem(f"Secret {namespace}/uuid", f"cannot be used: {why}")

    def _in(self, namespace: str) -> Iterator[AppKey]:
        return (key for key in self._releases if key.namespace == namespace)


def _recorded_anew(before: Mapping[AppKey, App], now: Mapping[AppKey, App]) -> Set[AppKey] | None:
    """The apps whose record is another value; None where some came into it or left it."""
    found = differing(before, now)
    came_or_left = any(key not in before or key not in now for key in found)
    return None if came_or_left else found


def _owned(apps: Mapping[AppKey, App]) -> Iterator[tuple[Ref, AppKey]]:
    """Which app had each pod and each claim."""
    for key, app in apps.items():
        for pod in app.app_info.pod_info:
            yield Ref(Kind.PODS, pod.namespace, pod.name), key
        for volume in app.app_info.volume_info:
            yield Ref(Kind.CLAIMS, volume.namespace, volume.name), key
