"""Why an app was told or not, in every situation; and that the docs show what is said."""

import re
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from reconciler.cli.times import Times
from reconciler.cli.why import as_json, as_text
from reconciler.operator.standing import Facts, Standing, standings
from reconciler.operator.why import explain
from reconciler.policy.entry import EMPTY
from reconciler.policy.keys import drawn_at
from tests.builders import make_app
from tests.unit.operator.results import make_result
from tests.unit.operator.situations import (
    AWAY,
    BRAKED,
    K2,
    KEY,
    NOW,
    SITUATIONS,
    TOLD_BEFORE,
    V1,
    V2,
    Situation,
    acked,
    facts,
    look,
    status,
)

DOCS = Path(__file__).parents[3] / "docs/why.md"
TIMES = Times()

situation = pytest.mark.parametrize("one", [pytest.param(one, id=name) for name, one in SITUATIONS.items()])
shown = pytest.mark.parametrize(
    "one", [pytest.param(one, id=name) for name, one in SITUATIONS.items() if one.title]
)


def said(of: Facts) -> dict[str, str]:
    """The answer under "", and each line by what it is about."""
    why = explain(of, TIMES.text)
    return {"": why.answer, **{line.about: line.text for line in why.lines}}


@situation
def test_each_situation_has_its_standing_and_an_answer_that_names_the_app(one: Situation) -> None:
    why = explain(one.facts, TIMES.text)
    assert why.standing is one.standing
    assert str(one.facts.key) in why.answer
    for text in (why.answer, *(line.text for line in why.lines)):
        assert text.isprintable()
        assert not text.endswith(".")
        assert "None" not in text


@situation
def test_what_programs_get_is_json_and_says_the_same(one: Situation) -> None:
    why = explain(one.facts, TIMES.text)
    document = msgspec.json.decode(msgspec.json.encode(as_json(one.facts, why, TIMES)))
    assert document["app"] == str(one.facts.key)
    assert document["standing"] == str(one.standing)
    assert document["right"] == one.standing.is_right
    assert document["answer"] == why.answer
    assert [(line["about"], line["text"]) for line in document["lines"]] == [
        (line.about, line.text) for line in why.lines
    ]


def test_every_standing_has_a_situation() -> None:
    there = {one.standing for one in SITUATIONS.values()}
    assert set(Standing) - there == {Standing.GONE}, "what waits to be recorded as gone says so instead"


def section(one: Situation) -> str:
    """A situation as the docs show it."""
    key, why = one.facts.key, explain(one.facts, TIMES.text)
    body = f"hossted-reconciler: {why.answer}\n" if why.standing is Standing.UNKNOWN else as_text(why)
    return f"## {one.title}\n\n```console\n$ hossted-reconciler why {key}\n{body}```\n"


@shown
def test_the_docs_show_what_is_said(one: Situation) -> None:
    assert section(one) in DOCS.read_text(encoding="utf-8")


def test_the_docs_show_at_least_ten_situations_and_none_that_is_not_held_to_the_code() -> None:
    titles = [one.title for one in SITUATIONS.values() if one.title]
    assert len(titles) == len(set(titles)) >= 10
    text = DOCS.read_text(encoding="utf-8")
    assert re.findall(r"## (.+)\n\n```console\n\$ hossted-reconciler why", text) == titles


def test_programs_get_each_difference_with_its_action_and_the_rule_that_decided() -> None:
    of = facts()
    document = as_json(of, explain(of, TIMES.text), TIMES)
    differences = msgspec.convert(document["differences"], list[dict[str, str]])
    assert [(one["field"], one["before"], one["after"], one["action"], one["by"]) for one in differences] == [
        ("helm_info.revision", "1", "2", "Push", "HelmUpdate"),
        ("helm_info.updated", V1.helm.updated, V2.helm.updated, "Push", "HelmUpdate"),
        ("chart_version", "18.3.3", "18.4.0", "Push", "HelmUpdate"),
    ]


