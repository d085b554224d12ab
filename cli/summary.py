"""What was sealed, in a few lines: grouped by folder and format, singly only what needs a look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

from cli.render import clip, clock_text, count_text, size_text, span_text
from ingest.collector import Collected, Taken
from vault.custody import exhibit_ranges
from vault.deposit import Receipt
from verify.coverage import extent, silences
from verify.facts import Approval, Facts, Finding, Model, Rollback, Ticket
from verify.instant import format_instant
from verify.strictjson import Object

SINGLY = 3
"""Up to this many files of one folder and format are listed one by one."""
SCATTERED = 12
"""Up to this many files of one format in folders that have few each are listed one by one."""
SILENCE = timedelta(minutes=5)
_SUMMARY_WIDTH = 60
_NAME_WIDTH = 40


@dataclass(frozen=True, slots=True)
class Sealed:
    """A taken item with the exhibit number that it got."""

    exhibit: str
    taken: Taken

    @property
    def facts(self) -> Facts:
        """What its parser read."""
        return self.taken.description.facts

    @property
    def folder(self) -> str:
        """The folder it lay in, "" at the top."""
        return self.taken.description.name.rpartition("/")[0]


_SHOWN = 3


def facts_rows(facts: Facts) -> list[tuple[str, str]]:
    """What facts say, briefly: label and text, most important first; nothing where they do not."""
    rows = [
        ("covers", _covers(facts)),
        ("who", _some(facts.principals)),
        ("where", _some((*facts.platforms, *facts.accounts))),
        ("data", _some(facts.datasets)),
        ("models", _some([_model_text(each) for each in facts.models])),
        ("tools", _some([f"{each.name} x{each.calls:,}" for each in facts.tools])),
        ("runs", _some((*facts.runs, *facts.sessions)) or _some(facts.traces)),
        ("decided", ", ".join(f"{each.count:,} {each.decision}" for each in facts.decisions)),
        ("found", _some([_finding_text(each) for each in facts.findings])),
        ("approved", _some([_approval_text(each) for each in facts.approvals])),
        ("rollback", _some([_rollback_text(each) for each in facts.rollbacks])),
        ("checked", _some([f"{each.name} {each.result}" for each in facts.validations])),
        ("ticket", _some([_ticket_text(each) for each in facts.tickets])),
        ("config", _some([f"{each.kind} {each.name}" for each in facts.configs])),
        ("proof", _some([f"{each.name} {each.result}" for each in facts.verdicts])),
        ("lacks", ", ".join(facts.not_captured)),
        ("wrong", "; ".join(_wrong(facts))),
    ]
    return [(label, text) for label, text in rows if text]


def _covers(facts: Facts) -> str:
    parts = [count_text(facts.records, "record")] if facts.records else []
    if facts.first and facts.last:
        ends = facts.first if facts.first == facts.last else f"{facts.first} to {facts.last}"
        parts.append(ends)
    elif facts.raw_first:
        parts.append(f"{facts.raw_first} to {facts.raw_last}, without a zone")
    elif facts.records:
        parts.append("no times")
    if facts.gaps:
        longest = max(each.seconds for each in facts.gaps)
        parts.append(f"longest silence {span_text(timedelta(seconds=longest))}")
    if facts.spans:
        parts.append(count_text(facts.spans, "span"))
    return ", ".join(parts)


def _wrong(facts: Facts) -> list[str]:
    wrong = list(facts.problems)
    if facts.unresolved_parents:
        wrong.append(f"{count_text(facts.unresolved_parents, 'span')} without a parent here")
    if facts.unfinished_calls:
        wrong.append(f"{count_text(facts.unfinished_calls, 'tool call')} without result")
    if facts.bad_offsets:
        more = " …" if facts.bad_records > _SHOWN else ""
        offsets = ", ".join(f"{each:,}" for each in facts.bad_offsets[:_SHOWN])
        wrong.append(f"bad at byte {offsets}{more}")
    if facts.capped:
        wrong.append(f"too many to keep all: {', '.join(facts.capped)}")
    return wrong


def _some(texts: Sequence[str]) -> str:
    """The first few, and how many there are besides."""
    shown = ", ".join(clip(text, 60) for text in texts[:_SHOWN])
    return f"{shown} and {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else shown


def _model_text(model: Model) -> str:
    said = "answered" if model.returned else "asked for"
    return f"{model.name} ({said}{', floating' if model.exact == 'floating' else ''})"


def _finding_text(finding: Finding) -> str:
    words = [f"{finding.count:,} x {finding.label} by {finding.detector}"]
    words += [finding.disposition] if finding.disposition else []
    words += [finding.severity_norm] if finding.severity_norm != "unknown" else []
    return ", ".join(words)


def _approval_text(approval: Approval) -> str:
    by = f" by {approval.approver}" if approval.approver else ""
    return f"{approval.subject} {approval.state}{by}"


def _rollback_text(rollback: Rollback) -> str:
    change = f" {rollback.from_ or '?'} -> {rollback.to or '?'}"
    return f"{rollback.target}{change if rollback.from_ or rollback.to else ''} {rollback.state}"


def _ticket_text(ticket: Ticket) -> str:
    return f"{ticket.id} {ticket.title}"


def group_rows(sealed: Sequence[Sealed]) -> list[tuple[str, str, str, str]]:
    """Rows of exhibits, name, format, summary."""
    rows: list[tuple[str, str, str, str]] = []
    for group in _groups(sealed):
        above = _common([each.folder for each in group])
        few = len(group) <= SINGLY or (len(group) <= SCATTERED and len(_folders(group)) > 1)
        if not few:
            name = f"{above.rpartition('/')[2]}/" if above else "(top)"
            label = group[0].taken.description.label
            numbers = exhibit_ranges([each.exhibit for each in group])
            rows.append((numbers, name, label, _merged(group)))
        rows += [_single(each, above) for each in group if few or _notable(each)]
    return rows


def _groups(sealed: Sequence[Sealed]) -> list[list[Sealed]]:
    """What is told together: many files of a folder, or folders in a row that have few each."""
    groups: list[list[Sealed]] = []
    for _, members in groupby(sealed, key=lambda each: (each.folder, each.taken.description.label)):
        group = list(members)
        label = group[0].taken.description.label
        scattered = (
            groups
            and len(group) <= SINGLY
            and label == groups[-1][0].taken.description.label
            and all(count <= SINGLY for count in _folders(groups[-1]).values())
        )
        if scattered:
            groups[-1] += group
        else:
            groups.append(group)
    return groups


def _folders(group: Sequence[Sealed]) -> Counter[str]:
    return Counter(each.folder for each in group)


def _common(folders: Sequence[str]) -> str:
    """The folder that all of these lie in, "" for none."""
    parts = [each.split("/") for each in folders]
    same = 0
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        same += 1
    return "/".join(parts[0][:same])


def look_at(sealed: Sequence[Sealed]) -> list[str]:
    """What a person should know about the evidence just sealed, most important first."""
    notes: list[str] = []
    traces = [each for each in sealed if {"prompt", "tool_trace"} & set(each.taken.kinds)]
    untimed = [each.exhibit for each in traces if each.facts.clock == "none"]
    if untimed:
        carry = "carries" if len(untimed) == 1 else "carry"
        notes.append(f"{exhibit_ranges(untimed)} {carry} no times.")
    unzoned = [each.exhibit for each in sealed if each.facts.clock in ("unzoned", "mixed")]
    if unzoned:
        notes.append(f"{exhibit_ranges(unzoned)}: times without a zone.")
    notes += _log_notes([each for each in sealed if "access_log" in each.taken.kinds])
    empty = [each.exhibit for each in sealed if each.taken.size == 0]
    if empty:
        notes.append(f"{exhibit_ranges(empty)}: empty, 0 bytes.")
    damaged = [each for each in sealed if each.facts.bad_records]
    if damaged:
        count = sum(each.facts.bad_records for each in damaged)
        names = exhibit_ranges([each.exhibit for each in damaged])
        notes.append(f"{names}: {count_text(count, 'record')} could not be read.")
    for each in sealed:
        notes += [f"{each.exhibit}: {remark}." for remark in _notable(each)]
    return notes


def _notable(each: Sealed) -> list[str]:
    """Remarks that say that something happened; a bucket's say what the object is."""
    return [text for text in each.taken.description.remarks if not text.startswith("s3 ")]


