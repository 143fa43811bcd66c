"""When a Helm change that was recorded before the app was quiet is finished."""

import pytest

from reconciler.policy.entry import Acked, Entry
from reconciler.policy.protocol import body_of, mark
from reconciler.policy.unsettled import unfinished
from tests.builders import make_app
from tests.unit.operator.results import KEY, NOW

UNSETTLED, QUIET = make_app(pods=1), make_app(pods=2)
MARK = {KEY: UNSETTLED.digest}
ACKED_QUIET = Entry(acked=Acked("k1", "A", NOW, QUIET), last_key="k1")
ACKED_UNSETTLED = Entry(acked=Acked("k1", "A", NOW, UNSETTLED), last_key="k1")
IN_DOUBT = mark(ACKED_QUIET, QUIET, "k2", body_of(QUIET, ""))


@pytest.mark.parametrize(
    ("recorded", "entry", "telling", "stays"),
    [
        pytest.param(UNSETTLED, ACKED_UNSETTLED, True, True, id="its first quiet state is still to come"),
        pytest.param(UNSETTLED, None, False, True, id="the same where nothing is told"),
        pytest.param(QUIET, ACKED_UNSETTLED, True, True, id="the quiet state is recorded, not yet told"),
        pytest.param(QUIET, IN_DOUBT, True, True, id="told, not acknowledged"),
        pytest.param(QUIET, ACKED_QUIET, True, False, id="acknowledged: finished"),
        pytest.param(QUIET, None, False, False, id="recorded where nothing is told: finished"),
        pytest.param(None, ACKED_UNSETTLED, True, False, id="the app has left the record"),
    ],
)
def test_a_mark_lasts_until_the_quiet_state_is_recorded_and_acknowledged(
    recorded: object, entry: Entry | None, telling: bool, stays: bool
) -> None:
    apps = {KEY: recorded} if recorded is not None else {}
    entries = {KEY: entry} if entry is not None else {}
    assert unfinished(MARK, apps, entries, telling=lambda _: telling) == (MARK if stays else {})  # type: ignore[arg-type] # a table of apps
