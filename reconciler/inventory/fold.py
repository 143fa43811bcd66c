"""From the objects of one look to the live inventory: apps, what is on its way, what could not be told.

Pure, and independent of the order of the objects. What a look could not see is taken from ``previous``,
the last known apps, namespace by namespace and block by block:

- Releases not listed: the app stays as it was. Nothing is gone without a complete, permitted look.
- A block's kind not listed, or the listing of the owners failed that say whose pods and claims are: the
  block's items stay as they were. Where owners are forbidden, which lasts, an object that is still there
  stays with the app that had it.
- The newest revision cannot be read: the app stays as it was.
- An app without a last known state waits while any kind of its namespace fails to be listed, so that it
  is not recorded in part. A kind that is forbidden does not make it wait: that block is then empty.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TypeVar

import msgspec

from reconciler.errors import ReleaseError
from reconciler.inventory.app_uuid import AppUuid, app_uuid, fault
from reconciler.inventory.blocks import Blocks, last_known, seen
from reconciler.inventory.gaps import Gaps, told
from reconciler.inventory.helm import HelmRevision, by_key, history, is_release_name, newest, revision_number
from reconciler.inventory.index import Index
from reconciler.inventory.objects import Kind, Look, Meta, Part, ReleasePayload, StoredRelease
from reconciler.inventory.ownership import Ref
from reconciler.model import UNINSTALLED, App, AppApiInfo, AppKey, HelmInfo, PolicyInEffect

UNINSTALLING = "uninstalling"
PENDING = frozenset({"pending-install", "pending-upgrade", "pending-rollback"})
"""Helm's statuses of a release that is being put in place; ``uninstalling`` is the other that passes."""

_UNKNOWN = "unknown"  # Helm's word for a status that nobody wrote
_Value = TypeVar("_Value")


class Problem(msgspec.Struct, frozen=True, order=True):
    """Something for a person to see to. ``subject`` names the object (``Secret shop/uuid``), ``message``
    goes behind it; ``key``: the app that it is about, None when it is about several or none."""

    subject: str
    message: str
    key: AppKey | None = None

    def __str__(self) -> str:
        return f"{self.subject} {self.message}"


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """What one look says that the cluster has; mappings are in key order."""

    apps: Mapping[AppKey, App]
    """Every app whose state is known, those on their way or stuck included."""
    carried: frozenset[AppKey]
    """Apps of which all or a part is the last known state, not what this look saw."""
    in_transit: Mapping[AppKey, datetime]
    """Releases whose newest revision is pending-* or uninstalling, and since when."""
    settling: frozenset[AppKey]
    """Apps with a pod that is Pending."""
    kept: Mapping[AppKey, App]
    """Releases that were uninstalled with their history kept: no apps, but in ``helm list --all``."""
    waiting: Mapping[AppKey, str]
    """New releases that cannot be recorded yet, and what they wait for."""
    unreadable: frozenset[AppKey]
    """Releases whose newest revision cannot be read; ``problems`` says why."""
    revisions: Mapping[AppKey, tuple[HelmRevision, ...]]
    """The revisions that Helm still keeps, ascending."""
    unattributed: tuple[Meta, ...]
    """Pods that belong to no release, whatever their phase: finished ones of hooks are among them."""
    problems: tuple[Problem, ...]
    unproven: frozenset[str]
    """Namespaces whose releases were not listed completely; "" stands for all."""
    policy: PolicyInEffect
    namespaces: Mapping[str, bool] = {}
    """Those that there are and that are not denied, and whether each is being deleted."""

    def is_gone(self, key: AppKey) -> bool:
        """Whether this look proves that the app is uninstalled.

        Never for a denied namespace, nor unless namespaces and both of Helm's drivers were listed there.
        """
        return (
            key not in self.apps
            and key not in self.waiting
            and key not in self.unreadable
            and self.unproven.isdisjoint(("", key.namespace))
            and not self.policy.denies(key.namespace)
        )

    def is_ending(self, namespace: str) -> bool:
        """Whether a namespace is being deleted, or is not there any more.

        Never when not one was seen: no cluster is without namespaces.
        """
        return bool(self.namespaces) and self.namespaces.get(namespace, True)


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
    return _Fold(look, cluster_uuid, policy, adopted, previous).inventory()


