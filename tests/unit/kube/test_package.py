"""What is used of the ``kubernetes`` package, each in a process of its own that has imported none of it."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.kube.package import part
from tests.unit.kube.server import Answerer, Reply, Request, Server

COSTLY = {"pydantic", "requests", "requests_oauthlib", "oauthlib", "dateutil", "websocket"}
"""What the package imports beside what is used of it."""

PARTS = (
    "import sys\n"
    "from reconciler.kube.package import part\n"
    "loaded = [part(name) for name in"
    " ('client.configuration', 'client.rest', 'config.incluster_config', 'config.kube_config')]\n"
)


def outcome(program: str, *words: str) -> str:
    """What a program prints."""
    command = [sys.executable, "-W", "error", "-c", program, *words]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    return child.stdout


def test_of_the_package_only_what_is_used_is_imported() -> None:
    """The package as it is installed has the layout that is counted on: in another, all of it is imported."""
    modules = outcome(PARTS + "print(*sorted(sys.modules))").split()
    assert not COSTLY & set(modules)
    assert [name for name in modules if name.startswith("kubernetes.")] == [
        "kubernetes.client.configuration",
        "kubernetes.client.exceptions",
        "kubernetes.client.rest",
        "kubernetes.config.config_exception",
        "kubernetes.config.dateutil",
        "kubernetes.config.exec_provider",
        "kubernetes.config.incluster_config",
        "kubernetes.config.kube_config",
        "kubernetes.utils._retry_base",
        "kubernetes.utils.keepalive",
        "kubernetes.utils.retry",
    ]
    assert "kubernetes" not in modules


def test_whoever_imports_the_package_afterwards_gets_all_of_it() -> None:
    program = (
        f"{PARTS}import kubernetes\n"
        "from kubernetes.config import kube_config\n"
        "assert kubernetes.client.CoreV1Api(kubernetes.client.ApiClient()).list_namespace\n"
        "assert kubernetes.utils.create_from_yaml\n"
        "print([kubernetes.client.Configuration is loaded[0].Configuration,"
        " kubernetes.config.load_kube_config is loaded[3].load_kube_config, kube_config is loaded[3]])\n"
    )
    assert outcome(program) == "[True, True, True]\n"


def test_where_all_of_it_is_there_already_nothing_is_imported_beside_it() -> None:
    program = (
        f"import kubernetes\n{PARTS}from kubernetes import client\n"
        "print([client.Configuration is loaded[0].Configuration, client.ApiClient is loaded[3].ApiClient])"
    )
    assert outcome(program) == "[True, True]\n"


def test_a_package_of_another_layout_is_imported_whole(tmp_path: Path) -> None:
    files = {
        "__init__.py": "from . import client, config",
        "client/__init__.py": "from .settings import Configuration",
        "client/settings.py": "class Configuration: ...",
        "config/__init__.py": "from .kube_config import load_kube_config",
        "config/kube_config.py": "from kubernetes.client import Configuration as load_kube_config",
    }
    for name, text in files.items():
        path = tmp_path / "kubernetes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    program = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from reconciler.kube.package import part\n"
        "loader = part('config.kube_config').load_kube_config\n"
        "print(loader is sys.modules['kubernetes'].config.load_kube_config)"
    )
    assert outcome(program, str(tmp_path)) == "True\n"


def test_a_part_that_there_is_not_is_an_error() -> None:
    with pytest.raises(ImportError, match="nothing"):
        part("config.nothing")


def test_an_oidc_token_that_has_expired_is_renewed(serve: Callable[[Answerer], Server]) -> None:
    """By what is imported then, and only then."""

    def answer(request: Request) -> Reply:
        if request.path.endswith("openid-configuration"):
            return Reply(body={"token_endpoint": f"{server.url}/token"})
        if request.path == "/token":
            return Reply(
                body={
                    "id_token": id_token(2**40),
                    "refresh_token": "r2",
                    "access_token": "a",
                    "token_type": "b",
                }
            )
        return Reply(body={})

    server = serve(answer)
    config = {
        "idp-issuer-url": server.url,
        "client-id": "c",
        "client-secret": "s",
        "id-token": id_token(1),
        "refresh-token": "r1",
    }
    kubeconfig = server.kubeconfig(**{"auth-provider": {"name": "oidc", "config": config}})
    program = (
        "import os, sys\n"
        "from reconciler.kube.transport import Transport\n"
        "os.environ['OAUTHLIB_INSECURE_TRANSPORT'] = '1'  # the issuer is on this machine\n"
        "Transport(None, sys.argv[1]).send('GET', '/version', {})\n"
    )
    outcome(program, str(kubeconfig))
    discovered, renewed, asked = server.requests
    assert (discovered.path, renewed.path) == ("/.well-known/openid-configuration", "/token")
    assert b"refresh_token=r1" in renewed.body
    assert (asked.path, asked.headers["authorization"]) == ("/version", f"Bearer {id_token(2**40)}")


def id_token(expires: int) -> str:
    """A token that ends at a second since 1970, as far as its reader looks at it."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode())
    return f"h.{claims.decode().rstrip('=')}.s"
