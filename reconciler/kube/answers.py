"""What the API server's answers mean: errors from its Status objects, and when to ask again. Pure."""

import re
from contextlib import suppress

import msgspec

from reconciler.errors import (
    ConflictError,
    ForbiddenError,
    KubernetesError,
    NotFoundError,
    ReconcilerError,
    TooLargeError,
)
from reconciler.kube import protobuf
from reconciler.kube.transport import Answer

MESSAGE_LIMIT = 400
"""Characters of the server's own message that are passed on."""

ATTEMPTS = 3
"""How often a request is sent at most before its failure is the caller's."""

RETRY_AFTER_LIMIT = 10.0
"""Seconds that one request waits for a busy server; longer waits are the loop's business."""

_CREDENTIAL = re.compile(r"(?i)\b(bearer|basic)\s+\S+|//[^/\s@]+@")


class Cause(msgspec.Struct, frozen=True):
    reason: str = ""


class StatusDetails(msgspec.Struct, frozen=True, rename="camel"):
    causes: list[Cause] | None = None
    retry_after_seconds: int = 0


class Status(msgspec.Struct, frozen=True):
    """The part of ``meta/v1 Status`` that is used, as in an error's body or a watch's ERROR event."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None


_STATUS = msgspec.json.Decoder(Status)


def error_for(request: str, answer: Answer) -> ReconcilerError:
    """The error for an answer that is none of 2xx. ``request``: what was asked, for people."""
    status = status_in(answer.body)
    return error_of(request, answer.status, status)


def error_of(request: str, code: int, status: Status) -> ReconcilerError:
    """As ``error_for``, for a Status that came another way, as in a watch."""
    text = f"{request}: {_message(code, status)}"
    causes = (status.details.causes if status.details else None) or []
    if code == 413 or any(cause.reason == "FieldValueTooLong" for cause in causes):
        return TooLargeError(text)
    kinds = {403: ForbiddenError, 404: NotFoundError, 409: ConflictError}
    return kinds.get(code, KubernetesError)(text, code)


def status_in(body: bytes) -> Status:
    """The Status object of an error's body; an empty one when it is something else (a proxy's page)."""
    if protobuf.is_protobuf(body):
        with suppress(ValueError):
            found = protobuf.one("Status", body)
            return Status(found.message, found.reason, found.code)
        return Status()
    try:
        return _STATUS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Status()


def asks_again(method: str, answer: Answer) -> bool:
    """Whether the same request is worth sending again: it was not acted on, or acting twice is harmless."""
    return answer.status == 429 or (method == "GET" and answer.status in (502, 503, 504))


def pause(attempt: int, retry_after: str, jitter: float) -> float:
    """Seconds before the next attempt. ``attempt`` counts from 1; ``jitter`` is in [0, 1).

    ``Retry-After`` in whole seconds, as the API server sends it, is kept to, within the limit.
    """
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after), RETRY_AFTER_LIMIT)
    return 0.1 * 4.0 ** (attempt - 1) * (0.5 + jitter)


def _message(code: int, status: Status) -> str:
    text = " ".join((status.message or status.reason).split())
    text = _CREDENTIAL.sub("[hidden]", text)
    if not text:
        return f"the API server answered {code}"
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"
