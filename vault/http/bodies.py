"""What requests bring, as shapes: unknown members are refused, texts are bounded.

What may stand in a field of a statement is judged by `verify`, where the statement is made.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from verify.attestation import AttestationType
from verify.declaration import Exposure, Severity, Tier, Trigger, YesNo
from verify.grant import GrantedRole
from verify.response import Containment, Phase, Role
from verify.statement import Kind

Text = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=65_536)]
Time = Annotated[
    str,
    StringConstraints(max_length=40),
    Field(description="RFC 3339 with a zone.", examples=["2026-03-01T09:30:00Z"]),
]
Texts = Annotated[list[Text], Field(max_length=1_000)]
FieldName = Annotated[str, StringConstraints(max_length=64)]
Names = Annotated[list[Annotated[str, StringConstraints(max_length=16)]], Field(max_length=10_000)]
Deposit = Annotated[
    str | None,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$"),
    Field(description="An id of your own: repeating it gives the first receipt."),
]
ChainName = Annotated[
    str, StringConstraints(max_length=80), Field(description="An incident's id, or a stream's.")
]


class Body(BaseModel):
    """A body with the members it has, and no others; no text in it has the character NUL."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="after")
    @classmethod
    def _without_nul(cls, value: Any) -> Any:
        if _has_nul(value):  # no text of a person's; not every database holds it
            raise ValueError("has the character U+0000, which no text here has")
        return value


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(map(_has_nul, (*value, *value.values())))
    return isinstance(value, list) and any(map(_has_nul, value))


def example(**members: Any) -> ConfigDict:
    """The configuration of a body, with an example that the tests send."""
    return ConfigDict(
        extra="forbid", populate_by_name=True, json_schema_extra={"examples": [members]}
    )


class DeclareBody(Body):
    """An incident that is declared."""

    model_config = example(
        title="Agent posted customer rows to a public channel",
        severity="sev1",
        tier="3",
        trigger="egress",
        systems=["support-agent"],
        detected_at="2026-03-01T09:00:00Z",
        declared_at="2026-03-01T09:10:00Z",
    )

    title: Text = Field(examples=["Agent posted customer rows to a public channel"])
    severity: Severity
    tier: Tier
    trigger: Trigger = Trigger.UNKNOWN
    systems: Texts = Field(min_length=1, examples=[["support-agent"]])
    detected_at: Time
    declared_at: Time | None = None


class AmendBody(Body):
    """Fields of the declaration, with their new values; only what is named changes."""

    model_config = example(severity="sev1", reason="It reached customers.")

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

    model_config = example(
        **{
            "from": "2026-03-01T08:00:00Z",
            "to": "2026-03-01T10:00:00Z",
            "runs": ["run-17"],
            "customer_impact": "yes",
            "reason": "First scope.",
        }
    )

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

    model_config = example(phase="contained", at="2026-03-01T09:40:00Z", exhibits=["EV-0001"])

    phase: Phase
    at: Time | None = None
    exhibits: Names = []


class RoleBody(Body):
    """A role of the runbook that a person is given, or says yes to."""

    model_config = example(role="comms_lead", person="cleo@example.org", at="2026-03-01T09:15:00Z")

    role: Role
    person: Text
    at: Time | None = None
    event: Literal["assigned", "accepted"] = "assigned"


class AcceptanceBody(Body):
    """That whoever asks says yes to a role that they were given or offered."""

    model_config = example(at="2026-03-01T09:16:00Z")

    at: Time | None = Field(None, description="When they said so; now if left out.")


class UpdateBody(Body):
    """What everyone was told."""

    model_config = example(
        containment="partly_contained", next_steps="Rotate the token.", channel="#inc-1"
    )

    at: Time | None = None
    containment: Containment
    next_steps: Words
    note: Words | None = None
    channel: Text | None = None
    exhibits: Names = []


class ExportBody(Body):
    """What a bundle is for, and what is left out of it."""

    model_config = example(
        purpose="Production, request no. 14.",
        recipient="Outside counsel",
        withhold={"EV-0001": "Privileged."},
    )

    purpose: Text
    recipient: Text | None = None
    withhold: dict[Annotated[str, StringConstraints(max_length=16)], Text] = Field(
        default={},
        max_length=10_000,
        description="Exhibits to leave out, each with the reason.",
    )


class VerifyBody(Body):
    """What is to be verified: a digest, or an incident or stream; one of the two."""

    model_config = example(
        digest="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )

    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="The SHA-256 of some bytes."
    )
    incident: Annotated[str, StringConstraints(max_length=80)] | None = None
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

    model_config = example(reason="Everything was handed over.")

    reason: Text | None = None
    compliance: bool = False


class ReasonBody(Body):
    """Why."""

    model_config = example(reason="New evidence came in.")

    reason: Text


class AttestationBody(Body):
    """What somebody did, saw or decided, in the fields of its type (verify/FORMAT.md §4.10)."""

    model_config = example(
        type="freeze",
        fields={"at": "2026-03-01T09:20:00Z", "systems": ["support-agent"]},
        exhibits=["EV-0001"],
        statement="Both agents were stopped.",
    )

    type: AttestationType
    fields: dict[FieldName, Text | Texts] = Field(
        max_length=32, description="Texts, lists of texts, and times in RFC 3339 with a zone."
    )
    exhibits: Names = Field([], description="Evidence that shows it.")
    statement: Words | None = Field(None, description="In your own words.")