class _Fold:
    """One run: the indexes of a look, and what has been found so far."""

    def __init__(
        self,
        look: Look,
        cluster_uuid: str,
        policy: PolicyInEffect,
        adopted: Mapping[AppKey, str],
        previous: Mapping[AppKey, App],
    ) -> None:
        self._cluster_uuid = cluster_uuid
        self._policy = policy
        self._adopted = adopted
        self._allowed = _Allowed(policy)
        self._gaps = Gaps(look)
        self._previous = {key: app for key, app in previous.items() if self._allowed[key.namespace]}
        stored = [release for release in look.releases if self._allowed[release.namespace]]
        self._releases = by_key(stored)
        self._uuid_secrets = {secret.namespace: secret for secret in look.uuid_secrets}

        self._apps: dict[AppKey, App] = {}
        self._carried: set[AppKey] = set()
        self._in_transit: dict[AppKey, datetime] = {}
        self._kept: dict[AppKey, App] = {}
        self._waiting: dict[AppKey, str] = {}
        self._unreadable: set[AppKey] = set()
        self._problems = {
            Problem(_subject(release), "has no label that names its release")
            for release in stored
            if not release.name
        }
        self._unattributed: list[Meta] = []
        self._namespaces = {
            each.name: each.terminating for each in look.namespaces if self._allowed[each.name]
        }
        self._index = self._indexed(look)
        self._stayed = self._homeless()

    def inventory(self) -> Inventory:
        for key, revisions in self._releases.items():
            self._judge(key, newest(revisions))
        for key in self._previous:
            if key not in self._releases and not self._gaps.proven(key.namespace):
                self._carry(key)
        with_releases = {key.namespace for key in self._releases}
        for namespace, secret in self._uuid_secrets.items():
            if namespace in with_releases and fault(secret):
                self._problems.add(Problem(f"Secret {namespace}/uuid", f"cannot be used: {fault(secret)}"))
        return Inventory(
            apps=_in_order(self._apps),
            carried=frozenset(self._carried & self._apps.keys()),
            in_transit=_in_order(self._in_transit),
            settling=frozenset(key for key, app in self._apps.items() if _has_pending_pod(app)),
            kept=_in_order(self._kept),
            waiting=_in_order(self._waiting),
            unreadable=frozenset(self._unreadable),
            revisions=_in_order({key: history(revisions) for key, revisions in self._releases.items()}),
            unattributed=tuple(sorted(self._unattributed, key=lambda meta: (meta.namespace, meta.name))),
            problems=tuple(sorted(self._problems, key=lambda p: (p.subject, p.message))),
            unproven=self._gaps.unproven,
            policy=self._policy,
            namespaces=dict(sorted(self._namespaces.items())),
        )

    def _indexed(self, look: Look) -> Index:
        """The allowed objects by the release that they belong to."""
        index = Index()
        for workload in look.workloads:
            index.put_workload(workload)
        for kind in (look.pods, look.services, look.claims, look.ingresses):
            for part in self._allowed.of(kind):
                index.put(part)
        return index

    def _homeless(self) -> dict[AppKey, list[Part]]:
        """What belongs to no release that there is: what is still there stays with the app that had it
        while its owners cannot be seen; the other pods are set apart."""
        unlisted = (key for key in self._previous if not self._gaps.proven(key.namespace))
        there = {*self._releases, *unlisted}
        had = dict(_owned(self._previous)) if self._gaps else {}
        stayed: dict[AppKey, list[Part]] = {}
        for key in (None, *(key for key in self._index.claimed() if key not in there)):
            for ref, part in self._index.parts(key).items():
                former = had.get(ref) if self._is_hidden(ref) else None
                if former is not None:
                    stayed.setdefault(former, []).append(part)
                elif ref.kind is Kind.PODS:
                    self._unattributed.append(part.meta)
        return stayed

    def _is_hidden(self, ref: Ref) -> bool:
        """Whether the owner that would say whose a pod or a claim is cannot be seen."""
        if ref.kind is Kind.CLAIMS:
            return self._gaps.covering(Kind.STATEFUL_SETS, ref.namespace) is not None
        lost = self._index.belonging(ref).lost
        return (
            ref.kind is Kind.PODS
            and lost is not None
            and self._gaps.covering(lost, ref.namespace) is not None
        )

    def _judge(self, key: AppKey, stored: StoredRelease) -> None:
        """Decide what a release's newest revision says of its app."""
        if stored.status in PENDING:
            self._in_transit[key] = stored.created
        elif stored.status == UNINSTALLING:
            self._in_transit[key] = stored.modified or stored.created
        stale = self._gaps.covering(stored.driver, key.namespace)
        if stale is not None:
            if not self._carry(key):
                self._waiting[key] = told(stale)
            return
        uninstalled = stored.status == UNINSTALLED
        if uninstalled and not self._gaps.proven(key.namespace) and self._carry(key):
            return
        try:
            number, payload = _readable(key, stored)
        except ReleaseError as error:
            self._problems.add(Problem(_subject(stored), str(error), key))
            if not uninstalled:  # its label says enough of one that is
                self._unreadable.add(key)
                self._carry(key)
            return
        last = self._previous.get(key)
        failed = self._gaps.failed(key.namespace)
        if uninstalled:
            self._kept[key] = self._app(key, stored, payload, number, last)
        elif last is None and failed is not None:
            self._waiting[key] = told(failed)
        else:
            self._apps[key] = self._app(key, stored, payload, number, last)

    def _carry(self, key: AppKey) -> bool:
        """Keep an app as last known, but nothing from a denied namespace; False when it is not known."""
        last = self._previous.get(key)
        if last is None:
            return False
        blocks = last_known(last).where(lambda _, namespace: self._allowed[namespace])
        self._apps[key] = msgspec.structs.replace(
            last,
            app_info=blocks.app_info(last.helm),
            record=blocks.record(last.record.chart_version, last.record.rolled_back_to),
        )
        self._carried.add(key)
        return True

    def _app(
        self, key: AppKey, stored: StoredRelease, payload: ReleasePayload, number: int, last: App | None
    ) -> App:
        uuid = app_uuid(
            key,
            secret=self._uuid_secrets.get(key.namespace),
            hidden=self._gaps.covering(Kind.UUID_SECRETS, key.namespace) is not None,
            cluster_uuid=self._cluster_uuid,
            adopted=self._adopted.get(key, ""),
            last=None if last is None else AppUuid(last.app_uuid, last.app_api_info.hossted_helm),
        )
        blocks = self._blocks(key, last)
        return App(
            app_api_info=AppApiInfo(
                cluster_uuid=self._cluster_uuid,
                app_uuid=uuid.app_uuid,
                app_name=key.name,
                hossted_helm=uuid.hossted_helm,
            ),
            app_info=blocks.app_info(
                HelmInfo(
                    name=key.name,
                    namespace=key.namespace,
                    revision=number,
                    updated=payload.last_deployed,
                    status=stored.status or _UNKNOWN,
                    chart=payload.chart_name,
                    appVersion=payload.app_version,
                )
            ),
            record=blocks.record(payload.chart_version, payload.rolled_back_to),
        )

    def _blocks(self, key: AppKey, last: App | None) -> Blocks:
        """What this look saw, with the last known items where it could not see."""
        live = seen((*self._index.parts(key).values(), *self._stayed.get(key, ())))
        if last is None or not self._gaps:
            return live
        hides = self._gaps.hides
        kept = last_known(last).where(lambda kind, ns: hides(kind, ns) and self._allowed[ns])
        if kept != Blocks():
            self._carried.add(key)
        return live.where(lambda kind, ns: not hides(kind, ns)) | kept


