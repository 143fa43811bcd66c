"""Quantities: exact, as whole bytes, rounded up."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity

from reconciler.kube.quantity import whole_bytes


@pytest.mark.parametrize(
    ("quantity", "size"),
    [
        ("0", 0),
        ("8Gi", 8589934592),
        ("1.5Gi", 1610612736),
        ("100M", 100_000_000),
        ("100k", 100_000),
        ("1Ki", 1024),
        ("2Mi", 2097152),
        ("3Ti", 3298534883328),
        ("1Pi", 1125899906842624),
        ("1Ei", 1152921504606846976),
        ("1E", 10**18),
        ("1e3", 1000),
        ("12E2", 1200),
        ("1500m", 2),
        ("1m", 1),
        ("1n", 1),
        ("0.1Gi", 107374183),
        (".5Ki", 512),
        ("5.", 5),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_a_quantity_is_its_bytes_rounded_up(quantity: str, size: int) -> None:
    assert whole_bytes(quantity) == size


@pytest.mark.parametrize(
    "text", ["", "Gi", "1GiB", "1 Gi", "1e", "1e1000000000", "0x10", "\u0661Gi", "1\n", "--1"]
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        whole_bytes(text)


@given(
    number=st.decimals(min_value=0, max_value=10**6, places=4),
    suffix=st.sampled_from(["", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"]),
)
def test_a_quantity_agrees_with_the_client_librarys_reading(number: object, suffix: str) -> None:
    theirs = parse_quantity(f"{number}{suffix}")  # type: ignore[no-untyped-call]  # ships no types
    assert whole_bytes(f"{number}{suffix}") == ceil(Fraction(theirs))
