"""The events of a watch, in either form.

In protobuf one is a ``metav1.WatchEvent``, whose object is in the envelope that an answer has too; in JSON an
object with ``type`` and ``object``.
"""

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import msgspec

from reconciler.kube import answers, protobuf, wire

T = TypeVar("T")


class Raw(NamedTuple):
    """``type``: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR; ``object``: in the form that the event had."""

    type: str
    object: bytes


class Versioned(NamedTuple, Generic[T]):
    """What is kept of an object, and its ``resourceVersion``."""

    item: T
    version: str


class Event(NamedTuple, Generic[T]):
    """``item``: what is kept of the object, None of a BOOKMARK; ``version``: up to it all was heard."""

    type: str
    item: T | None
    version: str


def read_raw(request: str, frame: bytes) -> Raw:
    """An event but for what it is about. ``request``: what was asked, for people.

    Raises what an ERROR says, and ValueError or msgspec.DecodeError for what is no event.
    """
    if frame.startswith(b"{"):
        found = _EVENT.decode(frame)
        event = Raw(found.type, bytes(found.object))
    else:
        event = Raw(*protobuf.event(frame))
    if event.type == "ERROR":
        status = answers.status_in(event.object)
        raise answers.error_of(request, status.code, status)
    return event


def reader(request: str, read: Callable[[bytes], Versioned[T]]) -> Callable[[bytes], Event[T]]:
    """What reads the events of a watch whose objects ``read`` reads; it raises what ``read_raw`` does."""

    def event(frame: bytes) -> Event[T]:
        found = read_raw(request, frame)
        if found.type == "BOOKMARK":
            return Event(found.type, None, _bookmark(found.object))
        return Event(found.type, *read(found.object))

    return event


def _bookmark(body: bytes) -> str:
    if protobuf.is_protobuf(body):
        return str(protobuf.one("Object", body).metadata.resource_version)
    return _BOOKMARK.decode(body).metadata.resource_version


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


_EVENT = msgspec.json.Decoder(_Event)
_BOOKMARK = msgspec.json.Decoder(wire.Bookmark)
