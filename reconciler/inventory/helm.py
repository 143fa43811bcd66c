"""Read Helm's release storage: a body by its prefix, and which revision of a release is the newest.

A body is base64 of gzip of JSON (Helm's ``pkg/storage/driver/util.go``, the same in Helm 3 and 4); the
API adds a base64 of its own to what a Secret holds. Go writes the JSON's members in the order of the
struct ``Release``: name, info, chart (its metadata first), then templates, values, config, manifest,
hooks, version, namespace. So the body is inflated until the chart's metadata has ended, cut there, and
closed: what comes behind, secrets among it, is never inflated, and a bomb costs what its prefix costs.
A body in another order is inflated whole, up to a bound, and decoded without keeping the rest.

What is not read is not judged, except that the length in gzip's trailer (RFC 1952) must be possible:
that tells most truncated bodies, and a bomb, without inflating them.
"""

import re
import zlib
from binascii import a2b_base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, NamedTuple

import msgspec

from reconciler.errors import ReleaseError
from reconciler.inventory.objects import Kind, ReleasePayload, StoredRelease
from reconciler.model import AppKey

MAX_INFLATED = 32 * 2**20
"""Bytes. A Secret holds at most 1 MiB, so 0.75 MiB of gzip; a release's JSON, half of it base64, inflates
to 10 MiB at the very most. Inflating this much takes some 50 ms, and only a body in an odd order needs it."""

MAX_DECLARED = 256 * 2**20
"""Bytes that a body may say it inflates to. More is over 340 times its size: nothing but filling packs so
well, and Helm itself would need gigabytes of memory for it."""

_STEP = 4 * 2**10  # bytes inflated between two looks for the end: name, info and metadata of many a chart
_CHUNK = 2 * 2**10  # characters of base64 decoded at a time; a multiple of each block below
_BLOCKS = {Kind.RELEASE_SECRETS: 16, Kind.RELEASE_CONFIGMAPS: 4}  # characters that decode on their own
_DEFLATE_RATIO = 1032  # the most that deflate can gain (zlib's own figure)
_GZIP_MAGIC = b"\x1f\x8b\x08"
_TRAILER = 8  # bytes: CRC-32, then the length modulo 2**32

_AFTER_METADATA = b'},"lock":'
"""What follows ``chart.metadata``: Go always writes ``lock``. A string cannot hold it (its quotes would be
escaped), nor can metadata, which has no member of that name behind an object."""

Text = Annotated[str, msgspec.Meta(max_length=1024)]  # kept, so bounded; Helm's own names are far shorter


class _Metadata(msgspec.Struct):
    name: Text
    version: Text = ""
    app_version: Text = msgspec.field(default="", name="appVersion")


class _Chart(msgspec.Struct):
    metadata: _Metadata


class _Info(msgspec.Struct):
    last_deployed: Text = ""
    description: str = ""


class _Release(msgspec.Struct):
    name: Text
    info: _Info
    chart: _Chart


_DECODER = msgspec.json.Decoder(_Release)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_ROLLBACK = re.compile(r"Rollback to ([1-9][0-9]{0,9})")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_LONGEST_NAME = 53  # Helm's chartutil.ValidateReleaseName
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")


def read_payload(data: str | bytes, driver: Kind) -> ReleasePayload:
    """Decode ``data.release`` as the API's JSON gives it for that driver (Secret: one base64 more).

    Bytes from which the API's base64 is already gone have the form of ``Kind.RELEASE_CONFIGMAPS``.
    Raises ReleaseError, with a message that goes behind the object's name ("is not gzip") and repeats
    nothing of the body.
    """
    declared = _declared_size(data, _BLOCKS[driver])
    found = _read(_inflated(_gzip(data, _BLOCKS[driver])), declared)
    deployed = found.info.last_deployed
    if deployed and not _RFC3339.fullmatch(deployed):
        raise ReleaseError("has an info.last_deployed that is not RFC 3339")
    if not found.name or not found.chart.metadata.name:
        raise ReleaseError("names no release, or no chart")
    rollback = _ROLLBACK.fullmatch(found.info.description)
    return ReleasePayload(
        name=found.name,
        last_deployed=deployed,
        chart_name=found.chart.metadata.name,
        chart_version=found.chart.metadata.version,
        app_version=found.chart.metadata.app_version,
        rolled_back_to=int(rollback[1]) if rollback else 0,
    )


