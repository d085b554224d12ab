"""Texts that no database need hold: NUL and lone surrogates, in every text of every request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from case_served import INCIDENT, Case

from vault.access import VaultRole

BAD = {"NUL": "a\x00b", "a lone surrogate": "a\ud800b"}
PLACES = {
    "incident": INCIDENT, "chain": INCIDENT, "exhibit": "EV-0001", "waiver": "W-0001",
    "role": "comms_lead", "name": "edge", "request_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "sweep_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "token_id": "0123456789ab",
    "sequence": "0", "number": "1", "path": "0/000.p/1",
}  # fmt: skip


def resolved(document: Any, shape: Any) -> Any:
    while "$ref" in shape:
        shape = document["components"]["schemas"][shape["$ref"].rpartition("/")[2]]
    return shape


def worse(document: Any, shape: Any, bad: str) -> Iterator[Any]:
    """Values of a shape with a bad text in each place that takes a text."""
    shape = resolved(document, shape)
    if shape.get("type") == "string" or "enum" in shape or "const" in shape:
        yield bad
    for each in (*shape.get("anyOf", ()), *shape.get("allOf", ())):
        yield from worse(document, each, bad)
    if shape.get("type") == "array":
        for value in worse(document, shape["items"], bad):
            yield [value]
    if shape.get("type") == "object" and shape.get("additionalProperties"):
        yield {bad: "x"}
        for value in worse(document, shape["additionalProperties"], bad):
            yield {"at": value}


def bodies(document: Any, bad: str) -> Iterator[tuple[str, str, Any]]:
    """Path, field and body, of every field with a text of every body that is JSON."""
    for path, methods in document["paths"].items():
        body = methods.get("post", {}).get("requestBody", {}).get("content", {})
        if "application/json" not in body or path in ("/v1/traces", "/v1/logs"):
            continue
        shape = resolved(document, body["application/json"]["schema"])
        (example,) = shape["examples"]
        for name, member in shape["properties"].items():
            for value in worse(document, member, bad):
                yield path, name, {**example, name: value}


def filled(path: str) -> str:
    for name, value in PLACES.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path, path
    return path


@pytest.mark.parametrize("what", BAD)
def test_no_text_of_any_body_has_it_and_the_field_is_named(case: Case, what: str) -> None:
    who = case.who("eve", *VaultRole)
    document = case.site.get("/v1/openapi.json", who).json
    told, wrong = set(), []
    for path, name, body in bodies(document, BAD[what]):
        sent = json.dumps(body).encode()  # escaped, as any sender of JSON may write it
        heard = case.site.post(filled(path), who, sent, Content_Type="application/json")
        if heard.status not in (400, 422) or name not in heard.json["detail"]:
            wrong.append((path, name, body, heard.status, heard.data))
        told.add((path, name))
    assert not wrong
    assert len(told) > 60
    assert ("/v1/incidents/{incident}/waivers", "reason") in told
    assert ("/v1/requests/{request_id}/refusal", "reason") in told


def test_no_path_and_no_query_has_a_nul(case: Case) -> None:
    who = case.who("eve", *VaultRole)
    document = case.site.get("/v1/openapi.json", who).json
    asked = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for each in operation.get("parameters", ()):
                claimed = each["in"] == "query" and operation["x-permission"] == "ingest"
                if each["in"] == "header" or claimed:
                    continue  # what is claimed of evidence is kept as it is: see HOSTILE
                named = each["name"]
                if each["in"] == "path":
                    target = filled(path.replace(f"{{{named}}}", f"x{quote(chr(0))}"))
                else:
                    target = f"{filled(path)}?{quote(named)}=x%00"
                heard = case.site.ask(method.upper(), target, who)
                assert heard.status == 400, (method, target, heard.status, heard.data)
                assert f"{each['in']}.{named}: " in heard.json["detail"], heard.data
                asked += 1
    assert asked > 60
