"""Apps and names that are kept once, although cluster, record and ledger tell them each by itself.

They say the same of nearly every app. While a program runs they share the values that it made; what a start
reads of record and ledger, or a round reads again, would be as much again each time.
"""

from sys import intern
from weakref import WeakValueDictionary

import msgspec

from reconciler.model import App, AppKey, Container, PodInfo

_replace = msgspec.structs.replace

_NEWEST: WeakValueDictionary[AppKey, App] = WeakValueDictionary()
"""Of each app the value that was read last, as long as anybody has it."""


def kept_once(app: App) -> App:
    """An app that was read: the equal one that was read before, if it is still there; else itself, with the
    names that there are already."""
    known = _NEWEST.get(app.key)
    if known is None or known != app:
        known = _NEWEST[app.key] = _with_known_names(app)
    return known


def _with_known_names(app: App) -> App:
    info, record = app.app_info, app.record
    pods = tuple(
        PodInfo(intern(one.name), intern(one.namespace), intern(one.image), intern(one.status))
        for one in info.pod_info
    )
    containers = tuple(
        Container(
            intern(one.pod), intern(one.container), intern(one.kind), intern(one.image), intern(one.digest)
        )
        for one in record.containers
    )
    return _replace(
        app, app_info=_replace(info, pod_info=pods), record=_replace(record, containers=containers)
    )
