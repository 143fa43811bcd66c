"""How long the API is left alone, for all apps alike, and that the next try is one request.

    closed ──trouble──▶ open ──its time has come──▶ half-open ──it answers──▶ closed
                          ▲                             │
                          └──────────trouble────────────┘

A process begins half-open: nothing is known of the API yet, so that one that starts again and again bothers
it no more than one that does not.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

import msgspec

from reconciler.delivery.answers import Again, Answer, Stop

BASE, CAP = timedelta(seconds=1), timedelta(minutes=5)
"""Full jitter: a random part of 1 s, 2 s, 4 s … 5 min, after what Retry-After asks for."""

STOPPED_FIRST, STOPPED_CAP = timedelta(minutes=10), timedelta(hours=1)
"""How long pushing stops as a whole: 10 min, doubled up to an hour, unless credentials change."""

MOST_TRIES, WITHIN = 5, timedelta(minutes=1)
"""So many tries that fail one after the other are made in a minute at most, however the dice fall and
whatever else happens."""


class Breaker:
    """``until``: when the next try may be made, None for at once. ``trouble``: why it waits, one sentence;
    ``stopped``: a person must see to it."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._from: datetime | None = None
        self.until: datetime | None = None
        self.trouble = ""
        self.stopped = False
        self.is_closed = False
        self._failures = 0
        self._tries: deque[datetime] = deque(maxlen=MOST_TRIES)

    def lets_through(self, now: datetime) -> bool:
        """Whether a try may be made. A clock that was set back does not make the wait longer."""
        return self.until is None or self._from is None or not self._from <= now < self.until

    def learn(self, answers: Sequence[Answer], now: datetime, endpoint: str) -> None:
        """What answers mean for all: the longest wait that any of them asks for. None: nothing new."""
        bad = [answer for answer in answers if isinstance(answer, Again | Stop)]
        if len(bad) < len(answers):  # it does answer
            self._failures = 0
            self._tries.clear()
        if bad:
            worst = max(
                bad, key=lambda answer: (isinstance(answer, Stop), getattr(answer, "after", None) or 0)
            )
            self.open(msgspec.structs.replace(worst, what=f"{endpoint}: {worst.what}"), now)
        elif answers:
            self.until, self.trouble, self.stopped, self.is_closed = None, "", False, True

    def open(self, answer: Again | Stop, now: datetime) -> None:
        """Wait, longer each time."""
        if self.stopped != isinstance(answer, Stop):
            self._failures = 0
        self._failures += 1
        self._tries.append(now)
        self.trouble, self.stopped, self.is_closed = answer.what, isinstance(answer, Stop), False
        doublings = min(self._failures - 1, 10)
        if isinstance(answer, Stop):
            wait = min(STOPPED_FIRST * 2**doublings, STOPPED_CAP)
        else:
            wait = min(BASE * 2**doublings, CAP) * self._random.random()
            wait += timedelta(seconds=answer.after or 0)
        self._from, self.until = now, max(now + wait, self._soonest(now))

    def half_open(self, now: datetime) -> None:
        """Forget why it waits: something has changed, and one try shows whether that helps."""
        self._failures, self.trouble, self.stopped, self.is_closed = 0, "", False, False
        self._from, self.until = now, self._soonest(now)

    def _soonest(self, now: datetime) -> datetime:
        """When the next try would not be one too many in its minute."""
        recent = [at for at in self._tries if at <= now]
        return max(now, recent[0] + WITHIN) if len(recent) == MOST_TRIES else now
