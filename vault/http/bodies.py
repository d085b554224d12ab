"""What requests bring, as shapes: unknown members are refused, texts are bounded.

What may stand in a field of a statement is judged by `verify`, where the statement is made.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from verify.declaration import Exposure, Severity, Tier, Trigger, YesNo
from verify.response import Containment, Phase, Role

Text = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=65_536)]
Time = Annotated[
    str,
    StringConstraints(max_length=40),
    Field(description="RFC 3339 with a zone.", examples=["2026-03-01T09:30:00Z"]),
]
Texts = Annotated[list[Text], Field(max_length=1_000)]
Names = Annotated[list[Annotated[str, StringConstraints(max_length=16)]], Field(max_length=10_000)]
Deposit = Annotated[
    str | None,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$"),
    Field(description="An id of your own: repeating it gives the first receipt."),
]


class Body(BaseModel):
    """A body with the members it has, and no others."""

    model_config = ConfigDict(extra="forbid")


class DeclareBody(Body):
    """An incident that is declared."""

    title: Text = Field(examples=["Agent posted customer rows to a public channel"])
    severity: Severity
    tier: Tier
    trigger: Trigger = Trigger.UNKNOWN
    systems: Texts = Field(min_length=1, examples=[["support-agent"]])
    detected_at: Time
    declared_at: Time | None = None


class AmendBody(Body):
    """Fields of the declaration, with their new values; only what is named changes."""

    reason: Text
    title: Text | None = None
    severity: Severity | None = None
    tier: Tier | None = None
    trigger: Trigger | None = None
    systems: Texts | None = Field(None, min_length=1)
    detected_at: Time | None = None
    declared_at: Time | None = None


class ScopeBody(Body):
    """Fields of the scope, with their new values; only what is named changes.

    Lists are whole: send what is there already too, and say with If-Match which state you read.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    reason: Text | None = None
    start: Time | None = Field(None, alias="from")
    to: Time | None = None
    principals: Texts | None = None
    runs: Texts | None = None
    detectors: Texts | None = None
    sources: Texts | None = None
    channel: Text | None = None
    exposure: Exposure | None = None
    customer_impact: YesNo | None = None
    ticket: Text | None = None
    cause: Text | None = None
    recurrence_of: Text | None = None


class PhaseBody(Body):
    """A phase that was reached."""

    phase: Phase
    at: Time | None = None
    exhibits: Names = []


class RoleBody(Body):
    """A role of the runbook that a person is given, or says yes to."""

    role: Role
    person: Text
    at: Time | None = None
    event: Literal["assigned", "accepted"] = "assigned"


class UpdateBody(Body):
    """What everyone was told."""

    at: Time | None = None
    containment: Containment
    next_steps: Words
    note: Words | None = None
    channel: Text | None = None
    exhibits: Names = []


class ExportBody(Body):
    """What a bundle is for, and what is left out of it."""

    purpose: Text = Field(examples=["production, request no. 14"])
    recipient: Text | None = None
    withhold: dict[Annotated[str, StringConstraints(max_length=16)], Text] = Field(
        default={},
        max_length=10_000,
        description="Exhibits to leave out, each with the reason.",
        examples=[{"EV-0002": "privileged"}],
    )


class VerifyBody(Body):
    """What is to be verified: a digest, or an incident or stream; one of the two."""

    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="The SHA-256 of some bytes."
    )
    incident: Annotated[str, StringConstraints(max_length=80)] | None = Field(
        None, examples=["INC-2026-0001"]
    )
    depth: Literal["structure", "checksums", "bytes"] | None = None
    head: int | None = Field(None, ge=0, lt=1 << 53, description="Fail what ends before this link.")
    exhibits: Names = []

    @model_validator(mode="after")
    def _one_question(self) -> VerifyBody:
        if (self.digest is None) == (self.incident is None):
            raise ValueError("name a digest or an incident, one of the two")
        if self.digest is not None and self.model_fields_set != {"digest"}:
            raise ValueError("depth, head and exhibits are of an incident")
        return self


class CloseBody(Body):
    """That an incident is closed and sealed."""

    reason: Text | None = None
    compliance: bool = False


class ReasonBody(Body):
    """Why."""

    reason: Text


def named(body: BaseModel, *without: str) -> dict[str, Any]:
    """The members of a body that were sent, as in JSON, but for some."""
    return body.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=set(without))
