"""An app's UUID: from the Secret ``uuid`` of its namespace, adopted, or derived from where it is."""

import re
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

from reconciler.inventory.objects import UuidSecret
from reconciler.model import AppKey

_USABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


class AppUuid(NamedTuple):
    """``hossted_helm``: it came from the Secret."""

    app_uuid: str
    hossted_helm: bool


def derived(cluster_uuid: str, key: AppKey) -> str:
    """The UUID of an app that has no other: the same as long as cluster, namespace and name are."""
    return f"A-{uuid5(NAMESPACE_URL, f'hossted.com/app/{cluster_uuid}/{key.namespace}/{key.name}')}"


def fault(secret: UuidSecret) -> str:
    """Why the Secret cannot be used, in words for people that do not repeat its value; "" if it can."""
    if secret.problem:
        return secret.problem
    if _USABLE.fullmatch(secret.value):
        return ""
    return (
        "the value of its key uuid is no app UUID: write 1 to 128 letters, digits, dots, hyphens or "
        "underscores, without a line break, the first a letter or a digit"
    )


def app_uuid(
    key: AppKey,
    *,
    secret: UuidSecret | None,
    hidden: bool,
    cluster_uuid: str,
    adopted: str,
    last: AppUuid | None,
) -> AppUuid:
    """The app's UUID.

    ``secret``: the one of its namespace, if there is one; ``hidden``: there may be another than that,
    since it could not be looked for; ``adopted``: the UUID taken over for this app, or ""; ``last``: the
    UUID that it had, which it keeps when the Secret cannot be read or used.
    """
    unusable = secret is not None and fault(secret) != ""
    if last is not None and (hidden or unusable):
        return last
    if secret is not None and not unusable:
        return AppUuid(f"A-{secret.value}", True)
    return AppUuid(adopted or derived(cluster_uuid, key), False)