class WithdrawalBody(Body):
    """That exhibits were sealed by mistake."""

    model_config = example(exhibits=["EV-0001"], reason="It is of another incident.")

    exhibits: Names = Field(min_length=1)
    reason: Words


class ClassificationBody(Body):
    """What exhibits are evidence of."""

    model_config = example(
        exhibits=["EV-0001"], kinds=["ticket", "approval"], reason="It holds the approval too."
    )

    exhibits: Names = Field(min_length=1)
    kinds: list[Kind] = Field(min_length=1, max_length=32)
    reason: Words | None = None


class HoldBody(Body):
    """A matter's hold on all evidence of a chain."""

    model_config = example(
        matter="M-2026-14", reason="A claim is expected.", ordered_by="Lea Legal"
    )

    matter: Text
    reason: Words
    ordered_by: Text | None = Field(None, description="Who ordered it; recorded as your word.")


class ReleaseBody(Body):
    """That a matter's hold is to be released; another person approves it."""

    model_config = example(matter="M-2026-14", reason="The claim was withdrawn.")

    matter: Text
    reason: Words
    exhibits: Names = Field([], description="Evidence that shows why.")


class WaiverBody(Body):
    """That conditions need not hold for a time; another person approves it."""

    model_config = example(
        conditions=["C2.models"],
        reason="The provider keeps no such log.",
        owner="Ida Incident",
        until="2040-01-01T00:00:00Z",
    )

    conditions: list[Text] = Field(min_length=1, max_length=1_000)
    reason: Words
    owner: Text = Field(description="Who bears the risk.")
    until: Time
    start: Time | None = Field(None, alias="from", description="Once it is approved, if left out.")
    scope: Texts = Field([], description="Systems and principals; empty: the whole incident.")
    exhibits: Names = []
    compensating: Names = Field([], description="Evidence of what stands in its place.")


class ExtensionBody(Body):
    """Until when all evidence of a chain is kept at least."""

    model_config = example(until="2040-01-01T00:00:00Z", reason="The regulator asked for it.")

    until: Time
    reason: Words


class PreservationBody(Body):
    """A window of a stream, ends included."""

    model_config = example(
        **{
            "stream": "stream:web",
            "from": "2026-03-01T08:00:00Z",
            "to": "2026-03-01T10:00:00Z",
        }
    )

    stream: Annotated[str, StringConstraints(pattern=r"^stream:[a-z0-9][a-z0-9-]{0,62}$")]
    start: Time = Field(alias="from")
    to: Time


class SweepBody(Body):
    """How deep to look: `checksums` asks the store, `bytes` reads everything again."""

    model_config = example(depth="bytes")

    depth: Literal["checksums", "bytes"] | None = Field(
        None, description="What the store answers for, if left out: checksums on S3, else bytes."
    )


class CollectorBody(Body):
    """A collector that is let in, by its public key."""

    model_config = example(
        name="edge-1",
        key="MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFM1uwgy3Co6wL9f6SLMj7Ls+"
        "jEqnr/b9LYncuPHrETyRd30BTVoFD7tx/BawomZUMUUK8TYtW122GUdRvnNP6w==",
        chains=["stream:web"],
    )

    name: Text = Field(description="What you call it: a-z, 0-9 and -.")
    key: Words = Field(description="PEM, or base64 of its SubjectPublicKeyInfo in DER.")
    chains: list[ChainName] = Field(
        [], max_length=100, description="What its token may append to; empty: it gets no token."
    )
    expires: Time | None = Field(
        None, description="When the token ends: 90 days from now, if left out; 366 at most."
    )


class TokenBody(Body):
    """A token of one's own that is made."""

    model_config = example(chains=["stream:web"], name="nightly export")

    chains: list[ChainName] = Field(
        [], max_length=100, description="The only ones that it is for; empty: as your grants."
    )
    name: Annotated[str, StringConstraints(max_length=200)] = Field(
        "", description="What it is for."
    )
    expires: Time | None = Field(None, description="90 days from now, if left out; 366 at most.")


class RotationBody(Body):
    """A token that is made in another's place."""

    model_config = example(overlap_seconds=7200)

    overlap_seconds: int = Field(
        86_400, ge=0, le=366 * 86_400, description="How long the old one stays valid."
    )
    expires: Time | None = Field(None, description="When the new one ends: as for a new token.")


class GrantBody(Body):
    """A role that a third person is to hold, once a second one approved it."""

    model_config = example(
        person="ada@example.org", role="auditor", chains=["stream:web"], reason="Audit of the year."
    )

    person: Annotated[str, StringConstraints(min_length=1, max_length=512)] = Field(
        description="The identity as it signs in."
    )
    role: GrantedRole
    chains: list[ChainName] = Field(
        min_length=1, max_length=1_000, description="On which; * alone is every one."
    )
    reason: Words
    start: Time | None = Field(None, alias="from", description="Once it is approved, if left out.")
    to: Time | None = Field(None, description="Until it is revoked, if left out.")


class RevocationBody(Body):
    """A role that is taken back."""

    model_config = example(
        person="mia@example.org", role="auditor", chains=["stream:web"], reason="The audit is done."
    )

    person: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    role: GrantedRole
    chains: list[ChainName] | None = Field(
        None,
        min_length=1,
        max_length=1_000,
        description="On which; * is what was granted for every one. Wherever it was granted, if "
        "left out.",
    )
    reason: Words


def named(body: BaseModel, *without: str) -> dict[str, Any]:
    """The members of a body that were sent, as in JSON, but for some."""
    return body.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=set(without))
