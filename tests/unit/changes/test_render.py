"""A changeset as text, Markdown and JSON."""

import json

import msgspec
import pytest

from reconciler.changes.diff import diff
from reconciler.changes.render_json import JsonChangeset, changeset_as_json, render_json
from reconciler.changes.render_markdown import render_markdown
from reconciler.changes.render_text import render_text
from reconciler.model import PolicyInEffect
from tests.builders import make_app, make_cluster, make_snapshot

CHANGES = diff(
    make_snapshot(make_app("default", "a"), make_app("default", "b")),
    make_snapshot(
        make_app("default", "a", revision=2, updated="2026-11-22T00:00:00Z", chart_version="18.4.0"),
        make_app("team-a", "c", chart_version="18.3.3`*x*`"),
        cluster=msgspec.structs.replace(make_cluster(), policy=PolicyInEffect(settle="10s")),
    ),
    revisions={make_app("default", "a").key: [(1, "superseded"), (2, "deployed")]},
)
NOTHING = diff(make_snapshot(make_app()), make_snapshot(make_app()))
UPGRADE = [
    "upgrade default/a: keycloak 18.3.3 → 18.4.0, revision 1 → 2",
    "revision 1 → 2",
    "updated 2026-11-21T09:42:49.227889695Z → 2026-11-22T00:00:00Z",
    "chart version 18.3.3 → 18.4.0",
]


def test_text_has_a_sentence_per_app_with_its_differences_below() -> None:
    head, *details = UPGRADE
    assert render_text(CHANGES).splitlines() == [
        "policy: settle 5s → 10s",
        head,
        *(f"    {line}" for line in details),
        "uninstall default/b: keycloak 18.3.3",
        "install team-a/c: keycloak 18.3.3`*x*`",
    ]


def test_text_has_colour_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in render_text(CHANGES)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31muninstall default/b" in render_text(CHANGES, colour=True)


def test_a_long_line_of_text_is_neither_wrapped_nor_cut() -> None:
    hosts = [f"{n}.example.com" for n in range(8)]
    changes = diff(make_snapshot(make_app(hosts=[])), make_snapshot(make_app(hosts=hosts)))
    line = render_text(changes).splitlines()[1]
    assert line == f"    new ingress test-keycloak ({', '.join(hosts)})"


def test_markdown_is_a_list_with_what_comes_from_the_cluster_in_code_spans() -> None:
    assert render_markdown(CHANGES).splitlines() == [
        "### `3 apps: 1 upgraded, 1 uninstalled, 1 installed`",
        "",
        "- `policy: settle 5s → 10s`",
        "- **upgrade** `default/a: keycloak 18.3.3 → 18.4.0, revision 1 → 2`",
        *(f"  - `{line}`" for line in UPGRADE[1:]),
        "- **uninstall** `default/b: keycloak 18.3.3`",
        "- **install** `` team-a/c: keycloak 18.3.3`*x*` ``",
    ]


def test_markdown_of_very_many_apps_says_how_many_are_left_out() -> None:
    after = make_snapshot(*(make_app("default", f"app-{n:03}") for n in range(250)))
    lines = render_markdown(diff(make_snapshot(), after)).splitlines()
    assert lines[-2:] == ["- **install** `default/app-199: keycloak 18.3.3`", "- … and 50 more apps"]


def test_json_has_the_documented_shape() -> None:
    text = render_json(CHANGES)
    assert msgspec.json.decode(text, type=JsonChangeset) == changeset_as_json(CHANGES)
    document = json.loads(text)
    assert document["cluster"] == ["policy: settle 5s → 10s"]
    upgrade, uninstall, install = document["apps"]
    assert (upgrade["namespace"], upgrade["name"], upgrade["operation"]) == ("default", "a", "upgrade")
    assert upgrade["details"][-1] == {
        "field": "chart_version",
        "item": "",
        "before": "18.3.3",
        "after": "18.4.0",
    }
    assert (upgrade["before"]["revision"], upgrade["after"]["revision"]) == (1, 2)
    assert (uninstall["after"], install["before"]) == (None, None)
    assert install["after"]["chart_version"] == "18.3.3`*x*`"
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    ("render", "text"),
    [
        (render_text, "no differences\n"),
        (render_markdown, "### `no differences`\n"),
        (render_json, '{\n  "apps": [],\n  "cluster": []\n}\n'),
    ],
)
def test_nothing_is_said_to_be_nothing(render, text: str) -> None:  # type: ignore[no-untyped-def] # three signatures
    assert render(NOTHING) == text
