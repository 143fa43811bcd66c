"""The metrics as a scraper gets them, over real HTTP."""

import socket
from urllib.request import Request, urlopen

import pytest

from reconciler.errors import SettingsError
from reconciler.operator.result import Result
from reconciler.operator.web import serving_metrics
from tests.unit.operator.results import make_result


def scraped(host: str, port: int) -> tuple[str, str]:
    asked = Request(f"http://{host}:{port}/metrics", headers={"accept": "text/plain;version=0.0.4"})
    with urlopen(asked) as answer:
        return answer.headers["content-type"], answer.read().decode()


def test_a_scrape_gets_the_latest_result_in_prometheus_own_format() -> None:
    latest: list[Result] = []
    with serving_metrics("127.0.0.1", 0, lambda: latest[-1] if latest else None) as port:
        _, before = scraped("127.0.0.1", port)
        assert "hossted_" not in before
        assert "process_cpu_seconds_total" in before
        latest.append(make_result())
        kind, text = scraped("127.0.0.1", port)
    assert kind.startswith("text/plain; version=0.0.4")
    assert "# TYPE hossted_missed_changes_total counter\nhossted_missed_changes_total 0.0\n" in text
    assert 'hossted_condition{status="True",type="Ready"} 1.0' in text


def test_no_host_is_every_address() -> None:
    with serving_metrics("", 0, lambda: None) as port:
        assert "process_cpu_seconds_total" in scraped("127.0.0.1", port)[1]


def test_an_address_that_is_taken_is_said_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"metrics cannot be served at 127.0.0.1:{port}"):  # noqa: SIM117
            with serving_metrics("127.0.0.1", port, lambda: None):
                pass


def test_once_the_block_ends_nobody_listens() -> None:
    with serving_metrics("127.0.0.1", 0, lambda: None) as port:
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
