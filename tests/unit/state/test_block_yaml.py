"""The quick writer and reader of block YAML; that they agree with ruamel.yaml is in test_documents."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model import App, encode
from reconciler.state.block_yaml import Node, dump, load
from tests.builders import make_app


@pytest.mark.parametrize(
    "app",
    [
        make_app(),
        make_app(pods=0, ports=[]),
        make_app(pods=3, volumes=[1, 1 << 40], hosts=["a.example", ""], app_version="1.0", chart="yes"),
    ],
)
def test_what_was_written_is_read_the_quick_way(app: App) -> None:
    document = msgspec.to_builtins(app)
    assert msgspec.json.encode(load(dump(document))) == encode(app)


@settings(max_examples=25, deadline=None)
@given(st.from_type(App))
def test_what_was_written_of_any_app_is_read_the_quick_way(app: App) -> None:
    assert msgspec.json.encode(load(dump(msgspec.to_builtins(app)))) == encode(app)


@pytest.mark.parametrize(
    "text",
    [
        "", "a: b", "a: b\n\n", "\n", "a:\n", "a: b\na: c\n", " a: b\n", "a:\n   b: c\n", "a: b\n  c: d\n",
        "a\n", "a: 1.5\n", "a: null\n", "a: 2026-11-21\n", "a: 'b\n", "a: {}\n", "a:b\n", "\ta: b\n",
        "---\na: b\n", "a: b\n...\n",
    ],
)  # fmt: skip
def test_what_was_written_otherwise_is_refused_rather_than_guessed(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        load(text.encode())


@pytest.mark.parametrize("document", [{"a": {}}, {"a": [["b"]]}, {"a": [1]}])
def test_what_has_no_place_in_a_document_is_refused(document: dict[str, Node]) -> None:
    with pytest.raises((ValueError, TypeError)):
        dump(document)
