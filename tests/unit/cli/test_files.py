"""What ``snapshot`` prints is read back, and what is something else is refused by name."""

import json
from pathlib import Path

import msgspec
import pytest

from reconciler.cli import files
from reconciler.errors import UsageError
from reconciler.model import Record
from tests.builders import make_app, make_snapshot

SNAPSHOT = make_snapshot(
    make_app("default", "a", app_version="1.10", hosts=["a.example.com"], volumes=[8]),
    make_app("shop", "b", chart_version="null", app_version="2026-11-21", hossted_helm=True),
)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "printed"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_yaml_is_read_back_with_all_that_is_stored(tmp_path: Path) -> None:
    printed = files.read(written(tmp_path, files.as_yaml(SNAPSHOT)))
    assert printed == files.Printed(dict(SNAPSHOT.apps), with_record=True)


def test_json_is_read_back_without_the_record_and_whoever_the_email_is_of(tmp_path: Path) -> None:
    text = msgspec.json.encode(files.as_json(SNAPSHOT, "somebody@example.com"))
    bare = {
        key: msgspec.structs.replace(app, record=Record(chart_version=""))
        for key, app in SNAPSHOT.apps.items()
    }
    assert files.read(written(tmp_path, text)) == files.Printed(bare, with_record=False)


def test_json_is_what_is_emitted_and_nothing_of_the_record() -> None:
    first, _ = json.loads(msgspec.json.encode(files.as_json(SNAPSHOT, "somebody@example.com")))
    assert list(first) == ["app_api_info", "app_info"]
    assert first["app_api_info"]["email_id"] == "somebody@example.com"


@pytest.mark.parametrize("text", ["[]", " [ ]\n", files.as_yaml(make_snapshot())])
def test_an_inventory_without_apps_is_read_back_as_one(tmp_path: Path, text: str) -> None:
    assert files.read(written(tmp_path, text)).apps == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: an inventory without apps is"),
        ("\n \n", "is empty"),
        ("[", "is not what snapshot prints, as JSON or YAML: Input data was truncated"),
        ('[{"app_info": 1}]', r"is not what snapshot prints.*\$\[0\]"),
        ("[1, 2", "is not what snapshot prints"),
        ("a: b", "is not what snapshot prints.*unknown field `a`"),
        ("hello", "is not what snapshot prints"),
        ("a: [", "is not what snapshot prints"),
        ("x: &a [*a]", "is not what snapshot prints"),
        (b"\xff\xfe", "cannot be read: it is not text"),
    ],
)
def test_what_snapshot_did_not_print_is_refused_by_name(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=f"^{path} {message}"):
        files.read(path)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^{tmp_path} cannot be read: Is a directory"):
        files.read(tmp_path)
