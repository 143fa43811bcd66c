"""What happens in a cluster, and the whole text of the commit that tells of it.

The table is for reading: each text is what ``git log`` shows, subject first. What every single field is
called is in ``test_message``.
"""

import textwrap
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from reconciler.changes.change import AppChange, Changeset
from reconciler.changes.diff import diff
from reconciler.changes.message import message
from reconciler.model import (
    App,
    AppKey,
    Cluster,
    MatchInEffect,
    PolicyInEffect,
    PushPolicy,
    RuleInEffect,
    Snapshot,
)
from tests.builders import make_app, make_snapshot

GI = 1 << 30
WEB, WEB_NEXT = "ghcr.io/acme/shop:2.1.0", "ghcr.io/acme/shop:2.2.0"
LATER = "2026-11-22T08:30:00Z"


def cluster(
    name: str = "prod-eu", *, unreadable: tuple[str, ...] = (), deny: tuple[str, ...] = (), **policy: object
) -> Cluster:
    return Cluster(name=name, policy=PolicyInEffect(denyNamespaces=deny, **policy), unreadable=unreadable)  # type: ignore[arg-type] # passed on


def have(*apps: App, **about: object) -> Snapshot:
    """The record with these apps."""
    return make_snapshot(*apps, cluster=cluster(**about))  # type: ignore[arg-type] # passed on


def shop(name: str = "default/shop", revision: int = 4, version: str = "1.4.0", **other: object) -> App:
    namespace, _, release = name.partition("/")
    defaults = {
        "chart": "shop",
        "chart_version": version,
        "app_version": "2.1",
        "updated": f"2026-11-21T00:00:{revision:02}Z",
        "image": WEB,
    }
    return make_app(namespace, release, revision, **(defaults | other))  # type: ignore[arg-type] # passed on


def shops(*names: str, **other: object) -> list[App]:
    return [shop(name, **other) for name in names]  # type: ignore[arg-type] # passed on


def team(number: int, **other: object) -> list[App]:
    """Apps of four namespaces in turn."""
    return shops(*(f"team-{n % 4}/app-{n:03}" for n in range(number)), **other)


class Situation(msgspec.Struct, frozen=True):
    """``revisions``: what Helm kept, by app; ``again``: apps that the record had lost; the rest as
    ``message`` takes it."""

    before: Snapshot | None
    after: Snapshot
    text: str
    revisions: Mapping[AppKey, Sequence[tuple[int, str]]] = {}
    restored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    again: frozenset[AppKey] = frozenset()


KEY = AppKey("default", "shop")
JANE = "was edited by Jane Doe in 1a2b3c4d"
NOTHING = have(shop())

