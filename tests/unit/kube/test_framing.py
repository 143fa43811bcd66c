"""A watch is cut into the same events wherever its pieces end."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kube.framing import LONGEST, Frames, Framing, Lines, framing_of
from tests.unit.kube.watching import framed

EVENTS = (b"one", b"", b"\n{", b"\x00\x00\x00\x02ab", b"x" * 300)
LINES = (b'{"type":"ADDED"}', b'{"object":{}}', "ü".encode(), b"x" * 300)


def cut(framing: Framing, *pieces: bytes) -> list[bytes]:
    return [event for piece in pieces for event in framing.cut(piece)]


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("application/vnd.kubernetes.protobuf;stream=watch", Frames),
        ("application/vnd.kubernetes.protobuf", Frames),
        ("application/json", Lines),
        ("application/json;stream=watch", Lines),
        ("text/html", Lines),
        ("", Lines),
    ],
)
def test_the_content_type_says_how(content_type: str, kind: type[Framing]) -> None:
    assert type(framing_of(content_type)) is kind


FORMS = [
    (Frames, EVENTS, b"".join(map(framed, EVENTS))),
    (Lines, LINES, b"".join(line + b"\n" for line in LINES)),
]


@pytest.mark.parametrize(("kind", "events", "stream"), FORMS)
def test_two_pieces_that_part_anywhere(kind: type[Framing], events: tuple[bytes, ...], stream: bytes) -> None:
    for at in range(len(stream) + 1):
        assert cut(kind(), stream[:at], stream[at:]) == list(events)


@pytest.mark.parametrize(("kind", "events", "stream"), FORMS)
def test_byte_by_byte(kind: type[Framing], events: tuple[bytes, ...], stream: bytes) -> None:
    assert cut(kind(), *(bytes([byte]) for byte in stream)) == list(events)


@given(st.lists(st.binary(max_size=50)), st.lists(st.integers(1, 60)))
def test_frames_of_anything_in_pieces_of_any_size(events: list[bytes], sizes: list[int]) -> None:
    stream, framing, found = b"".join(map(framed, events)), Frames(), []
    for size in sizes:
        found += cut(framing, stream[:size])
        stream = stream[size:]
    assert found + cut(framing, stream) == events


@given(st.lists(st.dictionaries(st.text(), st.text(), min_size=1)), st.lists(st.integers(1, 60)))
def test_lines_of_anything_in_pieces_of_any_size(events: list[dict[str, str]], sizes: list[int]) -> None:
    stream, framing, found = b"".join(json.dumps(one).encode() + b"\n" for one in events), Lines(), []
    for size in sizes:
        found += cut(framing, stream[:size])
        stream = stream[size:]
    assert [json.loads(one) for one in found + cut(framing, stream)] == events


@pytest.mark.parametrize("kind", [Frames, Lines])
def test_what_is_not_complete_is_no_event(kind: type[Framing]) -> None:
    assert cut(kind(), framed(b"12345")[:-1]) == []


def test_a_length_that_nobody_should_believe_is_refused_before_anything_is_kept() -> None:
    framing = Frames()
    events = framing.cut(framed(b"whole") + (LONGEST + 1).to_bytes(4, "big"))
    assert next(events) == b"whole"
    with pytest.raises(ValueError, match=f"an event of {LONGEST + 1} bytes or more; {LONGEST} are the most"):
        next(events)
    assert cut(Frames(), LONGEST.to_bytes(4, "big")) == []


def test_a_line_without_an_end_is_refused() -> None:
    framing, piece = Lines(), b"x" * (LONGEST // 4)
    assert cut(framing, *[piece] * 4) == []
    with pytest.raises(ValueError, match="an event of"):
        cut(framing, b"x")
