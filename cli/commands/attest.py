"""`evault attest …`: what people say they did, saw or decided, in the fields of each type."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Optional

import typer

from cli.chains import incident_or_only, split_incident
from cli.commands.request import asked
from cli.options import AsJson, stated
from cli.render import columns, paragraph
from cli.session import Answer, UsageError, give, settings_of, vault_of
from cli.times import read_time
from vault.completeness import (
    ON_CHECKLIST,
    UnknownConditionError,
    UnknownItemError,
    answers_of,
    built_in_profile,
    check_on_checklist,
    report_of,
)
from vault.custody import attestation_text, exhibit_ranges
from vault.documents import attested_json
from verify.approval import ATTESTED, TOKEN, Approval
from verify.attestation import (
    RULES,
    Attestation,
    AttestationType,
    FieldRule,
    Shape,
    Value,
    attestation_body,
)
from verify.errors import MalformedError
from verify.response import Role
from verify.strictjson import Object

EXAMPLES: Mapping[AttestationType, str] = {
    AttestationType.ACKNOWLEDGEMENT: "at=-12m person=Ada alert=EV-0002",
    AttestationType.FREEZE: "at=-10m systems=mail-agent principals=svc-mail",
    AttestationType.KILL_SWITCH: "at=-8m systems=mail-agent",
    AttestationType.ISOLATION: "at=-5m targets=connector:mail,dataset:customers",
    AttestationType.ROLLBACK: "action=RB-1 started_at=-20m ended_at=-15m "
    "target=mail-agent/prompt from_digest=9f2c1e0 to_digest=41d0aa7 result=succeeded",
    AttestationType.VALIDATION: "at=-10m action=RB-1 subject=41d0aa7 "
    "checks=targeted_tests,dry_run result=passed",
    AttestationType.PERMISSIONS_REVALIDATED: "at=-1h document=EV-0007 tightened=yes",
    AttestationType.RE_ENABLE: "at=now systems=mail-agent stage=10-percent monitoring=yes",
    AttestationType.SLO_CHECK: "at=now checks=slo,user_path result=passed",
    AttestationType.LOGGING: "at=-1h enhanced=on",
    AttestationType.PAGE: "at=-3m team=sre delivered_at=-3m acknowledged_at=-1m",
    AttestationType.NOTICE: "at=-3m audience=legal channel=mail accepted_at=-1m",
    AttestationType.APPROVAL: "of=RB-1 approver=Grace requester=Linus "
    "role=governance_steward approved_at=-30m",
    AttestationType.ALIGNMENT: "at=now document=rulebook result=aligned",
    AttestationType.POSTMORTEM_PUBLISHED: "at=now exhibit=EV-0031 author=Ada reviewer=Grace",
    AttestationType.NIL_RETURN: "kinds=dlp_finding detector=dlp-gateway "
    "from=2026-03-02T08:00Z to=2026-03-02T10:00Z 'query=channel is mail'",
    AttestationType.NOT_APPLICABLE: "item=C5 'reason=nothing was changed' "
    "--approved-by Grace --exhibit EV-0009",
    AttestationType.APPLIES: "item=C5 'reason=the prompt was rolled back after all'",
    AttestationType.FINDING: "conflict=C2.models believed=EV-0004 disbelieved=EV-0002 "
    "'reason=the log is signed by the provider'",
}
"""What follows `evault attest TYPE`, for each type."""

_LISTS = frozenset({Shape.TEXTS, Shape.CHOICES, Shape.BELIEVEDS})
_SHAPE_WORDS = {
    Shape.INSTANT: "time",
    Shape.TEXT: "text",
    Shape.TEXTS: "list",
    Shape.CHOICE: "one of",
    Shape.CHOICES: "some of",
    Shape.EXHIBIT: "exhibit",
    Shape.DOCUMENT: "exhibit or SHA-256",
    Shape.BELIEVED: "exhibit or statement",
    Shape.BELIEVEDS: "list of these",
    Shape.ITEM: "item",
    Shape.CONDITION: "condition",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("attest", help=_help())(attest)


def _help() -> str:
    types = "\n".join(columns((type_.value, rule.meaning) for type_, rule in RULES.items()))
    return (
        "Record what people did, saw or decided: the vault knows only what it is told.\n\n"
        "evault attest TYPE, without fields, shows the fields of a type and an example. Lists are "
        "repeated keys, or commas. Times are RFC 3339 with zone, now, or -12m.\n\n"
        f"\b\nTypes:\n{types}"
    )


def attest(
    context: typer.Context,
    words: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(
            metavar="[INCIDENT] TYPE [KEY=VALUE]...",
            help="What is attested, and its fields; quote what has spaces.",
        ),
    ] = None,
    exhibit: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--exhibit", metavar="EV", help="Evidence that shows it; repeatable."),
    ] = None,
    statement: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--statement", metavar="TEXT", help="In your own words.", callback=stated),
    ] = None,
    approved_by: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--approved-by",
            metavar="PERSON",
            help="Who approved it, not you; attested by you and an exhibit, not authenticated. "
            "Through a server, leave it out: it is asked for, see evault request.",
            callback=stated,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Record what people did, saw or decided."""
    given, rest = split_incident(words or [])
    if not rest:
        raise UsageError(
            f"name what is attested: {', '.join(AttestationType)}; "
            "evault attest TYPE shows the fields of one"
        )
    type_ = _type(rest[0])
    if len(rest) == 1:
        give(Answer(_fields_lines(type_), _fields_json(type_), 2), as_json=as_json)
    fields = _read(type_, rest[1:])
    exhibits = list(dict.fromkeys(exhibit or []))
    served = settings_of(context).server is not None
    asking = RULES[type_].second_person and approved_by is None and served
    _check_form(type_, fields, exhibits, approved_by, asking=asking)
    with vault_of(context) as vault:
        name = incident_or_only(vault, given, as_json=as_json)
        chain = vault.incidents.read(name)
        notes: list[str] = []
        if type_ in ON_CHECKLIST:
            report = report_of(vault.incidents, chain, built_in_profile(), vault.clock())
            try:
                notes = check_on_checklist(type_, fields, answers_of(report))
            except UnknownItemError as error:
                raise _mistake(type_, str(error)) from error
            except UnknownConditionError as error:
                raise UsageError(str(error)) from error
        if asking and vault.requests:
            request = vault.requests.ask_for_attestation(
                name, type_, fields, exhibits=exhibits, statement=statement
            )
            give(asked(name, "attested", request), as_json=as_json)
        attested = vault.attestations.attest(
            name,
            type_,
            fields,
            exhibits=exhibits,
            statement=statement,
            approved_by=approved_by,
        )
    receipt = attested.receipt
    told = f"{attestation_text(attested.attestation)} (chain link {receipt.sequence}, "
    lines = paragraph(f"{name}  ", f"{told}log entry {receipt.index})")
    lines += attested_lines(attested.attestation.approval and approved_by, attested.attestation)
    notes += attested.notes
    for note in notes:
        lines += paragraph("Look at: ", note)
    data = attested_json(name, attested.attestation, notes, receipt)
    give(Answer(lines, data), as_json=as_json)


