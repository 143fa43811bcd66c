"""What differs between two mappings of which nearly all is the same, at the cost of what does.

What is recorded, live or told of thousands of apps is compared at every look, and next to nothing of it is
another value than before. Values are compared by identity: the same object is equal, and whatever is another
object counts as different, for the caller to look at. Mappings are not changed once they are made.
"""

from collections.abc import Mapping
from itertools import compress, islice
from operator import is_not
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

_REMEMBERED = 8
"""From how many mappings before it one knows how it differs."""


class Derived(dict[Key, Value]):
    """A mapping that knows which keys may have other values than in those that it was made from."""

    def __init__(self, of: Mapping[Key, Value], changed: Mapping[Key, Value | None]) -> None:
        """``of`` as it is ``changed``, None for what goes; in the order of ``of``, what comes behind it."""
        super().__init__(of)
        for key, value in changed.items():
            if value is None:
                self.pop(key, None)
            else:
                self[key] = value
        self._mark = object()
        self._since: dict[object, frozenset[Key]] = {}
        if isinstance(of, Derived):
            keys = frozenset(changed)
            self._since = {of._mark: keys}
            for mark, before in islice(of._since.items(), _REMEMBERED - 1):
                self._since[mark] = before | keys

    def since(self, other: Mapping[Key, Value]) -> frozenset[Key] | None:
        """The keys that may have other values than in another mapping; None where that is not known."""
        return self._since.get(other._mark) if isinstance(other, Derived) else None


def differing(one: Mapping[Key, Value], other: Mapping[Key, Value]) -> set[Key]:
    """The keys that are on one side only, or whose values are not the same object."""
    if one is other:
        return set()
    known = other.since(one) if isinstance(other, Derived) else None
    if known is None and isinstance(one, Derived):
        known = one.since(other)
    if known is not None:
        return {key for key in known if one.get(key) is not other.get(key)}
    found = set(compress(one, map(is_not, one.values(), map(other.get, one))))  # no step in Python for each
    return found | (other.keys() - one.keys())


def with_these(values: Mapping[Key, Value], chosen: Mapping[Key, Value | None]) -> Mapping[Key, Value]:
    """The values with some of them as they are ``chosen``, None for one that goes, in the order of the keys
    if ``values`` are; the very same mapping where that changes nothing."""
    news = {key: value for key, value in chosen.items() if values.get(key) is not value}
    if not news:
        return values
    after = Derived(values, news)
    if any(key not in values for key in news):
        in_order = sorted(after.items())
        after.clear()
        after.update(in_order)
    return after


class Comparison(Generic[Key, Value]):
    """Two mappings as they were compared last, and which keys differed."""

    def __init__(self) -> None:
        self._one: Mapping[Key, Value] = {}
        self._other: Mapping[Key, Value] = {}
        self._differing: frozenset[Key] = frozenset()

    def of(self, one: Mapping[Key, Value], other: Mapping[Key, Value]) -> frozenset[Key]:
        """As ``differing``."""
        touched = self._differing | differing(self._one, one) | differing(self._other, other)
        self._differing = frozenset(key for key in touched if one.get(key) is not other.get(key))
        self._one, self._other = one, other
        return self._differing
