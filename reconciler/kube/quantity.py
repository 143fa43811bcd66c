"""Kubernetes' quantities: exact, as whole bytes."""

import re
from fractions import Fraction
from math import ceil

_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))"
    r"(?:[eE](?P<exponent>[+-]?[0-9]{1,2})|(?P<suffix>[KMGTPE]i|[numkMGTPE])?)",
    re.ASCII,
)
_BINARY = {f"{letter}i": Fraction(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL = {letter: Fraction(1000) ** power for power, letter in enumerate("kMGTPE", 1)}
_SMALL = {letter: Fraction(1, 1000**power) for power, letter in enumerate("mun", 1)}
_FACTORS = {**_BINARY, **_DECIMAL, **_SMALL}


def whole_bytes(quantity: str) -> int:
    """A ``resource.Quantity`` (``1.5Gi``, ``1e3``, ``1500m``) in bytes, rounded up as its ``Value()`` is.

    Raises ValueError for anything else.
    """
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        raise ValueError(f"{quantity[:40]!r} is not a quantity")
    factor = _FACTORS.get(match["suffix"] or "", Fraction(1))
    return ceil(Fraction(match["number"]) * factor * Fraction(10) ** int(match["exponent"] or 0))
