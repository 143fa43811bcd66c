"""Idempotency keys: UUIDs of version 7 (RFC 9562, section 5.7), each greater than the app's last one.

A receiver drops what is older than what it has, by comparing keys. So a key's order may not depend on a
clock that can be set back: where the clock is not ahead of the last key, the last key is counted up
(RFC 9562, section 6.2, method 1, with ``rand_a`` as the counter).

As text a key is lower-case with hyphens; texts then compare as the numbers that they stand for.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import RFC_4122, UUID

ENTROPY = 10
"""Random bytes that a key takes."""

_VERSION = 7
_VARIANT = 0b10
_COUNTER_BITS, _RANDOM_BITS = 12, 62
_LAST_MS = (1 << 48) - 1


def draw(after: str, unix_ms: int, entropy: bytes) -> str:
    """A key greater than ``after`` ("" for an app that has none).

    ``unix_ms``: milliseconds since 1970, by whatever clock there is; ``entropy``: 10 random bytes.
    Raises ValueError when ``after`` is not a key.
    """
    if len(entropy) != ENTROPY:
        raise ValueError(f"a key takes {ENTROPY} random bytes, not {len(entropy)}")
    noise = int.from_bytes(entropy, "big")
    counter = (noise >> _RANDOM_BITS) & ((1 << _COUNTER_BITS) - 1)
    random = noise & ((1 << _RANDOM_BITS) - 1)
    drawn = _compose(min(max(unix_ms, 0), _LAST_MS - 1), counter, random)
    if drawn > after:
        return drawn
    if parse(after) != after:
        raise ValueError(f"{after!r} is not a key that a greater one can be drawn for")
    number = UUID(after).int
    moment = number >> 80
    counter = ((number >> 64) & ((1 << _COUNTER_BITS) - 1)) + 1
    if counter >> _COUNTER_BITS:
        moment, counter = moment + 1, 0
    return _compose(moment, counter, random)


def parse(text: str) -> str | None:
    """The key that a text gives, in canonical form; None for what is not one.

    Quotes around it are taken off (the header is a structured-field string in the IETF's draft). The last
    millisecond that a UUIDv7 can tell is refused, so that a greater key can always be drawn.
    """
    try:
        uuid = UUID(text.strip().strip('"'))
    except ValueError:
        return None
    if uuid.version != _VERSION or uuid.variant != RFC_4122 or uuid.int >> 80 >= _LAST_MS:
        return None
    return str(uuid)


def drawn_at(key: str) -> datetime:
    """When a key was drawn, by the clock of who drew it, or a little later. ValueError if it is none."""
    return datetime.fromtimestamp((UUID(key).int >> 80) / 1000, UTC)


def source(now: Callable[[], datetime], entropy: Callable[[int], bytes]) -> Callable[[str], str]:
    """``draw`` with a clock and a source of random bytes: from a last key to a greater one."""
    return lambda after: draw(after, int(now().timestamp() * 1000), entropy(ENTROPY))


def _compose(unix_ms: int, counter: int, random: int) -> str:
    return str(UUID(int=unix_ms << 80 | _VERSION << 76 | counter << 64 | _VARIANT << _RANDOM_BITS | random))
