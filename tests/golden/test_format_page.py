"""What `verify/FORMAT.md` says in tables and rules is what the code does: limits, fields, names.

The tables are read out of the page. Each row is tried on the parser that it describes, and each
field that a true document has must have its row.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import re
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from golden.test_worked_example import FILES, FORMAT, GOLDEN, LINKS, root_by_the_letter
from hypothesis import given
from hypothesis import strategies as st
from telling import full_report

import vault.log
import verify
import verify.approval
import verify.attestation
import verify.bundle
import verify.checklist
import verify.collection
import verify.conditions
import verify.consent
import verify.crosscheck
import verify.declaration
import verify.description
import verify.duties
import verify.envelope
import verify.export
import verify.facts
import verify.grant
import verify.incident
import verify.instant
import verify.merkle
import verify.profile
import verify.response
import verify.retention
import verify.seen
import verify.statement
import verify.strictjson
import verify.trust
from cli.config import RECORD_DAYS
from vault.adapters.directory import DirectoryStore
from vault.ports import LockMode, Protection
from verify.chain import Manifest, read_manifest
from verify.errors import EvidenceError
from verify.facts import Facts
from verify.incident import ChainState, Hold, Incident
from verify.retention import parse_hold, parse_policy
from verify.statement import ON_VAULT_CHAIN, Statement, Subject, Type, chain_subject
from verify.strictjson import Object, dumps

TRUST = verify.trust.parse_trust((GOLDEN / "trust.json").read_bytes(), where="trust.json")
MANIFESTS = [
    read_manifest(FILES[f"data/chain/{number:08d}.json"], TRUST.keys, where=f"link {number}")
    for number in range(4)
]
HEX = "ab" * 32

Check = Callable[[Any], object]


def rows(after: str) -> list[list[str]]:
    """The cells of the table that follows a text of the page."""
    assert FORMAT.count(after) == 1, after
    lines = FORMAT.split(after)[1].lstrip("\n").split("\n")
    table = list(itertools.takewhile(lambda line: line.startswith("|"), lines))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]


def code(cell: str) -> list[str]:
    """The words in code type in a cell."""
    return re.findall(r"`([^`]+)`", cell)


# -- limits ----------------------------------------------------------------------------------------

_LIMITS = rows("<!-- limits -->\n")
LIMITS = {code(where)[0]: int(limit) for _, limit, where in _LIMITS if code(where)}
LITERAL = {what: int(limit) for what, limit, where in _LIMITS if not code(where)}


@pytest.mark.parametrize("expression", LIMITS)
def test_a_limit_is_the_codes_own(expression: str) -> None:
    module, name, *rest = re.split(r"[. ]", expression, maxsplit=2)
    package = vault if module == "log" else verify
    value = getattr(getattr(package, module), name)
    assert LIMITS[expression] == eval(f"value {' '.join(rest)}", {"value": value})


def test_every_limit_of_the_code_is_on_the_page() -> None:
    for path in Path(verify.__file__).parent.glob("*.py"):
        for name in re.findall(r"^(MAX_[A-Z_]+|CAP|TEXT_CAP) = ", path.read_text(), re.MULTILINE):
            stated = [each for each in LIMITS if each.startswith(f"{path.stem}.{name}")]
            assert stated, f"FORMAT.md does not name {path.stem}.{name}"
    assert f"a `part_size` of {verify.statement.MIN_PART_SIZE}" in FORMAT
    assert f"cut every {verify.statement.MIN_PART_SIZE} bytes" in FORMAT


def test_the_limits_that_the_code_states_in_place_hold() -> None:
    parsers: dict[str, Check] = {
        "a trust file": lambda data: verify.trust.parse_trust(data, where="it"),
    }
    assert LITERAL.keys() == parsers.keys()
    for what, parse in parsers.items():
        assert f"limit is {LITERAL[what]:,}" in refusal(parse, b" " * (LITERAL[what] + 1))
        assert "limit is" not in refusal(parse, b" " * LITERAL[what])


def test_an_envelope_just_over_its_limit_is_refused_by_size() -> None:
    limit = LIMITS["envelope.MAX_PAYLOAD * 3 // 2"]
    parse: Check = lambda data: verify.envelope.parse_envelope(data, where="it")  # noqa: E731
    assert "over the limit" in refusal(parse, b"x" * (limit + 1))
    assert "over the limit" not in refusal(parse, b"x" * limit)


def test_json_is_bounded_where_the_page_says() -> None:
    depth = LIMITS["strictjson.MAX_DEPTH"]
    verify.strictjson.loads(b"[" * depth + b"]" * depth, where="it")
    parse: Check = lambda data: verify.strictjson.loads(data, where="it")  # noqa: E731
    assert "nested deeper" in refusal(parse, b"[" * (depth + 1) + b"]" * (depth + 1))
    largest = LIMITS["strictjson.MAX_SAFE_INTEGER"]
    assert verify.strictjson.loads(b"%d" % -largest, where="it") == -largest
    assert "beyond" in refusal(parse, b"%d" % (largest + 1))
    assert "(16 MiB unless its section names another)" in FORMAT


def refusal(parse: Check, value: Any) -> str:
    """What a parser says against a value; empty if it takes it."""
    try:
        parse(value)
    except EvidenceError as error:
        return str(error)
    return ""


# -- fields ----------------------------------------------------------------------------------------


def body_of(number: int) -> Object:
    body: Object = copy.deepcopy(LINKS[number]["statement"]["predicate"]["body"])
    return body


def full_capture() -> Object:
    body = body_of(1)
    body["source"]["name"] = body["packs"][0]["version_id"] = "some"
    body["packs"][0]["parts"] = body["items"][0]["stored"]["parts"] = []
    body["items"][0]["from"] = {
        "chain": "stream:web",
        "exhibit": "ST-0004",
        "leaf_hash": HEX,
        "sequence": 2,
    }
    place = {"key": "artifacts/01KB0000000000000000000000", "version_id": None}
    body["not_captured"]["description"] = {"location": place, "sha256": HEX, "size": 1}
    return body


def delivered_capture() -> Object:
    return full_capture() | {
        "collection": {"exhibit": "EV-0001", "number": 2, "previous": HEX, "spool": "0" * 16}
    }


def full_collection() -> Object:
    document = {"sha256": HEX, "size": 1}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "urn:evidence-vault:collection:v1",
        "subject": [{"name": "item-1", "digest": {"sha256": HEX}}],
        "predicate": {
            "actor": {"claimed_name": "Ada", "id": "ada@edge"},
            "collected_at": "2026-03-02T09:00:00Z",
            "collector": {},
            "destination": "INC-2026-0001",
            "items": [{"description": document, "kinds": ["other"], "sha256": HEX, "size": 1}],
            "method": "files read",
            "not_captured": {"count": 1, "description": document},
            "salt": HEX,
            "source": {"name": "wiki", "system": "aws"},
            "spool": {"id": "0" * 16, "number": 2, "previous": HEX},
        },
    }


def full_export() -> Object:
    body = body_of(3)
    body["withheld"] = [{"exhibit": "EV-0009", "reason": "privileged"}]
    return body | {
        "approval": {"authenticated": "token", "person": "Grace Hopper"}, "recipient": "counsel",
        "stamps": [], "cosignatures": [], "checkpoints": [],
    }  # fmt: skip


def full_entry(kind: type) -> Object:
    """An entry of a list of facts with all its fields."""
    return {
        field.name.rstrip("_"): field.metadata.get("words", ["text"])[0]
        if field.type != "int"
        else 1
        for field in dataclasses.fields(kind)
    }


def full_facts() -> Object:
    value: Object = {}
    for field in dataclasses.fields(Facts):
        plain = {"str": "text", "int": 1, "str | None": "text", "tuple[int, ...]": [7]}
        entry = verify.facts.ENTRIES.get(field.name)
        value[field.name] = (
            field.metadata["words"][0]
            if field.metadata
            else [full_entry(entry)]
            if entry
            else plain.get(str(field.type), ["x"])
        )
    return value


def full_profile() -> Object:
    condition = {"id": "x", "asks": "a", "test": "isolated", "missing": "m", "next": ["n"],
                 "vanishes": 1, "contrary": True}  # fmt: skip
    check = {"id": "y", "asks": "a", "test": "detected_before_declared"}
    trigger = {"asks": "a", "test": "in_doubt"}
    clock = {"id": "x", "title": "x", "item": "C1", "owner": "comms_lead", "after": "detected_at",
             "event": "updated", "limit_seconds": 1, "tolerance_seconds": 1,
             "severity": "sev1"}  # fmt: skip
    item = {"id": "C1", "title": "x", "owner": "comms_lead", "applies": "on_trigger",
            "trigger": trigger, "conditions": [condition], "checks": [check]}  # fmt: skip
    return {"format": 2, "name": "x", "version": 1, "clocks": [clock], "evidence": [item],
            "duties": []}  # fmt: skip


def full_trust() -> Object:
    value: Object = json.loads(TRUST.data)
    value["manifest_keys"][0]["to"] = 9
    return value | {"witness_policy": "log x", "timestamp_certificates": ["AA=="]}


def full_description() -> Object:
    value: Object = json.loads(FILES["data/descriptions/EV-0001.json"])
    return value | {"name_bytes": "AA==", "remarks": ["x"]}


def as_document(parse: Callable[..., object]) -> Check:
    return lambda value: parse(dumps(value), where="it")


def read_receipt(value: Object) -> object:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "receipt.json"
        path.write_bytes(dumps(value))
        return verify.seen.read_seen(path, TRUST)


RELEASED: Object = {
    "approved_by": {"authenticated": "attested", "person": "Grace"},
    "event": "released",
    "exhibits": ["EV-0001"],
    "matter": "Smith v. Jones",
    "reason": "settled",
}

GRANTED: Object = {
    "approved_by": {"authenticated": "attested", "person": "Grace"},
    "compensating": ["EV-0002"],
    "conditions": ["C2.models"],
    "event": "granted",
    "exhibits": ["EV-0001"],
    "owner": "Head of Platform",
    "reason": "the provider keeps no versions",
    "requester": "Ada",
    "scope": ["crm"],
    "valid_from": "2026-03-02T09:00:00Z",
    "valid_to": "2026-04-02T09:00:00Z",
    "waiver": "W-0001",
}
ATTESTED: Object = {
    "approved_by": {"authenticated": "attested", "person": "Grace"},
    "attestation": "freeze",
    "exhibits": ["EV-0001"],
    "fields": {"at": "2026-03-02T09:10:00Z", "systems": ["crm"]},
    "statement": "tokens revoked",
}

DOCUMENTS: dict[str, tuple[Object, Check]] = {
    "statement": (LINKS[1]["statement"], as_document(verify.statement.parse_statement)),
    "capture": (delivered_capture(), lambda body: verify.statement.parse_capture(body, where="it")),
    "assessment": (body_of(2), lambda body: verify.statement.parse_assessment(body, where="it")),
    "export": (full_export(), lambda body: verify.export.parse_export(body, where="it")),
    "seal": (
        {"exhibits": 2, "reason": "done", "lock": "compliance"},
        lambda body: applied(Type.SEAL, body),
    ),
    "released": (RELEASED, lambda body: parse_hold(body, where="it")),
    "attestation": (ATTESTED, lambda body: applied(Type.ATTESTATION, body)),
    "granted": (GRANTED, lambda body: applied(Type.WAIVER, body)),
    "policy": (
        {"policy": "retention", "rules": [{"days": 400, "kind": "prompt", "severity": "sev1"}]},
        lambda body: parse_policy(body, where="it", severities=verify.declaration.Severity),
    ),
    "sweep": (
        {
            "checked": 7,
            "depth": "bytes",
            "failed": 0,
            "findings": [{"detail": "cannot be read", "key": "INC-2026-0001 EV-0001"}],
            "not_checked": 1,
            "started_at": "2026-03-02T09:00:00Z",
            "unclaimed": 0,
        },
        lambda body: verify.statement.parse_sweep(body, where="it"),
    ),
    "key": (
        {
            "event": "collector_removed",
            "name": "edge-1",
            "reason": "broken into",
            "spki": json.loads(TRUST.data)["manifest_keys"][0]["spki"],
        },
        lambda body: verify.collection.parse_key_event(body, where="it"),
    ),
    "grant": (
        {
            "approval": {"authenticated": "token", "person": "gus@example.org"},
            "chains": ["INC-2026-0001"],
            "event": "granted",
            "person": "ada@example.org",
            "reason": "on call",
            "role": "forensics_lead",
            "valid_from": "2026-03-02T09:00:00Z",
            "valid_to": "2026-04-02T09:00:00Z",
        },
        # Who signed in has an approval for it, who has the vault's files has none (§4.14).
        lambda body: read_on_vault(Type.GRANT, body, "token" if "approval" in body else None),
    ),
    "collection": (full_collection(), as_document(verify.collection.parse_collection)),
    "description": (full_description(), as_document(verify.description.parse_description)),
    "facts": (full_facts(), lambda value: Facts.from_json(value, where="it")),
    "published": (
        json.loads((GOLDEN / "published-5.json").read_bytes()),
        lambda value: vault.log.parse_published(dumps(value), number=5),
    ),
    "trust": (full_trust(), as_document(verify.trust.parse_trust)),
    "inclusion": (
        json.loads(FILES["data/proof/inclusion.json"]),
        lambda value: verify.bundle.parse_inclusion(dumps(value)),
    ),
    "receipt": (
        {
            name: value
            for name, value in json.loads((GOLDEN / "receipt.json").read_bytes()).items()
            if name not in ("deposit", "checkpoint_number", "repeated", "state")
        },
        read_receipt,
    ),
    "profile": (full_profile(), as_document(verify.profile.parse_profile)),
}


def applied(kind: Type, body: Object) -> Incident:
    """The example's incident after two links and one more with this body."""
    incident = Incident("INC-2026-0001")
    for manifest in MANIFESTS[:2]:
        incident.apply(manifest)
    if kind == Type.INCIDENT and body.get("event") == "reopened":
        incident.sealed = True
    before = MANIFESTS[1].statement
    if kind == Type.HOLD and body.get("event") == "released":
        event = parse_hold({"event": "set", "matter": RELEASED["matter"], "ordered_by": None,
                            "reason": "sued"}, where="it")  # fmt: skip
        incident.holds.append(Hold(RELEASED["matter"], event, before.recorded_at, 2, before.actor))
    if kind == Type.WAIVER and body.get("event") == "revoked":
        incident = applied(Type.WAIVER, GRANTED)
    if body.get("event") == "view_failed":
        incident = applied(Type.CUSTODY, {"event": "viewed", **EVENTS["viewed"][1]})
    if kind == Type.INCIDENT and body.get("event") == "accepted":
        incident = applied(Type.INCIDENT, {"event": "assigned", **EVENTS["accepted"][1]})
    sequence = incident.sequence + 1
    link = dataclasses.replace(
        before.link, sequence=0 if body.get("event") == "declared" else sequence
    )
    if link.sequence == 0:
        incident = Incident("INC-2026-0001")
    lists = (body.get(name) for name in ("exhibits", "compensating"))
    named = [name for names in lists if isinstance(names, list) for name in names]
    subject = tuple(each for each in before.subject if each.name in named)
    statement: Statement = dataclasses.replace(
        before,
        type=kind,
        body=body,
        link=link,
        subject=subject or (chain_subject("INC-2026-0001"),),
    )
    incident.apply(Manifest(MANIFESTS[1].envelope, statement, MANIFESTS[1].key, HEX))
    return incident


