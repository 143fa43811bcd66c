"""What a process imports before its first request: the rest comes when it is used, be it at all."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.kube.server import Answerer, Reply, Request, Server, status

LATE = {"deepdiff", "git", "httpx", "ruamel", "cryptography", "rich", "pydantic", "requests"}
"""Packages that take long to import: for what differs between two apps, stores in git, the Hossted API,
documents, signatures, tables, the Kubernetes API's models, and the renewal of OIDC tokens."""

PROGRAM = (
    "import json, sys\n"
    "from reconciler.cli.main import main\n"
    "try:\n"
    "    main(sys.argv[1:])\n"
    "finally:\n"
    "    print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
)


def begun(*words: str, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "error", "-c", PROGRAM, *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def packages_of(child: "subprocess.Popen[str]") -> set[str]:
    """The packages that it has imported when it ends."""
    printed, said = child.communicate()
    assert printed, said
    packages: list[str] = json.loads(printed.splitlines()[-1])
    return set(packages)


def test_help_imports_no_library_at_all() -> None:
    assert not packages_of(begun("--help")) & {*LATE, "msgspec", "urllib3", "kubernetes", "google"}


@pytest.mark.parametrize("command", ["once", "run"])
def test_until_its_first_answer_a_process_has_imported_what_it_needs_for_that(
    command: str, serve: Callable[[Answerer], Server], tmp_path: Path
) -> None:
    """There is an API, and nothing to send to it yet."""

    def answer(_: Request) -> Reply:
        if command == "run":  # it would ask for ever
            child.terminate()
        return status(404)

    server = serve(answer)
    kubeconfig = server.kubeconfig(token="t")
    child = begun(
        command,
        *("--kubeconfig", str(kubeconfig)),
        HOME=str(tmp_path),
        HOSSTED_API_URL="https://127.0.0.1:1/apps",
        HOSSTED_AUTH_TOKEN="t",
    )
    packages = packages_of(child)
    assert server.requests
    assert "urllib3" in packages
    assert not packages & LATE
