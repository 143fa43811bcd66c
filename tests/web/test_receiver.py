"""The receiver of ``examples/receiver``: the rules that whoever writes the real one must keep."""

import asyncio
import json
import socket
import struct
import sys
import threading
from pathlib import Path

import httpx
import pytest

from examples.receiver import receiver as example
from examples.receiver.receiver import Receiver, serving
from reconciler.model import App
from reconciler.policy.protocol import body_of
from tests.builders import make_app

A, B = make_app(revision=1), make_app(revision=2)
FIRST, SECOND, THIRD = (f"019f3a50-000{n}-7000-8000-000000000000" for n in range(3))


def body(app: App) -> bytes:
    return body_of(app, "a@b.c").encode()


def revision(receiver: Receiver) -> int:
    (known,) = receiver.apps.values()
    number = known.push["app_info"]["helm_info"]["revision"]
    assert isinstance(number, int)
    return number


def statuses(receiver: Receiver) -> dict[str, str]:
    helms = [known.push["app_info"]["helm_info"] for known in receiver.apps.values()]
    return {helm["name"]: helm["status"] for helm in helms}


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


def test_a_push_is_accepted_and_kept(receiver: Receiver) -> None:
    assert receiver.receive(FIRST, body(A)).status == 200
    assert receiver.apps[(A.app_api_info.cluster_uuid, "default", "test")].push == json.loads(body(A))


def test_a_key_that_was_accepted_is_answered_as_before_and_changes_nothing(receiver: Receiver) -> None:
    receiver.receive(FIRST, body(A))
    receiver.receive(SECOND, body(B))
    assert receiver.receive(FIRST, body(A)).status == 200
    assert revision(receiver) == 2


def test_a_key_that_is_older_is_answered_with_409_and_the_newest(receiver: Receiver) -> None:
    receiver.receive(SECOND, body(B))
    reply = receiver.receive(FIRST, body(A))
    assert (reply.status, reply.headers) == (409, {"Idempotency-Key": SECOND})
    assert revision(receiver) == 2


def test_a_key_that_was_accepted_with_other_bytes_is_refused(receiver: Receiver) -> None:
    receiver.receive(FIRST, body(A))
    assert receiver.receive(FIRST, body(B)).status == 422
    assert revision(receiver) == 1


def test_apps_are_told_apart_by_cluster_namespace_and_name(receiver: Receiver) -> None:
    for app in (A, make_app(name="x"), make_app(namespace="x"), make_app(cluster_uuid="K-x")):
        assert receiver.receive(FIRST, body(app)).status == 200
    assert len(receiver.apps) == 4


def test_uninstalled_ends_that_app_and_no_other_that_shares_its_app_uuid(receiver: Receiver) -> None:
    other = make_app(name="other")
    assert other.app_uuid == A.app_uuid
    receiver.receive(FIRST, body(A))
    receiver.receive(FIRST, body(other))
    assert receiver.receive(SECOND, body(A.as_uninstalled())).status == 200
    assert statuses(receiver) == {"test": "uninstalled", "other": "deployed"}


def test_uninstalled_under_another_app_uuid_is_accepted_and_ends_nothing(receiver: Receiver) -> None:
    again = make_app(revision=3, app_uuid="A-another")
    receiver.receive(FIRST, body(again))
    assert receiver.receive(SECOND, body(A.as_uninstalled())).text == "accepted"
    assert (revision(receiver), statuses(receiver)) == (3, {"test": "deployed"})
    assert receiver.receive(SECOND, body(A.as_uninstalled())).text == "accepted before"
    assert receiver.receive(FIRST.replace("019", "018"), body(again)).headers == {"Idempotency-Key": SECOND}
    assert receiver.receive(THIRD, body(again.as_uninstalled())).status == 200
    assert statuses(receiver) == {"test": "uninstalled"}


def test_an_app_that_changes_its_app_uuid_ends_under_the_one_and_goes_on_under_the_other(
    receiver: Receiver,
) -> None:
    for key, app in ((FIRST, A), (SECOND, A.as_uninstalled()), (THIRD, make_app(app_uuid="A-another"))):
        assert receiver.receive(key, body(app)).status == 200
    (known,) = receiver.apps.values()
    assert known.push == json.loads(body(make_app(app_uuid="A-another")))


NO_NAMES = b'{"app_api_info": {"cluster_uuid": 5}, "app_info": {"helm_info": {"namespace": "", "name": ""}}}'


