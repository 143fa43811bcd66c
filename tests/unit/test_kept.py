"""Apps that are read again and again are kept once."""

import gc
from weakref import ref

import msgspec
import pytest

from reconciler.kept import kept_once
from reconciler.model import App, encode
from tests.builders import make_app

_APP = msgspec.json.Decoder(App)


def read(app: App) -> App:
    """The same, in values of its own."""
    return _APP.decode(encode(app))


SOME = [
    make_app(),
    make_app(pods=0, ports=()),
    make_app(pods=3, volumes=(5,), hosts=("a.example.com",), rolled_back_to=2),
    make_app(digest="", pod_status="Pending"),
]


@pytest.mark.parametrize("app", SOME)
def test_what_is_read_twice_is_one_value(app: App) -> None:
    once = kept_once(read(app))
    assert once == app
    assert once.digest == app.digest
    assert kept_once(read(app)) is once
    assert kept_once(once) is once


@pytest.mark.parametrize("other", SOME[1:])
def test_what_differs_is_another_value(other: App) -> None:
    once = kept_once(read(SOME[0]))
    assert kept_once(read(other)) == other
    assert once == SOME[0]


def test_names_are_kept_once_among_all_that_is_read() -> None:
    one, other = kept_once(read(make_app(pods=2))), kept_once(read(make_app(pods=2, revision=2)))
    for pod, same in zip(one.app_info.pod_info, other.app_info.pod_info, strict=True):
        assert all(a is b for a, b in zip(*map(msgspec.structs.astuple, (pod, same)), strict=True))
    for container, same_one in zip(one.record.containers, other.record.containers, strict=True):
        assert all(a is b for a, b in zip(*map(msgspec.structs.astuple, (container, same_one)), strict=True))


def test_nothing_is_kept_that_nobody_has() -> None:
    gone = ref(kept_once(read(make_app(name="gone"))))
    gc.collect()
    assert gone() is None
