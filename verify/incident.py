"""An incident is a fold over its chain: every statement in order, and nothing else. No I/O.

The fold also judges what may follow what: the first statement declares, exhibits are numbered
without gaps, and after a seal only custody, holds, assessments, exports, disposals and a reopening
may come. A stream is a fold too, of captures, custody and holds alone. The vault's own chain has no
state but its grants: its links are read one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from verify.approval import check_second_person
from verify.attestation import Attestation, parse_attestation
from verify.chain import Manifest
from verify.collection import parse_key_event
from verify.custody import parse_refused, parse_view_failed, parse_viewed
from verify.declaration import INCIDENT_FIELDS, SCOPE_FIELDS, Setting, Severity
from verify.errors import ChainError, MalformedError, UnsupportedError
from verify.export import parse_export
from verify.grant import GrantRoll, check_granted_by, parse_grant
from verify.instant import parse_instant
from verify.response import (
    Assignment,
    Phase,
    PhaseEntry,
    Role,
    Update,
    accept,
    assign,
    current,
    offer_role,
    parse_role,
    parse_update,
)
from verify.retention import HoldEvent, check_extension, parse_hold, parse_policy
from verify.statement import (
    ON_STREAM,
    ON_VAULT_CHAIN,
    STREAM,
    VAULT_CHAIN,
    Actor,
    Capture,
    Delivered,
    Item,
    Pack,
    Statement,
    Subject,
    Type,
    chain_subject,
    check_chain_id,
    check_kind,
    exhibit_name,
    is_stream,
    parse_assessment,
    parse_capture,
    parse_sweep,
)
from verify.strictjson import Fields
from verify.waiver import Revocation, Waiver, parse_waiver, waiver_name

LOOKBACK = timedelta(hours=24)
"""How far before detection the window of interest starts, unless the scope says otherwise."""

AFTER_SEAL = frozenset({Type.CUSTODY, Type.HOLD, Type.ASSESSMENT, Type.EXPORT, Type.DISPOSAL})
"""What may follow a seal, besides a reopening."""


_PHASES = frozenset(Phase)


@dataclass(frozen=True, slots=True)
class Hold:
    """A matter's hold on an incident: every exhibit, also those still to come."""

    matter: str
    set_by: HoldEvent
    recorded_at: datetime
    sequence: int
    actor: Actor
    """Who recorded it, as the vault knew them."""
    released_by: HoldEvent | None = None
    released_at: datetime | None = None
    released_sequence: int | None = None
    released_actor: Actor | None = None