def applied_to_stream(kind: Type, body: Object, *, begin: bool = True) -> ChainState:
    """A stream with the example's two items, after one more link with this body; or that alone."""
    chain = "stream:web"
    stream = verify.incident.state_of(chain)
    captured = MANIFESTS[1].statement
    items = copy.deepcopy(captured.body)
    for item in items["items"]:
        item["exhibit"] = item["exhibit"].replace("EV", "ST")
    names = {each.name.replace("EV", "ST"): each.sha256 for each in captured.subject}
    links = ((Type.CAPTURE, items), (kind, body))
    for sequence, (each, value) in enumerate(links if begin else links[1:]):
        if each == Type.CAPTURE:
            named = {item["exhibit"]: item["sha256"] for item in value["items"]}
        else:
            named = {name: names[name] for name in value.get("exhibits", ()) if name in names}
        subject = tuple(Subject(name, sha256) for name, sha256 in named.items())
        statement = dataclasses.replace(
            captured,
            type=each,
            body=value,
            subject=subject or (chain_subject(chain),),
            link=dataclasses.replace(captured.link, chain=chain, sequence=sequence),
        )
        stream.apply(Manifest(MANIFESTS[1].envelope, statement, MANIFESTS[1].key, HEX))
    return stream


def test_a_stream_takes_the_types_of_the_page_alone() -> None:
    """And none of them but a capture begins one; what belongs to incidents is refused."""
    row = line_with("| `capture`, `custody`, `hold` | of an incident or a stream |")
    assert {kind.value for kind in verify.statement.ON_STREAM} == set(code(row))
    for kind in set(Type) - verify.statement.ON_STREAM:
        assert (
            "stream's chain" in refusal(lambda body, kind=kind: applied_to_stream(kind, body), {})
            or kind in ON_VAULT_CHAIN
        )
    assert "begins with a capture" in refusal(
        lambda body: applied_to_stream(Type.CUSTODY, body, begin=False), {"event": "viewed"}
    )
    again = full_capture()
    again["items"][0]["exhibit"] = "ST-0003"
    del again["items"][1:]
    assert "only incidents do that" in refusal(
        lambda body: applied_to_stream(Type.CAPTURE, body), again
    )
    failed = {"event": "export_failed", "export": 0, "reason": "full"}
    assert "unknown event" in refusal(lambda body: applied_to_stream(Type.CUSTODY, body), failed)
    preserved = {"event": "preserved", **EVENTS["preserved"][1], "exhibits": ["EV-0001"]}
    assert "unknown event" in refusal(lambda body: applied(Type.CUSTODY, body), preserved)


