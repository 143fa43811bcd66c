from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.policy import keys

NOW = 1_795_260_000_000
ZEROS, ONES = bytes(10), b"\xff" * 10
LAST = "ffffffff-fffe-7fff-bfff-ffffffffffff"

moments = st.integers(min_value=-1, max_value=(1 << 48) + 1)
entropies = st.binary(min_size=10, max_size=10)


@given(moments, entropies)
def test_a_key_is_a_uuid_of_version_7_that_tells_its_millisecond(unix_ms: int, entropy: bytes) -> None:
    uuid = UUID(keys.draw("", unix_ms, entropy))
    assert (uuid.version, uuid.variant) == (7, "specified in RFC 4122")
    assert uuid.int >> 80 == min(max(unix_ms, 0), (1 << 48) - 2)


@given(st.lists(st.tuples(moments, entropies), min_size=2, max_size=20))
def test_each_key_is_greater_than_the_last_whatever_the_clock_says(draws: list[tuple[int, bytes]]) -> None:
    last = ""
    for unix_ms, entropy in draws:
        if last.startswith("ffffffff-fff"):
            return  # the year 10889: parse() keeps such keys out
        drawn = keys.draw(last, unix_ms, entropy)
        assert drawn > last
        assert UUID(drawn).int > (UUID(last).int if last else 0)
        assert keys.parse(drawn) == drawn
        last = drawn


@pytest.mark.parametrize("entropy", [ZEROS, ONES])
def test_within_one_millisecond_keys_go_on_rising_when_the_counter_is_full(entropy: bytes) -> None:
    last = keys.draw("", NOW, ONES)
    for _ in range(3):
        last, before = keys.draw(last, NOW, entropy), last
        assert last > before
    assert UUID(last).int >> 80 <= NOW + 3


def test_a_clock_that_is_ahead_is_believed() -> None:
    assert UUID(keys.draw(keys.draw("", NOW, ONES), NOW + 5, ZEROS)).int >> 80 == NOW + 5


def test_two_draws_after_the_same_key_differ_by_their_randomness() -> None:
    last = keys.draw("", NOW, ONES)
    assert keys.draw(last, NOW - 1000, ZEROS) != keys.draw(last, NOW - 1000, ONES)


@pytest.mark.parametrize(
    "text",
    [
        "019f3a50-0000-7000-8000-000000000000",
        '"019f3a50-0000-7000-8000-000000000000"',
        " 019F3A50-0000-7000-8000-000000000000 ",
    ],
)
def test_a_key_is_read_in_its_canonical_form(text: str) -> None:
    assert keys.parse(text) == "019f3a50-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "none",
        "6f1c6a4e-2d0f-4a53-9d0b-0d6f7b6f3a55",  # version 4
        "019f3a50-0000-7000-c000-000000000000",  # another variant
        "ffffffff-ffff-7000-8000-000000000000",  # nothing could come after it for long
    ],
)
def test_what_is_no_key_that_a_greater_one_can_follow_is_not_read(text: str) -> None:
    assert keys.parse(text) is None


def test_after_the_greatest_key_that_is_read_a_greater_one_is_drawn() -> None:
    assert keys.parse(LAST) == LAST
    assert keys.draw(LAST, NOW, ZEROS) > LAST


@pytest.mark.parametrize("after", ["x", "ffffffff-ffff-7fff-bfff-ffffffffffff"])
def test_nothing_is_drawn_after_what_is_no_key(after: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        keys.draw(after, NOW, ZEROS)


def test_too_little_randomness_is_refused() -> None:
    with pytest.raises(ValueError, match="10 random bytes"):
        keys.draw("", NOW, b"\0")


def test_a_source_draws_with_its_clock_and_its_entropy() -> None:
    moment = datetime(2026, 11, 21, tzinfo=UTC)
    draw = keys.source(lambda: moment, bytes)
    assert draw("") == keys.draw("", int(moment.timestamp() * 1000), ZEROS)
