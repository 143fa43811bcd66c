"""An app's UUID: from the Secret of its namespace, adopted, or derived."""

import pytest

from reconciler.inventory.app_uuid import AppUuid, app_uuid, derived, fault
from reconciler.inventory.objects import UuidSecret
from reconciler.model import AppKey

KEY = AppKey("shop", "web")
CLUSTER = "K-a0d3cdd6-d93e-4be6-8e60-6683fcb9a23e"
GOOD, BAD, HIDDEN = UuidSecret("shop", "0d97"), UuidSecret("shop", " "), UuidSecret("shop", problem="away")
LAST = AppUuid("A-last", True)
DERIVED = AppUuid(derived(CLUSTER, KEY), False)


def test_a_derived_uuid_depends_on_cluster_namespace_and_name_alone() -> None:
    # uuid5(NAMESPACE_URL, "hossted.com/app/K-a0d3…/shop/web"): a contract, so it never changes.
    assert derived(CLUSTER, KEY) == "A-39d1cee2-3257-5775-8d63-eb77923089fd"
    assert derived("K-other", KEY) != derived(CLUSTER, KEY) != derived(CLUSTER, AppKey("web", "shop"))


@pytest.mark.parametrize(
    ("secret", "hidden", "adopted", "last", "expected"),
    [
        (GOOD, False, "A-adopted", LAST, AppUuid("A-0d97", True)),
        (None, False, "A-adopted", LAST, AppUuid("A-adopted", False)),
        (None, False, "", LAST, DERIVED),  # the Secret was deleted: what it said is over
        (None, False, "", None, DERIVED),
        (BAD, False, "A-adopted", LAST, LAST),
        (HIDDEN, False, "", LAST, LAST),
        (None, True, "", LAST, LAST),
        (GOOD, True, "", LAST, LAST),
        (BAD, False, "A-adopted", None, AppUuid("A-adopted", False)),
        (HIDDEN, False, "", None, DERIVED),
        (None, True, "", None, DERIVED),
        (GOOD, True, "", None, AppUuid("A-0d97", True)),
    ],
)
def test_the_secret_comes_first_then_the_adopted_one_and_what_is_unclear_changes_nothing(
    secret: UuidSecret | None, hidden: bool, adopted: str, last: AppUuid | None, expected: AppUuid
) -> None:
    found = app_uuid(KEY, secret=secret, hidden=hidden, cluster_uuid=CLUSTER, adopted=adopted, last=last)
    assert found == expected


@pytest.mark.parametrize("value", ["2d9771b2-42d2-4b32-bcac-41d0f65e261c", "a", "A.b_c-1", "x" * 128])
def test_a_usable_value_has_no_fault(value: str) -> None:
    assert fault(UuidSecret("shop", value)) == ""


@pytest.mark.parametrize("value", ["", " ", "-a", "a b", "a\n", "\x00", "ü", "x" * 129, "a/b", "٣"])
def test_rubbish_is_named_without_being_repeated(value: str) -> None:
    message = fault(UuidSecret("shop", value))
    assert message.startswith("the value of its key uuid is no app UUID")
    assert message == fault(UuidSecret("shop", "another rubbish value"))


def test_an_unreadable_secret_says_why() -> None:
    assert fault(HIDDEN) == "away"
