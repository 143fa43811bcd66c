"""Which lines of a document were there before."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.changes.blame import carried
from reconciler.model import App
from reconciler.state.documents import dump_app
from tests.builders import make_app
from tests.unit.changes.strategies import apps


def lines(app: App) -> list[str]:
    return dump_app(app).decode().splitlines()


def fresh(newer: App, older: App) -> list[str]:
    """The lines that the newer app has and the older one had not."""
    texts = lines(newer)
    known = carried(texts, lines(older))
    return [text.strip() for number, text in enumerate(texts) if number not in known]


@pytest.mark.parametrize(
    ("newer", "older", "expected"),
    [
        pytest.param(make_app(), make_app(), [], id="the same"),
        pytest.param(make_app(revision=2), make_app(), ["revision: 2"], id="one value"),
        pytest.param(
            make_app(pods=2, pod_status="Failed"),
            make_app(pods=2),
            ["status: Failed", "status: Failed"],
            id="a value in each item",
        ),
        pytest.param(
            make_app(ports=(80, 443)),
            make_app(),
            ["- name: test-keycloak", "namespace: default", "port: 443"],
            id="an item like the one before",
        ),
        pytest.param(make_app(ports=()), make_app(), ["service_info: []", "services: []"], id="emptied"),
        pytest.param(
            make_app(hosts=["a.example.com"]),
            make_app(),
            [
                "ingress_info:", "- name: test-keycloak", "namespace: default", "domain: a.example.com",
                "routes:", "- kind: Ingress", "namespace: default", "name: test-keycloak",
            ],
            id="a list that was empty",
        ),
    ],
)  # fmt: skip
def test_what_is_new(newer: App, older: App, expected: list[str]) -> None:
    assert fresh(newer, older) == expected


def test_a_line_is_another_one_below_another_item() -> None:
    """Of two pods with one status the first has gone, and what the other one says is as old as it was."""
    both = ["pod_info:", "- name: a", "  status: Running", "- name: b", "  status: Running"]
    left = ["pod_info:", "- name: b", "  status: Running"]
    assert carried(left, both) == {0: 0, 1: 3, 2: 4}


@given(apps(), apps())
def test_a_carried_line_is_the_same_line_and_each_is_carried_to_a_place_of_its_own(
    one: App, other: App
) -> None:
    newer, older = lines(one), lines(other)
    known = carried(newer, older)
    assert all(newer[here] == older[there] for here, there in known.items())
    assert len(set(known.values())) == len(known)


@given(apps(), st.integers(4, 9))
def test_all_but_what_changed_is_carried(app: App, revision: int) -> None:
    texts = lines(app)
    assert carried(texts, texts) == {number: number for number in range(len(texts))}
    helm = msgspec.structs.replace(app.helm, revision=revision)
    info = msgspec.structs.replace(app.app_info, helm_info=helm)
    assert fresh(msgspec.structs.replace(app, app_info=info), app) == [f"revision: {revision}"]
