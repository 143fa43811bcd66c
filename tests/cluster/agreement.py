"""Whether what we see of releases agrees with what `helm list` shows, through one mapping.

| helm list      | ours                                                                   |
| -------------- | ---------------------------------------------------------------------- |
| name, namespace| the labels and the object's namespace: `helm_info.name`, `.namespace`   |
| revision       | the same number, not a text                                            |
| updated        | the same instant, to the nanosecond: `helm_info.updated` is RFC 3339    |
| status         | the label `status`: `helm_info.status`                                  |
| chart          | `helm_info.chart` + "-" + `record.chart_version`                        |
| app_version    | `helm_info.appVersion`                                                  |

Helm shows one storage driver at a time; ours are both. A release that Helm cannot decode is shown by it
as its older revision, so such are not for this comparison.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from typing import Any, NamedTuple

from reconciler.inventory.helm import by_key, newest, revision_number
from reconciler.inventory.inventory import Inventory
from reconciler.inventory.objects import Kind, Look
from reconciler.model import App, PolicyInEffect
from tests.controlplane.cluster import Cluster

EVERYTHING = PolicyInEffect()

_INSTANCE = "app.kubernetes.io/instance"
_TIME = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[ T](?P<clock>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))? ?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d)(?: \S+)?"
)


class Shown(NamedTuple):
    """A release as `helm list` shows it, with types. `updated`: seconds since the epoch, exactly."""

    namespace: str
    name: str
    revision: int
    updated: Fraction
    status: str
    chart: str
    app_version: str


def assert_look_agrees_with_helm(look: Look, cluster: Cluster, policy: PolicyInEffect = EVERYTHING) -> None:
    """The newest revisions of a look are what Helm lists outside denied namespaces."""
    assert shown_by_look(look) == shown_by_helm(cluster, policy)


def assert_inventory_agrees_with_helm(
    inventory: Inventory, cluster: Cluster, policy: PolicyInEffect = EVERYTHING
) -> None:
    """The apps of an inventory, and the uninstalled ones with kept history, are what Helm lists."""
    assert_apps_agree_with_helm((*inventory.apps.values(), *inventory.kept.values()), cluster, policy)


def assert_apps_agree_with_helm(
    apps: Iterable[App], cluster: Cluster, policy: PolicyInEffect = EVERYTHING
) -> None:
    """The apps are what Helm lists."""
    ours, helms = sorted(map(_of_app, apps)), shown_by_helm(cluster, policy)
    assert ours == helms, f"ours, not Helm's, and the reverse: {set(ours) ^ set(helms)}"


def assert_apps_agree_with_kubectl(
    apps: Iterable[App], cluster: Cluster, policy: PolicyInEffect = EVERYTHING
) -> None:
    """The pods, services and ingresses of the apps are those that kubectl shows with a release's label."""
    found: set[tuple[str, ...]] = set()
    for one in cluster.get("pods,services,ingresses", "--all-namespaces", "-l", _INSTANCE):
        meta = one["metadata"]
        if not policy.denies(meta["namespace"]):
            which = (meta["labels"][_INSTANCE], one["kind"], meta["namespace"], meta["name"])
            found |= {(*which, *values) for values in _values(one)}
    ours: set[tuple[str, ...]] = set()
    for each in apps:
        info, name = each.app_info, each.key.name
        ours |= {(name, "Pod", x.namespace, x.name, x.image, x.status) for x in info.pod_info}
        ours |= {(name, "Service", x.namespace, x.name, str(x.port)) for x in info.service_info}
        ours |= {(name, "Ingress", x.namespace, x.name, x.domain) for x in info.ingress_info}
    assert ours == found, f"ours, not kubectl's, and the reverse: {ours ^ found}"


def _values(one: dict[str, Any]) -> list[tuple[str, ...]]:
    spec = one["spec"]
    match one["kind"]:
        case "Pod":
            return [(each["image"], one["status"]["phase"]) for each in spec["containers"]]
        case "Service":
            return [(str(each["port"]),) for each in spec["ports"]]
        case _:
            return [(each["host"],) for each in spec["rules"]]


def shown_by_helm(cluster: Cluster, policy: PolicyInEffect = EVERYTHING) -> list[Shown]:
    """What `helm list` shows of both drivers."""
    listed: list[dict[str, str]] = []
    arguments = ("list", "--all", "--all-namespaces", "--max", "100000", "-o", "json")
    listed += json.loads(cluster.helm(*arguments, driver="secret"))
    listed += json.loads(cluster.helm(*arguments, driver="configmap"))
    return sorted(
        Shown(
            namespace=one["namespace"],
            name=one["name"],
            revision=int(one["revision"]),
            updated=instant(one["updated"]),
            status=one["status"],
            chart=one["chart"],
            app_version=one["app_version"],
        )
        for one in listed
        if not policy.denies(one["namespace"])
    )


def shown_by_look(look: Look) -> list[Shown]:
    return sorted(_newest(look))


def instant(text: str) -> Fraction:
    """A moment as Go's `time.String()` or RFC 3339 writes it, in seconds since the epoch."""
    match = _TIME.fullmatch(text)
    assert match, f"{text!r} is no time"
    whole = datetime.fromisoformat(f"{match['day']}T{match['clock']}{match['zone']}")
    fraction = match["fraction"] or "0"
    return Fraction(int(whole.timestamp())) + Fraction(int(fraction), 10 ** len(fraction))


def _newest(look: Look) -> Iterable[Shown]:
    for revisions in by_key(look.releases).values():
        release = newest(revisions)
        assert release.driver in (Kind.RELEASE_SECRETS, Kind.RELEASE_CONFIGMAPS)
        assert release.payload, f"{release.namespace}/{release.object_name} {release.problem}"
        yield Shown(
            namespace=release.namespace,
            name=release.name,
            revision=revision_number(release) or 0,
            updated=instant(release.payload.last_deployed),
            status=release.status,
            chart=f"{release.payload.chart_name}-{release.payload.chart_version}",
            app_version=release.payload.app_version,
        )


def _of_app(app: App) -> Shown:
    helm = app.helm
    return Shown(
        namespace=helm.namespace,
        name=helm.name,
        revision=helm.revision,
        updated=instant(helm.updated),
        status=helm.status,
        chart=f"{helm.chart}-{app.record.chart_version}",
        app_version=helm.appVersion,
    )