class TestOnTheWayToTheRecord:
    """What has not been recorded decides, and what is decided about the rest stands below."""

    def test_what_waits_to_be_told_is_said_beside_what_waits_to_be_recorded(self) -> None:
        of = facts(V2, look=look(V1))
        found = standings(of)
        assert [one.standing for one in found] == [Standing.SETTLE, Standing.PENDING]
        assert said(of)["And"] == "default/test is recorded, and told with the next delivery"

    def test_the_rule_is_the_one_for_what_is_to_come(self) -> None:
        of = facts(V1, TOLD_BEFORE, look=look(V2))
        assert said(of)["Rule"].startswith("HelmUpdate pushes a change of helm_info.revision")
        assert "And" not in said(of)

    def test_the_store_is_only_waited_for_where_there_is_something_to_record(self) -> None:
        of = facts(V1, TOLD_BEFORE, status=status(make_result(failure=AWAY)))
        assert standings(of)[0].standing is Standing.TOLD

    def test_where_a_person_must_act_trying_again_is_not_promised(self) -> None:
        failure = msgspec.structs.replace(AWAY, stalled=True)
        of = facts(V1, TOLD_BEFORE, look=look(V2), status=status(make_result(failure=failure)))
        assert said(of)[""].endswith("This takes a person")

    def test_a_pod_that_comes_and_goes_is_not_waited_for(self) -> None:
        text = said(SITUATIONS["recorded but a pod"].facts)["Cluster"]
        assert text.endswith("that alone makes no revision, it goes with the next")


def test_a_rule_of_the_project_is_named_by_its_number() -> None:
    assert said(SITUATIONS["a rule pushes"].facts)["Rule"] == (
        "rule 1 pushes a change of pod_info.image, pod_info"
    )


def test_what_is_ignored_is_as_recorded() -> None:
    assert said(SITUATIONS["a rule ignores"].facts)["Cluster"] == "as recorded"


def test_which_apps_are_gone_with_it_is_left_to_the_condition() -> None:
    answer = said(SITUATIONS["brake"].facts)[""]
    assert "7 of 12 apps are gone at once" in answer
    assert answer.endswith(f"hossted.com/confirm-removals={BRAKED.left} --overwrite")
    unsaid = said(SITUATIONS["too many, unsaid"].facts)[""]
    assert unsaid.endswith(
        "7 of 12 apps are gone at once, which a second complete look or a person must confirm"
    )


def test_when_it_was_sent_is_told_by_the_key() -> None:
    assert said(SITUATIONS["in doubt"].facts)["Sent"].endswith(
        f"under the key {K2} of {TIMES.text(drawn_at(K2))}; not acknowledged"
    )


def test_times_are_in_the_zone_that_is_asked_for() -> None:
    why = explain(SITUATIONS["told"].facts, Times("Europe/Paris").text)
    assert "since 2026-11-21 13:40:45 CET by 1ff61fe915b0" in why.lines[0].text


@pytest.mark.parametrize(
    ("silent", "asked"),
    [(timedelta(minutes=30), False), (timedelta(minutes=31), True)],
)
def test_an_operator_that_is_silent_for_three_intervals_is_asked_after(
    silent: timedelta, asked: bool
) -> None:
    last = datetime.fromisoformat(status().lastReconcileTimestamp)
    assert ("Operator" in said(facts(at=last + silent))) is asked


def test_of_many_differences_some_are_named_and_the_others_counted() -> None:
    told = make_app(updated=V1.helm.updated, volumes=range(1, 8))
    of = facts(V2, msgspec.structs.replace(TOLD_BEFORE, acked=acked(told)))
    named = said(of)["Not told"].split("; ")
    assert len(named) == 7
    assert named[-1] == "and 4 more"


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({}, "neither on record nor known to the API"),
        ({"look": look()}, "neither in the cluster nor on record nor known to the API"),
        ({"entry": None}, "not on record"),
        ({"no_record": "away", "look": look()}, "neither in the cluster nor known to the API"),
    ],
)
def test_of_an_app_that_nobody_knows_it_is_said_who_was_asked(
    changes: dict[str, object], places: str
) -> None:
    unknown = msgspec.structs.replace(Facts(key=KEY, at=NOW, entry=EMPTY), **changes)
    assert said(unknown) == {"": f"default/test is {places}"}
