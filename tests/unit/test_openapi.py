"""`docs/openapi.yaml` against the code: the document itself, the body, and what each answer means."""

import copy
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator

from reconciler.delivery.answers import Outdated, answer_of
from reconciler.model import App, EmittedApp, emitted, encode
from reconciler.policy import keys
from tests.builders import make_app
from tests.openapi import BODY, DOCUMENT, KEY, PUSH, SCHEMAS, documented
from tests.unit.changes.strategies import apps

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SOME_KEY = "019f3a50-0000-7000-8000-000000000000"


def body(app: App) -> Any:
    return json.loads(encode(emitted(app, "somebody@example.com")))


def test_the_document_is_an_openapi_description() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


# The body.


def test_the_schemas_have_the_names_the_keys_and_the_types_of_what_is_emitted() -> None:
    _, generated = msgspec.json.schema_components([EmittedApp], ref_template="#/components/schemas/{name}")
    assert {"IdempotencyKey", *generated} == set(SCHEMAS)
    for name, expected in generated.items():
        ours = SCHEMAS[name]
        assert [(key, type_of(one)) for key, one in ours["properties"].items()] == [
            (key, type_of(one)) for key, one in expected["properties"].items()
        ]
        assert ours["required"] == list(expected["properties"])
        assert (ours["type"], ours["additionalProperties"]) == ("object", False)


def type_of(schema: dict[str, Any]) -> object:
    """What a value is, without the bounds of it."""
    if schema.get("type") == "array":
        return [type_of(schema["items"])]
    return schema.get("$ref", schema.get("type"))


FULL = make_app(ports=[80, 443], volumes=[1], hosts=["a.example.com", ""], pods=2)


@given(apps(), st.booleans(), st.text())
def test_whatever_is_emitted_is_valid(app: App, gone: bool, email_id: str) -> None:
    told = app.as_uninstalled() if gone else app
    BODY.validate(json.loads(encode(emitted(told, email_id))))


Place = tuple[str | int, ...]


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Where every value of a document is."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    yield at
    for key, one in inner:
        yield from places(one, (*at, key))


@given(apps(), st.data())
def test_what_lacks_a_key_has_another_or_a_value_of_another_type_is_not(
    app: App, data: st.DataObject
) -> None:
    mutated = body(app)
    at = data.draw(st.sampled_from([place for place in places(mutated) if place]))
    holder = mutated
    for key in at[:-1]:
        holder = holder[key]
    was = holder[at[-1]]
    others: list[object] = [None, "text", 1.5, True, -1, {}, [0]]
    change = data.draw(st.sampled_from(["replace", "drop", "add"]))
    if change == "drop" and isinstance(holder, dict):
        del holder[at[-1]]
    elif change == "add" and isinstance(was, dict):
        was["more"] = 1
    else:
        new = data.draw(st.sampled_from([one for one in others if type(one) is not type(was) or one == -1]))
        holder[at[-1]] = new
    assert not BODY.is_valid(mutated)


def changed(change: Callable[[Any], object]) -> Any:
    value = copy.deepcopy(body(FULL))
    change(value)
    return value


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda app: app["app_info"]["helm_info"].update(revision=0), id="no revision"),
        pytest.param(lambda app: app["app_info"]["helm_info"].update(updated="yesterday"), id="no time"),
        pytest.param(lambda app: app["app_info"]["helm_info"].update(name=""), id="no name"),
        pytest.param(lambda app: app["app_api_info"].update(cluster_uuid=""), id="no cluster"),
        pytest.param(lambda app: app["app_info"]["service_info"][0].update(port=65536), id="no port"),
        pytest.param(
            lambda app: app["app_info"]["pod_info"].append(app["app_info"]["pod_info"][0]), id="a pod twice"
        ),
        pytest.param(
            lambda app: app["app_info"]["helm_info"].update(status="uninstalled"), id="gone with its pods"
        ),
        pytest.param(lambda app: app.update(record={}), id="what is never emitted"),
    ],
)
def test_what_is_never_emitted_is_not_valid(wrong: Callable[[Any], object]) -> None:
    BODY.validate(body(FULL))
    assert not BODY.is_valid(changed(wrong))


def test_the_examples_are_valid_and_one_is_the_end_of_an_app() -> None:
    examples = PUSH["requestBody"]["content"]["application/json"]["examples"]
    for example in examples.values():
        BODY.validate(example["value"])
    assert examples["uninstalled"]["value"]["app_info"]["helm_info"]["status"] == "uninstalled"


@given(
    st.integers(0, 2**48 - 2),
    st.binary(min_size=keys.ENTROPY, max_size=keys.ENTROPY),
    st.integers(0, 2**48 - 2),
)
def test_every_key_that_is_drawn_is_valid(unix_ms: int, entropy: bytes, before_ms: int) -> None:
    after = keys.draw("", before_ms, entropy)
    KEY.validate(keys.draw(after, unix_ms, entropy))


NO_KEYS = [
    "",
    SOME_KEY.upper(),
    f'"{SOME_KEY}"',
    SOME_KEY.replace("-7", "-4"),
    SOME_KEY.replace("-", ""),
]


@pytest.mark.parametrize("key", NO_KEYS)
def test_what_is_no_key_is_not_valid(key: str) -> None:
    assert not KEY.is_valid(key)


# The answers.


def meaning(status: int, **headers: str) -> str:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return type(answer_of(status, sent, "", NOW)).__name__


def test_every_status_means_to_the_client_what_the_document_says() -> None:
    said = {status: documented(status)["x-meaning"] for status in range(200, 1000)}
    assert said == {
        status: meaning(status, idempotency_key=SOME_KEY if status == 409 else "")
        for status in range(200, 1000)
    }


def test_a_web_page_and_a_conflict_without_a_key_mean_what_the_document_says() -> None:
    page = {meaning(status, content_type="text/html") for status in range(200, 300)}
    assert page == {documented(200)["x-meaning-of-a-web-page"]}
    usable = [meaning(409, idempotency_key=key) for key in (SOME_KEY, SOME_KEY.replace("-7", "-4"), "")]
    without = documented(409)["x-meaning-without-a-key"]
    assert usable == [Outdated.__name__, without, without]


def test_retry_after_is_documented_where_it_is_honoured() -> None:
    honoured = {
        status
        for status in range(200, 1000)
        if getattr(answer_of(status, {"retry-after": "7"}, "", NOW), "after", None) == 7.0
    }
    assert honoured == {
        status for status in range(200, 1000) if "Retry-After" in documented(status).get("headers", {})
    }