def table(name: str) -> dict[str, str]:
    """Field to type, of one table of the page."""
    found: dict[str, str] = {}
    for names, kind, *_ in rows(f"<!-- fields: {name} -->\n"):
        found |= dict.fromkeys(code(names), kind)
    return found


def optional(name: str, field: str) -> bool:
    for names, _, meaning in rows(f"<!-- fields: {name} -->\n"):
        if field in code(names):
            return meaning.startswith("optional")
    raise AssertionError(field)


FIELDS = [(name, field) for name in DOCUMENTS for field in table(name)]
OPEN_TYPES = ("open object", "place", "object?")


def leaves_of(value: Any, table_of: dict[str, str], path: str = "") -> Iterator[str]:
    """The paths of a document that need a row: down to what the table calls whole."""
    if path and table_of.get(path, "").startswith(OPEN_TYPES):
        yield path
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from leaves_of(child, table_of, f"{path}.{name}" if path else name)
        if table_of.get(path) == "object":
            yield path
    elif isinstance(value, list):
        yield f"{path}[]"
        if value and isinstance(value[0], dict):
            yield from leaves_of(value[0], table_of, f"{path}[]")
    else:
        yield path


def holder(document: Object, path: str) -> tuple[Any, str]:
    """The object that holds a field, and the field's own name."""
    *way, last = path.removesuffix("[]").split(".")
    value: Any = document
    for step in way:
        value = value[step.removesuffix("[]")]
        if step.endswith("[]"):
            value = value[0]
    return value, last


