"""What two sides of a comparison can both tell is compared, and nothing else."""

import msgspec
import pytest

from reconciler.changes.change import Operation
from reconciler.cli.sides import Side, compare
from reconciler.model import App, Cluster, PolicyInEffect, Record
from tests.builders import make_app, make_cluster

OPEN = make_cluster()
CLOSED = msgspec.structs.replace(OPEN, policy=PolicyInEffect(denyNamespaces=("shop",)))
OLD, NEW = make_app(chart_version="1.0.0"), make_app(chart_version="1.1.0")
SHOP = make_app("shop", "web")


def side(*apps: App, cluster: Cluster | None = None) -> Side:
    return Side("a side", {app.key: app for app in apps}, cluster)


def printed(*apps: App) -> Side:
    """What a file with the emitted form gives."""
    bare = [msgspec.structs.replace(app, record=Record(chart_version="")) for app in apps]
    return Side("a file", {app.key: app for app in bare}, None, with_record=False)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (side(OLD, cluster=OPEN), side(OLD, cluster=OPEN)),
        (side(OLD, cluster=CLOSED), side(OLD)),  # what was delivered knows no policy
        (side(OLD), side(OLD, cluster=CLOSED)),
        (side(OLD), side(OLD)),
        (printed(OLD), side(NEW, cluster=OPEN)),  # the chart's version is never emitted
        (side(OLD, cluster=OPEN), printed(NEW)),
        (printed(OLD), printed(NEW)),
    ],
)
def test_what_only_one_side_can_tell_is_no_difference(before: Side, after: Side) -> None:
    assert not compare(before, after)


def test_the_record_block_counts_where_both_sides_have_it() -> None:
    (change,) = compare(side(OLD), side(NEW))
    assert [(detail.field, detail.after) for detail in change.details] == [("chart_version", "1.1.0")]


def test_the_policy_counts_where_both_sides_have_it() -> None:
    changes = compare(side(OLD, cluster=OPEN), side(OLD, cluster=CLOSED))
    assert changes
    assert changes.apps == ()


@pytest.mark.parametrize(
    ("before", "after", "operation"),
    [
        (side(SHOP, cluster=OPEN), side(cluster=CLOSED), Operation.DENY),
        (side(SHOP), side(cluster=CLOSED), Operation.DENY),
        (side(SHOP, cluster=OPEN), side(cluster=OPEN), Operation.UNINSTALL),
        (side(SHOP), side(), Operation.UNINSTALL),
        (side(cluster=CLOSED), side(SHOP, cluster=OPEN), Operation.ALLOW),
        (side(), printed(SHOP), Operation.INSTALL),
    ],
)
def test_an_app_that_is_on_one_side_only_is_told_by_the_policy_of_the_side_that_has_one(
    before: Side, after: Side, operation: Operation
) -> None:
    assert [change.operation for change in compare(before, after)] == [operation]
