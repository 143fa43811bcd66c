# ruff: noqa: N815 - the fields are spelled as the resource spells them
"""What a status lists of the releases that are recorded: the most recent ones, by Helm's own time.

A ``Listing`` is kept up to date: what it costs is what has changed since it was asked last.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

import msgspec

from reconciler.differing import differing
from reconciler.model import App, AppKey
from reconciler.project.moment import moment

MOST_RELEASES, MOST_HELM_STATUS = 1_000, 200

_EPOCH = datetime.fromtimestamp(0, UTC)
_REVISION = attrgetter("app_info.helm_info.revision")
_MICROSECOND = timedelta(microseconds=1)


class HelmStatus(msgspec.Struct, frozen=True):
    """One release in ``status.helmStatus``; an upstream operator's may lack any of it."""

    name: str = ""
    namespace: str = ""
    appUUID: str = ""
    revision: int = 0
    updated: str = ""
    status: str = ""
    chart: str = ""
    appVersion: str = ""
    hossted_helm: bool = False


class Releases(msgspec.Struct, frozen=True):
    """``lines``: ``reconcileHelmReleases``; ``helm``: ``helmStatus``; ``revisions``: ``revision``."""

    lines: Mapping[str, str] = {}
    helm: tuple[HelmStatus, ...] = ()
    revisions: tuple[int, ...] = ()


class _Place(NamedTuple):
    """Where an app stands: the most recent first, then by key. ``age``: microseconds until 1970."""

    age: int
    key: AppKey


class Listing:
    """The apps that were listed last, in their order."""

    def __init__(self) -> None:
        self._apps: Mapping[AppKey, App] = {}
        self._places: list[_Place] = []
        self._lines: dict[AppKey, tuple[str, str]] = {}
        self._listed = Releases()

    def of(self, apps: Mapping[AppKey, App]) -> Releases:
        """What a status lists of these apps."""
        changed = differing(self._apps, apps)
        if not changed:
            return self._listed
        for key in changed:
            if (was := self._apps.get(key)) is not None:
                del self._places[bisect_left(self._places, _place(was))]
                del self._lines[key]
            if (now := apps.get(key)) is not None:
                insort(self._places, _place(now))
                self._lines[key] = _line(now)
        recent = [place.key for place in self._places[:MOST_RELEASES]]
        self._apps = apps
        self._listed = Releases(
            lines=dict(map(self._lines.__getitem__, recent)),
            helm=tuple(_helm_status(apps[key]) for key in recent[:MOST_HELM_STATUS]),
            revisions=tuple(sorted(map(_REVISION, map(apps.__getitem__, recent)))),
        )
        return self._listed


def releases_of(apps: Iterable[App]) -> Releases:
    """What a status lists of these apps, whatever their order."""
    return Listing().of({app.key: app for app in apps})


def _place(app: App) -> _Place:
    return _Place((_EPOCH - (moment(app.helm.updated) or _EPOCH)) // _MICROSECOND, app.key)


def _line(app: App) -> tuple[str, str]:
    """An app's entry of ``reconcileHelmReleases``."""
    return str(app.key), f"{app.helm.chart}-{app.record.chart_version} revision {app.helm.revision}"


def _helm_status(app: App) -> HelmStatus:
    helm = app.helm
    return HelmStatus(
        name=helm.name,
        namespace=helm.namespace,
        appUUID=app.app_uuid,
        revision=helm.revision,
        updated=helm.updated,
        status=helm.status,
        chart=helm.chart,
        appVersion=helm.appVersion,
        hossted_helm=app.app_api_info.hossted_helm,
    )