def changed(name: str, path: str, new: Any) -> Object:
    document = copy.deepcopy(DOCUMENTS[name][0])
    where, last = holder(document, path)
    where[last] = new
    return document


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_field_has_its_row_and_every_row_its_field(name: str) -> None:
    document, check = DOCUMENTS[name]
    assert refusal(check, document) == ""
    described = table(name)
    found = set(leaves_of(document, described))
    if name == "description":
        assert described.pop("facts") == "object"
        found = {path for path in found if not path.startswith("facts")}
    assert found == described.keys()


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_a_field_is_needed_unless_the_page_says_optional(name: str, field: str) -> None:
    document, check = copy.deepcopy(DOCUMENTS[name][0]), DOCUMENTS[name][1]
    where, last = holder(document, field)
    del where[last]
    needed = not optional(name, field)
    if name == "facts" and "." not in field:
        needed = field in ("parser", "version", "format")  # the page says so above the table
    assert bool(refusal(check, document)) == needed


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name != "receipt"])
def test_a_field_without_a_row_is_refused_everywhere(name: str) -> None:
    document, check = DOCUMENTS[name]
    for way in {path.rpartition(".")[0] for path in table(name)} | {""}:
        strange = copy.deepcopy(document)
        where = holder(strange, f"{way}.x" if way else "x")[0]
        where["stranger"] = 1
        assert "unknown field 'stranger'" in refusal(check, strange), way


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_null_stands_where_the_page_allows_it(name: str, field: str) -> None:
    kind = table(name)[field].strip("`")
    refused = refusal(DOCUMENTS[name][1], changed(name, field, None))
    bound_to_another = {
        "predicate.chain.previous": "only link 0",
        "collection.previous": "only number 1",
        "predicate.spool.previous": "only number 1",
        "predicate.not_captured.description": "only where something is missing",
    }
    if field in bound_to_another:
        assert bound_to_another[field] in refused
    else:
        assert bool(refused) != kind.endswith("?"), refused


@pytest.mark.slow
@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_a_field_is_of_the_type_that_the_page_names(name: str, field: str) -> None:
    kind = table(name)[field].strip("`").removesuffix("?")
    check = DOCUMENTS[name][1]

    def said(value: Any) -> str:
        return refusal(check, changed(name, field, value))

    if kind == "count":
        for wrong in (-1, True, "1", [1]):
            assert said(wrong)
    elif kind == "digest":
        for wrong in (HEX.upper(), HEX[1:], f"{HEX}\n", 1):
            assert said(wrong)
    elif kind == "instant":
        for wrong in ("2026-03-02", "2026-03-02T09:00:00.000Z", "2026-03-02T09:00:00+00:00", 1):
            assert said(wrong)
    elif kind == "base64":
        for wrong in ("AA", "AB==", "AA==\n", "_w==", 1):
            assert said(wrong)
    elif kind.startswith("text"):
        limit = int((re.findall(r"\d+", kind) or ["65536"])[0])
        if field != "checkpoint" or name != "published":  # a megabyte of anything is no note
            assert "at most" not in said("x" * limit)
        assert f"at most {limit}" in said("x" * (limit + 1)).replace(",", "")
        assert said(1)
    elif kind.startswith("list"):
        limit = int((re.findall(r"\d+", kind) or ["100000"])[0])
        assert said("x")
        if limit <= 2_000_000:
            where, last = holder(DOCUMENTS[name][0], field)
            refused = said([*where[last], "x"][:1] * (limit + 1))
            assert re.search(f"(at most|1 to) {limit:,}|bytes of JSON; the limit is", refused)


def test_the_types_of_the_tables_are_those_of_the_page() -> None:
    known = r"""`?(
        ( text(\(\d+\))? | count | boolean | digest | base64 | instant | object | open\ object
        | place )\??
        | list(\(\d+\))?\ of\ (text|object|count|integer)
        | 1 | "https://in-toto.io/Statement/v1" | "?urn:.*
        | chain\ id | deposit\ id | exhibit
    )`?"""
    for name, field in FIELDS:
        assert re.fullmatch(known, table(name)[field], re.VERBOSE), (
            name,
            field,
            table(name)[field],
        )