@dataclass(frozen=True, slots=True)
class UsedProfile:
    """A version of a checklist profile, and the assessment that used it first."""

    version: int
    sha256: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Exhibit:
    """An item as it stands now: as captured, with later withdrawals and classifications."""

    item: Item
    packs: tuple[Pack, ...]
    """The packs of the item's manifest, which places refer to by number."""
    sequence: int
    system: str | None
    source: str | None
    method: str
    received_at: datetime
    kinds: tuple[str, ...]
    withdrawn: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A collection that was delivered: the capture that took it in, part by part."""

    delivered: Delivered
    sequence: int
    """Of its first link."""
    captures: tuple[Capture, ...]

    @property
    def items(self) -> list[Item]:
        """What the capture sealed besides the envelope, in order."""
        return [item for capture in self.captures for item in capture.items][1:]


@dataclass(slots=True)
class ChainState:
    """What a chain tells of evidence at one head: its exhibits, and how they are to be kept."""

    id: str
    sequence: int = -1
    leaf: str = ""
    recorded_at: datetime | None = None
    exhibits: dict[str, Exhibit] = field(default_factory=dict)
    holds: list[Hold] = field(default_factory=list)
    """All that were ever set, in order; `live_holds` are those that bind."""
    retained_until: datetime | None = None
    """Until when all exhibits are kept at least, by statement; None for the policy alone."""
    retained_sequence: int | None = None
    compliance: bool = False
    """Whether a seal asked for locks that nobody can lift."""
    not_captured: int = 0
    deliveries: list[Delivery] = field(default_factory=list)
    """What collectors sealed first, in spools, in the order of delivery."""
    views: set[int] = field(default_factory=set)
    """The links that say that content was given out."""
    sealed: bool = False
    """Whether the incident is closed; a stream never is."""
    unfinished: tuple[str, int, int] | None = None
    """A capture whose parts are not all there yet: its id, the next part, of how many."""

    PREFIX: ClassVar[str] = ""
    WORD: ClassVar[str] = "chain"

    @property
    def live_holds(self) -> list[Hold]:
        """The holds that were not released."""
        return [hold for hold in self.holds if hold.released_by is None]

    def continued(self) -> Self:
        """A state that goes on from here; this one stays as it is.

        What it is made of is never changed, only replaced: lists of it need not be copied deeper.
        """
        other = copy(self)
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, (dict, list, set)):
                setattr(other, each.name, value.copy())
        return other

    def apply(self, manifest: Manifest) -> None:
        """Take in the next statement. Raises `ChainError` or `MalformedError`."""
        statement = manifest.statement
        where = manifest.name
        if not self.id.startswith(self.PREFIX):
            raise ChainError(f"{where}: this is no {self.WORD}'s chain")
        if statement.link.sequence != self.sequence + 1:
            raise ChainError(f"{where}: expected link {self.sequence + 1}")
        if statement.type in ON_VAULT_CHAIN:
            raise ChainError(f"{where}: a {statement.type} belongs on the chain {VAULT_CHAIN}")
        self._admit(statement, where)
        if self.unfinished and statement.type != Type.CAPTURE:
            raise ChainError(f"{where}: a capture in parts was not finished before it")
        self._take(statement, where)
        _check_subject(self, statement, where)
        self.sequence = statement.link.sequence
        self.leaf = manifest.leaf
        self.recorded_at = statement.recorded_at

    def _admit(self, statement: Statement, where: str) -> None:
        raise NotImplementedError

    def _take(self, statement: Statement, where: str) -> None:
        raise NotImplementedError


@dataclass(slots=True)
class Stream(ChainState):
    """The state of one stream: what is collected before anybody knows of an incident."""

    preserved: dict[str, frozenset[str]] = field(default_factory=dict)
    """By incident, the items that were brought into it, or were about to be when a vault died."""

    PREFIX: ClassVar[str] = STREAM
    WORD: ClassVar[str] = "stream"

    def _admit(self, statement: Statement, where: str) -> None:
        if statement.type not in ON_STREAM:
            raise ChainError(f"{where}: a {statement.type} has no place on a stream's chain")
        if statement.link.sequence == 0 and statement.type != Type.CAPTURE:
            raise ChainError(f"{where}: a stream begins with a capture")

    def _take(self, statement: Statement, where: str) -> None:
        if statement.type == Type.CUSTODY and statement.body.get("event") == "preserved":
            _take_preserved(self, statement, where)
        else:
            _TAKE_EVIDENCE[statement.type](self, statement, where)


@dataclass(slots=True)
class Incident(ChainState):
    """The state of one incident at one head of its chain."""

    declared_recorded_at: datetime | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    """Declared and amended: title, severity, tier, systems, trigger, detected_at, declared_at."""
    scope: dict[str, Any] = field(default_factory=dict)
    assignments: list[Assignment] = field(default_factory=list)
    phases: list[PhaseEntry] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    """Every value that a field of the incident or of its scope ever had, in order."""
    updates: list[Update] = field(default_factory=list)
    attestations: list[Attestation] = field(default_factory=list)
    waivers: dict[str, Waiver] = field(default_factory=dict)
    last_assessment: int | None = None
    profiles: dict[str, UsedProfile] = field(default_factory=dict)
    """By name, the latest version of each profile that this chain was judged by."""
    last_export: int | None = None
    approved_exports: list[int] = field(default_factory=list)
    """The links of exports that a second person approved."""

    PREFIX: ClassVar[str] = "INC-"
    WORD: ClassVar[str] = "incident"

    @property
    def title(self) -> str:
        """The title as last amended."""
        return str(self.fields["title"])

    @property
    def systems(self) -> list[str]:
        """The affected systems."""
        return list(self.fields["systems"])

    @property
    def detected_at(self) -> datetime:
        """When it was detected: a claim."""
        return parse_instant(self.fields["detected_at"], where="detected_at")

    @property
    def declared_at(self) -> datetime:
        """When it was declared: a claim; the vault's own clock is `declared_recorded_at`."""
        return parse_instant(self.fields["declared_at"], where="declared_at")

    @property
    def tier(self) -> str:
        """The tier that governs: 4 until someone decides (runbook: in doubt, Tier-4)."""
        return "4" if self.fields["tier"] == "unknown" else str(self.fields["tier"])

    def phase_at(self, phase: Phase) -> datetime | None:
        """When a phase was last entered, as claimed."""
        times = [entry.at for entry in self.phases if entry.phase == phase]
        return times[-1] if times else None

    def window(self, *, as_of: datetime) -> tuple[datetime, datetime]:
        """The time to cover: the scope's, else detection less 24 h to containment or `as_of`."""
        start = self.scope.get("from")
        end = self.scope.get("to")
        return (
            parse_instant(start, where="from") if start else self.detected_at - LOOKBACK,
            parse_instant(end, where="to") if end else self.phase_at(Phase.CONTAINED) or as_of,
        )

    @property
    def severity_history(self) -> list[Setting]:
        """Each severity that was stated, in order."""
        return [each for each in self.settings if each.name == "severity"]

    @property
    def tier_history(self) -> list[Setting]:
        """Each tier that was stated, in order; `unknown` counts as Tier 4."""
        return [each for each in self.settings if each.name == "tier"]

    @property
    def scope_history(self) -> list[Setting]:
        """Each value of a field of the scope, in order."""
        return [each for each in self.settings if each.name in SCOPE_FIELDS]

    def holder(self, role: Role) -> str | None:
        """Who holds a role now; while an offer waits, still who held it before."""
        held = current(self.assignments, role)
        return held.person if held else None

    def _admit(self, statement: Statement, where: str) -> None:
        declares = statement.type == Type.INCIDENT and statement.body.get("event") == "declared"
        if declares != (statement.link.sequence == 0):
            raise ChainError(f"{where}: link 0, and only link 0, declares the incident")
        reopens = statement.type == Type.INCIDENT and statement.body.get("event") == "reopened"
        if self.sealed and not reopens and statement.type not in AFTER_SEAL:
            raise ChainError(f"{where}: a {statement.type} may not follow the seal")

    def _take(self, statement: Statement, where: str) -> None:
        take = _TAKE.get(statement.type)
        if take is None:
            # Its body has no specification yet, so that nothing could be held against it.
            raise UnsupportedError(f"{where}: {statement.type} statements are not known here")
        take(self, statement, where)


