"""The short way to read YAML gives what the whole reader gives, or leaves the document to it."""

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reconciler.model import App
from reconciler.state.documents import dump_app, dump_cluster
from reconciler.state.plain_yaml import UnusualError, load_plain
from tests.builders import make_app, make_cluster

SIGNS = [
    *"ynotf01279.:-+_/@eE~ '\"\\#\n\t{}[],&*!|>%?=<é\x85\u2028\ufeff",
    ": ", "\n- ", "\n  ", "\n---\n", "\n...\n", "&a ", "*a", "!!str ", "! ", "<<: ", "%YAML 1.1\n---\n",
    "null", "true", "True", "0x1", "0o7", "1_0", "-0", "-7", "1.5", "1:30", "2026-11-21",
    "99999999999999999999", "a: 1\n",
]  # fmt: skip

fragments = st.lists(st.sampled_from(SIGNS), max_size=4).map("".join)
scalars = st.one_of(fragments, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fragments, inner, max_size=3)
)


def whole(data: bytes) -> object:
    return YAML(typ="safe", pure=False).load(data)


def agrees(data: bytes) -> bool:
    """Whether the short way gave an answer; it must be the whole reader's, down to the types."""
    try:
        found = load_plain(data)
    except UnusualError:
        return False
    assert repr(found) == repr(whole(data))
    return True


def text_of(value: object, style: str | None, flow: bool | None) -> str:
    yaml = YAML(typ="safe", pure=False)
    yaml.default_style = style  # type: ignore[assignment]  # annotated as None
    yaml.default_flow_style = flow
    stream = io.BytesIO()
    yaml.dump(value, stream)
    return stream.getvalue().decode()


@settings(max_examples=300)
@given(
    st.dictionaries(fragments, values, max_size=3),
    st.sampled_from([None, "'", '"', "|", ">"]),
    st.sampled_from([None, True, False]),
)
def test_a_document_in_any_style_is_read_as_the_whole_reader_reads_it(
    value: dict[str, Any], style: str | None, flow: bool | None
) -> None:
    agrees(text_of(value, style, flow).encode())


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 6), fragments), min_size=1, max_size=3))
def test_a_document_that_was_edited_anywhere_is_read_as_the_whole_reader_reads_it(
    edits: list[tuple[int, int, str]],
) -> None:
    text = dump_app(make_app(volumes=[1], hosts=["a.example"])).decode()
    for position, removed, inserted in edits:
        text = text[:position] + inserted + text[position + removed :]
    agrees(text.encode())


@settings(max_examples=200)
@given(st.lists(st.sampled_from([*SIGNS, "a: ", "b: x\n", "- "]), max_size=12).map("".join))
def test_any_text_is_read_as_the_whole_reader_reads_it(text: str) -> None:
    agrees(text.encode())


@settings(max_examples=30)
@given(st.binary(max_size=20))
def test_any_bytes_are_read_as_the_whole_reader_reads_them(data: bytes) -> None:
    agrees(b"a: " + data)
    agrees(data)


@settings(max_examples=40)
@given(st.from_type(App))
def test_what_the_program_writes_is_read_the_short_way(app: App) -> None:
    # The whole reader's: integers beyond 64 bits, which no cluster has.
    large = any(abs(each.size) >= 10**19 for each in app.app_info.volume_info)
    large |= any(abs(each.port) >= 10**19 for each in app.app_info.service_info)
    large |= max(abs(app.helm.revision), abs(app.record.rolled_back_to)) >= 10**19
    assert agrees(dump_app(app)) or large


def test_what_describes_a_cluster_is_read_the_short_way() -> None:
    assert agrees(dump_cluster(make_cluster()))


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2\n",
        "a: &x b\nc: *x\n",
        "a: !!str 1\n",
        "a: ! 1\n",
        "<<: {a: 1}\n",
        "%YAML 1.1\n---\na: yes\n",
        "a: 1\n---\nb: 2\n",
        "a: 1.5\n",
        "a:\n",
        "1: a\n",
        "[a]: b\n",
        "- a\n",
        "a\n",
        "",
        "a: [\n",
        "a: " + "[" * 100 + "]" * 100,
    ],
)
def test_what_is_not_plain_is_left_to_the_whole_reader(text: str) -> None:
    with pytest.raises(UnusualError):
        load_plain(text.encode())


def test_the_whole_reader_still_refuses_what_it_refused() -> None:
    with pytest.raises(YAMLError):
        whole(b"a: 1\na: 2\n")
