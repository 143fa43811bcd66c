"""What a look could not see, by kind and namespace."""

import pytest

from reconciler.inventory.gaps import Gaps, told
from reconciler.inventory.objects import Gap, Kind

FAILED, FORBIDDEN = Gap(Kind.JOBS, "shop"), Gap(Kind.JOBS, "shop", True)


@pytest.mark.parametrize("gaps", [(FAILED, FORBIDDEN), (FORBIDDEN, FAILED)])
def test_of_two_gaps_in_one_place_the_one_that_failed_counts(gaps: tuple[Gap, ...]) -> None:
    index = Gaps(gaps)
    assert index.covering(Kind.JOBS, "shop") == index.failed("shop") == FAILED
    assert index.hides(Kind.PODS, "shop")


def test_a_gap_covers_its_kind_in_its_namespace_or_everywhere() -> None:
    index = Gaps((FORBIDDEN, Gap(Kind.SERVICES)))
    assert index.covering(Kind.JOBS, "shop") == FORBIDDEN
    assert index.covering(Kind.JOBS, "ops") is None
    assert index.covering(Kind.SERVICES, "ops") == index.failed("ops") == Gap(Kind.SERVICES)
    assert not index.hides(Kind.PODS, "shop")  # its owners are forbidden, which lasts


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        (Gap(Kind.PODS), "pods cannot be listed"),
        (Gap(Kind.PODS, "shop", True), "pods in shop may not be listed"),
        (Gap(Kind.UUID_SECRETS, message="timed out"), "uuid secrets cannot be listed: timed out"),
    ],
)
def test_a_gap_is_told_in_words(gap: Gap, words: str) -> None:
    assert told(gap) == words