def state_of(chain: str) -> ChainState:
    """The state of a chain without links, to which they are applied: a stream's or an incident's.

    That of the vault's own chain takes none: it has no fold.
    """
    return Stream(chain) if is_stream(chain) else Incident(chain)


def fold(manifests: Iterable[Manifest], *, chain: str) -> ChainState:
    """Fold a whole chain prefix. Raises `ChainError` or `MalformedError`."""
    state = state_of(chain)
    for manifest in manifests:
        state.apply(manifest)
    if state.sequence < 0:
        raise ChainError(f"{chain}: the chain is empty")
    return state


def check_vault_link(manifest: Manifest, grants: GrantRoll | None = None) -> None:
    """A link of the vault's own chain has a type that belongs there, and reads.

    `grants` is what the links before gave, where they were read; it is folded on. Raises
    `ChainError`, `MalformedError`, or `UnsupportedError` for what is not known here.
    """
    statement, where = manifest.statement, manifest.name
    if statement.link.chain != VAULT_CHAIN:
        raise ChainError(f"{where}: this is not the vault's own chain")
    if statement.type not in ON_VAULT_CHAIN:
        raise ChainError(f"{where}: a {statement.type} has no place on the chain {VAULT_CHAIN}")
    if statement.type == Type.POLICY:
        parse_policy(statement.body, where=f"{where}.body", severities=Severity)
    elif statement.type == Type.SWEEP:
        parse_sweep(statement.body, where=f"{where}.body")
    elif statement.type == Type.KEY:
        parse_key_event(statement.body, where=f"{where}.body")
    elif grants is None:
        event = parse_grant(statement.body, where=f"{where}.body")
        check_granted_by(event, statement.actor, where=f"{where}.body")
    else:
        grants.take(
            statement.body,
            recorded_at=statement.recorded_at,
            sequence=statement.link.sequence,
            where=f"{where}.body",
            actor=statement.actor,
        )
    if statement.subject != (chain_subject(VAULT_CHAIN),):
        raise ChainError(f"{where}: its subjects are not what its body speaks of")


