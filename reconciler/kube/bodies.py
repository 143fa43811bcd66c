"""What is in the Secrets and ConfigMaps that are listed by metadata alone: releases, and UUIDs.

Read in protobuf where the server offers it: a Secret's value is then free of the API's own base64, a quarter
less to send and to decode. One by one, or by a list, whose items are decoded as they are asked for.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar

import msgspec

from reconciler.kube import protobuf, wire
from reconciler.kube.resources import ListedRelease, Resource

V = TypeVar("V", str | bytes, bytes)

Releases = Resource[ListedRelease]

SUPERSEDED = "superseded"
"""The status of a revision after which another was deployed."""


class Content(NamedTuple, Generic[V]):
    """An object's UID, and the value that is wanted of it; None when it has none."""

    uid: str
    value: V | None


class Contents(NamedTuple, Generic[V]):
    """A page of a list. ``token``: for the next page, "" on the last."""

    items: Iterator[Content[V]]
    token: str


def release_body(body: bytes) -> Content[str | bytes]:
    """``data.release`` of a release's object: a text as JSON has it, bytes as protobuf has it.

    A Secret's text is in the API's base64, its bytes are not.
    """
    if protobuf.is_protobuf(body):
        return _content(protobuf.one("Body", body), "release")
    return _release(_RELEASE.decode(body))


def release_bodies(pieces: Iterable[bytes]) -> Contents[bytes]:
    """The same of a page of them, in protobuf, as it comes."""
    return _contents(pieces, "release")


def uuid_body(body: bytes) -> Content[bytes]:
    """The value of the key ``uuid`` of a Secret."""
    if protobuf.is_protobuf(body):
        return _content(protobuf.one("Body", body), "uuid")
    return _uuid(_UUID.decode(body))


def uuid_bodies(pieces: Iterable[bytes]) -> Contents[bytes]:
    """The same of a page of them, in protobuf, as it comes."""
    return _contents(pieces, "uuid")


def current_params(resource: Releases, without: Collection[str]) -> Mapping[str, str]:
    """Selectors of a list of releases that leaves out what another has superseded: of each release the
    newest revision stays, and such as never were the deployed one's predecessor."""
    params = dict(resource.params(without))
    params["labelSelector"] += f",status!={SUPERSEDED}"
    return params


def _release(found: wire.ReleaseBody) -> Content[str | bytes]:
    return Content(found.metadata.uid, found.data.release if found.data else None)


def _uuid(found: wire.UuidBody) -> Content[bytes]:
    return Content(found.metadata.uid, found.data.uuid if found.data else None)


def _contents(pieces: Iterable[bytes], key: str) -> Contents[bytes]:
    page = protobuf.flowing("Body", pieces)
    return Contents((_content(item, key) for item in page.items), page.token)


def _content(item: protobuf.Message, key: str) -> Content[V]:
    return Content(item.metadata.uid, protobuf.value(item, key))


_RELEASE = msgspec.json.Decoder(wire.ReleaseBody)
_UUID = msgspec.json.Decoder(wire.UuidBody)
