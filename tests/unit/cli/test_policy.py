"""``policy explain`` on a project from a file; the cluster's is asked for as by every command."""

import json
from pathlib import Path

import pytest

from reconciler.cli.main import main

PROJECT = """
metadata: {name: hossted}
spec:
  push: {"on": AnyChange}
  rules:
  - {match: {namespaces: ["dev-*"], fields: [pod_info.status]}, action: Ignore}
  - {match: {charts: [keycloak], operations: [upgrade, rollback]}, action: Push}
"""
HIDES = "  - {match: {namespaces: [dev]}, action: Defer}\n"


def explained(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    file = tmp_path / "project.yaml"
    file.write_text(text)
    assert main(["policy", "explain", "--project", str(file), *more]) == 0
    return capsys.readouterr().out


def test_it_prints_one_numbered_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = explained(tmp_path, PROJECT, capsys).splitlines()
    assert lines[3:5] == [
        " 1  Ignore  rule 1     pod_info.status in dev-*",
        " 2  Push    rule 2     everything of the chart keycloak at upgrade and rollback",
    ]
    assert [line[:23] for line in lines[5:8]] == [
        " 3  Push    AnyChange  ",
        " 4  Record  AnyChange  ",
        " 5  Defer   AnyChange  ",
    ]
    assert lines[8:] == [
        "",
        "While the operator has no HOSSTED_API_URL nothing is pushed, and what says Push is recorded.",
    ]


def test_it_says_what_is_recorded_in_any_case_and_what_push_on_is_by_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = explained(tmp_path, PROJECT.replace('  push: {"on": AnyChange}\n', "") + HIDES, capsys)
    assert "Installs and uninstalls are recorded whatever a rule says.\npush.on is not set: Helm" in text


def test_it_is_there_for_programs_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(explained(tmp_path, PROJECT, capsys, "--output", "json"))
    assert (document["pushOn"], document["pushOnWithoutAPI"]) == ("AnyChange", "AnyChange")
    assert [(rule["number"], rule["by"], rule["action"]) for rule in document["rules"]] == [
        (1, "rule 1", "Ignore"),
        (2, "rule 2", "Push"),
        (3, "AnyChange", "Push"),
        (4, "AnyChange", "Record"),
        (5, "AnyChange", "Defer"),
    ]


def test_a_rule_that_cannot_be_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "project.yaml"
    file.write_text(PROJECT + "  - {match: {operations: [install]}, action: Ignore}\n")
    assert main(["policy", "explain", "--project", str(file)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("hossted-reconciler: Hosstedproject hossted: spec.rules[2].action: installs and")
