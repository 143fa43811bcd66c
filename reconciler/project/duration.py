"""A span of time as Kubernetes writes it (GEP-2257): ``10m``, ``1h30m``, ``500ms``."""

import re
from datetime import timedelta

_UNITS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_DURATION = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")


class Duration(timedelta):
    """A span of time in Kubernetes' form (GEP-2257): ``10m``, ``1h30m``, ``500ms``.

    ``str()`` gives the canonical text: largest unit first, none that is zero, ``0s`` for nothing.
    """

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """ValueError unless it is one to four numbers of up to five digits, each with h, m, s or ms."""
        if not _DURATION.fullmatch(text):
            raise ValueError(f"{text!r} is no duration such as 10m, 1h30m or 500ms")
        parts = re.findall(r"([0-9]+)(ms|[hms])", text)
        return cls(milliseconds=sum(int(number) * _UNITS[unit] for number, unit in parts))

    def __str__(self) -> str:
        left = self // timedelta(milliseconds=1)
        parts = []
        for unit, size in _UNITS.items():
            number, left = divmod(left, size)
            if number:
                parts.append(f"{number}{unit}")
        return "".join(parts) or "0s"
