"""What a fresh list of versions proves of what is held: nothing that is only on its way is called missed, and
nothing that was missed is called right."""

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.inventory.compare import ABSENT, Fresh, Since, as_of, judge
from reconciler.inventory.objects import Kind
from reconciler.inventory.ownership import Ref

WEB = Ref(Kind.PODS, "shop", "web")


@pytest.mark.parametrize(
    ("claim", "held", "gone", "heard", "said"),
    [
        # The list is as of version 10.
        ("5", "5", "", 3, "right"),  # whatever was heard
        ("5", "5", "", 12, "right"),
        ("5", "3", "", 4, "later"),  # its change is on its way
        ("5", "3", "", 5, "differs"),  # and was not
        ("5", "3", "", 12, "differs"),
        ("5", "", "", 4, "later"),
        ("5", "", "", 5, "differs"),
        ("5", "", "4", 12, "differs"),  # it went, and came again
        ("5", "", "11", 12, "right"),  # it went after the list
        ("5", "12", "", 12, "right"),  # it changed after the list, whatever was missed before
        ("5", "12", "11", 12, "right"),
        (ABSENT, "", "", 3, "right"),
        (ABSENT, "3", "", 9, "later"),  # its deletion is on its way
        (ABSENT, "3", "", 10, "differs"),
        (ABSENT, "11", "", 12, "right"),  # it came after the list
    ],
)
def test_what_is_said_of_an_object(claim: str, held: str, gone: str, heard: int, said: str) -> None:
    verdict = judge({WEB: claim}, 10, only(held), only(gone), heard)
    assert verdict.differing == ((WEB,) if said == "differs" else ())
    assert verdict.claims == ({WEB: claim} if said == "later" else {})


def only(version: str) -> dict[Ref, str]:
    return {WEB: version} if version else {}


@pytest.mark.parametrize("held", ["7", "abc", "-1", "٣", "5.0"])
def test_what_cannot_be_compared_is_said(held: str) -> None:
    with pytest.raises(ValueError, match=r"web was at 7|is no number"):
        judge({WEB: "5"}, 10, {WEB: held}, {}, 12)


class Event(msgspec.Struct, frozen=True):
    """A write. ``is_lost``: no watch tells of it."""

    name: str
    is_deletion: bool
    is_lost: bool


class Watched:
    """A history whose events come one after the other, and what is held of it.

    Versions are counted from 1; what was lost leaves no trace. ``touched``: the version at which each object
    was last heard of.
    """

    def __init__(self, history: list[Event], first: int) -> None:
        self.history = history
        self.held = dict(self.truth(first))
        self.heard = first
        self.since = Since()
        self.touched = dict.fromkeys(self.held, first)

    def truth(self, at: int) -> Mapping[Ref, str]:
        """What there is as of a version."""
        found: dict[Ref, str] = {}
        for version, event in enumerate(self.history[:at], 1):
            if event.is_deletion:
                found.pop(ref(event), None)
            else:
                found[ref(event)] = str(version)
        return found

    def hear(self, upto: int) -> None:
        for version in range(self.heard + 1, min(upto, len(self.history)) + 1):
            self.heard = version
            event = self.history[version - 1]
            was_there = ref(event) in self.truth(version - 1)
            if event.is_lost or (event.is_deletion and not was_there):
                continue
            self.touched[ref(event)] = version
            if event.is_deletion:
                self.held.pop(ref(event), None)
                self.since.gone[ref(event)] = str(version)
            else:
                if ref(event) not in self.held:
                    self.since.came.add(ref(event))
                self.held[ref(event)] = str(version)


def ref(event: Event) -> Ref:
    return Ref(Kind.PODS, "shop", event.name)


HISTORIES = st.lists(
    st.builds(Event, st.sampled_from("ab"), st.booleans(), st.sampled_from([False, False, True])),
    min_size=1,
    max_size=10,
)
STEPS = st.lists(st.integers(0, 4), min_size=8, max_size=8)
"""How much is heard before each thing that is done."""


COMES_AGAIN = [Event("a", is_deletion=each, is_lost=False) for each in (False, True, False)]


@settings(max_examples=500)
@example(history=COMES_AGAIN, first=1, at=3, steps=[0, 2, *[0] * 6], is_losing=False)  # before its page comes
@given(HISTORIES, st.integers(0, 10), st.integers(0, 10), STEPS, st.booleans())
def test_whatever_happens_what_was_missed_is_found_and_nothing_else(
    history: list[Event], first: int, at: int, steps: list[int], is_losing: bool
) -> None:
    if not is_losing:
        history = [msgspec.structs.replace(event, is_lost=False) for event in history]
    first, at = min(first, len(history)), min(at, len(history))
    watched = Watched(history, min(first, at))  # a list is never older than what was heard before it
    hearing = iter(steps)
    watched.hear(min(at, watched.heard + next(hearing)))
    watched.since = Since()
    fresh = Fresh(watched.held, watched.since)
    for each in sorted(watched.truth(at).items()):  # pages of one
        watched.hear(watched.heard + next(hearing))
        fresh.take([each])
    claims = fresh.claims()
    # What is heard of for the first time after the list is for the next one to prove.
    known = watched.held.keys() | watched.truth(at).keys()
    found: set[Ref] = set()
    for step in (*hearing, len(history), 0):
        verdict = judge(claims, at, watched.held, watched.since.gone, watched.heard)
        lost = {ref(event) for event in history[: watched.heard] if event.is_lost}
        assert lost.issuperset(verdict.differing)
        found.update(verdict.differing)
        claims = dict(verdict.claims)
        watched.hear(watched.heard + step)
    assert claims == {}
    for one in known:
        is_newer = watched.touched.get(one, 0) > at
        is_right = watched.held.get(one) == watched.truth(at).get(one)
        assert is_newer or is_right or one in found


@given(HISTORIES)
def test_a_list_of_what_is_held_claims_nothing(history: list[Event]) -> None:
    held = Watched(history, len(history)).held
    fresh = Fresh(held, Since())
    fresh.take(held.items())
    assert fresh.claims() == {}


def test_a_list_is_never_older_than_what_was_heard_before_it() -> None:
    assert as_of("12345678901234567890", "9") == 12345678901234567890
    with pytest.raises(ValueError, match="as of 9, and 10 was heard before"):
        as_of("9", "10")
