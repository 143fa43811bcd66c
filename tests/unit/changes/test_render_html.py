"""A changeset as a page: complete, and harmless whatever the cluster's names are."""

from html.parser import HTMLParser

import msgspec
import pytest

from reconciler.changes.change import Changeset
from reconciler.changes.diff import diff
from reconciler.changes.render_html import render_html
from reconciler.model import PolicyInEffect
from tests.builders import make_app, make_cluster, make_snapshot

EVIL = "<script>alert(1)</script>\x1b[31m"
CHANGES = diff(
    make_snapshot(make_app("default", "a"), make_app("default", "b"), make_app("default", "d")),
    make_snapshot(
        make_app("default", "a", revision=2, chart_version="18.4.0"),
        make_app("default", "d", revision=2, status="failed"),
        make_app("team-a", "c", chart_version=EVIL),
        cluster=msgspec.structs.replace(make_cluster(), policy=PolicyInEffect(settle="10s")),
    ),
)
NOTHING = diff(make_snapshot(make_app()), make_snapshot(make_app()))


class Page(HTMLParser):
    """The texts by the element that they stand in, and the classes of the sections."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.classes: list[str | None] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)
        if tag == "section":
            self.classes += [value for name, value in attrs if name == "class"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1], data.strip()))

    def of(self, tag: str) -> list[str]:
        return [text for where, text in self.texts if where == tag]


def page(changes: Changeset, title: str = "What differs") -> Page:
    found = Page(render_html(changes, title=title, facts=[("From", "here"), ("To", EVIL)]))
    assert found.open == []
    return found


def test_a_page_has_a_section_per_app_with_its_differences() -> None:
    found = page(CHANGES)
    assert found.of("h2") == [
        "The cluster",
        "upgrade default/a: keycloak 18.3.3 → 18.4.0, revision 1 → 2",
        "uninstall default/b: keycloak 18.3.3",
        "upgrade of default/d failed: keycloak 18.3.3, revision 1 → 2",
        "install team-a/c: keycloak <script>alert(1)</script>�[31m",
    ]
    assert found.of("li") == [
        "policy: settle 5s → 10s",
        "revision 1 → 2",
        "chart version 18.3.3 → 18.4.0",
        "revision 1 → 2",
        "status deployed → failed",
    ]
    assert found.classes == ["cluster", "changed", "went", "failed", "came"]


def test_the_title_and_the_facts_stand_above() -> None:
    found = page(NOTHING, title=EVIL)
    assert found.of("title") == found.of("h1") == ["<script>alert(1)</script>�[31m"]
    assert (found.of("dt"), found.of("dd")) == (["From", "To"], ["here", "<script>alert(1)</script>�[31m"])


def test_nothing_is_said_to_be_nothing() -> None:
    assert page(NOTHING).of("p") == ["no differences"]


@pytest.mark.parametrize("unwanted", ["<script", "http:", "https:", "src=", "\x1b"])
def test_a_page_runs_nothing_and_fetches_nothing(unwanted: str) -> None:
    assert unwanted not in render_html(CHANGES, title=EVIL, facts=[("From", EVIL)])
