"""Inventories for tests: what a look says, without the look."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from reconciler.inventory.inventory import Inventory
from reconciler.model import App, AppKey, PolicyInEffect


def make_inventory(
    *apps: App,
    in_transit: Mapping[AppKey, datetime] | None = None,
    kept: Iterable[App] = (),
    unreadable: Iterable[AppKey] = (),
    unproven: Iterable[str] = (),
    policy: PolicyInEffect | None = None,
    namespaces: Mapping[str, bool] | None = None,
) -> Inventory:
    """These apps; those with a Pending pod settle. ``unproven``: namespaces whose absences prove nothing;
    ``namespaces``: those that there are, and whether each is being deleted."""
    return Inventory(
        apps={app.key: app for app in sorted(apps, key=lambda a: a.key)},
        carried=frozenset(),
        in_transit=in_transit or {},
        settling=frozenset(a.key for a in apps if any(p.status == "Pending" for p in a.app_info.pod_info)),
        kept={app.key: app for app in kept},
        waiting={},
        unreadable=frozenset(unreadable),
        revisions={},
        unattributed=(),
        problems=(),
        unproven=frozenset(unproven),
        policy=policy or PolicyInEffect(),
        namespaces=namespaces or {},
    )
