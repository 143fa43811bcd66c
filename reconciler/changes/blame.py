"""Which lines of a stored document were there before, so that each can be traced to who wrote it. Pure.

A line says little without what it stands under: ``status: Running`` may be any pod's. So a line is the same
in two documents when it belongs to the same lines there, down to the item of a list (``- name: web-0``).
Where it stands among its neighbours does not matter: the lists of a document are sorted.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

_ITEM = "- "

_Place = tuple[str | int, ...]
"""A line below those that it belongs to, the outermost first; and which one it is of several such."""


def carried(newer: Sequence[str], older: Sequence[str]) -> Mapping[int, int]:
    """The lines of ``newer`` that ``older`` has as well, each with its number there. Of block-style YAML."""
    there = {place: number for number, place in enumerate(_places(older))}
    return {number: there[place] for number, place in enumerate(_places(newer)) if place in there}


def _places(lines: Iterable[str]) -> Iterable[_Place]:
    met: Counter[_Place] = Counter()
    above: list[tuple[int, str]] = []
    for line in lines:
        text = line.lstrip(" ")
        depth = 2 * (len(line) - len(text)) + text.startswith(_ITEM)  # an item belongs to the key above it
        while above and above[-1][0] >= depth:
            above.pop()
        above.append((depth, text))
        place = tuple(each for _, each in above)
        met[place] += 1
        yield (*place, met[place])
