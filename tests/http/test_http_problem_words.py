"""What a request lacks is told in words: the place, and what is taken there."""

from __future__ import annotations

from typing import Any

import pytest
from case_served import Case

from vault.access import VaultRole

DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("POST", "/v1/verify", {"sha256": DIGEST},
         "body.sha256: there is no such field; there are digest, incident, depth, head, exhibits"),
        ("POST", "/v1/verify", {}, "body: name a digest or an incident, one of the two"),
        ("POST", "/v1/verify", {"digest": "x"}, "body.digest: is not of the form"),
        ("POST", "/v1/verify", {"incident": 5}, "body.incident: takes a text"),
        ("POST", "/v1/verify", {"incident": "INC-2026-0001", "depth": "soul"},
         "body.depth: takes one of 'structure', 'checksums' or 'bytes'"),
        ("POST", "/v1/verify", {"incident": "INC-2026-0001", "head": -1},
         "body.head: is at least 0"),
        ("POST", "/v1/verify", {"incident": "INC-2026-0001", "head": "x"},
         "body.head: takes a whole number"),
        ("POST", "/v1/verify", {"incident": "INC-2026-0001", "exhibits": "EV-0001"},
         "body.exhibits: takes a list"),
        ("POST", "/v1/grants", {"person": "", "role": "king"},
         "body.person: is a text of at least 1"),
        ("POST", "/v1/sweeps", [], "body: takes an object"),
        ("GET", "/v1/requests?limit=x", None, "query.limit: takes a whole number"),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_read_is_named_with_what_it_takes(
    case: Case, method: str, path: str, body: Any, told: str
) -> None:
    who = case.who("gus", *VaultRole)
    heard = case.site.ask(method, path, who, body)
    assert heard.status == 400, heard.data
    assert heard.json["detail"].startswith(told)


def test_what_is_no_json_is_told_with_the_place(case: Case) -> None:
    who = {**case.who("gus", *VaultRole), "Content-Type": "application/json"}
    heard = case.site.ask("POST", "/v1/verify", who, b'{"digest": nope}')
    assert heard.status == 400
    assert heard.json["detail"].startswith("body: not JSON, at character ")
    assert "decode" not in heard.json["detail"]


def test_an_id_that_is_none_is_told_as_one_that_is_not_there(case: Case) -> None:
    who = case.who("gus", VaultRole.GOVERNANCE_STEWARD)
    for method, path in (("GET", ""), ("POST", "/approval")):
        heard = case.site.ask(method, f"/v1/requests/nope{path}", who, None)
        assert heard.status == 404
        assert (
            "there is no request nope; list them with: evault request list"
            in (heard.json["detail"])
        )
