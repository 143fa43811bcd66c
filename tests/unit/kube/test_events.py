"""Events: their shape, their size, and that they are never worth an error."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kube.events import LONGEST_MESSAGE, Events, cut
from tests.unit.kube.server import Answerer, Reply, Server, status

Serve = Callable[[Answerer], Server]


@given(st.text(max_size=1200))
def test_a_message_is_at_most_1024_bytes_and_whole_characters(message: str) -> None:
    shortened = cut(message)
    assert len(shortened.encode()) <= LONGEST_MESSAGE
    assert shortened == message or message.startswith(shortened.removesuffix("…"))


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("a" * 1024, "a" * 1024),
        ("a" * 1025, "a" * 1021 + "…"),
        ("→" * 342, "→" * 340 + "…"),
        ("😀" * 257, "😀" * 255 + "…"),
    ],
)
def test_a_message_is_cut_at_a_character_with_an_ellipsis(message: str, kept: str) -> None:
    assert cut(message) == kept


async def test_an_event_is_about_the_project_and_says_who_tells(serve: Serve) -> None:
    server = serve(lambda _: Reply(201))
    at = datetime(2026, 11, 21, 13, tzinfo=timezone(timedelta(hours=1)))
    await Events(server.client(), "pod-1", lambda: at).emit("hossted", "uid-1", "Warning", "Stalled", "why")
    (request,) = server.requests
    assert request.path == "/api/v1/namespaces/default/events"
    body = json.loads(request.body)
    assert body["involvedObject"] == {
        "apiVersion": "hossted.com/v1",
        "kind": "Hosstedproject",
        "name": "hossted",
        "uid": "uid-1",
    }
    assert (body["type"], body["reason"], body["message"]) == ("Warning", "Stalled", "why")
    assert (body["reportingInstance"], body["lastTimestamp"]) == ("pod-1", "2026-11-21T12:00:00Z")


async def test_an_event_that_cannot_be_written_is_logged_and_nothing_else(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(lambda _: status(403, "events is forbidden"))
    now = datetime.now(UTC)
    await Events(server.client(), "pod-1", lambda: now).emit("hossted", "u", "Normal", "Recorded", "x")
    (record,) = caplog.records
    assert record.getMessage() == (
        "the Event Recorded about Hosstedproject hossted could not be written: "
        "POST /api/v1/namespaces/default/events: events is forbidden"
    )
