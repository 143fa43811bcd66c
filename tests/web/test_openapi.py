"""Requests as they are on the wire, and what the example's receiver answers, against `docs/openapi.yaml`."""

import json

import httpx
import pytest

from examples.receiver.receiver import Receiver, serving
from reconciler.delivery.api import Api
from reconciler.policy.protocol import body_of
from reconciler.settings import ApiSettings
from tests import openapi
from tests.builders import make_app
from tests.web.wire import answer, wire

A, B = (body_of(make_app(revision=revision), "a@b.c").encode() for revision in (1, 2))
FIRST, SECOND = (f"019f3a50-000{n}-7000-8000-000000000000" for n in range(2))


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
async def test_a_request_is_as_the_document_says(scheme: str) -> None:
    async with wire(answer(200)) as served:
        api = Api(ApiSettings(url=served.url, token="t", scheme=scheme))
        await api.push(A, FIRST, 30.0)
        await api.close()
    (request,) = served.requests
    assert request.line == "POST /apps HTTP/1.1"  # the URL as it is, without the path of the document
    for parameter in openapi.PUSH["parameters"]:
        assert parameter["in"] == "header"
        openapi.validator(parameter["schema"]).validate(request.headers[parameter["name"].lower()])
    assert list(openapi.PUSH["requestBody"]["content"]) == [request.headers["content-type"]]
    openapi.BODY.validate(json.loads(request.body))
    schemes = openapi.DOCUMENT["components"]["securitySchemes"].values()
    assert scheme.lower() in {one["scheme"] for one in schemes if one["type"] == "http"}
    assert request.headers["authorization"] == f"{scheme} t"


def test_the_receiver_gives_the_answers_that_the_document_has_with_their_headers() -> None:
    said: dict[int, str] = {}
    with (
        serving(Receiver(), token="t") as url,
        httpx.Client(trust_env=False, headers={"Authorization": "Bearer t"}) as client,
    ):

        def push(key: str, body: bytes, **headers: str) -> None:
            done = client.post(url, content=body, headers={"Idempotency-Key": key, **headers})
            response = openapi.documented(done.status_code)
            for name, header in response.get("headers", {}).items():
                if header.get("required"):
                    openapi.validator(openapi.resolved(header)["schema"]).validate(done.headers[name])
            said[done.status_code] = response["x-meaning"]

        push(SECOND, A)
        push(SECOND, A)
        push(SECOND, B)
        push(FIRST, B)
        push("", B)
        push(SECOND, b"{}")
        push(FIRST, A, Authorization="Bearer other")
    assert said == {
        200: "Acknowledged",
        422: "Rejected",
        409: "Outdated",
        400: "Rejected",
        401: "Stop",
    }
    assert {str(status) for status in said if status != 200} < set(openapi.PUSH["responses"])