def _log_notes(logs: Sequence[Sealed]) -> list[str]:
    notes = []
    for label, members in groupby(
        sorted(logs, key=lambda each: each.taken.description.label),
        key=lambda each: each.taken.description.label,
    ):
        group = list(members)
        facts = [each.facts for each in group]
        parts = []
        absent = set.intersection(*(set(each.not_captured) for each in facts))
        if absent:
            parts.append(f"no {', no '.join(sorted(absent))}")
        longest = silences(facts, longer_than=SILENCE)
        if longest:
            start, end = longest[0]
            parts.append(f"longest silence {span_text(end - start)}")
        problems = sorted({problem for each in facts for problem in each.problems})
        parts += problems[:2]
        if parts:
            parts[0] = f"{label}: {parts[0]}"
            notes += [*(f"{each};" for each in parts[:-1]), f"{parts[-1]}."]
    return notes


def _single(each: Sealed, above: str) -> tuple[str, str, str, str]:
    """One file, by its path below the folder that it shares with its group."""
    description = each.taken.description
    name = description.name.removeprefix(f"{above}/") if above else description.name
    summary = description.summary or size_text(each.taken.size)
    return (
        each.exhibit,
        name if len(name) <= _NAME_WIDTH else f"…{name[1 - _NAME_WIDTH :]}",
        description.label,
        clip(summary, _SUMMARY_WIDTH),
    )


