"""The JSON Schema in the documentation is that of what is emitted."""

import json
import runpy
from pathlib import Path

import jsonschema
import pytest

from reconciler.model import App, emitted, encode
from tests.builders import make_app

FOLDER = Path(__file__).parents[2] / "docs/schema"
SCHEMA = json.loads((FOLDER / "app.schema.json").read_bytes())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
APP = json.loads(encode(emitted(make_app(hosts=["a.example.com"], volumes=[1]), "somebody@example.com")))


def test_the_schema_is_current() -> None:
    generated = runpy.run_path(str(FOLDER / "generate.py"))["schema"]()
    assert generated == (FOLDER / "app.schema.json").read_bytes(), "run python docs/schema/generate.py"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "app",
    [make_app(hosts=["a.example.com"], volumes=[1]), make_app(ports=[], pods=0), make_app().as_uninstalled()],
)
def test_what_is_emitted_is_valid(app: App) -> None:
    VALIDATOR.validate(json.loads(encode(emitted(app, ""))))


def test_the_example_in_the_documentation_is_valid() -> None:
    text = (FOLDER.parent / "emitted.md").read_text()
    example = text.split("```json\n")[1].split("```")[0]
    VALIDATOR.validate(json.loads(example))


def test_every_key_is_in_the_documentation() -> None:
    text = (FOLDER.parent / "emitted.md").read_text()
    for definition in SCHEMA["$defs"].values():
        for key in definition["properties"]:
            assert f"`{key}`" in text, key


@pytest.mark.parametrize(
    "change",
    [
        {"app_info": {**APP["app_info"], "pod_info": None}},
        {"app_info": {key: value for key, value in APP["app_info"].items() if key != "volume_info"}},
        {"app_api_info": {**APP["app_api_info"], "token": "x"}},
        {"record": {}},
    ],
)
def test_what_is_never_emitted_is_not_valid(change: dict[str, object]) -> None:
    assert VALIDATOR.is_valid(APP)
    assert not VALIDATOR.is_valid({**APP, **change})
