"""Reads the YAML that this program writes from the C parser's events, without the layers in between.

Nine times as fast as the whole reader, which matters for thousands of documents at a start. Only what is
certain is decided here: mappings with strings as keys, sequences, strings, booleans, decimal integers. All
else (tags, anchors, other types, mistakes) is for the whole reader.
"""

import re
from functools import lru_cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.resolver import VersionedResolver

_PARSER: Any = YAML(typ="safe", pure=False).Parser  # libyaml's

_DEEPEST = 20  # levels; a stored app has five

_BOOLEANS = {"true": True, "false": False}
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_STRING = VersionedResolver.DEFAULT_SCALAR_TAG
_RESOLVER = VersionedResolver()


class UnusualError(Exception):
    """The document is for the whole reader: it may be wrong, or only unusual."""


def load_plain(data: bytes) -> dict[str, Any]:
    """What the whole reader would give for a document that is one plain mapping; else UnusualError."""
    try:
        return _load(_PARSER(data))
    except (YAMLError, ValueError) as error:
        raise UnusualError from error


def _load(parser: Any) -> dict[str, Any]:  # noqa: PLR0912 - one loop over the kinds of events, as fast as can be
    next_event = parser.get_event
    _begin(next_event)
    root: dict[str, Any] = {}
    here: Any = root  # the collection that is being filled; of mappings also the key that awaits its value
    key: str | None = None
    above: list[tuple[Any, str | None]] = []
    while True:
        event = next_event()
        kind = type(event)
        value: Any
        if kind is ScalarEvent:
            if event.anchor is not None or event.tag is not None:
                raise UnusualError
            value = event.value
            if event.implicit[0]:
                value = _plain(value)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            if event.anchor is not None or event.tag is not None or len(above) == _DEEPEST:
                raise UnusualError
            value = {} if kind is MappingStartEvent else []
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            if not above:
                break
            here, key = above.pop()
            continue
        else:
            raise UnusualError
        if type(here) is list:
            here.append(value)
        elif key is None:
            # A key that stands twice is a mistake, which the whole reader names.
            if type(value) is not str or value in here:
                raise UnusualError
            key = value
            continue
        else:
            here[key] = value
            key = None
        if kind is not ScalarEvent:
            above.append((here, key))
            here, key = value, None
    _expect(next_event(), DocumentEndEvent)
    _expect(next_event(), StreamEndEvent)
    return root


def _begin(next_event: Any) -> None:
    _expect(next_event(), StreamStartEvent)
    start = next_event()
    _expect(start, DocumentStartEvent)
    if start.version is not None or start.tags is not None:
        raise UnusualError
    first = next_event()
    _expect(first, MappingStartEvent)
    if first.anchor is not None or first.tag is not None:
        raise UnusualError


def _expect(event: Event, kind: type[Event]) -> None:
    if type(event) is not kind:
        raise UnusualError


@lru_cache(maxsize=4096)
def _plain(text: str) -> str | bool | int:
    """The value of a scalar that stands bare, by the whole reader's own rules."""
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _RESOLVER.resolve(ScalarNode, text, (True, False)) != _STRING:
        raise UnusualError
    return text
