"""The git store's names and texts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import SpecError, StoreError
from reconciler.model import AppKey
from reconciler.state.git.layout import (
    AUTHOR,
    app_file,
    branch_ref,
    checked_author,
    checked_branch,
    cluster_of_ref,
    directory,
    key_of,
    parse_message,
    tidy,
)
from reconciler.state.store import Message

TRAILERS = (("Cluster-UUID", "K-1"), ("Snapshot", "ab"), ("Instance", "i"))


@pytest.mark.parametrize(
    ("key", "file"),
    [
        (AppKey("default", "test"), "default/test.yaml"),
        (AppKey("a", "cluster"), "a/cluster.yaml"),
        (AppKey("a", "cluster.yaml"), "a/cluster.yaml.yaml"),
        (AppKey("0", "a.b-c.d"), "0/a.b-c.d.yaml"),
    ],
)
def test_an_app_has_a_file_and_the_file_its_app(key: AppKey, file: str) -> None:
    assert app_file(key) == file
    assert key_of(file) == key


@pytest.mark.parametrize(
    "file",
    [
        "cluster.yaml", "README.md", "default/README.md", "default/.yaml", "default/a/b.yaml",
        "Default/a.yaml", "default/A.yaml", "a.b/c.yaml", "default/a.yml", "/a.yaml", "default/", "",
    ],
)  # fmt: skip
def test_a_file_that_no_app_could_have_is_not_ours(file: str) -> None:
    assert key_of(file) is None


@settings(max_examples=100)
@given(st.text(max_size=12), st.text(max_size=12))
def test_a_name_either_stays_in_its_namespaces_folder_or_is_refused(namespace: str, name: str) -> None:
    try:
        file = app_file(AppKey(namespace, name))
    except StoreError:
        return
    assert file.split("/") == [namespace, f"{name}.yaml"]
    assert key_of(file) == AppKey(namespace, name)
    assert not set(file) - set("abcdefghijklmnopqrstuvwxyz0123456789-./")


def test_a_clusters_directory_is_below_clusters() -> None:
    assert directory("K-1") == "clusters/K-1"


@pytest.mark.parametrize(
    "branch", ["main", "state/{cluster_uuid}", "{cluster_uuid}", "a/b.c/d_e-f+1", "x{cluster_uuid}y"]
)
def test_a_usable_branch_is_taken(branch: str) -> None:
    assert checked_branch(branch) == branch


@pytest.mark.parametrize(
    "branch",
    [
        "", "/", "a/", "/a", "a//b", "a..b", "a.lock", "a.lock/b", ".a", "a/.b", "a.", "-a", "a b", "a\nb",
        "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "a@{1}", "{cluster_uuid}/{cluster_uuid}", "{other}",
        "é",
    ],
)  # fmt: skip
def test_a_branch_that_git_would_refuse_is_refused(branch: str) -> None:
    with pytest.raises(SpecError, match="is not a name that can be used"):
        checked_branch(branch)


def test_the_placeholder_stands_for_the_clusters_uuid() -> None:
    assert branch_ref("s/{cluster_uuid}/x", "K-1") == "refs/heads/s/K-1/x"
    assert branch_ref("main", "K-1") == "refs/heads/main"


@pytest.mark.parametrize(
    ("ref", "owner"),
    [
        ("refs/heads/s/K-1/x", "K-1"),
        ("refs/heads/s/K-1/y", None),
        ("refs/heads/s//x", None),
        ("refs/heads/s/x", None),
        ("refs/heads/s/a/b/x", None),
        ("refs/heads/t/K-1/x", None),
    ],
)
def test_a_branch_tells_whose_it_is(ref: str, owner: str | None) -> None:
    assert cluster_of_ref("s/{cluster_uuid}/x", ref) == owner


@pytest.mark.parametrize("author", [AUTHOR, "Jo <jo@example.org>", "Jo de Vries (ops) <x@y>"])
def test_an_author_with_an_address_is_taken(author: str) -> None:
    assert checked_author(author) == author


@pytest.mark.parametrize(
    "author",
    ["", "Jo", "jo@example.org", "Jo <a b>", "Jo <>", "Jo <a>\nfrom x", "J<o> <a@b>", " <a@b>", "Jo <a@b> 1"],
)
def test_an_author_that_git_could_not_record_is_refused(author: str) -> None:
    with pytest.raises(SpecError, match="NAME <EMAIL>"):
        checked_author(author)


@pytest.mark.parametrize(
    "message",
    [
        Message(subject="one"),
        Message(subject="one: two"),
        Message(subject="one", trailers=TRAILERS),
        Message(subject="one", body="two", trailers=TRAILERS),
        Message(subject="one", body="two\n\nthree\nfour", trailers=TRAILERS),
        Message(subject="one", body="a/b: two\n- three"),
        Message(subject="one", body="Instance: not a trailer", trailers=TRAILERS),
        Message(subject="one", trailers=(("Gap", ""), ("Gap", "a: b"))),
    ],
)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    assert parse_message(message.render()) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", Message(subject="")),
        ("\n\none\n\n\n", Message(subject="one")),
        ("one\ntwo\n\nthree", Message(subject="one\ntwo", body="three")),
        ("one\n\nA: b\nnot one\n", Message(subject="one", body="A: b\nnot one")),
        ("one\n\n\n\ntwo\n\n\nA: b\n", Message(subject="one", body="two", trailers=(("A", "b"),))),
        ("A: b\n", Message(subject="A: b")),
    ],
)
def test_other_peoples_messages_are_read_too(text: str, message: Message) -> None:
    assert parse_message(text) == message


@settings(max_examples=100)
@given(st.text(), st.text(), st.text())
def test_no_text_can_forge_add_or_hide_a_trailer(subject: str, body: str, value: str) -> None:
    message = tidy(Message(subject=subject, body=body, trailers=(("Gap", value), ("Instance", "ours"))))
    read = parse_message(message.render())
    assert [name for name, _ in read.trailers] == ["Gap", "Instance"]
    assert read.trailer("Instance") == "ours"
    assert "\x00" not in message.render()