SITUATIONS: Mapping[str, Situation] = {
    "an app is installed": Situation(
        have(),
        have(shop(revision=1)),
        """
        install default/shop: shop 1.4.0
        """,
    ),
    "an install fails": Situation(
        have(),
        have(shop(revision=1, status="failed")),
        """
        install of default/shop failed: shop 1.4.0
        """,
    ),
    "an install is seen late, its first revisions were never looked at": Situation(
        have(),
        have(shop(revision=3)),
        """
        install default/shop: shop 1.4.0, revision 3

        revisions 1 (failed) and 2 (superseded) came and went unseen
        """,
        revisions={KEY: [(1, "failed"), (2, "superseded"), (3, "deployed")]},
    ),
    "an upgrade to a new chart": Situation(
        have(shop()),
        have(shop(revision=5, version="1.5.0", app_version="2.2", image=WEB_NEXT)),
        """
        upgrade default/shop: shop 1.4.0 → 1.5.0, revision 4 → 5

        revision 4 → 5
        updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:05Z
        chart version 1.4.0 → 1.5.0
        app version 2.1 → 2.2
        image shop 2.1.0 → 2.2.0
        new pod shop-shop-0 (acme/shop:2.2.0)
        pod shop-shop-0 (acme/shop:2.1.0) gone
        """,
    ),
    "an upgrade by values alone, of which an image shows": Situation(
        have(shop()),
        have(shop(revision=5, image=WEB_NEXT)),
        """
        upgrade default/shop: shop 1.4.0, revision 4 → 5, image shop 2.1.0 → 2.2.0

        revision 4 → 5
        updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:05Z
        image shop 2.1.0 → 2.2.0
        new pod shop-shop-0 (acme/shop:2.2.0)
        pod shop-shop-0 (acme/shop:2.1.0) gone
        """,
    ),
    "an upgrade that scales out and opens a port and a host": Situation(
        have(shop(hosts=["shop.example.com"])),
        have(shop(revision=5, pods=3, ports=[80, 443], hosts=["shop.example.com", "www.example.com"])),
        """
        upgrade default/shop: shop 1.4.0, revision 4 → 5, new host www.example.com and 1 more change

        revision 4 → 5
        updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:05Z
        new pod shop-shop-1 (acme/shop:2.1.0)
        new pod shop-shop-2 (acme/shop:2.1.0)
        service shop-shop: new port 443
        new host www.example.com (ingress shop-shop)
        """,
    ),
    "an upgrade fails": Situation(
        have(shop()),
        have(shop(revision=5, version="1.5.0", status="failed")),
        """
        upgrade of default/shop failed: shop 1.4.0 → 1.5.0, revision 4 → 5

        revision 4 → 5
        status deployed → failed
        updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:05Z
        chart version 1.4.0 → 1.5.0
        """,
    ),
    "an upgrade has hung for an interval": Situation(
        have(shop()),
        have(shop(revision=5, version="1.5.0", status="pending-upgrade")),
        """
        upgrade of default/shop is stuck: shop 1.4.0 → 1.5.0, revision 4 → 5

        revision 4 → 5
        status deployed → pending-upgrade
        updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:05Z
        chart version 1.4.0 → 1.5.0
        """,
    ),
    "three upgrades between two looks": Situation(
        have(shop()),
        have(shop(revision=7, version="1.7.0")),
        """
        upgrade default/shop: shop 1.4.0 → 1.7.0, revision 4 → 7

        revision 4 → 7
        updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:07Z
        chart version 1.4.0 → 1.7.0
        revisions 5 (superseded) and 6 (failed) came and went unseen
        """,
        revisions={KEY: [(5, "superseded"), (6, "failed"), (7, "deployed")]},
    ),
    "a rollback": Situation(
        have(shop(revision=5, version="1.5.0")),
        have(shop(revision=6, rolled_back_to=4)),
        """
        roll back default/shop to revision 4: shop 1.5.0 → 1.4.0, revision 5 → 6

        revision 5 → 6
        rolled back to revision 4
        updated 2026-11-21T00:00:05Z → 2026-11-21T00:00:06Z
        chart version 1.5.0 → 1.4.0
        """,
    ),
    "a reinstall under the same name": Situation(
        have(shop()),
        have(shop(revision=1, version="1.5.0", updated=LATER)),
        """
        reinstall default/shop: shop 1.4.0 → 1.5.0, revision 4 → 1

        revision 4 → 1
        updated 2026-11-21T00:00:04Z → 2026-11-22T08:30:00Z
        chart version 1.4.0 → 1.5.0
        """,
    ),
    "an uninstall": Situation(
        have(shop()),
        have(),
        """
        uninstall default/shop: shop 1.4.0
        """,
    ),
    "the newest revision's Secret was deleted by hand": Situation(
        have(shop(revision=5)),
        have(shop(updated="2026-11-21T00:00:05Z")),
        """
        change default/shop: revision 5 → 4

        revision 5 → 4
        """,
    ),
    "an image changed by hand, without Helm": Situation(
        have(shop()),
        have(shop(image=WEB_NEXT)),
        """
        change default/shop: image shop 2.1.0 → 2.2.0

        image shop 2.1.0 → 2.2.0
        new pod shop-shop-0 (acme/shop:2.2.0)
        pod shop-shop-0 (acme/shop:2.1.0) gone
        """,
    ),
    "a claim grew, a host moved": Situation(
        have(shop(volumes=[GI], hosts=["a.example.com"])),
        have(shop(volumes=[2 * GI], hosts=["b.example.com"])),
        """
        change default/shop: host a.example.com → b.example.com, volume data-shop-shop-0 1Gi → 2Gi

        volume data-shop-shop-0 1Gi → 2Gi
        host a.example.com → b.example.com (ingress shop-shop)
        """,
    ),
    "a service, a claim and an ingress appear": Situation(
        have(shop(ports=())),
        have(shop(volumes=[GI], hosts=["shop.example.com"])),
        """
        change default/shop: new ingress shop-shop (shop.example.com) and 2 more changes

        new service shop-shop (80)
        new volume data-shop-shop-0 (1Gi)
        new ingress shop-shop (shop.example.com)
        """,
    ),
    "a service, a claim and an ingress go": Situation(
        have(shop(volumes=[GI], hosts=["shop.example.com"])),
        have(shop(ports=())),
        """
        change default/shop: ingress shop-shop (shop.example.com) gone and 2 more changes

        service shop-shop (80) gone
        volume data-shop-shop-0 (1Gi) gone
        ingress shop-shop (shop.example.com) gone
        """,
    ),
    "pods were replaced, as a node was drained": Situation(
        have(shop(pods=6)),
        have(shop(pods=2, pod_status="Pending")),
        """
        change default/shop: 2 pods Running → Pending, 4 pods gone

        2 pods Running → Pending
        4 pods gone
        """,
    ),
    "the app UUID now comes from the Secret": Situation(
        have(shop(app_uuid="A-1")),
        have(shop(app_uuid="A-2", hossted_helm=True)),
        """
        change default/shop: app UUID A-1 → A-2, hossted helm false → true

        app UUID A-1 → A-2
        hossted helm false → true
        """,
    ),
    "another chart takes over the release": Situation(
        have(shop()),
        have(shop(revision=5, chart="storefront", version="0.1.0")),
        """
        upgrade default/shop: shop 1.4.0 → storefront 0.1.0, revision 4 → 5

        revision 4 → 5
        updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:05Z
        chart shop → storefront
        chart version 1.4.0 → 0.1.0
        pod shop-shop-0 (acme/shop:2.1.0) gone
        new pod shop-storefront-0 (acme/shop:2.1.0)
        service shop-shop (80) gone
        new service shop-storefront (80)
        """,
    ),
    "two apps in one namespace are upgraded": Situation(
        have(*shops("shop/web", "shop/db")),
        have(*shops("shop/web", "shop/db", revision=5)),
        """
        2 apps upgraded in shop

        upgrade shop/db: shop 1.4.0, revision 4 → 5
          revision 4 → 5
          updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:05Z
        upgrade shop/web: shop 1.4.0, revision 4 → 5
          revision 4 → 5
          updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:05Z
        """,
    ),
    "five things at once in several namespaces": Situation(
        have(*shops("a/one", "b/two", "c/three", "d/four")),
        have(
            shop("a/one", 5, "1.5.0"),
            shop("b/two", 5, status="failed"),
            shop("c/three", image=WEB_NEXT),
            shop("e/five", 1),
        ),
        """
        5 apps: 1 upgraded, 1 failed, 1 changed, 1 uninstalled, 1 installed

        upgrade a/one: shop 1.4.0 → 1.5.0, revision 4 → 5
          revision 4 → 5
          updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:05Z
          chart version 1.4.0 → 1.5.0
        upgrade of b/two failed: shop 1.4.0, revision 4 → 5
          revision 4 → 5
          status deployed → failed
          updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:05Z
        change c/three: image shop 2.1.0 → 2.2.0
          image shop 2.1.0 → 2.2.0
          new pod three-shop-0 (acme/shop:2.2.0)
          pod three-shop-0 (acme/shop:2.1.0) gone
        uninstall d/four: shop 1.4.0
        install e/five: shop 1.4.0
        """,
    ),
    "the first commit": Situation(
        None,
        have(shop("default/shop", 4), shop("team-a/wiki", 1, status="failed")),
        """
        record 2 apps of cluster prod-eu

        default/shop: shop 1.4.0, revision 4
        team-a/wiki: shop 1.4.0, failed
        """,
    ),
    "the first commit of a cluster without a name and without apps": Situation(
        None,
        have(name=""),
        """
        record the cluster: no apps
        """,
    ),
    "the first commit of 25 apps": Situation(
        None,
        have(*team(25)),
        """
        record 25 apps of cluster prod-eu

        team-0: 7 apps
          app-000: shop 1.4.0, revision 4
          app-004: shop 1.4.0, revision 4
          app-008: shop 1.4.0, revision 4
          app-012: shop 1.4.0, revision 4
          app-016: shop 1.4.0, revision 4
          app-020: shop 1.4.0, revision 4
          app-024: shop 1.4.0, revision 4

        team-1: 6 apps
          app-001: shop 1.4.0, revision 4
          app-005: shop 1.4.0, revision 4
          app-009: shop 1.4.0, revision 4
          app-013: shop 1.4.0, revision 4
          app-017: shop 1.4.0, revision 4
          app-021: shop 1.4.0, revision 4

        team-2: 6 apps
          app-002: shop 1.4.0, revision 4
          app-006: shop 1.4.0, revision 4
          app-010: shop 1.4.0, revision 4
          app-014: shop 1.4.0, revision 4
          app-018: shop 1.4.0, revision 4
          app-022: shop 1.4.0, revision 4

        team-3: 6 apps
          app-003: shop 1.4.0, revision 4
          app-007: shop 1.4.0, revision 4
          app-011: shop 1.4.0, revision 4
          app-015: shop 1.4.0, revision 4
          app-019: shop 1.4.0, revision 4
          app-023: shop 1.4.0, revision 4
        """,
    ),
    "a namespace is denied": Situation(
        have(*shops("default/shop", "team-a/wiki", "team-a/chat")),
        have(shop(), deny=("team-a",)),
        """
        deny team-a: 2 apps leave the record

        deny team-a/chat: shop 1.4.0
        deny team-a/wiki: shop 1.4.0
        """,
    ),
    "a glob is denied and nothing is there": Situation(
        have(shop()),
        have(shop(), deny=("team-*",)),
        """
        deny team-*
        """,
    ),
    "a namespace is allowed again": Situation(
        have(shop(), deny=("team-a",)),
        have(shop(), shop("team-a/wiki", 9)),
        """
        allow team-a again: 1 app returns to the record

        allow team-a/wiki again: shop 1.4.0, revision 9
        """,
    ),
    "the project says stop": Situation(
        have(shop()),
        have(shop(), stop=True),
        """
        stop: nothing of cluster prod-eu is recorded or pushed
        """,
    ),
    "the project goes on, and much has happened": Situation(
        have(*shops("a/one", "b/two", "c/three"), stop=True),
        have(shop("a/one", 6, "1.6.0"), shop("b/two"), shop("d/four", 1)),
        """
        resume: cluster prod-eu is recorded and pushed again; meanwhile 1 upgraded, 1 uninstalled, 1 installed

        upgrade a/one: shop 1.4.0 → 1.6.0, revision 4 → 6
          revision 4 → 6
          updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:06Z
          chart version 1.4.0 → 1.6.0
          revision 5 (superseded) came and went unseen
        uninstall c/three: shop 1.4.0
        install d/four: shop 1.4.0
        """,
        revisions={AppKey("a", "one"): [(5, "superseded")]},
    ),
    "the policy changes in three ways": Situation(
        have(shop()),
        have(shop(), settle="30s", interval="5m", push=PushPolicy(on="AnyChange")),
        """
        policy: push on HelmUpdate → AnyChange and 2 more changes

        policy: push on HelmUpdate → AnyChange
        policy: interval 10m → 5m
        policy: settle 5s → 30s
        """,
    ),
    "a rule is put before another": Situation(
        have(shop(), rules=(RuleInEffect(action="Record", match=MatchInEffect(namespaces=("dev-*",))),)),
        have(
            shop(),
            rules=(
                RuleInEffect(
                    action="Push", match=MatchInEffect(releases=("shop",), fields=("pod_info.image",))
                ),
                RuleInEffect(action="Record", match=MatchInEffect(namespaces=("dev-*",))),
            ),
        ),
        """
        policy: new rule 1: Push pod_info.image of shop
        """,
    ),
    "people must approve from now on": Situation(
        have(shop()),
        have(shop(), push=PushPolicy(approval="Required")),
        """
        policy: approval Automatic → Required
        """,
    ),
    "the policy changes together with an app": Situation(
        have(shop()),
        have(shop(revision=5), settle="30s"),
        """
        upgrade default/shop: shop 1.4.0, revision 4 → 5

        policy: settle 5s → 30s

        revision 4 → 5
        updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:05Z
        """,
    ),
    "a kind cannot be read any more": Situation(
        have(shop()),
        have(shop(), unreadable=("ingresses", "pods in team-a")),
        """
        cannot read ingresses and 1 more change

        cannot read ingresses
        cannot read pods in team-a
        """,
    ),
    "it can be read again": Situation(
        have(shop(), unreadable=("ingresses",)),
        have(shop()),
        """
        can read ingresses again
        """,
    ),
    "the cluster gets another name": Situation(
        have(shop()),
        have(shop(), name="prod-europe"),
        """
        cluster name prod-eu → prod-europe
        """,
    ),
    "a person edited a file": Situation(
        NOTHING,
        NOTHING,
        """
        restore default/shop, which was edited by Jane Doe in 1a2b3c4d
        """,
        restored=(f"default/shop {JANE}",),
    ),
    "several people edited and deleted files": Situation(
        NOTHING,
        NOTHING,
        """
        restore 3 files that others edited, deleted or added

        restore default/shop, which was edited by Jane Doe in 1a2b3c4d
        restore cluster.yaml, which was deleted by John Roe in 5e6f7a8b
        remove team-a/notes.txt, which was added by Jane Doe in 1a2b3c4d
        """,
        restored=(
            f"default/shop {JANE}",
            "cluster.yaml was deleted by John Roe in 5e6f7a8b",
            "team-a/notes.txt was added by Jane Doe in 1a2b3c4d",
        ),
    ),
    "a person edited a file while an app was upgraded": Situation(
        have(shop()),
        have(shop(revision=5)),
        """
        upgrade default/shop: shop 1.4.0, revision 4 → 5

        restore default/wiki, which was edited by Jane Doe in 1a2b3c4d

        revision 4 → 5
        updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:05Z
        """,
        restored=(f"default/wiki {JANE}",),
    ),
    "a person deleted the directory of 200 apps": Situation(
        NOTHING,
        NOTHING,
        """
        restore 200 files that others deleted

        restore team-a/app-000, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-001, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-002, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-003, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-004, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-005, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-006, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-007, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-008, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-009, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-010, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-011, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-012, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-013, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-014, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-015, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-016, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-017, which was deleted by Jane Doe in 1a2b3c4d
        restore team-a/app-018, which was deleted by Jane Doe in 1a2b3c4d
        … and 181 more
        """,
        restored=tuple(f"team-a/app-{n:03} was deleted by Jane Doe in 1a2b3c4d" for n in range(200)),
    ),
    "a ConfigMap with two apps was deleted": Situation(
        have(shop("a/other")),
        have(shop("a/other"), shop("a/one"), shop("b/two", 1)),
        """
        2 apps recorded again

        restore ConfigMap hossted-system/hossted-state-1-apps-2, which was deleted: 2 apps are lost

        record a/one again: shop 1.4.0, revision 4
        record b/two again: shop 1.4.0
        """,
        restored=("ConfigMap hossted-system/hossted-state-1-apps-2 was deleted: 2 apps are lost",),
        again=frozenset({AppKey("a", "one"), AppKey("b", "two")}),
    ),
    "one app was lost": Situation(
        have(),
        have(shop()),
        """
        record default/shop again: shop 1.4.0, revision 4

        restore ConfigMap hossted-system/hossted-state-1-apps-2, which was edited: 1 app is lost
        """,
        restored=("ConfigMap hossted-system/hossted-state-1-apps-2 was edited: 1 app is lost",),
        again=frozenset({KEY}),
    ),
    "an older record came back from a backup, and an app has changed since": Situation(
        have(*shops("a/one", "b/two", revision=3)),
        have(shop("a/one", 4), shop("b/two", 5)),
        """
        2 apps: 1 recorded again, 1 upgraded

        This record was set back to revision r7: revision r9 is not in it any more.

        record a/one again: shop 1.4.0, revision 4
          revision 3 → 4
          updated 2026-11-21T00:00:03Z → 2026-11-21T00:00:04Z
        upgrade b/two: shop 1.4.0, revision 3 → 5
          revision 3 → 5
          updated 2026-11-21T00:00:03Z → 2026-11-21T00:00:05Z
        """,
        again=frozenset({AppKey("a", "one")}),
        notes=("This record was set back to revision r7: revision r9 is not in it any more.",),
    ),
    "an app that is gone came back with an older record": Situation(
        have(*shops("a/one", "b/two")),
        have(shop("a/one")),
        """
        record again that b/two is gone: shop 1.4.0

        This record was set back to revision r7: revision r9 is not in it any more.
        """,
        again=frozenset({AppKey("b", "two")}),
        notes=("This record was set back to revision r7: revision r9 is not in it any more.",),
    ),
    "the head of the record in ConfigMaps was set back, and nothing is lost": Situation(
        NOTHING,
        NOTHING,
        """
        restore ConfigMap hossted-system/hossted-state-1, the head, which was set back to r7

        restore ConfigMap hossted-system/hossted-state-1, the head, which was set back to r7: nothing is lost
        """,
        restored=("ConfigMap hossted-system/hossted-state-1, the head, was set back to r7: nothing is lost",),
    ),
    "several parts of the record in ConfigMaps were harmed": Situation(
        NOTHING,
        NOTHING,
        """
        restore 2 parts of the record, which were deleted or changed

        restore ConfigMap a/x and 4 more of the record, which were deleted: nothing in them is lost
        restore ConfigMap a/y, which was given other labels
        """,
        restored=(
            "ConfigMap a/x and 4 more of the record were deleted: nothing in them is lost",
            "ConfigMap a/y was given other labels",
        ),
    ),
    "a text that nobody foresaw": Situation(
        NOTHING,
        NOTHING,
        """
        restore what others changed: the directory is a file
        """,
        restored=("the directory is a file",),
    ),
    "a person edited a file while the project was stopped": Situation(
        have(shop(), stop=True),
        have(shop()),
        """
        resume: cluster prod-eu is recorded and pushed again

        restore default/shop, which was edited by Jane Doe in 1a2b3c4d
        """,
        restored=(f"default/shop {JANE}",),
    ),
    "the state is back where it was before": Situation(
        have(shop()),
        have(shop(revision=5)),
        """
        upgrade default/shop: shop 1.4.0, revision 4 → 5

        The history since revision 1a2b3c4d5e6f, up to revision r9, is in ConfigMaps s-* in ops.

        revision 4 → 5
        updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:05Z
        """,
        notes=("The history since revision 1a2b3c4d5e6f, up to revision r9, is in ConfigMaps s-* in ops.",),
    ),
    "the state is kept elsewhere from now on": Situation(
        None,
        have(*shops("default/shop")),
        """
        record 1 app of cluster prod-eu

        The older history, up to revision 1a2b3c4d5e6f, is in branch main of https://git.example.com/x.git.

        default/shop: shop 1.4.0, revision 4
        """,
        notes=(
            "The older history, up to revision 1a2b3c4d5e6f, is in branch main of https://git.example.com/x.git.",
        ),
    ),
    "names that try to be more than names": Situation(
        have(),
        have(shop(revision=1, version="1.0.0\n\nInstance: forged\x1b[2J"), name="prod\nSnapshot: forged"),
        """
        install default/shop: shop 1.0.0��Instance: forged�[2J

        cluster name prod-eu → prod�Snapshot: forged
        """,
    ),
    "25 apps are upgraded": Situation(
        have(*team(25)),
        have(*team(25, revision=5, image=WEB_NEXT)),
        """
        25 apps upgraded

        team-0: 7 apps
          upgrade app-000: shop 1.4.0, revision 4 → 5, image shop 2.1.0 → 2.2.0
            revision 4 → 5
            updated 2026-11-21T00:00:04Z → 2026-11-21T00:00:05Z
            image shop 2.1.0 → 2.2.0
            new pod app-000-shop-0 (acme/shop:2.2.0)
        […]
            new pod app-023-shop-0 (acme/shop:2.2.0)
            pod app-023-shop-0 (acme/shop:2.1.0) gone
        """,
    ),
    "1,000 apps are upgraded": Situation(
        have(*team(1000)),
        have(*team(1000, revision=5, version="1.5.0")),
        """
        1,000 apps upgraded

        team-0: 250 apps
          upgrade app-000: shop 1.4.0 → 1.5.0, revision 4 → 5
          upgrade app-004: shop 1.4.0 → 1.5.0, revision 4 → 5
          upgrade app-008: shop 1.4.0 → 1.5.0, revision 4 → 5
          upgrade app-012: shop 1.4.0 → 1.5.0, revision 4 → 5
          upgrade app-016: shop 1.4.0 → 1.5.0, revision 4 → 5
        […]
          upgrade app-788: shop 1.4.0 → 1.5.0, revision 4 → 5
        … and 805 more lines
        """,
    ),
    "the format of the record changes": Situation(
        have(shop()),
        make_snapshot(shop(), cluster=msgspec.structs.replace(cluster(), format=2)),
        """
        migrate format 1 → 2
        """,
    ),
}


def changes_of(situation: Situation) -> Changeset:
    changes = diff(situation.before, situation.after, revisions=situation.revisions)
    marked = tuple(_again(change) if change.key in situation.again else change for change in changes)
    return msgspec.structs.replace(changes, apps=marked)


def _again(change: AppChange) -> AppChange:
    return msgspec.structs.replace(change, again=True)


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS.keys())
def test_each_situation_has_its_text(situation: Situation) -> None:
    """``[…]`` stands for lines that are left out here."""
    subject, body = message(changes_of(situation), situation.restored, situation.notes)
    text = f"{subject}\n\n{body}" if body else subject
    expected = textwrap.dedent(situation.text).strip("\n")
    beginning, left_out, end = expected.partition("[…]\n")
    if left_out:
        assert (text[: len(beginning)], text[-len(end) :]) == (beginning, end.rstrip("\n"))
    else:
        assert text == expected.rstrip()
