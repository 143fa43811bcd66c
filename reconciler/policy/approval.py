"""What people signed off, and what that makes of the plan. Pure.

Approval gates what is told, not what runs. It goes app by app: an app is approved when its file on the
approved branch is one that the record once had, and that file has changed there since approval began to be
required; an app whose file has left that branch since then is approved to be gone. Every other app stays
as it was delivered.
"""

from collections.abc import Mapping

import msgspec

from reconciler.model import App, AppKey


class Approval(msgspec.Struct, frozen=True):
    """The approved branch at one moment, compared with where it stood when approval began to be required.

    ``tip``: its newest commit, "" while there is no such branch. ``apps``: approved, each as its file there
    has it; ``removed``: approved to be gone. ``refused``: apps whose file there the record never had, and
    why, a sentence each. No app is in two of them.
    """

    tip: str = ""
    apps: Mapping[AppKey, App] = {}
    removed: frozenset[AppKey] = frozenset()
    refused: Mapping[AppKey, str] = {}