def _take_incident(incident: Incident, statement: Statement, where: str) -> None:
    body = Fields(statement.body, f"{where}.body")
    event = body.text("event")
    sequence = statement.link.sequence
    if event == "declared":
        for name, rule in INCIDENT_FIELDS.items():
            rule(body.raw(name), where=f"{where}.{name}")
            incident.fields[name] = body.raw(name)
        incident.declared_recorded_at = statement.recorded_at
        incident.settings += [
            Setting(name, value, incident.declared_at, statement.recorded_at, sequence, None)
            for name, value in incident.fields.items()
        ]
    elif event in ("amended", "scoped"):
        known = INCIDENT_FIELDS if event == "amended" else SCOPE_FIELDS
        target = incident.fields if event == "amended" else incident.scope
        reason = body.text_or_none("reason")
        for each in body.entries("changes", limit=len(known)):
            change = Fields(each, f"{where}.changes")
            name = change.text("field")
            if name not in known:
                raise MalformedError(f"{where}.changes: {event} has no field {name!r}")
            known[name](change.raw("new"), where=f"{where}.{name}")
            if change.raw("old") != target.get(name):
                raise ChainError(f"{where}: {name} was not {change.raw('old')!r} before")
            change.done()
            target[name] = change.raw("new")
            at = statement.recorded_at
            incident.settings.append(Setting(name, target[name], at, at, sequence, reason))
    elif event in ("assigned", "offered", "accepted"):
        _take_role(incident, statement, body, where)
    elif event == "updated":
        _take_update(incident, statement, body, where)
    elif event == "phase":
        phase = body.text("phase")
        if phase not in _PHASES:
            raise MalformedError(f"{where}: {phase!r} is none of {', '.join(Phase)}")
        exhibits = tuple(body.texts("exhibits"))
        _known_exhibits(incident, exhibits, where)
        incident.phases.append(
            PhaseEntry(
                phase,
                parse_instant(body.raw("at"), where=where),
                exhibits,
                statement.recorded_at,
                sequence,
            )
        )
    elif event == "reopened":
        body.text("reason")
        if not incident.sealed:
            raise ChainError(f"{where}: the incident is not closed")
        incident.sealed = False
    else:
        raise MalformedError(f"{where}: unknown event {event!r} of an incident")
    body.done()


def _take_role(incident: Incident, statement: Statement, body: Fields, where: str) -> None:
    role, person, at = parse_role(body)
    recorded_at, sequence = statement.recorded_at, statement.link.sequence
    event, given = body.text("event"), Assignment(role, person, at, recorded_at, sequence)
    if event == "assigned":
        assign(incident.assignments, given)
    elif event == "offered":
        offer_role(incident.assignments, given, where=where)
    else:
        accept(
            incident.assignments,
            role,
            person,
            at=at,
            recorded_at=recorded_at,
            sequence=sequence,
            where=where,
        )


def _take_update(incident: Incident, statement: Statement, body: Fields, where: str) -> None:
    update = parse_update(body, recorded_at=statement.recorded_at, sequence=statement.link.sequence)
    _known_exhibits(incident, update.exhibits, where)
    incident.updates.append(update)


def _take_capture(state: ChainState, statement: Statement, where: str) -> None:
    capture: Capture = parse_capture(statement.body, where=f"{where}.body")
    if capture.items:
        named = tuple((subject.name, subject.sha256) for subject in statement.subject)
        if named != tuple((item.exhibit, item.sha256) for item in capture.items):
            raise ChainError(f"{where}: subjects and items differ")
    for item in capture.items:
        expected = exhibit_name(len(state.exhibits) + 1, chain=state.id)
        if item.exhibit != expected:
            raise ChainError(f"{where}: expected exhibit {expected}, found {item.exhibit}")
        if item.origin is not None and is_stream(state.id):
            raise ChainError(f"{where}: {item.exhibit} restates an item; only incidents do that")
        state.exhibits[item.exhibit] = Exhibit(
            item=item,
            packs=capture.packs,
            sequence=statement.link.sequence,
            system=capture.system,
            source=capture.source,
            method=capture.method,
            received_at=statement.recorded_at,
            kinds=item.kinds,
        )
    state.not_captured += capture.not_captured
    id_, part, of = state.unfinished or (capture.capture_id, 1, capture.of)
    if (capture.capture_id, capture.part, capture.of) != (id_, part, of):
        raise ChainError(f"{where}: expected part {part} of {of} of capture {id_}")
    _take_delivery(state, capture, statement.link.sequence, where)
    state.unfinished = (id_, part + 1, of) if part < of else None


