"""Secrets: one GET by name, and nothing of them in what goes wrong."""

import base64
from collections.abc import Callable

import pytest

from reconciler.errors import ForbiddenError, KubernetesError, NotFoundError
from reconciler.kube.secrets import Secrets
from tests.unit.kube.server import Answerer, Reply, Server, status

Serve = Callable[[Answerer], Server]


async def test_a_secret_is_got_by_name_and_decoded(serve: Serve) -> None:
    data = {"username": "am8=", "password": base64.b64encode(b"\xff\n").decode()}
    server = serve(lambda _: Reply(body={"kind": "Secret", "metadata": {"name": "git"}, "data": data}))
    found = await Secrets(server.client()).read("hossted-system", "git")
    assert found == {"username": b"jo", "password": b"\xff\n"}
    (request,) = server.requests
    assert (request.method, request.uri) == ("GET", "/api/v1/namespaces/hossted-system/secrets/git")


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": {}}])
async def test_a_secret_without_data_is_empty(serve: Serve, body: object) -> None:
    assert await Secrets(serve(lambda _: Reply(body=body)).client()).read("ns", "git") == {}


@pytest.mark.parametrize(
    ("code", "kind"), [(404, NotFoundError), (403, ForbiddenError), (500, KubernetesError)]
)
async def test_one_that_cannot_be_had_says_why(serve: Serve, code: int, kind: type[KubernetesError]) -> None:
    server = serve(lambda _: status(code, "because"))
    with pytest.raises(kind, match="/secrets/git: because"):
        await Secrets(server.client()).read("ns", "git")


async def test_an_answer_that_is_none_shows_nothing_of_it(serve: Serve) -> None:
    server = serve(lambda _: Reply(body={"data": {"password": "hunter2-is-no-base64!"}}))
    with pytest.raises(KubernetesError, match="cannot be understood") as failed:
        await Secrets(server.client()).read("ns", "git")
    assert "hunter2" not in str(failed.value)
