"""How values are put into words: sizes, images, names, counts.

Whatever comes from a cluster is made harmless first: one line, no control characters (a chart's version
may hold anything, and a commit's trailers, a terminal and a web page all read what is written here).
"""

from collections.abc import Iterable

from reconciler.changes.images import ImageName, parse_image

_LONGEST_VALUE = 200
_SHORT_DIGEST = 12
_UNITS = (
    *((1024**power, f"{letter}i") for power, letter in reversed(tuple(enumerate("KMGTPE", start=1)))),
    *((1000**power, letter) for power, letter in reversed(tuple(enumerate("kMGTPE", start=1)))),
)


def clean(text: str) -> str:
    """One printable line of at most 200 characters; what was lost is marked."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "�" for c in text)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def arrow(before: str, after: str) -> str:
    return f"{before or 'none'} → {after or 'none'}"


def count(number: int, noun: str) -> str:
    """``1 app``, ``1,200 apps``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(texts: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = texts
    return f"{', '.join(most)} and {last}" if most else last


def size(text: str) -> str:
    """A number of bytes as Kubernetes would write it, always exact: ``1Gi``, ``1536Mi``, ``10G``."""
    if not text.isdecimal():
        return clean(text)
    number = int(text)
    for factor, unit in _UNITS:
        if number and number % factor == 0 and number // factor < 10_000:
            return f"{number // factor}{unit}"
    return count(number, "byte")


def image(reference: str) -> str:
    """An image for a sentence: without its registry, digests shortened."""
    parts = parse_image(clean(reference))
    return parts.repository + _version(parts, ":")


def image_change(before: str, after: str) -> str:
    """From one image to another, naming no more than what differs: ``web 1.0 → 1.1``."""
    old, new = parse_image(clean(before)), parse_image(clean(after))
    if old.path == new.path:
        return f"{old.short} {arrow(_version(old), _version(new))}"
    if old.registry == new.registry:
        return arrow(old.repository + _version(old, ":"), new.repository + _version(new, ":"))
    return arrow(old.path + _version(old, ":"), new.path + _version(new, ":"))


def _version(parts: ImageName, before_tag: str = "") -> str:
    tag = f"{before_tag}{parts.tag}" if parts.tag else ""
    if not parts.digest:
        return tag or f"{before_tag}latest"
    algorithm, _, hexadecimal = parts.digest.partition(":")
    return f"{tag}@{algorithm}:{hexadecimal[:_SHORT_DIGEST]}"
