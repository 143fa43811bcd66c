"""Events on a project: what happened, for ``kubectl describe`` and ``kubectl get events``."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import msgspec

from reconciler.errors import ReconcilerError
from reconciler.kube.client import FIELD_MANAGER, Client
from reconciler.project import GROUP, KIND, VERSION

LONGEST_MESSAGE = 1024
"""Bytes; the API server refuses more."""

NAMESPACE = "default"
"""Where Kubernetes keeps the Events of objects that have no namespace."""

_LOG = logging.getLogger(__name__)


class Events:
    """Writes core/v1 Events. ``instance``: which process says it (a pod's name)."""

    def __init__(
        self, client: Client, instance: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._client = client
        self._instance = instance
        self._now = now

    async def emit(
        self, name: str, uid: str, type_: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Write one Event about the project of that name and UID; ``reason``: one CamelCase word.

        A failure is logged and nothing else: an Event is news, not state.
        """
        body = event(name, uid, type_, reason, message, instance=self._instance, at=self._now())
        try:
            await self._client.create(f"/api/v1/namespaces/{NAMESPACE}/events", body, bytes)
        except ReconcilerError as error:
            _LOG.warning("the Event %s about %s %s could not be written: %s", reason, KIND, name, error)


def event(
    name: str, uid: str, type_: str, reason: str, message: str, *, instance: str, at: datetime
) -> bytes:
    """The Event's JSON, its message cut to size."""
    moment = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return msgspec.json.encode(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{name[:40]}.", "namespace": NAMESPACE},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "name": name,
                "uid": uid,
            },
            "type": type_,
            "reason": reason,
            "message": cut(message),
            "source": {"component": FIELD_MANAGER},
            "reportingComponent": FIELD_MANAGER,
            "reportingInstance": instance,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }
    )


def cut(message: str) -> str:
    """At most ``LONGEST_MESSAGE`` bytes of a message, whole characters, an ellipsis where it was cut."""
    encoded = message.encode()
    if len(encoded) <= LONGEST_MESSAGE:
        return message
    ellipsis = "…"
    room = LONGEST_MESSAGE - len(ellipsis.encode())
    return encoded[:room].decode(errors="ignore") + ellipsis
