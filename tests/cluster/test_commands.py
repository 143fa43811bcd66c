"""The commands against a real cluster: as a user who may read, with the real kubectl, and with less."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.cluster.chain import SYSTEM, Chain, NewChain, StoreKind
from tests.cluster.commands import Done, Hossted, install, user
from tests.controlplane.cluster import CHARTS
from tests.controlplane.plane import ControlPlane

SCHEMA = Path(__file__).parents[2] / "docs/schema/app.schema.json"
CANARY = "canary-5e1f"


@pytest.mark.parametrize("store", ["git", "configmap"])
async def test_the_record_and_the_cluster_are_read_with_rights_to_read_only(
    store: StoreKind, new_chain: NewChain, hossted: Hossted
) -> None:
    chain = await new_chain(store=store)
    plane = chain.plane
    install(plane, "test", "keycloak")
    await chain.settle()

    first, *_ = (await hossted("history")).out.splitlines()
    assert first.endswith("UTC  install default/test: keycloak 18.3.3")
    revision = first.split()[0]
    shown = await hossted("show", revision)
    assert shown.status == 0
    assert "\ninstall default/test: keycloak 18.3.3\n" in shown.out
    for other in ("cluster", "delivered", revision):
        assert await hossted("diff", "observed", other) == Done(0, "no differences\n", "")

    plane.kubectl("set", "image", "statefulset/test-keycloak", "keycloak=docker.io/bitnami/keycloak:99")
    plane.rolled_out("default")
    done = await hossted("diff", "observed", "cluster")
    assert (done.status, done.err) == (1, "")
    assert "    image keycloak 23.0.5-debian-11-r0 → 99\n" in done.out
    assert (await hossted("diff", "delivered", "cluster")).status == 1
    assert (await hossted("diff", "observed", "delivered")).status == 0


async def test_snapshot_prints_what_was_pushed_and_is_valid_by_the_schema(
    chain: Chain, hossted: Hossted
) -> None:
    for name, chart in (("test", "keycloak"), ("net", "network"), ("shop", "web")):
        install(chain.plane, name, chart)
    await chain.settle()
    printed = await hossted("snapshot")
    assert (printed.status, printed.err) == (0, "")
    apps = json.loads(printed.out)
    pushed = [json.loads(body) for _, body in chain.receiver.requests]
    assert apps == sorted(pushed, key=lambda app: str(app["app_api_info"]["app_name"]))
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes()))
    assert len(apps) == 3
    for app in apps:
        validator.validate(app)


async def test_snapshot_lists_the_pods_that_belong_to_no_app(chain: Chain, hossted: Hossted) -> None:
    install(chain.plane, "test", "keycloak")
    await chain.settle()
    nothing = await hossted("snapshot", "--unattributed")
    assert nothing == Done(0, "", "note: every pod belongs to an app\n")
    chain.plane.kubectl("run", "loose", "--image=docker.io/library/busybox:1")
    chain.plane.rolled_out("default")
    assert await hossted("snapshot", "--unattributed") == Done(0, "default  loose  \n", "")
    pods = json.loads((await hossted("snapshot", "--unattributed", "-o", "json")).out)
    assert pods == [{"namespace": "default", "name": "loose", "owner": ""}]


async def test_a_recording_reads_as_the_cluster_and_again_as_the_same_bytes(
    chain: Chain, hossted: Hossted, tmp_path: Path
) -> None:
    install(chain.plane, "test", "keycloak")
    await chain.settle()
    folder = tmp_path / "recording"
    done = await hossted("record", str(folder), "--deny", "kube-*", "--deny", SYSTEM)
    assert (done.status, done.err) == (0, "")
    assert done.out == (
        f"recorded 1 namespace, 1 release, 2 pods, 5 services, 1 volume claim, 1 ingress object in {folder}\n"
    )
    live = await hossted("snapshot")
    assert (await hossted("snapshot", "--from", str(folder))).out == live.out
    before = contents(folder)
    chain.plane.kubectl("annotate", "pods", "--all", "it=has-been-touched")
    assert (await hossted("record", str(folder), "--deny", "kube-*", "--deny", SYSTEM)).status == 0
    after = contents(folder)
    taken = re.compile(r'"taken_at": "[^"]*"')
    assert after.keys() == before.keys()
    assert {name: taken.sub("", text) for name, text in after.items()} == {
        name: taken.sub("", text) for name, text in before.items()
    }


async def test_a_recording_has_nothing_of_values_notes_manifests_environment_or_secrets(
    chain: Chain, hossted: Hossted, tmp_path: Path
) -> None:
    plane = chain.plane
    install(plane, "test", "keycloak", "--set", f"adminPassword={CANARY}-values")
    install(plane, "config", "bare", "--description", f"{CANARY}-description")
    plane.kubectl("set", "env", "statefulset/test-keycloak", f"PASSWORD={CANARY}-environment")
    plane.kubectl("annotate", "pods,services", "--all", f"note={CANARY}-annotation")
    plane.kubectl("create", "secret", "generic", "uuid", f"--from-literal=uuid={CANARY} is no UUID")
    plane.kubectl("create", "secret", "generic", "other", f"--from-literal=key={CANARY}-data")
    plane.kubectl("create", "configmap", "settings", f"--from-literal=key={CANARY}-configuration")
    plane.rolled_out("default")
    assert CANARY in plane.helm("get", "notes", "test")  # the chart shows it there, and in its manifest
    assert CANARY in plane.helm("get", "manifest", "test")
    folder = tmp_path / "recording"
    assert (await hossted("record", str(folder))).status == 0
    files = contents(folder)
    assert len(files) == 9
    assert '"test-keycloak-0"' in files["pods.json"]
    assert [name for name, text in files.items() if CANARY in text] == []
    printed = await hossted("snapshot")
    assert CANARY not in printed.out + printed.err
    assert "Secret default/uuid cannot be used" in printed.err
    await chain.settle()


@pytest.mark.parametrize("kind", ["directory", "file"])
async def test_record_touches_nothing_that_is_no_recording(
    hossted: Hossted, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "mine"
    file = path / "thesis.txt" if kind == "directory" else path
    file.parent.mkdir(exist_ok=True)
    file.write_text("precious")
    done = await hossted("record", str(path))
    assert (done.status, done.out) == (2, "")
    assert done.err == f"hossted-reconciler: {path} is there and is no recording: name another directory\n"
    assert file.read_text() == "precious"


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


async def test_without_a_project_a_snapshot_has_the_uuids_that_the_reconciler_will_give(
    new_chain: NewChain, operated: ControlPlane, hossted: Hossted
) -> None:
    install(operated, "test", "keycloak")
    (before,) = json.loads((done := await hossted("snapshot")).out)
    assert done.err == "note: the cluster has no Hosstedproject, so the defaults are taken\n"
    chain = await new_chain()
    await chain.settle()
    (after,) = json.loads((await hossted("snapshot")).out)
    assert after == before
    assert (await hossted("history")).status == 0


async def test_a_cluster_that_knows_no_projects_can_be_read(
    another_cluster: ControlPlane, hossted: Hossted
) -> None:
    another_cluster.helm("install", "test", str(CHARTS / "bare"))
    done = await hossted("snapshot", kubeconfig=another_cluster.kubeconfig)
    assert done.status == 0
    assert done.err.startswith("note: the cluster has no Hosstedproject")
    (app,) = json.loads(done.out)
    assert app["app_info"]["helm_info"]["chart"] == "bare"
    done = await hossted("history", kubeconfig=another_cluster.kubeconfig)
    assert (done.status, done.out) == (2, "")
    assert f"in namespace {SYSTEM} has no record of any cluster yet" in done.err


async def test_what_may_not_be_read_is_named_and_what_may_is_printed(chain: Chain, hossted: Hossted) -> None:
    """The UUID that was adopted stands in the status, which may be read; the ledger may not."""
    install(chain.plane, "test", "keycloak")
    await chain.settle()
    await chain.status()
    whole = json.loads((await hossted("snapshot")).out)
    some = user(
        chain.plane,
        "some",
        (["namespaces", "pods", "services", "persistentvolumeclaims", "secrets"], ""),
        (["statefulsets", "deployments", "replicasets", "daemonsets"], "apps"),
        (["jobs", "cronjobs"], "batch"),
        (["hosstedprojects"], "hossted.com"),
    )
    done = await hossted("snapshot", kubeconfig=some)
    assert done.status == 0
    ledger, *rest = done.err.splitlines()
    assert ledger.startswith("note: the ledger may not be read")
    assert sorted(line.split(":")[1] for line in rest) == [
        " configmaps may not be listed",
        " ingresses may not be listed",
    ]
    # What cannot be seen is as it is on record: here, in a repository that may be read.
    assert json.loads(done.out) == whole


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (["pods"], "namespaces may not be listed: GET /api/v1/namespaces: "),
        (["namespaces", "pods"], "secrets may not be listed: GET /api/v1/secrets: "),
    ],
)
async def test_without_rights_to_see_the_releases_nothing_is_said_of_them(
    chain: Chain, hossted: Hossted, kinds: list[str], message: str
) -> None:
    done = await hossted("snapshot", kubeconfig=user(chain.plane, "nobody", (kinds, "")))
    assert (done.status, done.out) == (1, "")
    *_, last = done.err.splitlines()
    assert last.startswith(f"hossted-reconciler: {message}")
    assert last.endswith("config/rbac has the rights that are needed")


async def test_a_cluster_that_cannot_be_reached_is_trouble(
    operated: ControlPlane, hossted: Hossted, tmp_path: Path
) -> None:
    config = json.loads(operated.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    nowhere = tmp_path / "nowhere.kubeconfig"
    nowhere.write_text(json.dumps(config))
    for words, status in (
        (("snapshot",), 1),
        (("history",), 1),
        (("diff", "observed", "cluster"), 2),
        (("record", str(tmp_path / "recording")), 1),
    ):
        done = await hossted(*words, kubeconfig=nowhere)
        assert (done.status, done.out) == (status, "")
        assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "recording").exists()


async def test_kubectl_hossted_diff_is_the_same_command(chain: Chain, hossted: Hossted) -> None:
    install(chain.plane, "test", "keycloak")
    await chain.settle()
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": os.environ["XDG_CACHE_HOME"],
        "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"],
        "KUBECONFIG": str(chain.plane.kubeconfig),
    }

    def kubectl(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(chain.plane.programs["kubectl"]), "hossted", *words]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)

    done = await asyncio.to_thread(kubectl, "diff", "observed", "cluster")
    assert (done.returncode, done.stdout, done.stderr) == (0, "no differences\n", "")
    chain.plane.kubectl("delete", "ingress", "--all")
    done = await asyncio.to_thread(kubectl, "diff", "observed", "cluster", "-o", "markdown")
    assert done.returncode == 1
    assert "ingress keycloak" in done.stdout
    done = await asyncio.to_thread(kubectl, "diff", "observed", "nothing")
    assert done.returncode == 2
    assert done.stderr.startswith("hossted-reconciler: nothing is none of: ")


async def test_what_is_on_its_way_is_printed_as_it_is_and_said_to_be(chain: Chain, hossted: Hossted) -> None:
    install(chain.plane, "test", "keycloak")
    await chain.settle()
    label = ("label", "secret", "sh.helm.release.v1.test.v1", "status=pending-upgrade", "--overwrite")
    chain.plane.kubectl(*label)
    chain.agreement = False  # helm list reads the body, whose status no label changes
    done = await hossted("snapshot")
    assert done.err == "note: default/test is on its way: pending-upgrade\n"
    (app,) = json.loads(done.out)
    assert app["app_info"]["helm_info"]["status"] == "pending-upgrade"
