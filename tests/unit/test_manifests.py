"""What can be said of config/ and the Dockerfile without a cluster or an image builder."""

import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reconciler.cli.main import _parser
from reconciler.errors import ReconcilerError, ReleaseError, SettingsError, UsageError
from reconciler.operator.metrics import metrics
from reconciler.operator.result import Delivery
from reconciler.project import Condition, HelmStatus, SnapshotRef, Status, Summary
from reconciler.project import spec as ours
from reconciler.project.status import LONGEST_MESSAGE
from tests.unit.operator.results import make_result

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def load(path: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe", pure=True).load_all((ROOT / path).read_text()))


CRD = load("config/crd/hossted.com_hosstedprojects.yaml")[0]
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def walk(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below spec and status, by its path; an item is ``[]``, a map's value ``{}``."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from walk(inner, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


FIELDS = dict(found for part in ("spec", "status") for found in walk(SCHEMA["properties"][part], part))


def test_every_field_of_the_resource_says_in_words_what_it_is() -> None:
    silent = [
        path
        for path, schema in FIELDS.items()
        if not path.endswith(("[]", "{}", "description")) and not schema.get("description", "").endswith(".")
    ]
    assert silent == []


def test_every_list_map_and_string_of_the_resource_is_bounded() -> None:
    bounds = {"array": ("maxItems",), "string": ("maxLength", "enum", "format")}
    unbounded = [
        path
        for path, schema in FIELDS.items()
        if not set(bounds.get(schema["type"], schema)) & set(schema)
        or ("additionalProperties" in schema and "maxProperties" not in schema)
    ]
    assert unbounded == []


def test_every_list_of_the_resource_is_atomic() -> None:
    lists = [schema for schema in FIELDS.values() if schema["type"] == "array"]
    assert {schema.get("x-kubernetes-list-type") for schema in lists} == {"atomic"}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("spec.push.on", ours.PUSH_ON),
        ("spec.push.approval", ours.APPROVALS),
        ("spec.rules[].action", ours.ACTIONS),
        ("spec.rules[].match.fields[]", ours.RULE_FIELDS),
        ("spec.rules[].match.operations[]", ours.OPERATIONS),
    ],
)
def test_the_resource_and_the_code_allow_the_same_words(path: str, values: tuple[str, ...]) -> None:
    assert tuple(FIELDS[path]["enum"]) == values


@pytest.mark.parametrize(
    ("path", "struct", "upstream"),
    [
        ("status", Status, {"dnsUpdated", "currentState"}),
        ("status.conditions[]", Condition, set()),
        ("status.helmStatus[]", HelmStatus, set()),
        ("status.summary", Summary, set()),
        ("status.snapshot", SnapshotRef, set()),
    ],
)
def test_the_status_of_the_resource_and_of_the_code_have_the_same_fields(
    path: str, struct: type, upstream: set[str]
) -> None:
    assert set(FIELDS[path]["properties"]) - upstream == set(struct.__struct_fields__)  # type: ignore[attr-defined]  # a struct


def test_the_longest_message_fits_the_resource() -> None:
    assert FIELDS["status.conditions[].message"]["maxLength"] == LONGEST_MESSAGE