def test_an_assessment_that_says_more_than_its_report_is_reported() -> None:
    report = json.loads(FILES["data/report/completeness.json"])
    report["engine"] = verify.checklist.ENGINE  # the example may be of an earlier one
    sealed = verify.checklist.encode_report(report)
    assessment = verify.statement.parse_assessment(body_of(2), where="it")
    for changes in (
        {},
        {"verdict": "complete"},
        {"satisfied": 6},
        {"of": 7},
        {"profile_name": "another"},
        {"profile_version": 2},
    ):
        stated = dataclasses.replace(assessment, **changes)
        same, _ = verify.checklist.check_recomputed(stated, sealed, report)
        assert same == (changes == {})


def read_on_vault(kind: Type, body: Object, authenticated: str | None = None) -> None:
    """A link of the vault's own chain with this body, by an actor who is known by that."""
    statement = MANIFESTS[0].statement
    link = dataclasses.replace(statement.link, chain="vault")
    actor = statement.actor
    statement = dataclasses.replace(
        statement,
        type=kind,
        body=body,
        link=link,
        subject=(chain_subject("vault"),),
        actor=dataclasses.replace(
            actor, id="lea", authenticated=authenticated or actor.authenticated
        ),
    )
    verify.incident.check_vault_link(dataclasses.replace(MANIFESTS[0], statement=statement))


# -- events ----------------------------------------------------------------------------------------

EVENTS: dict[str, tuple[Type, Object]] = {
    "declared": (Type.INCIDENT, body_of(0)),
    "amended": (
        Type.INCIDENT,
        {"changes": [{"field": "tier", "old": "3", "new": "2"}], "reason": None},
    ),
    "scoped": (
        Type.INCIDENT,
        {"changes": [{"field": "runs", "old": None, "new": ["run-7"]}], "reason": "found"},
    ),
    "assigned": (
        Type.INCIDENT,
        {"role": "comms_lead", "person": "Grace", "at": "2026-03-02T09:30:00Z"},
    ),
    "offered": (
        Type.INCIDENT,
        {"role": "comms_lead", "person": "Grace", "at": "2026-03-02T09:30:00Z"},
    ),
    "accepted": (
        Type.INCIDENT,
        {"role": "governance_steward", "person": "Barbara", "at": "2026-03-02T09:30:00Z"},
    ),
    "updated": (
        Type.INCIDENT,
        {
            "at": "2026-03-02T10:30:00Z",
            "channel": "#inc-1",
            "containment": "contained",
            "exhibits": ["EV-0001"],
            "next_steps": "roll back the prompt",
            "note": None,
        },
    ),
    "granted": (
        Type.WAIVER,
        {name: value for name, value in GRANTED.items() if name != "event"},
    ),
    "revoked": (Type.WAIVER, {"waiver": "W-0001", "reason": "the provider answered"}),
    "phase": (
        Type.INCIDENT,
        {"phase": "triaged", "at": "2026-03-02T09:30:00Z", "exhibits": ["EV-0001"]},
    ),
    "reopened": (Type.INCIDENT, {"reason": "more"}),
    "viewed": (Type.CUSTODY, {"exhibits": ["EV-0001"], "purpose": None}),
    "view_failed": (Type.CUSTODY, {"view": 2, "reason": "it is not what was sealed"}),
    "refused": (
        Type.CUSTODY,
        {
            "identity": "ann",
            "permission": "read_content",
            "address": "192.0.2.7",
            "count": 3,
            "since": "2026-03-02T09:00:00Z",
        },
    ),
    "withdrawn": (Type.CUSTODY, {"exhibits": ["EV-0001"], "reason": "of another case"}),
    "classified": (
        Type.CUSTODY,
        {"exhibits": ["EV-0001"], "kinds": ["other"], "reason": None},
    ),
    "export_failed": (Type.CUSTODY, {"export": 3, "reason": "disk full"}),
    "preserved": (
        Type.CUSTODY,
        {
            "exhibits": ["ST-0001"],
            "incident": "INC-2026-0001",
            "from": "2026-03-02T09:00:00Z",
            "to": "2026-03-02T10:00:00Z",
        },
    ),
    "set": (Type.HOLD, {"matter": "Smith v. Jones", "reason": "sued", "ordered_by": None}),
    "released": (Type.HOLD, {name: RELEASED[name] for name in RELEASED if name != "event"}),
    "extended": (Type.HOLD, {"until": "2040-01-01T00:00:00Z", "reason": "a clock still runs"}),
}


def events_of(section: str) -> dict[str, list[str]]:
    text = FORMAT.split(section)[1].split("| event | further fields |\n")[1].split("\n\n")[0]
    found = re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE)
    return {event: code(fields.split(":")[0]) for event, fields in found}


def test_the_events_are_those_of_the_page() -> None:
    sections = ("### 4.2 `incident`", "### 4.3 `custody`", "### 4.7 `hold`", "### 4.11 `waiver`")
    told: dict[str, list[str]] = {}
    for each in sections:
        told |= events_of(each)
    assert told.keys() == EVENTS.keys()
    assert told.pop("declared") == []
    assert told.pop("granted") == []
    for event, fields in told.items():
        assert set(fields) == EVENTS[event][1].keys(), event


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_has_the_fields_of_the_page_and_no_others(event: str) -> None:
    kind, fields = EVENTS[event]
    body = {"event": event, **fields}
    apply = applied_to_stream if event == "preserved" else applied
    check: Check = lambda value: apply(kind, value)  # noqa: E731
    assert refusal(check, body) == ""
    for name in body:
        assert refusal(check, {each: body[each] for each in body if each != name})
    assert "unknown field" in refusal(check, {**body, "stranger": 1})


VIEWED = {"event": "viewed", **EVENTS["viewed"][1], "session": "s1", "address": "192.0.2.7"}