@pytest.mark.parametrize(
    ("key", "content"),
    [
        pytest.param("", body(A), id="no key"),
        pytest.param("first", body(A), id="a key that is no UUID"),
        pytest.param("6f1c6a4e-2d0f-4a53-9d0b-0d6f7b6f3a55", body(A), id="a key that is a UUID of no order"),
        pytest.param(FIRST, b"", id="nothing"),
        pytest.param(FIRST, b"[]", id="a list"),
        pytest.param(FIRST, b"{}", id="no app"),
        pytest.param(FIRST, b"\xff", id="no text"),
        pytest.param(FIRST, NO_NAMES, id="no names"),
    ],
)
def test_what_is_no_push_is_refused_and_changes_nothing(receiver: Receiver, key: str, content: bytes) -> None:
    assert receiver.receive(key, content).status == 400
    assert receiver.apps == {}


def test_a_receiver_that_is_started_again_knows_what_it_accepted(tmp_path: Path) -> None:
    file = tmp_path / "pushes.jsonl"
    before = Receiver(file)
    before.receive(FIRST, body(A))
    before.receive(THIRD, body(B))
    after = Receiver(file)
    assert after.apps == before.apps
    assert after.receive(FIRST, body(A)).text == "accepted before"
    assert after.receive(SECOND, body(A)).status == 409


def post(url: str, key: str = FIRST, token: str = "t") -> httpx.Response:
    headers = {"Idempotency-Key": key, "Authorization": f"Bearer {token}"}
    return httpx.post(url, content=body(A), headers=headers, trust_env=False)


def test_over_http_it_answers_shows_and_wants_its_token(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(receiver, token="t", show=True) as url:
        assert post(url, token="wrong").status_code == 401
        assert post(url).status_code == 200
        assert post(url, FIRST.replace("019", "018")).headers["Idempotency-Key"] == FIRST
        assert httpx.get(url, trust_env=False).json() == [json.loads(body(A))]
    assert capsys.readouterr().out.splitlines() == [
        "200  default/test revision 1 deployed, 1 pods  (accepted)",
        "409  default/test revision 1 deployed, 1 pods  (there is a newer push of this app)",
    ]


@pytest.mark.parametrize(("fault", "accepted"), [("away", 0), ("lost", 1)])
def test_a_lost_answer_is_not_a_lost_push(receiver: Receiver, fault: str, accepted: int) -> None:
    receiver.fail(f"{fault}:2")
    with serving(receiver) as url:
        for _ in range(2):
            with pytest.raises(httpx.TransportError):
                post(url)
        assert len(receiver.apps) == accepted
        assert post(url).text == ("accepted before" if accepted else "accepted")


def test_a_request_of_which_only_the_beginning_came_is_none(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    head = f"POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: {FIRST}\r\nContent-Length: {len(body(A))}\r\n\r\n"
    with serving(receiver, show=True) as url:
        where = httpx.URL(url)
        with socket.create_connection((where.host, where.port or 80)) as sender:
            sender.sendall(head.encode() + body(A)[:-1])
            sender.shutdown(socket.SHUT_WR)
            assert sender.recv(1) == b"", "nobody is there to be answered"
    assert capsys.readouterr().out == ""
    assert receiver.apps == {}


def test_nothing_is_said_of_a_sender_that_is_killed(
    receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    others = set(threading.enumerate())  # of servers before, which wait for who does not come back
    with serving(receiver) as url, socket.socket() as sender:
        sender.connect(("127.0.0.1", int(httpx.URL(url).port or 0)))
        sender.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert sender.recv(1 << 16).startswith(b"HTTP/1.1 200")
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        sender.close()
        for thread in set(threading.enumerate()) - others:
            if "process_request_thread" in thread.name:
                thread.join()
    assert capfd.readouterr().err == ""


def test_faults_end_when_they_have_come_or_are_healed(receiver: Receiver) -> None:
    receiver.fail("503")
    with serving(receiver) as url:
        assert [post(url).status_code for _ in range(2)] == [503, 200]
        receiver.fail("500:100")
        receiver.heal()
        assert post(url).status_code == 200


@pytest.mark.parametrize("fault", ["", "200", "600", "x", "away:x", "-5"])
def test_what_is_no_fault_is_refused(receiver: Receiver, fault: str) -> None:
    with pytest.raises(ValueError, match=r"no fault|invalid literal"):
        receiver.fail(fault)


async def test_as_a_program_it_receives_shows_and_stops(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            example.__file__,
            "--port",
            "0",
            "--state",
            str(tmp_path / "state"),
            "--fail",
            "500",
        ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().split()[2].rstrip(";")
        statuses = [(await asyncio.to_thread(post, url)).status_code for _ in range(2)]
        assert statuses == [500, 200]
        assert b"default/test revision 1 deployed" in await process.stdout.readline()
    finally:
        process.terminate()
        await process.communicate()
    assert len((tmp_path / "state").read_text().splitlines()) == 1