def _take_delivery(state: ChainState, capture: Capture, sequence: int, where: str) -> None:
    """The envelope of a delivered collection is the capture's first exhibit."""
    delivered = capture.delivered
    if capture.part == 1 and delivered:
        if not capture.items or capture.items[0].exhibit != delivered.exhibit:
            raise ChainError(f"{where}: the collection is not the first exhibit of its capture")
        state.deliveries.append(Delivery(delivered, sequence, (capture,)))
    elif capture.part > 1:
        last = state.deliveries[-1] if state.deliveries else None
        going_on = last is not None and last.sequence + len(last.captures) == sequence
        if delivered != (last.delivered if last and going_on else None):
            raise ChainError(f"{where}: its parts name different collections")
        if last and going_on:
            state.deliveries[-1] = replace(last, captures=(*last.captures, capture))


def _take_custody(state: ChainState, statement: Statement, where: str) -> None:
    body = Fields(statement.body, f"{where}.body")
    event = body.text("event")
    if event == "viewed":
        viewed = parse_viewed(body)
        _known_exhibits(state, viewed.exhibits, where)
        state.views.add(statement.link.sequence)
    elif event == "view_failed":
        if parse_view_failed(body).view not in state.views:
            raise ChainError(f"{where}: it names a link that is no viewing")
    elif event == "refused":
        parse_refused(body)
    elif event in ("withdrawn", "classified"):
        exhibits = tuple(body.texts("exhibits"))
        _known_exhibits(state, exhibits, where)
        if event == "withdrawn":
            reason = body.text("reason")
            for name in exhibits:
                state.exhibits[name] = replace(state.exhibits[name], withdrawn=reason)
        else:
            body.text_or_none("reason")
            kinds = tuple(check_kind(kind) for kind in body.texts("kinds"))
            for name in exhibits:
                state.exhibits[name] = replace(state.exhibits[name], kinds=kinds)
    elif event == "export_failed" and not is_stream(state.id):
        body.count("export")
        body.text("reason")
    else:
        raise MalformedError(f"{where}: unknown event {event!r} of custody")
    body.done()


def _take_preserved(stream: Stream, statement: Statement, where: str) -> None:
    body = Fields(statement.body, f"{where}.body")
    body.text("event")
    exhibits, incident = body.texts("exhibits"), check_chain_id(body.text("incident", limit=80))
    start, end = (parse_instant(body.raw(name), where=f"{where}.{name}") for name in ("from", "to"))
    body.done()
    if not incident.startswith(Incident.PREFIX) or not exhibits or end < start:
        raise MalformedError(f"{where}: expected an incident, items for it, and a window of time")
    _known_exhibits(stream, exhibits, where)
    stream.preserved[incident] = stream.preserved.get(incident, frozenset()).union(exhibits)


def _take_seal(incident: Incident, statement: Statement, where: str) -> None:
    body = Fields(statement.body, f"{where}.body")
    if body.count("exhibits") != len(incident.exhibits):
        raise ChainError(f"{where}: the seal counts other exhibits than the chain holds")
    body.text_or_none("reason")
    if "lock" in statement.body:
        if body.text("lock") != "compliance":
            raise MalformedError(f"{where}: a seal asks for the lock compliance, or for none")
        incident.compliance = True
    body.done()
    incident.sealed = True


def _take_hold(state: ChainState, statement: Statement, where: str) -> None:
    hold, sequence = parse_hold(statement.body, where=f"{where}.body"), statement.link.sequence
    held = {each.matter: each for each in state.live_holds}.get(hold.matter or "")
    if hold.until:  # extended
        check_extension(
            hold.until,
            known=state.retained_until,
            recorded_at=statement.recorded_at,
            where=where,
        )
        state.retained_until, state.retained_sequence = hold.until, sequence
    elif hold.approval:  # released
        if held is None:
            raise ChainError(f"{where}: no matter {hold.matter!r} holds this incident")
        _known_exhibits(state, hold.exhibits, where)
        check_second_person(statement.actor, hold.approval, where=where)
        state.holds[state.holds.index(held)] = replace(
            held,
            released_by=hold,
            released_at=statement.recorded_at,
            released_sequence=sequence,
            released_actor=statement.actor,
        )
    elif held:
        raise ChainError(f"{where}: the matter {hold.matter!r} holds this incident already")
    else:
        state.holds.append(
            Hold(hold.matter or "", hold, statement.recorded_at, sequence, statement.actor)
        )


