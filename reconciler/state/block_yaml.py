"""The small part of YAML that stored documents use, written and read some twenty times faster.

Nested mappings, sequences of mappings or strings, and scalars, in block style: the very bytes that
ruamel.yaml's C emitter makes of them. What a scalar looks like is ruamel's decision (asked once for each
text that is not plainly a word); only the lines around it are laid out here.

Reading is for text that this module wrote; ValueError for all else, and even what it returns is only a
guess until writing it again gives the same bytes. Whoever reads must check that, and ask ruamel if not.
"""

import io
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

Node = dict[str, "Node"] | Sequence["Node"] | str | bool | int
"""A document's value, as msgspec's builtins."""

_WIDTH = 2**31 - 1  # libyaml's greatest: no line is ever folded

# Bare in every YAML: begins with a letter and has no sign of YAML's, but for words that mean a value; or
# begins with three numbers, which neither a number nor a date does.
_WORD = re.compile(
    r"(?:(?!(?:y|n|yes|no|on|off|true|false|null)\Z)[a-z]|[0-9]+\.[0-9]+\.[0-9]+)"
    r"(?:[a-z0-9._/@+-]|:(?=[a-z0-9]))*",
    re.IGNORECASE | re.ASCII,
)
_TIME = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?Z")  # quoted
_QUOTED = re.compile(r"'([^'\\\n]*)'")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_LINE = re.compile(r"( *)((?:- )?)(?:([A-Za-z_]+|'on'):(?: (.+))?|(.+))")

# YAML 1.1 (which many tools still read) takes these for booleans, nulls and base-60 numbers; the 1.2 rules
# that the emitter follows would leave them bare.
_YAML_1_1 = re.compile(
    r"(?:y|n|yes|no|on|off)|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?", re.IGNORECASE
)


_BREAK = re.compile(r"[\n\x85\u2028\u2029]")  # YAML 1.1 breaks lines at all of these


class _Representer(SafeRepresenter):
    """Strings with a style of our choice; every sequence and mapping in full (no anchors)."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent_text(self, data: str) -> ScalarNode:
        style = None
        if _BREAK.search(data):
            style = '"'
        elif _YAML_1_1.fullmatch(data):
            style = "'"
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Representer.add_representer(str, _Representer.represent_text)


def ruamel() -> YAML:
    """ruamel.yaml as documents want it. A new one each time: the C emitter and parser keep state."""
    yaml = YAML(typ="safe", pure=False)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # annotated as None
    yaml.allow_unicode = True
    yaml.width = _WIDTH
    return yaml


def dump(document: dict[str, Node]) -> bytes:
    """The document's text."""
    lines: list[str] = []
    _mapping(document, "", "", lines)
    return "".join(lines).encode()


def load(text: bytes) -> Node:
    """What ``dump`` would have written so, perhaps (see above)."""
    lines = text.decode().split("\n")
    if lines.pop() != "":
        raise ValueError("no line's end at the end")
    reader = _Reader(lines)
    document = reader.block(0)
    if not reader.at_end:
        raise ValueError("more than one document")
    return document


def _mapping(mapping: dict[str, Node], first: str, rest: str, lines: list[str]) -> None:
    """``first`` and ``rest``: what the first line begins with, and the others."""
    begin = first
    for key, value in mapping.items():
        _entry(f"{begin}{_scalar(key)}:", value, rest, lines)
        begin = rest


def _entry(key: str, value: Node, indent: str, lines: list[str]) -> None:
    match value:
        case str() | bool() | int():
            lines.append(f"{key} {_scalar(value)}\n")
        case dict():
            if not value:
                raise ValueError("an empty mapping has no block form")
            lines.append(f"{key}\n")
            _mapping(value, f"{indent}  ", f"{indent}  ", lines)
        case _ if not value:
            lines.append(f"{key} []\n")
        case _:
            lines.append(f"{key}\n")
            for item in value:
                if isinstance(item, dict):
                    _mapping(item, f"{indent}- ", f"{indent}  ", lines)
                elif isinstance(item, str):
                    lines.append(f"{indent}- {_scalar(item)}\n")
                else:
                    raise TypeError("a sequence here holds mappings or strings")


def _scalar(value: str | bool | int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if _WORD.fullmatch(value):
        return value
    return f"'{value}'" if _TIME.fullmatch(value) else _asked(value)


@lru_cache(maxsize=4096)
def _asked(text: str) -> str:
    """The form that ruamel gives a string: always one line, since none is folded."""
    stream = io.BytesIO()
    ruamel().dump({"k": text}, stream)
    return stream.getvalue().decode().removeprefix("k: ").removesuffix("\n")


@lru_cache(maxsize=4096)
def _told(scalar: str) -> str:
    """The string that ruamel reads; ValueError if it is none."""
    try:
        loaded = ruamel().load(f"k: {scalar}\n")["k"]
    except YAMLError as error:
        raise ValueError(f"{scalar!r} is not YAML") from error
    if not isinstance(loaded, str):
        raise ValueError(f"{scalar!r} is not a string")  # noqa: TRY004 - of the text, not of a caller
    return loaded


class _Reader:
    def __init__(self, lines: Sequence[str]) -> None:
        self._lines: Iterator[str] = iter(lines)
        # Of the line that is next: its column (-1: there is none), whether a dash is there, key and value.
        self._indent = -1
        self._dash = False
        self._key: str | None = None
        self._value: str | None = None
        self._next()

    @property
    def at_end(self) -> bool:
        return self._indent < 0

    def block(self, indent: int) -> Node:
        """The mapping or sequence whose lines begin at this column."""
        if self._indent != indent:
            raise ValueError("a line is not where it should be")
        return self._sequence(indent) if self._dash else self._mapping(indent)

    def _mapping(self, indent: int) -> Node:
        mapping: dict[str, Node] = {}
        while self._indent == indent and not self._dash:
            key, value = self._key, self._value
            if key is None or key in mapping:
                raise ValueError("a key is missing or there twice")
            self._next()
            if value is not None:
                mapping[key] = _value(value)
            else:
                # A sequence stands at its key's column, a mapping two to the right.
                mapping[key] = self.block(indent if self._dash else indent + 2)
        return mapping

    def _sequence(self, indent: int) -> Node:
        sequence: list[Node] = []
        while self._indent == indent and self._dash:
            if self._key is None:
                sequence.append(_value(self._value or ""))
                self._next()
            else:
                # The first line of a mapping: from here on as if the dash were white space.
                self._dash = False
                self._indent = indent + 2
                sequence.append(self._mapping(indent + 2))
        return sequence

    def _next(self) -> None:
        line = next(self._lines, None)
        if line is None:
            self._indent, self._dash = -1, False
            return
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError("a line is not of the form KEY: VALUE")
        spaces, dash, key, value, item = match.groups()
        self._indent = len(spaces)
        self._dash = bool(dash)
        self._key = "on" if key == "'on'" else key
        self._value = item if key is None else value


def _value(text: str) -> Node:
    if text == "[]":
        return []
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _WORD.fullmatch(text):
        return text
    if quoted := _QUOTED.fullmatch(text):
        return quoted[1]
    return _told(text)
