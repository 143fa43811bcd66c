"""What the server's answers mean."""

import json

import pytest

from reconciler.errors import (
    ConflictError,
    ForbiddenError,
    KubernetesError,
    NotFoundError,
    ReconcilerError,
    TooLargeError,
)
from reconciler.kube.answers import MESSAGE_LIMIT, asks_again, error_for, pause
from reconciler.kube.transport import Answer


def answer(code: int, message: str = "", **more: object) -> Answer:
    return Answer(code, json.dumps({"kind": "Status", "message": message, **more}).encode())


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, TooLargeError),
        (401, KubernetesError),
        (410, KubernetesError),
        (422, KubernetesError),
        (500, KubernetesError),
    ],
)
def test_each_status_has_its_type_and_the_servers_own_words(code: int, kind: type[ReconcilerError]) -> None:
    error = error_for("GET /api/v1/pods", answer(code, "pods is not for you"))
    assert type(error) is kind
    assert str(error) == "GET /api/v1/pods: pods is not for you"
    assert not isinstance(error, KubernetesError) or error.status == code


def test_an_object_that_is_too_large_is_told_from_one_that_is_wrong() -> None:
    details = {"causes": [{"reason": "FieldValueTooLong", "field": "[]"}]}
    assert isinstance(error_for("PUT x", answer(422, "Too long", details=details)), TooLargeError)


@pytest.mark.parametrize("body", [b"<html>gateway</html>", b"", b"\xff", b"[]", b'{"message": 5}'])
def test_an_answer_that_is_no_status_object_is_told_by_its_number(body: bytes) -> None:
    assert str(error_for("GET /x", Answer(502, body))) == "GET /x: the API server answered 502"


def test_a_message_is_cut_to_size_and_holds_no_credential() -> None:
    said = f"denied: Authorization: Bearer abc.def by https://me:pw@webhook/ {'x' * 1000}"
    text = str(error_for("PUT /x", answer(400, said)))
    assert len(text) == len("PUT /x: ") + MESSAGE_LIMIT
    assert "abc.def" not in text
    assert "pw" not in text


@pytest.mark.parametrize(
    ("method", "status", "again"),
    [
        ("GET", 429, True),
        ("PUT", 429, True),
        ("GET", 503, True),
        ("POST", 503, False),
        ("PATCH", 504, False),
        ("GET", 500, False),
        ("GET", 403, False),
    ],
)
def test_only_what_cannot_be_done_twice_by_it_is_asked_again(method: str, status: int, again: bool) -> None:
    assert asks_again(method, Answer(status, b"")) is again


@pytest.mark.parametrize(
    ("attempt", "retry_after", "jitter", "seconds"),
    [
        (1, "", 0.0, 0.05),
        (1, "", 0.5, 0.1),
        (2, "", 0.5, 0.4),
        (1, "2", 0.9, 2.0),
        (1, "3600", 0.0, 10.0),
        (1, "0", 0.7, 0.0),
        (1, "Sat, 21 Nov 2026 12:00:00 GMT", 0.5, 0.1),
    ],
)
def test_retry_after_is_kept_to_within_a_limit(
    attempt: int, retry_after: str, jitter: float, seconds: float
) -> None:
    assert pause(attempt, retry_after, jitter) == pytest.approx(seconds)
