"""The delivered branch's commit messages and documents."""

from datetime import UTC, datetime

from reconciler.model import App, AppKey
from reconciler.policy.entry import Acked
from reconciler.state.documents import Ended, Told, dump_ended, dump_told, load_ended, load_told
from reconciler.state.git.delivered import message_of
from tests.builders import make_app

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
K1, K2 = (f"019a1e1{number}-0000-7000-8000-000000000000" for number in (1, 2))
WEB, DB = AppKey("shop", "web"), AppKey("shop", "db")


def acked(key: str, app: App | None = None, status: int = 0) -> Acked:
    return Acked(key, "A-1", AT, app, status)


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