def _merged(group: Sequence[Sealed]) -> str:
    facts = [each.facts for each in group]
    if not any(each.records for each in facts):
        size = sum(each.taken.size for each in group)
        return f"{count_text(len(group), 'file')}, {size_text(size)}"
    noun = "event" if "access_log" in group[0].taken.kinds else "record"
    parts = [count_text(sum(each.records for each in facts), noun)]
    principals = {name for each in facts for name in each.principals}
    if principals:
        parts.append(count_text(len(principals), "principal"))
    covered = extent(facts)
    if covered:
        first, last = (format_instant(moment) for moment in covered)
        one_day = first[:10] == last[:10]
        parts.append(
            f"{clock_text(first)}-{clock_text(last)}"
            if one_day
            else f"{first[:10]} {clock_text(first)} to {last[:10]} {clock_text(last)}"
        )
    return ", ".join(parts)


def taken_json(
    chain: str,
    state: str,
    collected: Collected,
    *,
    size: int,
    items: Sequence[Object] = (),
    receipts: Sequence[Receipt] = (),
    spool: Object | None = None,
) -> Object:
    """The document of `ingest` and `capture`; `size` is in bytes, of what was taken."""
    return {
        "already": [{"exhibit": exhibit, "name": path} for path, exhibit in collected.already],
        "counts": {
            "already": len(collected.already),
            "bytes": size,
            "items": len(items),
            "links": len(collected.links),
            "not_kept": len(collected.failed),
        },
        "incident": chain,
        "items": list(items),
        "links": [{"name": path, "target": target} for path, target in collected.links],
        "not_kept": [{"detail": reason, "name": path} for path, reason in collected.failed],
        "receipt": receipts[-1].to_json() if receipts else None,
        "receipts": [receipt.to_json() for receipt in receipts],
        "spool": spool,
        "state": state,
    }
