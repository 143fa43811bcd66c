import json
from datetime import UTC, datetime

import pytest

from reconciler.errors import SpecError
from reconciler.project import (
    Author,
    ConfigMapState,
    Duration,
    GitState,
    InvalidProjectError,
    Match,
    Project,
    PushSpec,
    Rule,
    Spec,
    Status,
    oldest,
    parse_project,
)
from tests.bad_specs import BAD_SPECS, BadSpec


def resource(spec: object = None, **more: object) -> dict[str, object]:
    return {"apiVersion": "hossted.com/v1", "metadata": {"name": "hossted"}, "spec": spec or {}, **more}


FULL = {
    "metadata": {
        "name": "hossted",
        "uid": "11111111-2222-4333-8444-555555555555",
        "generation": 3,
        "resourceVersion": "417",
        "creationTimestamp": "2026-11-21T09:42:49Z",
        "deletionTimestamp": "2026-11-22T09:42:49Z",
        "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "hossted.com/take-over": "an-instance",
            "reconcile.fluxcd.io/requestedAt": "now",
        },
        "managedFields": [{"manager": "kubectl"}],
    },
    "spec": {
        "clusterName": "prod-eu",
        "stop": True,
        "denyNamespaces": ["kube-system", "team-[!a]*"],
        "interval": "1h",
        "settle": "500ms",
        "state": {
            "git": {
                "url": "file:///srv/record.git",
                "branch": "observed/{cluster_uuid}",
                "approvedBranch": "approved/{cluster_uuid}",
                "author": {"name": "A", "email": "a@example.com"},
            }
        },
        "push": {"on": "AnyChange", "approval": "Required"},
        "rules": [{"match": {"namespaces": ["dev-*"], "fields": ["pod_info.status"]}, "action": "Ignore"}],
        "later": "a field that this version does not know",
    },
    "status": {"clusterUUID": "K-1", "observedGeneration": 2},
}
PARSED = Project(
    name="hossted",
    uid="11111111-2222-4333-8444-555555555555",
    generation=3,
    resource_version="417",
    created=datetime(2026, 11, 21, 9, 42, 49, tzinfo=UTC),
    deleting=True,
    annotations={"hossted.com/take-over": "an-instance", "reconcile.fluxcd.io/requestedAt": "now"},
    spec=Spec(
        cluster_name="prod-eu",
        stop=True,
        deny_namespaces=("kube-system", "team-[!a]*"),
        interval=Duration(hours=1),
        settle=Duration(milliseconds=500),
        state=GitState(
            url="file:///srv/record.git",
            branch="observed/{cluster_uuid}",
            approved_branch="approved/{cluster_uuid}",
            author=Author(name="A", email="a@example.com"),
        ),
        push=PushSpec(on="AnyChange", approval="Required"),
        rules=(Rule(match=Match(namespaces=("dev-*",), fields=("pod_info.status",)), action="Ignore"),),
    ),
    status=Status(clusterUUID="K-1", observedGeneration=2),
)


def test_a_resource_becomes_a_project_from_its_json_and_from_a_dict_alike() -> None:
    assert parse_project(FULL) == PARSED
    assert parse_project(json.dumps(FULL).encode()) == PARSED


def test_only_annotations_of_ours_and_of_flux_are_kept() -> None:
    assert parse_project(FULL).requests == ("now",)
    assert parse_project(resource(metadata={"name": "x", "annotations": None})).annotations == {}


def test_a_resource_that_says_nothing_has_the_defaults() -> None:
    project = parse_project({"metadata": {"name": "hossted"}})
    assert project == Project(name="hossted")
    assert project.status.observedGeneration == -1


def test_state_is_kept_in_config_maps_when_nothing_else_is_said() -> None:
    assert parse_project(resource({"state": {}})).spec.state == ConfigMapState()
    assert parse_project(resource({"state": {"configMap": {"history": 3}}})).spec.state == ConfigMapState(
        history=3
    )


def test_fields_of_the_upstream_operator_are_accepted_and_named() -> None:
    upstream = {"denyNamespaces": ["a"], "monitoring": {"enable": True}, "helm": [], "cve": None}
    spec = parse_project(resource(upstream)).spec
    assert spec == Spec(deny_namespaces=("a",), ignored=("monitoring", "helm"))


@pytest.mark.parametrize("bad", BAD_SPECS, ids=lambda bad: bad.what)
def test_a_mistake_that_slips_past_the_server_is_refused_with_the_field_named(bad: BadSpec) -> None:
    with pytest.raises(InvalidProjectError) as caught:
        parse_project(resource(bad.spec))
    message = str(caught.value)
    assert message.startswith("Hosstedproject hossted: spec.")
    assert bad.field in message
    assert "hunter2" not in message
    assert "\n" not in message


def test_a_project_whose_spec_cannot_be_used_can_still_be_reported_on() -> None:
    with pytest.raises(InvalidProjectError) as caught:
        parse_project(FULL | {"spec": {"interval": "soon"}})
    assert caught.value.project.spec == Spec(stop=True)
    assert caught.value.project.name == PARSED.name
    assert caught.value.project.status == PARSED.status


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"{", "Hosstedproject: Input data was truncated"),
        (b"[]", "Hosstedproject: Expected `object`, got `array`"),
        ({}, "Hosstedproject: Object missing required field `metadata`"),
        ({"metadata": {"name": 5}}, "Hosstedproject: metadata.name: Expected `str`, got `int`"),
    ],
)
def test_what_is_no_hosstedproject_at_all_is_refused(raw: bytes | dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_project(raw)
    assert str(caught.value) == message


def test_the_oldest_project_is_served_and_of_two_as_old_the_first_by_name() -> None:
    def at(name: str, second: int) -> Project:
        return Project(name=name, created=datetime(2026, 11, 21, 9, 42, second, tzinfo=UTC))

    assert oldest([at("a", 3), at("z", 2), at("m", 2)]).name == "m"