def copied() -> list[str]:
    """The files that the Dockerfile copies from the build context."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_the_files_that_the_image_is_built_from_exist_and_are_not_left_out() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert copied()
    for source in copied():
        assert (ROOT / source).exists()
        verdict = [not rule.startswith("!") for rule in rules if fnmatchcase(source, rule.removeprefix("!"))]
        assert verdict[-1:] == [False], f"{source} is left out by .dockerignore"


def test_the_image_has_all_files_that_the_package_names() -> None:
    named = {
        PYPROJECT["project"]["readme"],
        *PYPROJECT["project"]["license-files"],
        "pyproject.toml",
        "reconciler",
    }
    assert named <= set(copied())


def test_the_image_runs_the_program_that_the_package_installs() -> None:
    found = re.search(r'^ENTRYPOINT \["([^"]+)"\]$', DOCKERFILE, re.MULTILINE)
    assert found is not None
    assert found[1] in PYPROJECT["project"]["scripts"]


def test_the_image_and_the_deployment_agree_on_a_user_that_is_not_root() -> None:
    found = re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert found is not None
    context = load("config/manager/deployment.yaml")[0]["spec"]["template"]["spec"]["securityContext"]
    assert (int(found[1]), int(found[2])) == (context["runAsUser"], context["runAsGroup"])
    assert context["runAsNonRoot"] is True
    assert int(found[1]) > 0


def container() -> dict[str, Any]:
    (found,) = load("config/manager/deployment.yaml")[0]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_the_deployment_sets_variables_that_the_program_reads_and_each_is_documented() -> None:
    names = {variable["name"] for variable in container()["env"]}
    read = set(re.findall(r'"([A-Z_]{4,})"', (ROOT / "reconciler/settings.py").read_text()))
    assert names <= read
    commands = (ROOT / "docs/commands.md").read_text()
    delivery = (ROOT / "docs/delivery.md").read_text()
    assert [name for name in sorted(names - {"XDG_CACHE_HOME"}) if f"`{name}`" not in commands] == []
    of_the_api = {name for name in read if name.startswith("HOSSTED_A") or name == "HOSSTED_CA_FILE"}
    assert [name for name in sorted(of_the_api) if f"`{name}`" not in delivery] == []


def test_the_token_is_in_a_file_of_the_secret_that_the_other_settings_come_from() -> None:
    pod = load("config/manager/deployment.yaml")[0]["spec"]["template"]["spec"]
    env = {variable["name"]: variable for variable in container()["env"]}
    (mount,) = [mount for mount in container()["volumeMounts"] if mount["name"] == "api"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "api"]
    path = Path(env["HOSSTED_AUTH_TOKEN_FILE"]["value"])
    assert (str(path.parent), path.name) == (mount["mountPath"], "HOSSTED_AUTH_TOKEN")
    named = {
        variable["valueFrom"]["secretKeyRef"]["name"]
        for variable in env.values()
        if "secretKeyRef" in variable.get("valueFrom", {})
    }
    assert named == {volume["secret"]["secretName"]}
    assert (volume["secret"]["optional"], mount["readOnly"]) == (True, True)
    assert "HOSSTED_AUTH_TOKEN" not in env, "one of the two"


def test_the_manifests_install_the_version_that_the_package_has() -> None:
    version = PYPROJECT["project"]["version"]
    kustomization = load("config/default/kustomization.yaml")[0]
    assert [image["newTag"] for image in kustomization["images"]] == [version]
    assert kustomization["labels"][0]["pairs"]["app.kubernetes.io/version"] == version


def test_the_argo_cd_application_installs_a_folder_that_exists() -> None:
    (application,) = load("config/argocd/application.yaml")
    assert (application["apiVersion"], application["kind"]) == ("argoproj.io/v1alpha1", "Application")
    assert (ROOT / application["spec"]["source"]["path"] / "kustomization.yaml").exists()
    namespace = load("config/manager/namespace.yaml")[0]["metadata"]["name"]
    assert application["spec"]["destination"]["namespace"] == namespace


def test_what_scrapes_the_metrics_finds_the_pods_and_the_port_on_which_they_are_served() -> None:
    (monitor,) = load("config/prometheus/pod_monitor.yaml")
    template = load("config/manager/deployment.yaml")[0]["spec"]["template"]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= template["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    (port,) = [one for one in container()["ports"] if one["name"] == endpoint["port"]]
    command, *flags = container()["args"]
    arguments = _parser().parse_args([command, *flags])
    assert (command, arguments.metrics_bind_address) == ("run", ("", port["containerPort"]))


def test_the_alerts_ask_for_metrics_that_there_are() -> None:
    (rules,) = load("config/prometheus/prometheus_rule.yaml")
    asked = {
        name
        for group in rules["spec"]["groups"]
        for rule in group["rules"]
        for name in re.findall(r"hossted_\w+", rule["expr"])
    }
    served = {
        sample.name for metric in metrics(make_result(delivery=Delivery())) for sample in metric.samples
    }
    assert asked <= served
    assert len(asked) == 3
    assert sorted(name for name in served if name not in PAGE) == []


PAGE = (ROOT / "docs/project.md").read_text()


def reasons(kind: type[ReconcilerError]) -> Iterator[tuple[type[ReconcilerError], str]]:
    for inner in kind.__subclasses__():
        if "reason" in vars(inner):
            yield inner, inner.reason
        yield from reasons(inner)


NEVER_IN_A_STATUS = (SettingsError, UsageError, ReleaseError)


@pytest.mark.parametrize(
    "reason",
    sorted({reason for kind, reason in reasons(ReconcilerError) if not issubclass(kind, NEVER_IN_A_STATUS)}),
)
def test_every_reason_of_a_failure_is_explained(reason: str) -> None:
    assert f"`{reason}`" in PAGE


@pytest.mark.parametrize("path", [path for path in FIELDS if re.fullmatch(r"(spec|status)\.\w+", path)])
def test_every_field_is_explained(path: str) -> None:
    name = path.partition(".")[2]
    if name in ("dnsUpdated", "currentState"):  # the upstream operator's, kept so that they are no error
        assert f"`{name}`" not in PAGE
    else:
        assert re.search(rf"`{name}[`.]", PAGE)


@pytest.mark.parametrize(
    "part", ["spec.state.git", "spec.state.configMap", "spec.push", "spec.rules[].match", "status.summary"]
)
def test_every_part_of_a_field_is_explained(part: str) -> None:
    missing = [name for name in FIELDS[part]["properties"] if not re.search(rf"`{name}[`.]", PAGE)]
    assert [name for name in missing if name != "true"] == []


def test_the_page_has_the_defaults_that_the_server_fills_in() -> None:
    defaults = {
        path.removeprefix("spec.").removeprefix("state.git.").removeprefix("state.configMap."): schema[
            "default"
        ]
        for path, schema in FIELDS.items()
        if path.startswith("spec.") and "default" in schema and "author" not in path
    }
    assert len(defaults) == 9
    for field, default in defaults.items():
        text = str(default).lower() if isinstance(default, bool) else str(default)
        name = field.removeprefix("push.")
        assert re.search(rf"^\| `{re.escape(name)}` \| `{re.escape(text)}` \|", PAGE, re.MULTILINE), field
