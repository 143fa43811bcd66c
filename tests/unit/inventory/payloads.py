"""Release bodies as Helm writes them: Go's JSON, members in the order of its structs, gzip, base64.

The order is that of ``pkg/release/release.go`` and ``pkg/chart/chart.go`` in Helm 3.22, and of
``pkg/release/v1`` and ``pkg/chart/v2`` in Helm 4.3, which also omits zero times and adds a few members.
"""

import base64
import gzip
import json
import zlib

from reconciler.inventory.objects import Kind

DEPLOYED = "2026-11-21T09:42:49.227889695Z"


def body(
    helm: int = 3,
    *,
    name: str = "test",
    description: str = "Install complete",
    notes: str = "",
    templates: int = 3,
    template: str = "kind: Service",
    values: dict[str, object] | None = None,
    manifest: str = "---\nkind: Service\n",
) -> dict[str, object]:
    """The JSON of a release of keycloak 18.3.3, in Helm's order."""
    info: dict[str, object] = {"first_deployed": "2026-11-20T08:00:00.1Z", "last_deployed": DEPLOYED}
    if helm == 3:
        info["deleted"] = ""
    info |= {"description": description, "status": "superseded"}
    if notes:
        info["notes"] = notes
    chart: dict[str, object] = {
        "metadata": {
            "name": "keycloak",
            "home": "https://www.keycloak.org",
            "sources": ["https://example.com/charts"],
            "version": "18.3.3",
            "description": 'Keycloak\u2028 & "friends" <3',
            "maintainers": [{"name": "a person", "email": "a@example.com"}],
            "apiVersion": "v2",
            "appVersion": "23.0.4",
            "annotations": {"category": "IAM", "lock": "none"},
            "dependencies": [{"name": "postgresql", "version": "12.x.x", "enabled": True}],
        },
        "lock": {"generated": DEPLOYED, "digest": "sha256:00", "dependencies": []},
        "templates": [
            {"name": f"templates/{i}.yaml", "data": base64.b64encode(template.encode()).decode()}
            for i in range(templates)
        ],
        "values": values or {"auth": {"adminPassword": "canary-default"}},
        "schema": None,
    }
    if helm == 4:
        chart["schemamodtime"] = "0001-01-01T00:00:00Z"
    chart["files"] = []
    release: dict[str, object] = {
        "name": name,
        "info": info,
        "chart": chart,
        "config": values or {"auth": {"adminPassword": "canary-value"}},
        "manifest": manifest,
        "version": 4,
        "namespace": "default",
    }
    if helm == 4:
        release["apply_method"] = "ssa"
    return release


def go_json(value: object) -> bytes:
    """Compact JSON, with the characters escaped that Go's encoder escapes."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()


def wrapped(gzipped: bytes, driver: Kind = Kind.RELEASE_SECRETS) -> str:
    """The base64 that the API gives: Helm's, and for a Secret its own around that."""
    text = base64.b64encode(gzipped)
    return (base64.b64encode(text) if driver is Kind.RELEASE_SECRETS else text).decode()


def stored(release: object, driver: Kind = Kind.RELEASE_SECRETS) -> str:
    """``data.release`` of a release's object."""
    return wrapped(gzip.compress(go_json(release), 9), driver)


def bomb(mebibytes: int, head: bytes = b"", declared: int | None = None) -> bytes:
    """A gzip stream of so many MiB of one letter behind ``head``; ``declared``: what its trailer says."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    first = deflate.compress(head) + deflate.flush(zlib.Z_FULL_FLUSH)
    block = deflate.compress(b"a" * 2**20) + deflate.flush(zlib.Z_FULL_FLUSH)
    size = len(head) + mebibytes * 2**20 if declared is None else declared
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    # The checksum is wrong: nobody gets that far.
    return header + first + block * mebibytes + deflate.flush() + bytes(4) + size.to_bytes(4, "little")
