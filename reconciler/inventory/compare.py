"""Whether what is held of a kind is what a fresh list says, by the versions of its objects. Pure.

Versions of one kind are numbers that grow with each write, and an object that is deleted and made anew has a
greater one. So a list as of one version (``at``), and a watch that was heard up to another, tell of each
object whether it is the same, whether what differs may only be on its way, or whether something was missed.
What came or went after ``at`` is no difference: the list could not know it.
"""

from collections.abc import Iterable, Mapping

import msgspec

from reconciler.inventory.ownership import Ref

ABSENT = ""
"""The version of what is not there."""

Claims = Mapping[Ref, str]
"""What a list says of objects: the version of each, or ``ABSENT``."""


class Since:
    """What was heard of a kind since a comparison of it began.

    ``came``: what was not held before, and may be gone again; ``gone``: the version of each deletion;
    ``over``: nothing is noted any more, and nothing left to compare: it was listed or let go meanwhile.
    """

    def __init__(self, *, over: bool = False) -> None:
        self.came: set[Ref] = set()
        self.gone: dict[Ref, str] = {}
        self.over = over


class Fresh:
    """A fresh list of a kind's versions as its pages come; of what is held as listed nothing is kept.

    ``held``: the versions of what is held, as they are now and as they become; ``since``: kept from now on.
    """

    def __init__(self, held: Claims, since: Since) -> None:
        self._held = held
        self._since = since
        self._unlisted = set(held)
        self._others: set[Ref] = set()  # that are listed, and were not held, or came again
        self._claims: dict[Ref, str] = {}

    def take(self, page: Iterable[tuple[Ref, str]]) -> None:
        """A page: objects and their versions."""
        for ref, version in page:
            if ref not in self._unlisted or ref in self._since.came:
                self._others.add(ref)
            self._unlisted.discard(ref)
            if self._held.get(ref) != version:
                self._claims[ref] = version

    def claims(self) -> dict[Ref, str]:
        """All that the list says, all pages come, and that was not held as it says when its page came.

        What is heard of for the first time from now on is for the next list to prove.
        """
        absent = (self._unlisted | self._since.came) - self._others
        return {**dict.fromkeys(absent, ABSENT), **self._claims}


class Verdict(msgspec.Struct, frozen=True):
    """``differing``: objects of which something was missed; ``claims``: what is to be judged again when more
    was heard. Of all others what is held is right."""

    differing: tuple[Ref, ...] = ()
    claims: Claims = {}


def judge(claims: Claims, at: int, held: Claims, gone: Claims, heard: int) -> Verdict:
    """What is to be said of what a list as of ``at`` claims, once everything up to ``heard`` was heard.

    ``gone``: the versions of the deletions that were heard since the list was asked for. An object is judged
    as soon as it can be: what the list shows has been so since that version. ValueError when the versions
    are no numbers, or are not of one history.
    """
    differing, later = [], {}
    for ref, claim in claims.items():
        version, now = number(claim or "0"), number(held.get(ref, ABSENT) or "0")
        newest = max(now, number(gone.get(ref, ABSENT) or "0"))
        if now == version or newest > at:
            continue
        if version and now > version:
            raise ValueError(f"{ref.name} was at {now}, and is at {version} as of {at}")
        if heard >= (version or at):
            differing.append(ref)
        else:
            later[ref] = claim
    return Verdict(tuple(differing), later)


def as_of(listed: str, heard: str) -> int:
    """The version that a list is as of, as a number; ``heard``: up to where was heard when it was asked for.
    ValueError when that is later, as where the server was put back to an older state."""
    at = number(listed)
    if at < number(heard):
        raise ValueError(f"the list is as of {listed}, and {heard} was heard before")
    return at


def number(version: str) -> int:
    """A version as a number, as it is documented to be since Kubernetes 1.35, and always was on etcd.
    ValueError when it is none."""
    if not (version.isascii() and version.isdigit()):
        raise ValueError(f"the version {version!r} is no number")
    return int(version)