@pytest.mark.parametrize(
    ("change", "fine"),
    [
        ({}, True),
        ({"address": None}, True),
        ({"session": "x" * 64, "address": "x" * 100}, True),
        ({"session": ""}, False),
        ({"session": None}, False),
        ({"session": "x" * 65}, False),
        ({"address": "x" * 101}, False),
        ({"address": 7}, False),
    ],
)
def test_a_viewing_names_its_session_and_address_strictly(change: Object, fine: bool) -> None:
    check: Check = lambda value: applied(Type.CUSTODY, value)  # noqa: E731
    assert (refusal(check, {**VIEWED, **change}) == "") == fine


@pytest.mark.parametrize("name", ["session", "address"])
def test_a_session_and_an_address_stand_together(name: str) -> None:
    check: Check = lambda value: applied(Type.CUSTODY, value)  # noqa: E731
    assert "missing" in refusal(check, {each: VIEWED[each] for each in VIEWED if each != name})


@pytest.mark.parametrize(
    ("change", "fine"),
    [
        ({"address": None}, True),
        ({"count": 0}, False),
        ({"count": True}, False),
        ({"identity": ""}, False),
        ({"identity": "x" * 512}, True),
        ({"identity": "x" * 513}, False),
        ({"permission": "Read content"}, False),
        ({"permission": ""}, False),
        ({"since": "yesterday"}, False),
        ({"exhibits": []}, False),
    ],
)
def test_a_refusal_says_who_what_and_how_often(change: Object, fine: bool) -> None:
    check: Check = lambda value: applied(Type.CUSTODY, value)  # noqa: E731
    body = {"event": "refused", **EVENTS["refused"][1], **change}
    assert (refusal(check, body) == "") == fine
    stream: Check = lambda value: applied_to_stream(Type.CUSTODY, value)  # noqa: E731
    assert (refusal(stream, body) == "") == fine


@pytest.mark.parametrize("view", [0, 1, 3])
def test_a_failure_is_of_a_viewing(view: int) -> None:
    check: Check = lambda value: applied(Type.CUSTODY, value)  # noqa: E731
    assert "no viewing" in refusal(check, {"event": "view_failed", "view": view, "reason": "x"})


def test_the_fields_of_incident_and_scope_are_those_of_the_page() -> None:
    for header, known in (
        ("| incident field | value |", verify.declaration.INCIDENT_FIELDS),
        ("| scope field | value |", verify.declaration.SCOPE_FIELDS),
    ):
        lines = FORMAT.split(header)[1].split("\n\n")[0].split("\n")[2:]
        named = [name for line in lines for name in code(line.split(" | ")[0])]
        assert sorted(named) == sorted(known)
        for line in lines:
            for name in code(line.split(" | ")[0]):
                for value in code(line.split(" | ")[1]):
                    verify.declaration.check_value(name, value, where="it")


@pytest.mark.parametrize(
    "name", verify.declaration.INCIDENT_FIELDS | verify.declaration.SCOPE_FIELDS
)
def test_texts_of_an_incident_have_1_to_1000_characters(name: str) -> None:
    check: Check = lambda value: verify.declaration.check_value(name, value, where="it")  # noqa: E731
    longest = "x" * 1_000
    if refusal(check, longest) == "":
        assert refusal(check, longest + "x")
        assert refusal(check, "")
    elif refusal(check, [longest]) == "":
        assert refusal(check, [longest + "x"])
        assert refusal(check, ["x", "x"])
        assert refusal(check, [str(number) for number in range(1_000)]) == ""
        assert refusal(check, [str(number) for number in range(1_001)])
        assert bool(refusal(check, [])) == (name == "systems")


# -- closed lists of names -------------------------------------------------------------------------


def test_kinds_types_roles_phases_steps_and_tests_are_those_of_the_page() -> None:
    kinds = next(cells for cells in rows("### 2.6 Names\n") if cells[0] == "kind")
    assert code(kinds[1]) == [kind.value for kind in verify.statement.Kind]
    types = [name for cells in rows("### 3.2 Types\n") for name in code(cells[0])]
    assert set(types) == {kind.value for kind in Type} | {verify.collection.TYPE}
    table_of_types = rows("### 3.2 Types\n")
    specified = {name for cells in table_of_types if cells[2] == "§4" for name in code(cells[0])}
    on_vault = {name for cells in table_of_types if code(cells[1]) for name in code(cells[0])}
    assert specified - on_vault == {kind.value for kind in verify.incident._TAKE}
    assert on_vault == {kind.value for kind in ON_VAULT_CHAIN}
    for kind in ON_VAULT_CHAIN:
        said = refusal(lambda body, kind=kind: read_on_vault(kind, body), {})
        assert ("not known here" in said) == (kind.value not in specified)
    assert code(line_with("| `role` | `text` |"))[2:] == [
        role.value for role in verify.response.Role
    ]
    assert code(line_with("| `role` | `text(64)` |"))[2:] == [
        role.value for role in verify.grant.GrantedRole
    ]
    assert code(line_with("| `containment` |"))[2:] == [
        each.value for each in verify.response.Containment
    ]
    assert code(line_with("| `phase` | `text`"))[2:] == [
        phase.value for phase in verify.response.Phase
    ]
    steps = re.findall(r"^\*\*(\d+) `(\w+)`\*\*", FORMAT, re.MULTILINE)
    assert steps == [(str(number), step.value) for number, step in enumerate(verify.trust.Step, 1)]
    after = re.search(r"only (`custody`.*?), and the event `reopened`", FORMAT, re.DOTALL)
    assert after is not None
    assert set(code(after[1])) == {kind.value for kind in verify.incident.AFTER_SEAL}


