"""What the delivered branch lacks, when it knows more than the ledger, and what its commits say."""

from datetime import UTC, datetime

import pytest

from reconciler.model import App, AppKey
from reconciler.policy.entry import Acked
from reconciler.state.documents import Ended, Told, dump_ended, dump_told, load_ended, load_told
from reconciler.state.git_delivered import NewerKey, message_of, missing, newer
from tests.builders import make_app

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
K1, K2, K3 = (f"019a1e1{number}-0000-7000-8000-000000000000" for number in (1, 2, 3))
WEB, DB = AppKey("shop", "web"), AppKey("shop", "db")


def acked(key: str, app: App | None = None, status: int = 0) -> Acked:
    return Acked(key, "A-1", AT, app, status)


@pytest.mark.parametrize(
    ("ledger", "branch", "lacks"),
    [
        ({}, {}, []),
        ({WEB: acked(K1)}, {}, [WEB]),
        ({WEB: acked(K1)}, {WEB: K1}, []),
        ({WEB: acked(K2)}, {WEB: K1}, [WEB]),
        ({WEB: acked(K1)}, {WEB: K2}, []),
        ({WEB: acked(K3), DB: acked(K2)}, {WEB: K1}, [DB, WEB]),
        ({}, {WEB: K1}, []),
    ],
)
def test_what_was_acknowledged_later_than_the_branch_says_is_missing_oldest_first(
    ledger: dict[AppKey, Acked], branch: dict[AppKey, str], lacks: list[AppKey]
) -> None:
    assert list(missing(ledger, branch, 10)) == lacks


def test_no_more_is_missing_at_once_than_was_asked_for() -> None:
    assert list(missing({WEB: acked(K3), DB: acked(K2)}, {}, 1)) == [DB]


@pytest.mark.parametrize(
    ("branch", "last_keys", "found"),
    [
        ({WEB: K2}, {WEB: K2}, ()),
        ({WEB: K2}, {WEB: K3}, ()),
        ({WEB: K2}, {WEB: K1}, (NewerKey(WEB, K2),)),
        ({WEB: K1}, {}, (NewerKey(WEB, K1),)),
        ({}, {WEB: K1}, ()),
    ],
)
def test_a_greater_key_on_the_branch_shows_an_older_ledger(
    branch: dict[AppKey, str], last_keys: dict[AppKey, str], found: tuple[NewerKey, ...]
) -> None:
    assert newer(branch, last_keys) == found


def test_one_app_is_a_sentence_with_its_key_and_status() -> None:
    said = message_of({WEB: acked(K1, make_app("shop", "web", 4), 201)}, (("Cluster-UUID", "K-1"),))
    assert said.render() == (
        "tell shop/web: keycloak revision 4, deployed\n\n"
        f"Cluster-UUID: K-1\nIdempotency-Key: {K1} shop/web\nAPI-Status: 201 shop/web\n"
    )


def test_several_apps_are_a_count_and_a_line_each_and_an_unknown_status_is_not_told() -> None:
    said = message_of({WEB: acked(K1, make_app("shop", "web", 4)), DB: acked(K2)}, ())
    assert said.render() == (
        "tell the API of 2 apps\n\n"
        "shop/db: uninstalled\nshop/web: keycloak revision 4, deployed\n\n"
        f"Idempotency-Key: {K2} shop/db\nIdempotency-Key: {K1} shop/web\n"
    )


def test_its_documents_read_back_and_the_key_is_on_the_first_line() -> None:
    app = make_app("shop", "web")
    told = Told(K1, 200, app.app_api_info, app.app_info)
    text = dump_told(told)
    assert text.startswith(f"idempotency_key: {K1}\napi_status: 200\napp_api_info:\n".encode())
    assert load_told(text, "web") == told
    ended = (Ended("shop", "db", K2),)
    assert load_ended(dump_ended(ended), "uninstalled") == ended
