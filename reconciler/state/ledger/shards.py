"""The ledger's ConfigMaps as values: which entry is where, and how it is written. Pure.

    <name>                         the facts: data["ledger.json"]
    <name>-shard                   the root of a tree of shards
    <name>-shard-<bits>-<random>   the shards that a shard was split into

A shard is a leaf or a branch. A leaf has the entries whose key's hash begins with its ``bits``, each in
JSON (packed, unless it is small) under ``<namespace>_<release>``. A branch has none: it names its
children, whose bits, without overlap or hole, continue its own. ``shard.json`` says which it is.

A split is one compare-and-swap. First the children are created and filled: nobody reads them, because
nothing names them, and no other attempt can write them, because their names are drawn. Then the leaf is
replaced by the branch that names them, if it is still the version that was split. Before that step its
entries are found in it, after it in the children, and at no moment in both or in neither. A writer who
knows the leaf only as it was fails on its version. Children that came to nothing say which version of
which shard they were made ``of``; when that shard is at another version and does not name them, nobody
ever will, and they are deleted.

Each ConfigMap has its own UID in what it holds: one that was restored from a backup has another.
"""

import base64
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

import msgspec

from reconciler.errors import FormatError, TooLargeError
from reconciler.model import FORMAT, AppKey, encode
from reconciler.policy.entry import Entry, LedgerFacts
from reconciler.state.configmap.access import PACKED_LIMIT, pack, unpack
from reconciler.state.ledger.contract import Preface

FACTS_KEY: Final = "ledger.json"
SHARD_KEY: Final = "shard.json"

SPLIT_AT: Final = 32 * 1024
"""Bytes of data above which a shard is split, about 25 apps of usual size at rest: what it costs to mark one
of them, and again to acknowledge it."""

PACK_AT: Final = 1024
"""Bytes of JSON above which an entry is packed. It says much twice or three times, so it takes a sixth."""

HASH_BITS: Final = 64
_PACKED: Final = "gzip:"


class FactsDocument(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """``suspect``: of this ledger, until it is settled. ``settled``: how often it was."""

    format: int
    uid: str = ""
    facts: LedgerFacts = LedgerFacts()
    suspect: bool = False
    settled: int = 0


class ShardDocument(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """``uid``: of the ConfigMap, "" while it is empty; ``children``: names by bits, none for a leaf;
    ``of`` and ``version``: the shard that it was split from, and at which resourceVersion."""

    format: int
    uid: str = ""
    bits: str = ""
    of: str = ""
    version: str = ""
    children: Mapping[str, str] = {}


_FACTS = msgspec.json.Decoder(FactsDocument)
_SHARD = msgspec.json.Decoder(ShardDocument)
_ENTRY = msgspec.json.Decoder(Entry)
_PREFACE = msgspec.json.Decoder(Preface)


def hash_bits(key: AppKey) -> str:
    """The hash of a key as 64 binary digits, most significant first."""
    hashed = int.from_bytes(blake2b(str(key).encode(), digest_size=HASH_BITS // 8).digest(), "big")
    return f"{hashed:0{HASH_BITS}b}"


def data_key(key: AppKey) -> str:
    """The ConfigMap key of an entry: ``_`` is in no namespace's name, so the first one divides the two."""
    return f"{key.namespace}_{key.name}"


def app_key(text: str) -> AppKey:
    """The inverse of ``data_key``."""
    namespace, _, name = text.partition("_")
    return AppKey(namespace, name)


def encode_entry(entry: Entry) -> str:
    return packed(encode(entry).decode())


def packed(text: str) -> str:
    """An entry as it is written now, of one that was written before, maybe when fewer were packed."""
    if len(text) <= PACK_AT or text.startswith(_PACKED):
        return text
    return _PACKED + base64.b64encode(pack(text.encode())).decode()


def decode_entry(text: str, where: str) -> Entry:
    """Raises FormatError naming ``where`` for what is no entry."""
    try:
        packed = text.removeprefix(_PACKED)
        plain = unpack(base64.b64decode(packed), where) if packed != text else text.encode()
        return _ENTRY.decode(plain)
    except ValueError as error:  # msgspec's and base64's are ValueErrors
        raise FormatError(
            f"{where} is not an entry that we wrote: delete it, and the app is told again"
        ) from error


def encode_facts(document: FactsDocument) -> str:
    return _pretty(document)


def decode_facts(text: str, where: str) -> FactsDocument:
    """Raises FormatError naming ``where`` for a newer program's ledger, or none."""
    _refuse_newer(text, where)
    try:
        return _FACTS.decode(text)
    except msgspec.DecodeError as error:
        raise not_ours(where) from error


def encode_shard(document: ShardDocument) -> str:
    return _pretty(document)


def decode_shard(text: str, where: str) -> ShardDocument:
    """As ``decode_facts``, for a shard's description."""
    _refuse_newer(text, where)
    try:
        return _SHARD.decode(text)
    except msgspec.DecodeError as error:
        raise not_ours(where) from error


def size(data: Mapping[str, str]) -> int:
    """Bytes of a ConfigMap's data as Kubernetes counts them."""
    return sum(len(key) + len(value.encode()) for key, value in data.items())


def divide(bits: str, data: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Entries by the bits of the leaves that they belong in, below the one that has ``bits``.

    A leaf is as large as SPLIT_AT, or has a single entry. TooLargeError when that fits no ConfigMap.
    """
    if size(data) <= SPLIT_AT or len(data) == 1 or len(bits) == HASH_BITS:
        for key, text in data.items():
            if len(text) > PACKED_LIMIT:
                raise TooLargeError(
                    f"app {app_key(key)} takes {len(text)} bytes in the ledger, and a ConfigMap holds"
                    f" {PACKED_LIMIT}: deny its namespace (spec.denyNamespaces), or let it have fewer objects"
                )
        return {bits: dict(data)}
    halves: dict[str, dict[str, str]] = {bits + "0": {}, bits + "1": {}}
    for key, text in data.items():
        halves[hash_bits(app_key(key))[: len(bits) + 1]][key] = text
    return {leaf: items for half, some in halves.items() for leaf, items in divide(half, some).items()}


def descend(bits: str, children: Iterable[str]) -> bool:
    """Whether the children's bits continue a branch's."""
    return all(child.startswith(bits) and child != bits for child in children)


def covers(leaves: Iterable[str]) -> bool:
    """Whether every hash belongs to one of the leaves, and to one only (given that they form a tree)."""
    return sum(1 << (HASH_BITS - len(bits)) for bits in leaves) == 1 << HASH_BITS


def leaf_of(leaves: Iterable[str], key: AppKey) -> str:
    """Which of the leaves' bits a key belongs to."""
    hashed = hash_bits(key)
    return next(bits for bits in leaves if hashed.startswith(bits))


def _pretty(document: object) -> str:
    return msgspec.json.format(encode(document), indent=2).decode() + "\n"


def _refuse_newer(text: str, where: str) -> None:
    try:
        newer = _PREFACE.decode(text).is_newer
    except msgspec.DecodeError as error:
        raise not_ours(where) from error
    if newer:
        raise FormatError(f"{where} was written by a newer program (format above {FORMAT}): upgrade this one")


def not_ours(where: str) -> FormatError:
    """The error for what is there and makes no sense."""
    return FormatError(f"{where} is not a ledger that we wrote: restore it from a backup, or delete it")
