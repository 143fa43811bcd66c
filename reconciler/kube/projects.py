"""Hosstedprojects: listed, their status patched, and watched for what a reconcile must answer to."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import msgspec

from reconciler.kube.client import METADATA_WATCH, Client, Page, segment
from reconciler.kube.watch import changes
from reconciler.kube.wire import ListOf
from reconciler.project import GROUP, PLURAL, VERSION

PATH = f"/apis/{GROUP}/{VERSION}/{PLURAL}"

_RAW = msgspec.json.Decoder(ListOf[msgspec.Raw])


class Projects:
    """The projects of a cluster. All methods raise KubernetesError and its kinds."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def list_projects(self) -> list[bytes]:
        """All projects, each as its JSON, for ``reconciler.project.parse_project``.

        NotFoundError when the cluster does not know the kind.
        """
        return (await self._client.list_all(PATH, _raw_page)).items

    async def patch_status(self, name: str, patch: Mapping[str, object]) -> None:
        """Apply a merge patch to a project's status subresource; NotFoundError when it is gone."""
        path, body = f"{PATH}/{segment(name)}/status", msgspec.json.encode(patch)
        await self._client.patch(path, body, METADATA_WATCH)  # not the whole status back

    async def changes(self) -> AsyncGenerator[None, None]:
        """Yield once when the watch begins, then on each change that matters: see ``watch.changes``."""
        async with aclosing(changes(self._client, PATH)) as names:
            async for _ in names:
                yield


def _raw_page(body: bytes) -> Page[bytes]:
    page = _RAW.decode(body)
    items = [bytes(item) for item in page.items or ()]
    return Page(items, page.metadata.resource_version, page.metadata.token)
