from datetime import UTC, datetime

import httpx
import pytest

from reconciler.delivery.answers import Acknowledged, Again, Answer, Outdated, Rejected, Stop, answer_of
from reconciler.delivery.endpoint import endpoint_of
from reconciler.errors import SettingsError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = "019f3a50-0000-7000-8000-000000000000"


def answered(status: int, headers: dict[str, str] | None = None, text: str = "") -> Answer:
    return answer_of(status, httpx.Headers(headers or {}), text, NOW)


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        pytest.param((200, 201, 202, 204, 299), Acknowledged, id="2xx acknowledges"),
        pytest.param((408, 409, 425, 429, 500, 502, 503, 504, 599), Again, id="what may pass is retried"),
        pytest.param((400, 413, 422), Rejected, id="a fault of the content rejects that app"),
        pytest.param(
            (300, 301, 302, 304, 307, 308, 401, 402, 403, 404, 405, 406, 407, 410, 415, 418, 451, 600, 999),
            Stop,
            id="everything else stops pushing",
        ),
    ],
)
def test_each_status_has_one_meaning(statuses: tuple[int, ...], kind: type[Answer]) -> None:
    assert {status: type(answered(status)) for status in statuses} == dict.fromkeys(statuses, kind)


def test_a_web_page_is_not_an_acknowledgement() -> None:
    answer = answered(200, {"Content-Type": "Text/HTML; charset=utf-8"}, "<h1>Welcome</h1>")
    assert answer == Stop(200, "200 with a web page: this is a portal, not the Hossted API")


def test_409_with_a_key_says_that_a_newer_one_was_accepted() -> None:
    assert answered(409, {"Idempotency-Key": f'"{KEY.upper()}"'}) == Outdated(KEY)


@pytest.mark.parametrize("key", ["", "later", "6f1c6a4e-2d0f-4a53-9d0b-0d6f7b6f3a55"])
def test_409_without_a_usable_key_is_retried(key: str) -> None:
    assert answered(409, {"Idempotency-Key": key}) == Again("answered 409", 409)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("Sat, 21 Nov 2026 12:00:30 -0000", 30.0),
        ("99999999999999999999", 3600.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date_and_bounded(text: str, after: float | None) -> None:
    # Headers are bytes on the wire; what is not ASCII arrives as some other text.
    headers = httpx.Headers([(b"retry-after", text.encode())])
    assert answer_of(503, headers, "", NOW) == Again("answered 503", 503, after)


@pytest.mark.parametrize(
    ("media_type", "text", "said"),
    [
        ("application/json", '{"error": "no such cluster"}', ': {"error": "no such cluster"}'),
        ("application/problem+json; charset=utf-8", "{}", ": {}"),
        ("text/plain", "too\r\n\tbig\x1b[31m", ": too big [31m"),
        ("text/plain", "x" * 500, ": " + "x" * 200),
        ("text/html", "<h1>Bad Request</h1>", ""),
        ("application/octet-stream", "abc", ""),
        ("", "abc", ""),
        ("text/plain", "", ""),
    ],
)
def test_a_message_quotes_a_little_of_what_the_api_says(media_type: str, text: str, said: str) -> None:
    assert answered(422, {"Content-Type": media_type}, text) == Rejected(422, f"answered 422{said}")


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "HOSSTED_AUTH_TOKEN"),
        (403, "HOSSTED_AUTH_SCHEME"),
        (404, "HOSSTED_API_URL"),
        (302, "redirects are not followed"),
    ],
)
def test_what_stops_pushing_says_what_to_check(status: int, advice: str) -> None:
    answer = answered(status)
    assert isinstance(answer, Stop)
    assert advice in answer.what


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://api.hossted.com/v1/apps", "https://api.hossted.com/v1/apps"),
        ("https://API.Hossted.com:443", "https://api.hossted.com/"),
        ("http://localhost:8080/apps?token=s3cr3t#here", "http://localhost:8080/apps"),
        ("http://[::1]:8080/apps", "http://[::1]:8080/apps"),
    ],
)
def test_an_endpoint_is_scheme_host_and_path(url: str, endpoint: str) -> None:
    assert endpoint_of(url) == endpoint


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://user:s3cr3t@api.hossted.com/", "credentials"),
        ("https://s3cr3t@api.hossted.com/", "credentials"),
        ("ftp://api.hossted.com/s3cr3t", "https://HOST/PATH"),
        ("api.hossted.com/s3cr3t", "https://HOST/PATH"),
        ("https:///s3cr3t", "https://HOST/PATH"),
        ("https://host:s3cr3t/", "not a URL"),
        ("https://[s3cr3t/", "not a URL"),
        ("https://192.0.2.256/s3cr3t", "not a URL"),
        ("https://a..example.com/s3cr3t", "not a URL"),
        ("https://example.com/s3c\tr3t", "not a URL"),
        ("", "https://HOST/PATH"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_and_not_repeated(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as error:
        endpoint_of(url)
    assert "s3cr3t" not in str(error.value)
    assert error.value.__cause__ is None