def test_attestations_are_those_of_the_page() -> None:
    told = {code(cells[0])[0]: cells[1:] for cells in rows("<!-- attestations -->\n")}
    assert list(told) == [each.value for each in verify.attestation.AttestationType]
    shapes = {cells[0] for cells in rows("A field with `?` may be absent; it is never null.\n")}
    assert shapes == {shape.value for shape in verify.attestation.Shape}
    for name, (_, fields, also) in told.items():
        rule = verify.attestation.RULES[verify.attestation.AttestationType(name)]
        read = []
        for each in fields.split(" · "):
            match = re.fullmatch(r"`(\w+)`(\??) (\w+)(?:\((.*)\))?", each)
            assert match is not None, each
            read.append((match[1], match[2] == "", match[3], tuple(code(match[4] or ""))))
        assert read == [
            (field.name, field.required, field.shape.value, _choices(field))
            for field in rule.fields
        ]
        parts = dict(part.partition(": ")[::2] for part in also.split("; "))
        assert tuple(code(parts.get("in order", ""))) == rule.in_order
        assert ("`approved_by` is not null" in parts) == rule.second_person
        assert tuple(code("".join(part for part in parts if "both" in part))) == rule.one_of


@pytest.mark.parametrize("kind", [Type.ATTESTATION, Type.WAIVER])
def test_the_examples_of_bodies_are_read(kind: Type) -> None:
    text = FORMAT.split(f"<!-- example: {kind} -->\n```json\n")[1].split("```")[0]
    incident = applied(kind, json.loads(text))
    assert len(incident.attestations) + len(incident.waivers) == 1


def test_the_example_of_a_grant_is_read() -> None:
    text = FORMAT.split("<!-- example: grant -->\n```json\n")[1].split("```")[0]
    assert verify.grant.parse_grant(json.loads(text), where="it").person == "ada@example.org"


def _choices(field: verify.attestation.FieldRule) -> tuple[str, ...]:
    closed = field.shape in ("choice", "choices") and field.name != "kinds"
    return field.choices if closed else ()


@pytest.mark.parametrize(
    ("header", "vocabulary"),
    [
        ("| condition, parameters | passes if; else fails unless said otherwise |",
         verify.profile.CONDITIONS),
        ("| check, parameters | conflict if |", verify.profile.CHECKS),
        ("| trigger, parameters | passes: the item applies; fails: it does not |",
         verify.profile.TRIGGERS),
    ],
    ids=["conditions", "checks", "triggers"],
)  # fmt: skip
def test_the_vocabulary_of_profiles_is_that_of_the_page(
    header: str, vocabulary: dict[str, tuple[str, ...]]
) -> None:
    text = FORMAT.split(f"{header}\n")[1].split("\n\n")[0]
    tests = [code(line.strip("| ").split(" | ")[0]) for line in text.split("\n")[1:]]
    assert {name: tuple(parameters) for name, *parameters in tests} == vocabulary


def test_every_word_of_the_vocabulary_has_its_function() -> None:
    known = [*verify.conditions.TESTS, *verify.consent.TESTS, *verify.duties.TESTS]
    assert sorted(known) == sorted(verify.profile.CONDITIONS)
    assert verify.crosscheck.TESTS.keys() == verify.profile.CHECKS.keys()
    assert verify.duties.TRIGGERS.keys() == verify.profile.TRIGGERS.keys()


def line_with(text: str) -> str:
    (found,) = [line for line in FORMAT.split("\n") if line.startswith(text)]
    return found


def test_the_bags_files_are_those_of_the_page() -> None:
    named = {name for cells in rows("### 12.2 Files\n") for name in code(cells[0])}
    bundles = verify.bundle
    assert set(bundles.TAG_FILES) <= named
    assert {bundles.CHECKPOINT, bundles.INCLUSION, bundles.TRUST, bundles.PROFILE} <= named
    assert {bundles.COMPLETENESS, bundles.VERIFY} <= named
    for path in FILES:
        plain = re.sub(r"\d{8}(?=\.json)", "<sequence, 8 digits>", path)
        plain = re.sub(r"EV-\d{4}", "<exhibit>", plain)
        plain = re.sub(r"(evidence/<exhibit>/).*", r"\1<safe name>", plain)
        assert plain in named


def test_the_path_rule_is_the_codes_own() -> None:
    assert f"    {verify.bundle._PATH.pattern.removesuffix('Z')[:-1]}\n" in FORMAT


def test_the_reports_fields_are_those_of_the_page() -> None:
    report = full_report()
    lines = FORMAT.split("### 15.7 Report\n")[1].split("\n\n")[1].split("\n")[2:]
    named = {name.removesuffix("[]") for line in lines for name in code(line.split(" | ")[0])}
    assert named == report.keys()
    for line in lines:
        name, value = line.strip("| ").split(" | ", 1)
        shape = re.search(r"`\{(.*?)\}`", value)
        for each in code(name) if shape else []:
            assert shape is not None
            told = report[each.removesuffix("[]")]
            told = told[0] if isinstance(told, list) else told
            assert set(shape[1].split(", ")) == told.keys(), name
    counts = re.search(r"each `\{(.*?)\}`", line_with("| `counts` | `{"))
    assert counts is not None
    assert set(counts[1].split(", ")) == report["counts"]["evidence"].keys()
    shape = re.search(r"`checks\[\]` are `\{(.*?)\}`", FORMAT, re.DOTALL)
    assert shape is not None
    names = {word.split(":")[0] for word in re.split(r",\s+", shape[1])}
    assert names == report["evidence"][0]["conditions"][0].keys()
    assert names == report["evidence"][0]["checks"][0].keys()


def test_retention_is_that_of_the_page() -> None:
    rules = [
        (None if kind == "null" else code(kind)[0], (code(severity) or [None])[0], int(days))
        for kind, severity, days in rows("<!-- policy -->\n")
    ]
    built_in = verify.retention.BUILT_IN.rules
    assert rules == [(rule.kind, rule.severity, rule.days) for rule in built_in]
    floors = re.search(
        r"The \*floor\* is (\d+) days for (.*?), what .* (\d+)\ndays", FORMAT, re.DOTALL
    )
    assert floors is not None
    logs = set(code(floors[2]))
    assert logs == {kind.value for kind in verify.retention.LOG_KINDS}
    for kind in verify.statement.Kind:
        floor = int(floors[1]) if kind.value in logs else int(floors[3])
        assert verify.retention.floor_of([kind]) == floor
    assert verify.retention.floor_of([]) == int(floors[3])
    assert f"Vaults write {RECORD_DAYS} days." in FORMAT


