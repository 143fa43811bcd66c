"""What others did to the record, and a commit puts right, in words.

Each is a text of the form ``<what> was <done to it>``, with more after a colon where there is more to say:
``default/test was edited by Jane Doe in 1a2b3c4d``.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from reconciler.changes.wording import clean, count

_MOST_LINES = 20
_FORM = re.compile(r"(?P<what>.*?),? (?P<verb>was|were) (?P<done>.*?)(?P<rest>: .*)?")
_PLAIN = frozenset({"added", "deleted", "edited", "lost", "moved", "renamed"})


class _Parts(NamedTuple):
    """``done`` is "" for a text of another form; ``rest`` begins with its colon."""

    what: str
    verb: str
    done: str
    rest: str


def restored_subject(restored: Sequence[str]) -> str:
    """``restore default/test, which was edited by Jane Doe in 1a2b3c4d``; several as a count."""
    parts = [_parts(text) for text in restored]
    if len(parts) == 1:
        return _sentence(parts[0])
    words = [part.done.split(" ") for part in parts]
    done = _either([word[0] if word[0] in _PLAIN else "changed" for word in words])
    if all(word[1:2] == ["by"] for word in words):
        return f"restore {count(len(parts), 'file')} that others {done}"
    return f"restore {count(len(parts), 'part')} of the record, which were {done}"


def restored_lines(restored: Sequence[str]) -> list[str]:
    """A sentence for each, cut with a count."""
    kept = restored if len(restored) <= _MOST_LINES else restored[: _MOST_LINES - 1]
    parts = [_parts(text) for text in kept]
    rest = [] if len(kept) == len(restored) else [f"… and {len(restored) - len(kept):,} more"]
    return [*(_sentence(part) + part.rest for part in parts), *rest]


def _sentence(part: _Parts) -> str:
    if not part.done:
        return f"restore what others changed: {part.what}"
    verb = "remove" if part.done.startswith("added ") else "restore"
    return f"{verb} {part.what}, which {part.verb} {part.done}"


def _parts(text: str) -> _Parts:
    line = clean(text)
    match = _FORM.fullmatch(line)
    if match is None:
        return _Parts(line, "", "", "")
    return _Parts(match["what"], match["verb"], match["done"], match["rest"] or "")


def _either(verbs: Sequence[str]) -> str:
    *most, last = dict.fromkeys(verbs)
    return f"{', '.join(most)} or {last}" if most else last
