"""Which cluster this is: every place where a UUID may be found, in order."""

import pytest

from reconciler.errors import IdentityError
from reconciler.policy.identity import CHOICE, Claim, cluster_uuid, derived_cluster_uuid

UID = "0f3c2f4e-6a52-4a5f-9a3e-2d0f8f6f0c11"
OTHER = "aaaaaaaa-0000-4000-8000-000000000001"
DERIVED = derived_cluster_uuid(UID)


def test_the_uuid_follows_from_the_uid_of_kube_system_alone() -> None:
    assert cluster_uuid(UID, []) == DERIVED == "K-cf6cdd76-25ad-56b1-b4c6-9597c478aa8d"
    assert derived_cluster_uuid(OTHER) != DERIVED


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        pytest.param([Claim("the ledger", "K-old", UID)], "K-old", id="the ledger's, recorded with our UID"),
        pytest.param([Claim("the status", "K-up")], "K-up", id="an upstream status has no UID beside it"),
        pytest.param([Claim("the status", "")], DERIVED, id="an empty status says nothing"),
        pytest.param(
            [Claim("the ledger", "K-1", UID), Claim("the status", "K-2", UID)],
            "K-1",
            id="the ledger comes first",
        ),
        pytest.param(
            [Claim("directory K-a", "K-a", OTHER, False), Claim("directory K-b", "K-b", UID, False)],
            "K-b",
            id="of three clusters' directories, ours",
        ),
        pytest.param(
            [Claim("directory K-a", "K-a", OTHER, False)],
            DERIVED,
            id="another cluster's directory is not ours",
        ),
    ],
)
def test_an_older_uuid_wins_when_it_is_ours(claims: list[Claim], expected: str) -> None:
    assert cluster_uuid(UID, claims) == expected


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param([Claim("the ledger", "K-old", OTHER)], id="the ledger of another cluster"),
        pytest.param([Claim("the status", "K-old", OTHER)], id="the status of another cluster"),
        pytest.param(
            [Claim(f"directory {DERIVED}", DERIVED, OTHER, False)],
            id="another cluster's directory in our place",
        ),
    ],
)
def test_a_place_of_ours_that_speaks_of_another_cluster_waits_for_a_person(claims: list[Claim]) -> None:
    with pytest.raises(IdentityError, match=f"belongs to another cluster.*{CHOICE}"):
        cluster_uuid(UID, claims)
    assert cluster_uuid(UID, claims, chosen=DERIVED) == DERIVED
    assert cluster_uuid(UID, claims, chosen=claims[0].cluster_uuid) == claims[0].cluster_uuid


def test_a_choice_that_names_no_known_cluster_is_refused() -> None:
    with pytest.raises(IdentityError, match="K-typo, which is none of"):
        cluster_uuid(UID, [Claim("the ledger", "K-old", OTHER)], chosen="K-typo")
