"""Requests made up from the OpenAPI document, right and wrong ones: nothing else than it says.

No server error, no status and no content type that it does not tell of, no answer of another shape.
The seed is fixed; the soak looks longer, and elsewhere each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import requests
import schemathesis
from case_served import INCIDENT, STREAM, Case
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from vault.access import VaultRole

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
PLACES = {
    "incident": INCIDENT, "chain": INCIDENT, "exhibit": "EV-0001", "sequence": 0, "number": 1,
    "waiver": "W-0001", "name": "edge", "path": "0/000.p/1", "role": "comms_lead",
    "request_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "sweep_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
}  # fmt: skip
LAST = ("/closing", "/reopening")
"""What would leave nothing for the others to say comes last."""


def operations(case: Case, who: Any) -> list[Any]:
    document = case.site.get("/v1/openapi.json", who).json
    schema = schemathesis.openapi.from_dict(document)
    found = [each.ok() for each in schema.get_all_operations()]
    assert len(found) > 60
    return sorted(found, key=lambda each: [each.path.endswith(word) for word in LAST])


def fuzz(case: Case, mode: GenerationMode, *, there: bool, examples: int, seeded: bool) -> int:
    """Ask every operation; `there`: about what is there. How many requests that came to."""
    who = case.who("eve", *VaultRole)
    places = {**PLACES, "token_id": case.service.tokens.issue("eve").token.id}
    asked = 0

    def ask_about(operation: Any) -> Callable[[], None]:
        known = None
        if there and operation.path_parameters:
            known = {each.name: places[each.name] for each in operation.path_parameters}
            if operation.path.startswith("/v1/streams"):
                known["chain"] = STREAM

        @settings(
            max_examples=examples, derandomize=seeded, database=None, deadline=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(made=operation.as_strategy(generation_mode=mode))
        def ask(made: Any) -> None:
            nonlocal asked
            if known:
                made.path_parameters = known
            asked += 1
            answer = made.call(base_url=case.site.url, session=session, headers=dict(who))
            made.validate_response(answer, checks=CHECKS)

        return ask

    wrong = []
    with requests.Session() as session:
        for operation in operations(case, who):
            try:
                ask_about(operation)()
            except Unsatisfiable:
                assert mode == GenerationMode.NEGATIVE  # there is no way to ask it wrongly
            except FailureGroup as error:
                told = "; ".join(f"{type(each).__name__}: {each}" for each in error.exceptions)
                wrong.append(f"{operation.method.upper()} {operation.path}: {told}")
    assert not wrong, "\n\n".join(wrong)
    return asked


WAYS = pytest.mark.parametrize(
    ("mode", "there"),
    [(mode, there) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
     for there in (True, False)],
    ids=["right, about what is there", "right", "wrong, about what is there", "wrong"],
)  # fmt: skip


@pytest.mark.slow
@WAYS
def test_made_up_requests_are_answered_as_the_document_says(
    case: Case, mode: GenerationMode, there: bool
) -> None:
    assert fuzz(case, mode, there=there, examples=3, seeded=True) > 100


@pytest.mark.soak
@WAYS
def test_many_made_up_requests_are_answered_as_the_document_says(
    case: Case, mode: GenerationMode, there: bool
) -> None:
    examples = int(os.environ.get("EVAULT_FUZZ", "60"))
    assert fuzz(case, mode, there=there, examples=examples, seeded=False) > 50 * examples
