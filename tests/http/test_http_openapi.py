"""The OpenAPI document says what the service does: examples are sent, answers are held to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from case_served import INCIDENT, STREAM, Case
from cli_support import run
from referencing import Registry, Resource

from vault.access import VaultRole
from vault.http import guard
from verify.grant import GrantedRole

DOCUMENT = "/v1/openapi.json"


def document_of(case: Case) -> Any:
    heard = case.site.get(DOCUMENT, case.who("nils"))
    assert heard.status == 200
    return heard.json


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def holds(document: Any, schema: Any, value: Any) -> None:
    """Hold a value against a schema of the document, in which it may refer to others."""
    root = Resource.from_contents(
        {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}
    )
    registry: Registry[Any] = Registry().with_resource("urn:document", root)
    absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:document#/'))
    jsonschema.Draft202012Validator(absolute, registry=registry).validate(value)


def test_the_document_is_for_whom_the_vault_knows(case: Case) -> None:
    assert case.site.get(DOCUMENT).status == 401
    assert document_of(case)["openapi"].startswith("3.1")


def test_every_route_is_told_with_its_permission_and_every_reference_resolves(case: Case) -> None:
    document = document_of(case)
    told = {(method, path): each["x-permission"] for method, path, each in operations(document)}
    routes = {
        (method, route.path_format): str(route.permission)
        for route in guard.routes_of(case.app)
        for method in route.methods or ()
    }
    assert told == routes
    text = json.dumps(document)
    for part in text.split('"$ref": "#/')[1:]:
        place = document
        for name in part.partition('"')[0].split("/"):
            place = place[int(name)] if isinstance(place, list) else place[name]
    assert ".json" not in text.split('"components"')[1].replace("--json", "").replace(
        "trust.json", ""
    ).replace("strictjson", "")
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_operation_says_what_it_does_and_answers(case: Case) -> None:
    for method, path, operation in operations(document_of(case)):
        assert len(operation["summary"]) > 10, path
        assert operation["description"].startswith(operation["summary"][:10])
        done = [each for status, each in operation["responses"].items() if status < "300"]
        assert done, path
        for status, each in operation["responses"].items():
            if status >= "300" or path in ("/v1/traces", "/v1/logs"):
                continue
            ((media, content),) = each["content"].items()
            assert media in (
                "application/json",
                "text/plain",
                "application/octet-stream",
                "application/zip",
            )
            assert content["schema"], f"{method} {path} tells nothing of its answer"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("GET", "/healthz", "200"),
        ("GET", "/readyz", "200 503"),
        ("GET", "/v1/log/checkpoint", "200 429 503"),
        ("GET", "/v1/log/proof", "200 400 404 422 429 503"),
        ("GET", "/v1/incidents", "200 400 401 403 422 429 503"),
        ("GET", "/v1/incidents/{incident}", "200 400 401 403 404 422 429 503"),
        ("POST", "/v1/incidents", "201 400 401 403 408 409 413 422 429 503"),
        ("POST", "/v1/incidents/{incident}/amendments",
         "200 201 400 401 403 404 408 409 412 413 422 429 503"),
        ("POST", "/v1/sweeps", "202 400 401 403 408 409 413 422 429 503"),
        ("POST", "/v1/collectors", "200 201 400 401 403 404 408 409 413 422 429 503"),
    ],
)  # fmt: skip
def test_the_problems_of_a_route_follow_from_what_it_takes(
    case: Case, method: str, path: str, statuses: str
) -> None:
    responses = document_of(case)["paths"][path][method.lower()]["responses"]
    assert sorted(responses) == statuses.split()
    for status, each in responses.items():
        if status >= "400" and path != "/readyz":
            assert list(each["content"]) == ["application/problem+json"]


def _waived(case: Case) -> None:
    said = run(
        "--home", case.vault.home, "waive", "grant", INCIDENT, "C2.models", "--reason", "r",
        "--owner", "Ada", "--approved-by", "Grace", "--exhibit", "EV-0001", "--until", "+2w",
    )  # fmt: skip
    assert said.code == 0, said.err


FILLED = {"incident": INCIDENT, "exhibit": "EV-0001", "waiver": "W-0001", "name": "edge-1"}
"""What the examples are about."""

LAST = ("/removal", "/closing", "/reopening")
"""What can be said only after others were, in that order."""


def example_of(document: Any, path: str) -> Any:
    """The worked example of a route's body."""
    content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    name = content["schema"]["$ref"].rpartition("/")[2]
    (example,) = document["components"]["schemas"][name]["examples"]
    return example


def test_each_example_of_a_body_is_taken_and_answered_as_the_document_says(case: Case) -> None:
    _waived(case)
    case.vault.grants.grant("mia@example.org", GrantedRole.AUDITOR, ["stream:web"], reason="r")
    document = document_of(case)
    who = case.who("eve", *VaultRole)
    own = {"token_id": case.service.tokens.issue("eve").token.id}
    sent = 0
    bodies = [
        (path, operation)
        for _, path, operation in operations(document)
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    ]
    bodies.sort(key=lambda each: [each[0].endswith(word) for word in reversed(LAST)])
    for path, operation in bodies:
        if path.startswith(("/v1/requests", "/v1/traces", "/v1/logs")):
            continue  # test_http_requests and test_http_otlp send those
        if path.endswith("/acceptance"):
            continue  # of one's own role: test_http_incidents accepts one
        filled = path.replace("{chain}", STREAM if "holds" in path or "exten" in path else INCIDENT)
        for name, value in {**FILLED, **own}.items():
            filled = filled.replace(f"{{{name}}}", value)
        heard = case.site.post(filled, who, example_of(document, path))
        assert heard.status in (200, 201, 202), (path, heard.data)
        told = operation["responses"][str(heard.status)]["content"]["application/json"]["schema"]
        holds(document, told, heard.json)
        sent += 1
    assert sent > 20


QUERIES = {"proof": "?index=0", "consistency": "?older=1", "content": "?purpose=review"}


def test_what_is_read_is_as_the_document_says(case: Case) -> None:
    document = document_of(case)
    who = case.who("eve", *VaultRole)
    values = {
        **FILLED, "sequence": "0", "number": "1", "path": "0/000.p/1",
    }  # fmt: skip
    for method, path, operation in operations(document):
        if method != "GET":
            continue
        filled = path.replace("{chain}", STREAM if "streams" in path else INCIDENT)
        for name, value in values.items():
            filled = filled.replace(f"{{{name}}}", value)
        filled += QUERIES.get(path.rpartition("/")[2], "")
        if path.endswith("/exports/{sequence}"):
            continue  # test_http_exports fetches those
        if "{" in filled:
            continue  # a request is shown in test_http_requests
        heard = case.site.get(filled, who)
        if path == "/v1/log/tile/{path}" and heard.status == 404:
            continue  # which partial tile there is depends on the size of the log
        if path.endswith("/document"):
            continue  # which link binds one depends on what it states; test_http_client asks
        assert heard.status == 200, (path, heard.data)
        content = operation["responses"]["200"]["content"]
        media = heard.headers["Content-Type"].partition(";")[0]
        assert list(content) == [media], path
        if media == "application/json":
            holds(document, content[media]["schema"], heard.json)