def _take_attestation(incident: Incident, statement: Statement, where: str) -> None:
    attestation = parse_attestation(statement, where=where)
    _known_exhibits(incident, attestation.exhibits, where)
    incident.attestations.append(attestation)


def _take_waiver(incident: Incident, statement: Statement, where: str) -> None:
    waiver = parse_waiver(statement, where=where)
    if isinstance(waiver, Revocation):
        granted = incident.waivers.get(waiver.waiver)
        if granted is None:
            raise ChainError(f"{where}: no waiver {waiver.waiver} was granted on this chain")
        if granted.revoked_at:
            raise ChainError(f"{where}: waiver {waiver.waiver} is revoked already")
        incident.waivers[granted.id] = replace(
            granted,
            revoked_at=statement.recorded_at,
            revoked_reason=waiver.reason,
            revoked_sequence=statement.link.sequence,
        )
        return
    expected = waiver_name(len(incident.waivers) + 1)
    if waiver.id != expected:
        raise ChainError(f"{where}: expected waiver {expected}, found {waiver.id}")
    _known_exhibits(incident, waiver.shown_by, where)
    incident.waivers[waiver.id] = waiver


def _take_assessment(incident: Incident, statement: Statement, where: str) -> None:
    assessment = parse_assessment(statement.body, where=f"{where}.body")
    if assessment.head_sequence >= statement.link.sequence:
        raise ChainError(f"{where}: an assessment speaks of an earlier link")
    incident.last_assessment = statement.link.sequence
    known = incident.profiles.get(assessment.profile_name)
    if known is None or known.version < assessment.profile_version:
        incident.profiles[assessment.profile_name] = UsedProfile(
            assessment.profile_version, assessment.profile_sha256, statement.link.sequence
        )


def _take_export(incident: Incident, statement: Statement, where: str) -> None:
    export = parse_export(statement.body, where=f"{where}.body")
    if export.assessment != incident.last_assessment:
        raise ChainError(f"{where}: an export rests on the last assessment before it")
    named = [*export.included, *(each.exhibit for each in export.withheld)]
    _known_exhibits(incident, named, where)
    if len(set(named)) != len(named) or len(named) != len(incident.exhibits):
        raise ChainError(f"{where}: an export names every exhibit once, included or withheld")
    if export.approval:
        check_second_person(statement.actor, export.approval, where=where)
        incident.approved_exports.append(statement.link.sequence)
    incident.last_export = statement.link.sequence


def _known_exhibits(state: ChainState, names: Iterable[str], where: str) -> None:
    for name in names:
        if name not in state.exhibits:
            raise ChainError(f"{where}: there is no exhibit {name} on this chain yet")


def _check_subject(state: ChainState, statement: Statement, where: str) -> None:
    """A statement's subjects are what its body speaks of, and nothing else.

    The exhibits that it names, with their digests; else, for an assessment or an export, the head
    that it speaks of; else the chain itself.
    """
    body = statement.body
    named: tuple[Subject, ...] = ()
    if statement.type == Type.CAPTURE and body["items"]:
        return  # held against the items where they were read
    if statement.type == Type.ASSESSMENT:
        head = parse_assessment(body, where=f"{where}.body")
        named = (Subject(f"{state.id}/{head.head_sequence}", head.head_leaf),)
    elif statement.type == Type.EXPORT:
        named = (Subject(f"{state.id}/{state.sequence}", state.leaf),)
    elif isinstance(body.get("exhibits"), list):
        # What compensates for a waiver is what it speaks of too.
        exhibits = dict.fromkeys([*body["exhibits"], *body.get("compensating", ())])
        named = tuple(Subject(name, state.exhibits[name].item.sha256) for name in exhibits)
    if statement.subject != (named or (chain_subject(state.id),)):
        raise ChainError(f"{where}: its subjects are not what its body speaks of")


_TAKE_EVIDENCE: dict[Type, Callable[[ChainState, Statement, str], None]] = {
    Type.CAPTURE: _take_capture,
    Type.CUSTODY: _take_custody,
    Type.HOLD: _take_hold,
}
"""What incidents and streams have in common."""

_TAKE: dict[Type, Callable[[Incident, Statement, str], None]] = {
    **_TAKE_EVIDENCE,
    Type.INCIDENT: _take_incident,
    Type.SEAL: _take_seal,
    Type.ATTESTATION: _take_attestation,
    Type.WAIVER: _take_waiver,
    Type.ASSESSMENT: _take_assessment,
    Type.EXPORT: _take_export,
}
