import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import FormatError, TooLargeError
from reconciler.model import AppKey, encode
from reconciler.policy.entry import Entry, Sending
from reconciler.state.ledger import shards
from tests.builders import make_app

names = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,8}[a-z0-9])?", fullmatch=True)
keys = st.builds(AppKey, st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True), names)


@given(keys)
def test_a_configmap_key_tells_namespace_and_release_whatever_dots_they_have(key: AppKey) -> None:
    assert shards.app_key(shards.data_key(key)) == key
    assert shards.data_key(key) != shards.SHARD_KEY


@pytest.mark.parametrize("body", ["", "ü" * 10, "x" * (shards.PACK_AT + 1)])
def test_an_entry_reads_back_as_it_was_plain_or_packed(body: str) -> None:
    entry = Entry(sending=Sending("k", make_app(), body))
    text = shards.encode_entry(entry)
    assert shards.decode_entry(text, "x") == entry
    assert text.startswith("{") == (len(body) <= shards.PACK_AT)
    assert shards.packed(text) == text


def test_an_entry_that_was_written_when_fewer_were_packed_is_packed_with_the_next_write() -> None:
    entry = Entry(sending=Sending("k", make_app(), "x" * shards.PACK_AT))
    plain = encode(entry).decode()
    assert shards.decode_entry(plain, "x") == entry
    assert shards.packed(plain) == shards.encode_entry(entry) != plain


@pytest.mark.parametrize("text", ["", "{", "[]", "gzip:", "gzip:???", "gzip:AAAA"])
def test_what_is_no_entry_is_refused_by_name(text: str) -> None:
    with pytest.raises(Exception, match=r"^ConfigMap a/b"):
        shards.decode_entry(text, "ConfigMap a/b")


@pytest.mark.parametrize("decode", [shards.decode_facts, shards.decode_shard])
def test_a_newer_programs_ledger_is_refused(decode: object) -> None:
    assert callable(decode)
    with pytest.raises(FormatError, match="newer program"):
        decode('{"format": 2, "new": true}', "ConfigMap a/b")


@settings(max_examples=40)
@given(st.lists(keys, unique=True, min_size=1, max_size=40), st.integers(1, 100))
def test_divided_entries_are_each_in_the_leaf_of_their_hash_and_no_leaf_is_too_large(
    apps: list[AppKey], kilobytes: int
) -> None:
    data = {shards.data_key(key): "x" * (kilobytes * 1024) for key in apps}
    leaves = shards.divide("", data)
    assert shards.covers(leaves)
    assert {key: text for items in leaves.values() for key, text in items.items()} == data
    for bits, items in leaves.items():
        assert shards.size(items) <= shards.SPLIT_AT or len(items) == 1
        assert all(shards.leaf_of(leaves, shards.app_key(key)) == bits for key in items)


def test_an_entry_that_fits_no_configmap_names_the_app_and_what_to_do() -> None:
    with pytest.raises(
        TooLargeError, match=r"app default/big takes 921601 bytes.* 921600.*spec.denyNamespaces"
    ):
        shards.divide("", {"default_big": "x" * (900 * 1024 + 1), "default_small": "x"})


@pytest.mark.parametrize(
    ("leaves", "whole"),
    [
        ([""], True),
        (["0", "1"], True),
        (["0", "10", "11"], True),
        (["0"], False),
        (["0", "10"], False),
        ([], False),
    ],
)
def test_a_hole_in_the_tree_is_seen(leaves: list[str], whole: bool) -> None:
    assert shards.covers(leaves) is whole