def test_a_folder_keeps_protection_as_the_page_says(tmp_path: Path) -> None:
    key = "artifacts/01KB0000000000000000000000"
    store = DirectoryStore(tmp_path)
    upload = store.upload(key, size=1)
    upload.write(b"x")
    upload.finish()
    upload.publish()
    until = datetime(2040, 1, 2, tzinfo=UTC)
    store.protect(key, None, Protection(until, LockMode.COMPLIANCE, held=True))
    noted = json.loads((tmp_path / "locks" / key).read_bytes())
    assert (tmp_path / "locks" / key).read_bytes() == dumps(noted)
    assert noted == {"held": True, "mode": "compliance", "retain_until": "2040-01-02T00:00:00Z"}
    told = FORMAT.split("### 10.3 A folder\n")[1].split("\n\n")[0]
    assert {"held", "mode", "retain_until", "governance", "compliance"} < set(code(told))
    (row,) = [cells for cells in rows("### 10.1 Keys\n") if cells[0] == "`locks/<key>`"]
    assert row[2] == "replaced"


# -- rules, written down a second time -------------------------------------------------------------


def name_key_by_the_letter(name: str) -> str:
    """§4.7."""
    old = unicodedata.ucd_3_2_0

    def second_step(text: str) -> str:
        folded = ""
        for char in text:
            if old.category(char) == "Cn":
                folded += char
            else:
                folded += unicodedata.normalize("NFKD", char).casefold()
        return "".join(char for char in folded if old.category(char)[0] in "LN"
                       or old.category(char) == "Cn")  # fmt: skip

    return second_step(name.split("@", maxsplit=1)[0]) or second_step(name)


@given(st.text(st.one_of(st.characters(), st.sampled_from("@ .ÁáßİKſ\u0301")), max_size=12))
def test_name_keys_are_those_of_the_page(name: str) -> None:
    assert verify.approval.name_key(name) == name_key_by_the_letter(name)


def test_the_examples_of_one_name_are_those_of_the_page() -> None:
    line = FORMAT[FORMAT.index("So `ADA@elsewhere`") :].split(" are who ")[0]
    (other,) = re.findall(r"are who `([^`]+)` is\.", FORMAT)
    assert {verify.approval.name_key(each) for each in code(line)} == {
        verify.approval.name_key(other)
    }


def safe_name_by_the_letter(name: str) -> str:
    """§12.4."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    last = parts[-1] if parts else ""
    old = unicodedata.ucd_3_2_0
    plain = "".join(
        each
        for char in last
        for each in (unicodedata.normalize("NFKD", char) if old.category(char) != "Cn" else char)
        if each.isascii()
    )
    clean = re.sub(r"[^A-Za-z0-9._-]+", "_", plain)
    while clean[:1] in (".", "-") and clean:
        clean = clean[1:]
    clean = clean or "unnamed"
    if len(clean) <= 100:
        return clean
    stem, dot, suffix = clean.rpartition(".")
    if not dot or len(suffix) > 16:
        return clean[:100]
    return stem[: 100 - 1 - len(suffix)] + "." + suffix


NAMES = st.text(
    st.one_of(st.characters(), st.sampled_from("./\\-_ aé\u2460\ufb01\U0001ccd6\U0001f130")),
    max_size=130,
)


@given(NAMES)
def test_safe_names_are_those_of_the_page(name: str) -> None:
    assert verify.description.safe_name(name) == safe_name_by_the_letter(name)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a/b/DLP alert (1).json", "DLP_alert_1_.json"),
        ("caf\u00e9.txt", "cafe.txt"),
        ("..", "unnamed"),
        ("a/..", "unnamed"),
        ("a/.", "a"),
        ("-rf", "rf"),
        ("x" * 200 + ".json", "x" * 95 + ".json"),
        ("x" * 200 + ".seventeen-letters", "x" * 100),
        # Taken apart by Unicode 16 and by Unicode 5.2, and not by the version that the page names.
        ("a\U0001ccd6b", "ab"),
        ("a\U0001f130b", "ab"),
    ],
)
def test_a_safe_name_is_one_for_all_versions_of_unicode(name: str, safe: str) -> None:
    assert verify.description.safe_name(name) == safe


@pytest.mark.parametrize("size", range(1, 10))
def test_the_walk_over_many_leaves_is_the_pseudocode_of_the_page(size: int) -> None:
    leaves = [verify.merkle.leaf_hash(bytes([number])) for number in range(size)]
    root = verify.merkle.root_of(leaves).hex()
    for chosen in range(1, 1 << size):
        indices = [index for index in range(size) if chosen >> index & 1]
        proof = verify.merkle.multi_inclusion_hashes(
            indices, size, lambda start, end: verify.merkle.root_of(leaves[start:end])
        )
        listed = [(index, leaves[index].hex()) for index in indices]
        assert root_by_the_letter(size, listed, [each.hex() for each in proof]) == root


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02T09:00:00.000Z",
        "2026-03-02T24:00:00Z",
        "2026-03-02T09:00:60Z",
        "2026-02-29T09:00:00Z",
        "0000-03-02T09:00:00Z",
        "2026-03-02T09:00:00.1Z",
        "2026-03-02T09:00:00.123456Z",
        "2026-03-02 09:00:00Z",
        "2026-03-02T09:00:00z",
        "2026-03-02T09:00:00+00:00",
        "\u0662\u0660\u0662\u0666-03-02T09:00:00Z",
        "2026-03-02T09:00:00Z\n",
    ],
)
def test_an_instant_has_one_text(text: str) -> None:
    assert refusal(lambda value: verify.instant.parse_instant(value, where="it"), text)


@given(st.datetimes(min_value=datetime(1, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_an_instant_is_read_as_it_is_written(moment: datetime) -> None:
    text = verify.instant.format_instant(moment)
    again = verify.instant.parse_instant(text, where="it")
    assert again == moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert verify.instant.format_instant(again) == text