def _read(inflated: Iterator[bytes], declared: int) -> _Release:
    """The release at the beginning of the inflated text; the rest is inflated only if it must be."""
    text = bytearray()
    in_order = True
    for piece in inflated:
        start = max(0, len(text) - len(_AFTER_METADATA))
        text += piece
        if len(text) > declared:
            raise ReleaseError("is truncated or damaged: it is longer than it says")
        end = text.find(_AFTER_METADATA, start) if in_order else -1
        if end >= 0:
            try:
                return _DECODER.decode(bytes(text[: end + 1]) + b"}}")
            except (msgspec.DecodeError, UnicodeDecodeError):
                in_order = False  # another order, or not a release: the whole text decides
        if len(text) > MAX_INFLATED:
            raise ReleaseError(f"does not show its chart in its first {MAX_INFLATED // 2**20} MiB")
    try:
        return _DECODER.decode(text)
    except msgspec.ValidationError as error:
        raise ReleaseError(f"is not a release of Helm's: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReleaseError(f"is not JSON: {error}") from None


def _inflated(gzip: Iterator[bytes]) -> Iterator[bytes]:
    """The inflated text in pieces of at most ``_STEP`` bytes, up to the end of the gzip stream."""
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        for chunk in gzip:
            waiting = chunk
            while waiting and not stream.eof:
                piece = stream.decompress(waiting, _STEP)
                waiting = stream.unconsumed_tail
                if piece:
                    yield piece
            if stream.eof:
                return
    except zlib.error as error:
        raise ReleaseError(f"is truncated or damaged: {error}") from error
    raise ReleaseError("is truncated: its gzip stream does not end")


def _gzip(data: str | bytes, block: int) -> Iterator[bytes]:
    for start in range(0, len(data), _CHUNK):
        yield _unwrapped(data[start : start + _CHUNK], block)


def _declared_size(data: str | bytes, block: int) -> int:
    """The length that gzip's trailer declares, when it is possible at all."""
    head = _unwrapped(data[: 2 * block], block)
    if not head.startswith(_GZIP_MAGIC):
        raise ReleaseError("is not gzip" if head else "is empty")
    # The last blocks, counted from the front, decode on their own; four of them hold the trailer.
    tail = _unwrapped(data[max(0, (len(data) - 1) // block - 3) * block :], block)
    declared = int.from_bytes(tail[-_TRAILER:][4:], "little")
    if declared > _DEFLATE_RATIO * len(data):
        raise ReleaseError("is truncated or damaged: the length in its gzip trailer is impossible")
    if declared > MAX_DECLARED:
        raise ReleaseError(
            f"would inflate to {declared // 2**20} MiB, and more than {MAX_DECLARED // 2**20} MiB is refused"
        )
    return declared


def _unwrapped(text: str | bytes, block: int) -> bytes:
    """What is under a Secret's two layers of base64, or a ConfigMap's one."""
    try:
        inner = a2b_base64(text, strict_mode=True)
        return a2b_base64(inner, strict_mode=True) if block == _BLOCKS[Kind.RELEASE_SECRETS] else inner
    except ValueError as error:  # binascii.Error, or characters beyond ASCII
        raise ReleaseError("is not base64, or truncated") from error


class HelmRevision(NamedTuple):
    """A revision of a release as its labels tell it."""

    revision: int
    status: str


def is_release_name(name: str) -> bool:
    """Whether Helm would give a release this name: a DNS subdomain of at most 53 characters."""
    return len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None


def revision_number(stored: StoredRelease) -> int | None:
    """The revision that the label ``version`` names, or None where that is no number."""
    return int(stored.version) if _NUMBER.fullmatch(stored.version) else None


def newest(revisions: Iterable[StoredRelease]) -> StoredRelease:
    """The newest of a release's revisions, compared as integers; ValueError for none.

    One without a number cannot be compared; it is the newest if it was created after the newest of the
    others. A release that is in both drivers counts as one, its later object first.
    """
    every = tuple(revisions)
    numbered = [stored for stored in every if revision_number(stored) is not None]
    latest = max(every, key=_created)
    if not numbered:
        return latest
    greatest = max(numbered, key=lambda stored: (revision_number(stored) or 0, _created(stored)))
    return latest if revision_number(latest) is None and latest.created > greatest.created else greatest


def _created(stored: StoredRelease) -> tuple[object, ...]:
    return stored.created, stored.driver, stored.object_name, stored.uid


def by_key(releases: Iterable[StoredRelease]) -> Mapping[AppKey, tuple[StoredRelease, ...]]:
    """Stored revisions by the release that they are of; those without a name label are left out."""
    groups: dict[AppKey, list[StoredRelease]] = {}
    for stored in releases:
        if stored.name:
            groups.setdefault(AppKey(stored.namespace, stored.name), []).append(stored)
    return {key: tuple(group) for key, group in groups.items()}


def history(revisions: Iterable[StoredRelease]) -> tuple[HelmRevision, ...]:
    """The revisions that have a number, ascending, each once (in the later object's words)."""
    known: dict[int, StoredRelease] = {}
    for stored in sorted(revisions, key=_created):
        number = revision_number(stored)
        if number is not None:
            known[number] = stored
    return tuple(HelmRevision(number, known[number].status) for number in sorted(known))
