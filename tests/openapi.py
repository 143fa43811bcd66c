"""`docs/openapi.yaml`, read for the tests that hold the code, the wire and the receiver against it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
from ruamel.yaml import YAML

DOCUMENT: dict[str, Any] = YAML(typ="safe").load(
    (Path(__file__).parents[1] / "docs/openapi.yaml").read_text()
)
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
PUSH: dict[str, Any] = DOCUMENT["paths"]["/"]["post"]


def validator(schema: Mapping[str, Any]) -> jsonschema.Draft202012Validator:
    """Of a schema that may refer to the document's others."""
    return jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]})


BODY = validator(PUSH["requestBody"]["content"]["application/json"]["schema"])
KEY = validator({"$ref": "#/components/schemas/IdempotencyKey"})


def documented(status: int) -> dict[str, Any]:
    """What the document says of a status: by itself, by its hundred, or by default."""
    names = (str(status), f"{status // 100}XX", "default")
    responses = PUSH["responses"]
    return resolved(next(responses[name] for name in names if name in responses))


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """A part of the document, or what it refers to."""
    found: Any = DOCUMENT
    if "$ref" not in part:
        return part
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    assert isinstance(found, dict)
    return found
