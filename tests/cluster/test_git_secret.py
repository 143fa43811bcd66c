"""The Secret that a project names, on a real API server: with the operator's rights, as it is each time."""

import base64
import json
from pathlib import Path

import pytest

from reconciler.cli import wiring
from reconciler.errors import CredentialsError
from reconciler.kube.client import Client
from reconciler.project import GitState, SecretRef, Spec
from reconciler.settings import load
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.controlplane.plane import ControlPlane
from tests.git.actions import append
from tests.git.servers.certificates import Authority
from tests.git.servers.fixtures import authority, https_repository, https_server, servers_folder
from tests.git.servers.hosting import Hosted, Login, Rules

__all__ = ("authority", "https_repository", "https_server", "servers_folder")

SYSTEM = "hossted-system"
RBAC = str(Path(__file__).parents[2] / "config/rbac")


@pytest.fixture
def plane(controlplane: ControlPlane) -> ControlPlane:
    """With the operator's namespace and rights, and another account without any."""
    controlplane.reset()
    controlplane.kubectl("create", "namespace", SYSTEM)
    controlplane.kubectl("apply", "-n", SYSTEM, "-k", RBAC)
    controlplane.kubectl("create", "serviceaccount", "nobody", "-n", SYSTEM)
    return controlplane


def apply(plane: ControlPlane, data: dict[str, str]) -> None:
    """The Secret ``git``, as Flux and Argo CD have them."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "git", "namespace": SYSTEM},
        "data": {name: base64.b64encode(value.encode()).decode() for name, value in data.items()},
    }
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(secret))


async def test_the_secret_is_read_at_each_operation_and_what_is_wrong_with_it_is_told(
    plane: ControlPlane, https_repository: Hosted, authority: Authority, tmp_path: Path
) -> None:
    https_repository.rules = Rules(accounts=(Login("jo", "first-password"),))
    settings = load({"POD_NAMESPACE": SYSTEM, "XDG_CACHE_HOME": str(tmp_path)})
    spec = Spec(state=GitState(url=https_repository.url, secret_ref=SecretRef("git")))
    client = Client.connect(kubeconfig=plane.kubeconfig_for(SYSTEM, "hossted-reconciler"))
    store = wiring.opener(settings, client)(spec)
    track = store.track(CLUSTER_UUID)

    with pytest.raises(CredentialsError) as missing:
        await track.tip()
    assert str(missing.value) == (
        "the Secret hossted-system/git, which spec.state.git.secretRef names, does not exist: make it, with"
        " the repository's credentials"
    )

    good = {"username": "jo", "password": "first-password", "ca.crt": authority.pem}
    apply(plane, good)
    first = await append(track, make_snapshot(make_app()), None)

    https_repository.rules = Rules(accounts=(Login("jo", "second-password"),))
    with pytest.raises(
        CredentialsError, match="does not accept the credentials of the Secret hossted-system/git"
    ):
        await track.tip()
    apply(plane, {**good, "password": "second-password"})
    assert await track.tip() == first

    nobody = Client.connect(kubeconfig=plane.kubeconfig_for(SYSTEM, "nobody"))
    with pytest.raises(
        CredentialsError, match="may not be read: let the operator get Secrets in that namespace"
    ):
        await wiring.opener(settings, nobody)(spec).track(CLUSTER_UUID).tip()
    for each in (client, nobody):
        each.close()