class _Allowed(dict[str, bool]):
    """Whether a namespace is not denied: a policy's globs are matched once per namespace."""

    def __init__(self, policy: PolicyInEffect) -> None:
        super().__init__()
        self._policy = policy

    def __missing__(self, namespace: str) -> bool:
        self[namespace] = not self._policy.denies(namespace)
        return self[namespace]

    def of(self, objects: Iterable[Part]) -> Iterator[Part]:
        return (each for each in objects if self[each.meta.namespace])


def _readable(key: AppKey, stored: StoredRelease) -> tuple[int, ReleasePayload]:
    """A revision's number and body; ReleaseError, with a message that goes behind the object's name."""
    number, payload = revision_number(stored), stored.payload
    if not is_release_name(key.name):
        raise ReleaseError(f"has the label name={key.name!r}, which is no name that Helm gives to a release")
    if number is None:
        raise ReleaseError(f"has the label version={stored.version!r}, which is no revision number")
    if payload is None:
        raise ReleaseError(stored.problem or "has a body that was not read")
    if payload.name != key.name:
        raise ReleaseError(f"says that it is of release {payload.name!r}, but is labelled {key.name!r}")
    return number, payload


def _subject(stored: StoredRelease) -> str:
    kind = "Secret" if stored.driver is Kind.RELEASE_SECRETS else "ConfigMap"
    return f"{kind} {stored.namespace}/{stored.object_name}"


def _owned(apps: Mapping[AppKey, App]) -> Iterator[tuple[Ref, AppKey]]:
    """Which app had each pod and each claim."""
    for key, app in apps.items():
        for pod in app.app_info.pod_info:
            yield Ref(Kind.PODS, pod.namespace, pod.name), key
        for volume in app.app_info.volume_info:
            yield Ref(Kind.CLAIMS, volume.namespace, volume.name), key


def _has_pending_pod(app: App) -> bool:
    return any(pod.status == "Pending" for pod in app.app_info.pod_info)


def _in_order(values: Mapping[AppKey, _Value]) -> Mapping[AppKey, _Value]:
    return {key: values[key] for key in sorted(values)}
