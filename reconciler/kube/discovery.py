"""Which kinds a server has, of those that it may not have.

That a kind is not there is said by the server's own discovery, and by nothing else: a 404 may come from a
gateway, and 403 is what a kind that is not there is to whom it would be forbidden.
"""

from typing import Any, Literal

import msgspec

from reconciler.errors import ForbiddenError, KubernetesError, NotFoundError
from reconciler.kube.client import Client
from reconciler.kube.resources import Resource


async def is_served(client: Client, resource: Resource[Any]) -> bool:
    """Whether the server has a kind now. One request when it has, two when it has nothing of the group.

    Also true when discovery is forbidden: then asking for the kind tells. KubernetesError when it cannot be
    told.
    """
    try:
        found = await client.read(resource.prefix, _RESOURCES.decode)
    except ForbiddenError:
        return True
    except NotFoundError as error:
        await _prove_absence(client, resource.prefix, error)
        return False
    return any(one.name == resource.plural for one in found.resources or ())


async def _prove_absence(client: Client, prefix: str, error: KubernetesError) -> None:
    """Raise ``error`` unless the server's list of groups agrees that it has no such group and version."""
    group_version = prefix.removeprefix("/apis/")
    groups = (await client.read("/apis", _GROUPS.decode)).groups or ()
    if any(version.group_version == group_version for group in groups for version in group.versions or ()):
        raise error


class _Resource(msgspec.Struct, frozen=True):
    name: str


class _Resources(msgspec.Struct, frozen=True):
    kind: Literal["APIResourceList"]
    resources: list[_Resource] | None = None


class _Version(msgspec.Struct, frozen=True, rename="camel"):
    group_version: str


class _Group(msgspec.Struct, frozen=True):
    versions: list[_Version] | None = None


class _Groups(msgspec.Struct, frozen=True):
    kind: Literal["APIGroupList"]
    groups: list[_Group] | None = None


_RESOURCES = msgspec.json.Decoder(_Resources)
_GROUPS = msgspec.json.Decoder(_Groups)
