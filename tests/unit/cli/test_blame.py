"""Blame where the store does not keep everything: ConfigMaps keep the newest revisions only."""

import pytest

from reconciler.cli.blame import Line, blamed, past
from reconciler.model import AppKey
from tests.builders import make_app, make_snapshot
from tests.unit.state.configmap_standin import StandIn
from tests.unit.state.configmap_world import append_all, open_track

WEB = make_app("shop", "web")
KEY = AppKey("default", "test")


async def lines(key: AppKey, *, history: int) -> dict[str, Line]:
    """The lines of an app after four revisions that upgrade ``default/test`` and leave ``shop/web`` alone."""
    track = open_track(StandIn(), history)
    await append_all(track, [make_snapshot(make_app(revision=number), WEB) for number in (1, 2, 3, 4)])
    return {line.text.strip(): line for line in await blamed(past(track, key), key)}


async def test_what_is_older_than_what_is_kept_is_said_to_be() -> None:
    found = await lines(KEY, history=2)
    assert (found["revision: 4"].revision.id, found["revision: 4"].older) == ("r4", False)
    assert (found["chart: keycloak"].revision.id, found["chart: keycloak"].older) == ("r3", True)


async def test_an_app_that_changed_in_no_revision_that_is_kept_is_older_than_all_of_them() -> None:
    found = await lines(WEB.key, history=2)
    assert {(line.revision.id, line.older) for line in found.values()} == {("r3", True)}


async def test_where_all_is_kept_nothing_is_older() -> None:
    for key in (KEY, WEB.key):
        found = await lines(key, history=200)
        assert (found["chart: keycloak"].revision.id, found["chart: keycloak"].older) == ("r1", False)


@pytest.mark.parametrize("history", [2, 200])
async def test_an_app_that_is_not_there_has_no_lines(history: int) -> None:
    assert await lines(AppKey("no", "app"), history=history) == {}