def attested_lines(person: object, attestation: Attestation) -> list[str]:
    """What an approval is, where there is one."""
    if not person:
        return []
    return paragraph(
        "  ",
        f"approved by {person}, as you attest by {exhibit_ranges(attestation.exhibits)}; "
        "evault authenticated nobody but you",
    )


def _type(word: str) -> AttestationType:
    plain = _plain(word)
    if plain in set(AttestationType):
        return AttestationType(plain)
    if "=" in word:
        raise UsageError(f"the type stands before the fields: evault attest TYPE {word} …")
    near = difflib.get_close_matches(plain, list(AttestationType), 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"{word!r} is no attestation; {hint}there are {', '.join(AttestationType)}")


def _read(type_: AttestationType, words: Sequence[str]) -> dict[str, Value]:
    """The fields as they are sealed. Raises `UsageError`, which names the key and an example."""
    rules = {rule.name: rule for rule in RULES[type_].fields}
    found: dict[str, list[str]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        key = _plain(key)
        if not equals:
            raise _mistake(type_, f"{word!r} is not KEY=VALUE")
        if key not in rules:
            near = difflib.get_close_matches(key, list(rules), 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise _mistake(type_, f"{type_} has no field {key!r}; {hint}it has {', '.join(rules)}")
        stated(value)
        found.setdefault(key, []).append(value)
    return {name: _value(type_, rule, found[name]) for name, rule in rules.items() if name in found}


def _value(type_: AttestationType, rule: FieldRule, given: Sequence[str]) -> Value:
    if rule.shape in _LISTS:
        parts = [part.strip() for value in given for part in value.split(",")]
        return tuple(dict.fromkeys(_known(rule, part) for part in parts if part))
    if len(given) > 1:
        raise _mistake(type_, f"{rule.name} is given {len(given)} times, and takes one value")
    if rule.shape == Shape.INSTANT:
        try:
            moment = read_time(given[0])
        except UsageError as error:
            raise _mistake(type_, f"{rule.name}: {error}") from error
        assert isinstance(moment, datetime)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    return _known(rule, given[0])


def _known(rule: FieldRule, text: str) -> str:
    """A known word as the format spells it; any other text as it is."""
    words = (*rule.choices, *(Role if rule.name == "role" else ()))
    return _plain(text) if _plain(text) in words else text


def _plain(word: str) -> str:
    return word.strip().lower().replace("-", "_")


def _check_form(
    type_: AttestationType,
    fields: Mapping[str, Value],
    exhibits: Sequence[str],
    approved_by: str | None,
    *,
    asking: bool,
) -> None:
    """What the format would refuse is said in the words of the command line.

    `asking` is whether a second person will sign in to a server, and is not named here.
    """
    rule = RULES[type_]
    missing = [each.name for each in rule.fields if each.required and each.name not in fields]
    if missing:
        raise _mistake(type_, f"{type_} needs {', '.join(f'{name}=' for name in missing)}")
    if rule.one_of and not any(name in fields for name in rule.one_of):
        raise _mistake(type_, f"{type_} needs {' or '.join(f'{n}=' for n in rule.one_of)}")
    if rule.second_person and not approved_by and not asking:
        raise _mistake(type_, f"{type_} takes a second person: --approved-by PERSON --exhibit EV")
    approval = Approval(approved_by, ATTESTED) if approved_by and exhibits else None
    if asking:
        approval = Approval("a second person", TOKEN)
    try:
        if approval or not approved_by:
            attestation_body(type_, fields, exhibits=tuple(exhibits), approval=approval)
    except MalformedError as error:
        raise _mistake(type_, str(error)) from error


def _mistake(type_: AttestationType, told: str) -> UsageError:
    return UsageError(f"{told}; for example: evault attest {type_} {EXAMPLES[type_]}")


def _fields_lines(type_: AttestationType) -> list[str]:
    rule = RULES[type_]
    rows = []
    for each in rule.fields:
        shape = _SHAPE_WORDS[each.shape]
        words = ", ".join(each.choices)
        if each.shape == Shape.TEXT and words:
            words = f"for example {words}"
        must = "needed" if each.required else "may be left out"
        meaning = f"{each.meaning}: {words}" if words else each.meaning
        rows.append((f"{each.name}=", shape, must, meaning))
    lines = [f"{type_}: {rule.meaning}. Nothing was sealed; its fields are", *columns(rows)]
    if rule.one_of:
        lines.append(f"At least one of {', '.join(rule.one_of)} is needed.")
    if rule.second_person:
        lines.append(
            "It takes a second person: --approved-by PERSON --exhibit EV; through a server, leave "
            "out --approved-by, and they approve with evault request approve."
        )
    return [*lines, f"For example: evault attest {type_} {EXAMPLES[type_]}"]


def _fields_json(type_: AttestationType) -> Object:
    rule = RULES[type_]
    return {
        "attestation": None,
        "example": f"evault attest {type_} {EXAMPLES[type_]}",
        "fields": [
            {
                "choices": list(each.choices),
                "meaning": each.meaning,
                "name": each.name,
                "required": each.required,
                "shape": each.shape.value,
            }
            for each in rule.fields
        ],
        "incident": None,
        "one_of": list(rule.one_of),
        "receipt": None,
        "second_person": rule.second_person,
        "type": type_.value,
    }
