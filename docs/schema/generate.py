"""Writes the JSON Schema of what is emitted, from the types that emit it.

`python docs/schema/generate.py` writes it anew; a test fails when it is not current.
"""

from pathlib import Path

import msgspec

from reconciler.model import EmittedApp

FILE = Path(__file__).with_name("app.schema.json")


def schema() -> bytes:
    """The schema of one app, as the body of a push (JSON Schema 2020-12)."""
    (reference,), definitions = msgspec.json.schema_components([EmittedApp], ref_template="#/$defs/{name}")
    for definition in definitions.values():
        definition["required"] = list(definition["properties"])  # nothing is ever left out
        for each in definition["properties"].values():
            each.pop("default", None)
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An app, as it is emitted",
        **reference,
        "$defs": definitions,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


if __name__ == "__main__":
    FILE.write_bytes(schema())
