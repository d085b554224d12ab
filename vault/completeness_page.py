"""The completeness report as a static page that a lawyer can read. Pure; values are escaped.

It shows a report as `verify.checklist.assess` makes it, and judges nothing itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from vault.changes import Change, Changes
from vault.hypertext import (
    cell,
    code,
    column_heads,
    count_of,
    digest_of,
    document,
    duration,
    esc,
    facts_list,
    marked,
    notes,
    prose,
    sentence,
    time_of,
    title_of,
    words_of,
)
from vault.report_words import (
    cited_text,
    reported_waiver_text,
    upheld_text,
    waived_texts,
    waivers_of,
)
from verify.bundle import COMPLETENESS, PROFILE
from verify.incident import Incident
from verify.strictjson import Object

_KIND = "Completeness report"
_GAPS_SHOWN = 10
_BAR = 1000
"""A bar's width in its own units."""
_SLIVER = 3
"""The least width of a gap: it must be seen, however short it is."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Which incident a page is about, and where the page is."""

    incident_id: str
    title: str
    evault: str
    """Version of evault that writes the page."""
    bundled: bool
    """Whether it lies in a bundle, with what it names beside it."""


def checklist_page(
    incident: Incident, report: Object, changes: Changes | None, *, evault: str
) -> bytes:
    """The page of a report that lies in no bundle, and what changed since the last sealed one."""
    fields = incident.fields
    tier = "4 (until someone decides)" if fields["tier"] == "unknown" else str(fields["tier"])
    facts = [
        ("Severity", esc(fields["severity"])),
        ("Tier", esc(tier)),
        ("Systems", "<br>".join(esc(system) for system in incident.systems)),
        ("Detected", f"{time_of(fields['detected_at'])}, as claimed"),
        ("Declared", f"{time_of(fields['declared_at'])}, as claimed"),
        ("Judged as of", time_of(report["as_of"])),
        ("Judged over", f"links 0 to {esc(report['head']['sequence'])} of the chain"),
    ]
    subject = Subject(incident.id, incident.title, evault, bundled=False)
    return completeness_document(subject, facts, report, changes)


def completeness_document(
    subject: Subject,
    facts: Iterable[tuple[str, str]],
    report: Object,
    changes: Changes | None,
) -> bytes:
    """The whole page; the values of `facts` are HTML, `changes` is None if there is no earlier."""
    waivers = waivers_of(report)
    body = [
        title_of(_KIND, subject.incident_id, subject.title, facts),
        _verdict(report),
        _contradictions(report["contradictions"]),
        _overview("Evidence", report["evidence"], waivers),
        _overview("Duties", report["duties"], waivers),
        _changes(changes),
        _clocks(report["clocks"]),
        _coverage(report["coverage"]),
        _waivers(report["waivers"]),
        _deviations(report["deviations"]),
        _ahead(report["ahead"]),
        _scope(report["unregistered"], report["outside_scope"]),
        _owed(report["owed"]),
        _next_steps(report["next"]),
        _items("Evidence, item by item", report["evidence"], waivers),
        _items("Duties, one by one", report["duties"], waivers),
        _notes(subject, report),
    ]
    return document(_KIND, subject.incident_id, body)


_VERDICTS = {
    "complete": "Every item is satisfied, or does not apply.",
    "complete_with_waivers": "No item is left open, but at least one was waived.",
    "incomplete": "At least one item is neither satisfied nor waived.",
    "contradicted": "For at least one item the records contradict each other.",
}
_STATES = {
    "satisfied": ("\u25cf", "Satisfied"),
    "partial": ("\u25d0", "Partial"),
    "missing": ("\u25cb", "Missing"),
    "waived": ("\u25c7", "Waived"),
    "not_applicable": ("\u2013", "Not applicable"),
    "contradicted": ("\u2260", "Contradicted"),
}
_ANSWERS = {
    "pass": ("\u25cf", "Yes"),
    "fail": ("\u25cb", "No"),
    "unknown": ("?", "Unknown"),
    "conflict": ("\u2260", "Conflict"),
}
_TIMELINESS = {
    "on_time": (
        "\u25cf",
        "On time",
        "recorded by the vault before the limit ran out, or an independent record agrees",
    ),
    "late": ("\u25cb", "Late", "the limit had run out even by the claimed time"),
    "unproven": (
        "?",
        "Unproven",
        "within the limit by the claimed time, but recorded by the vault only after the limit had "
        "run out; nothing here proves the claimed time",
    ),
    "pending": ("\u2013", "Pending", "not yet done, and the limit has not run out"),
    "breached": ("\u25cb", "Breached", "not done, and the limit has run out"),
}
_INTEGRITY = {"verified": "hashed on receipt, and signed; not read again for this report"}


def _verdict(report: Object) -> str:
    told = ""
    for name, of in (("evidence", "evidence items"), ("duties", "duties")):
        counts = report["counts"][name]
        others = "".join(
            f", {counts[state]} {word.lower()}"
            for state, (_, word) in _STATES.items()
            if state != "satisfied" and counts.get(state)
        )
        told += f"{counts['satisfied']} of {counts['of']} {of} satisfied{others}. "
    verdict, window = report["verdict"], report["window"]
    return f"""\
<section class="verdict">
<h2>{esc(words_of(verdict))}</h2>
<p><strong>{esc(told.strip())}</strong> {esc(_VERDICTS.get(verdict, ""))}</p>
<p>The evidence should cover {time_of(window["from"])} to {time_of(window["to"])}.</p>
</section>
"""


def _clocks(clocks: Sequence[Object]) -> str:
    if not clocks:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{esc(clock["title"])}</th>'
        f"{cell('Runs from', time_of(clock['after'], zone=False), name='when')}"
        f"{cell('Claimed', _time_or_none(clock['at']), name='when')}"
        f"{cell('Recorded', _time_or_none(clock['recorded_at']), name='when')}"
        f"{cell('Limit', esc(duration(clock['limit_seconds'])), name='span')}"
        f"{cell('Taken', esc(_taken(clock)), name='span')}"
        f"{cell('Outcome', _outcome(clock))}</tr>\n"
        for clock in clocks
    )
    columns = column_heads(
        ("", "Clock"),
        ("when", "Runs from (UTC)"),
        ("when", "Claimed (UTC)"),
        ("when", "Recorded by the vault (UTC)"),
        ("span", "Limit"),
        ("span", "Taken, as claimed"),
        ("", "Outcome"),
    )
    return f"""\
<section class="whole">
<h2>Clocks</h2>
<table class="rows">
<caption>Claimed times are what people stated; recorded times are the vault\u2019s own clock.\
</caption>
{columns}<tbody>
{rows}</tbody>
</table>
</section>
"""


def _time_or_none(text: str | None) -> str:
    return "not yet" if text is None else time_of(text, zone=False)


def _taken(clock: Object) -> str:
    if clock["early_seconds"] is not None:
        return f"{duration(clock['early_seconds'])} before it ran"
    return "\u2013" if clock["seconds"] is None else duration(clock["seconds"])


def _outcome(clock: Object) -> str:
    value = clock["timeliness"]
    told = _TIMELINESS.get(value, ("", "", ""))[2]
    return f'{marked(_TIMELINESS, value)}<div class="sub">{esc(told)}</div>'


def _contradictions(contradictions: Sequence[Object]) -> str:
    """Records side by side, with what a finding says of them."""
    if not contradictions:
        return ""
    rows = "".join(
        f'<tr><th scope="row" class="id">{esc(each["condition"])}</th>'
        f"{cell('Finding', prose(each['detail']))}"
        f"{cell('Records', _sides(each['sides']))}"
        f"{cell('Settled', _settled(each['closed_by']))}</tr>\n"
        for each in contradictions
    )
    columns = column_heads(("id", "No."), ("", "Finding"), ("", "Records"), ("", "Settled"))
    return f"""\
<section class="whole">
<h2>Contradictions</h2>
<table class="rows">
<caption>Records that cannot both be right. Only a signed finding settles which is believed.\
</caption>
{columns}<tbody>
{rows}</tbody>
</table>
</section>
"""


def _sides(sides: Sequence[Object]) -> str:
    return "".join(f"<div>{esc(side['record'])}: {prose(side['says'])}</div>" for side in sides)


def _settled(closed_by: Object | None) -> str:
    if closed_by is None:
        return "no"
    told = f"link {closed_by['link']} believes {closed_by['believed']}: {closed_by['reason']}"
    return prose(told)


def _waivers(waivers: Sequence[Object]) -> str:
    if not waivers:
        return ""
    rows = "".join(
        f'<tr><th scope="row" class="id">{esc(each["id"])}</th>'
        f"{cell('Standing', esc(words_of(each['standing'])))}"
        f"{cell('What', prose(reported_waiver_text(each)))}"
        f"{cell('Effect', esc(sentence(upheld_text(each))))}"
        f"{cell('Reason', prose(each['reason']))}"
        f"{cell('Owner', prose(each['owner']))}</tr>\n"
        for each in waivers
    )
    columns = column_heads(
        ("id", "No."),
        ("", "Standing"),
        ("", "What, until when, by whose approval"),
        ("", "Effect"),
        ("", "Reason"),
        ("", "Owner"),
    )
    return f"""\
<section class="whole">
<h2>Waivers</h2>
<table class="rows">
<caption>A waiver lifts named conditions for a time. An item counts as waived only where live \
waivers cover all of it that is open.</caption>
{columns}<tbody>
{rows}</tbody>
</table>
</section>
"""


def _lifted(conditions: Iterable[Object], waivers: Mapping[str, Object]) -> str:
    """Under what is open: what of it is waived."""
    return "".join(
        f'<div class="sub">{prose(each)}</div>' for each in waived_texts(conditions, waivers)
    )


def _overview(title: str, items: Sequence[Object], waivers: Mapping[str, Object]) -> str:
    rows = "".join(
        f'<tr><th scope="row" class="id">{esc(item["id"])}</th>'
        f"{cell('Item', esc(sentence(item['title'])), name='item-title')}"
        f"{cell('State', marked(_STATES, item['state']), name='state')}"
        f"{cell('Open', prose(item['reason']) + _lifted(item['conditions'], waivers))}"
        f"{cell('Conditions', esc(_met(item)), name='met')}</tr>\n"
        for item in items
    )
    columns = column_heads(
        ("id", "No."),
        ("item-title", "Item"),
        ("state", "State"),
        ("", "What is open"),
        ("met", "Conditions"),
    )
    return f"""\
<section class="whole">
<h2>{esc(title)}</h2>
<table class="rows">
{columns}<tbody>
{rows}</tbody>
</table>
</section>
"""


def _met(item: Object) -> str:
    answers = [condition["answer"] for condition in item["conditions"]]
    return f"{answers.count('pass')} of {len(answers)} met"


def _next_steps(steps: Sequence[Object]) -> str:
    if not steps:
        told = "<p>The checklist knows of no further step.</p>\n"
    else:
        rows = "".join(
            f'<tr><th scope="row" class="link">{number}</th>'
            f"{cell('For', esc(step['item']), name='link')}"
            f"{cell('Command', code(shlex.join(step['command'])))}</tr>\n"
            for number, step in enumerate(steps, 1)
        )
        columns = column_heads(("link", "Order"), ("link", "For"), ("", "Command"))
        told = f"""\
<table class="rows">
<caption>What vanishes first comes first. Words in capitals stand for what only the reader knows.\
</caption>
{columns}<tbody>
{rows}</tbody>
</table>
"""
    return f'<section class="whole">\n<h2>What would close the gaps</h2>\n{told}</section>\n'


def _items(title: str, items: Sequence[Object], waivers: Mapping[str, Object]) -> str:
    blocks = "".join(_item(item, waivers) for item in items)
    return f"<section>\n<h2>{esc(title)}</h2>\n{blocks}</section>\n"


def _item(item: Object, waivers: Mapping[str, Object]) -> str:
    facts = [("Open", prose(item["reason"]))] if item["reason"] else []
    if item["underlying"]:
        facts.append(("Without waivers", marked(_STATES, item["underlying"])))
    facts.append(("Owed by", prose(_owner(item))))
    facts.append(("Exhibits", _cited(item) or "none"))
    if item["integrity"]:
        told = _INTEGRITY.get(item["integrity"], item["integrity"])
        facts.append(("Integrity", esc(told)))
    if item["timeliness"]:
        facts.append(("In time", marked(_TIMELINESS, item["timeliness"])))
    rows = "".join(
        f'<tr><th scope="row" class="asked">{esc(each["asks"])} '
        f'<span class="sub">{esc(each["id"])}</span></th>'
        f"{cell('Met', marked(_ANSWERS, each['answer']), name='answer')}"
        f"{cell('Finding', prose(each['detail']) + _lifted((each,), waivers))}"
        f"{cell('Exhibits', _cited(each), name='cited')}</tr>\n"
        for each in (*item["conditions"], *_telling(item["checks"]))
    )
    columns = column_heads(
        ("asked", "Condition"), ("answer", "Met"), ("", "Finding"), ("cited", "Cites")
    )
    return f"""\
<article class="item">
<header><h3>{esc(item["id"])} {esc(sentence(item["title"]))}</h3>\
{marked(_STATES, item["state"])}</header>
{facts_list(facts)}<table class="rows">
{columns}<tbody>
{rows}</tbody>
</table>
</article>
"""


def _owner(item: Object) -> str:
    role = words_of(item["owner"])
    return f"{role}: {item['person']}" if item["person"] else f"{role}: nobody yet"


def _telling(checks: Sequence[Object]) -> list[Object]:
    """Checks that compared something: one that had nothing to compare takes nothing away."""
    return [each for each in checks if each["answer"] != "unknown"]


def _cited(holder: Object) -> str:
    return prose(cited_text(holder))


def _notes(subject: Subject, report: Object) -> str:
    profile, last = report["profile"], report["head"]
    stamps = ", ".join(digest_of(stamp) for stamp in report["stamps"]) or "none"
    return notes(
        "What this report is, and what it is not",
        [
            (
                "What it says",
                "Which of the evidence that the checklist asks for is in the vault. It does not "
                "say that the content of any exhibit is true, who is at fault, or what a court "
                "will make of it.",
            ),
            (
                "Facts",
                "Times, counts, models and systems were read out of the exhibits by the "
                "vault\u2019s parsers and signed. They are the vault\u2019s claims: facts signed, "
                "not recomputed. The exhibits were not read again for this page.",
            ),
            (
                "Integrity",
                "Every exhibit was hashed when it was received, and the digest was signed. Later "
                "damage shows here only where a signed statement told of it. An audit of the "
                "bundle reads every byte again; VERIFY.md says how.",
            ),
            (
                "Sources",
                "The report measures against the systems, principals, runs and detectors that were "
                "registered for this incident. We cannot know about sources that were never "
                "registered.",
            ),
            (
                "Times",
                "All times are UTC. A claimed time is what a person or a file states. A recorded "
                "time is the vault\u2019s own clock, and its word alone unless it was stamped or "
                f"witnessed. Time stamps taken into account: {stamps}.",
            ),
            (
                "Answers",
                "Unknown counts as not met. Where records conflict, the item is contradicted, "
                "however much else is met.",
            ),
            (
                "Checklist",
                f"{esc(profile['name'])}, version {esc(profile['version'])}"
                f"{f', in this bundle as {code(PROFILE)}' if subject.bundled else ''}. "
                f"SHA-256 {digest_of(profile['sha256'])}{_newer(profile['newer'])}",
            ),
            (
                "Head",
                f"Judged over links 0 to {esc(last['sequence'])} of {esc(subject.incident_id)}, as "
                f"of {time_of(report['as_of'])}, and nothing after. Leaf hash of link "
                f"{esc(last['sequence'])}: {digest_of(last['leaf_hash'])}",
            ),
            ("To recompute", _recompute(subject, report)),
        ],
    )


# -- coverage, scope, deviations, what is owed -----------------------------------------------------


def _coverage(bars: Sequence[Object]) -> str:
    """Over time: where evidence speaks, and where it is silent."""
    if not bars:
        return ""
    rows = "".join(
        f'<tr><th scope="row" class="item-title"><span class="sub">{esc(words_of(bar["what"]))}'
        f"</span> <bdi>{esc(bar['name'])}</bdi></th>"
        f"{cell('Coverage', _bar(bar) + _ends(bar), name='over')}"
        f"{cell('Silent', _gaps(bar))}"
        f"{cell('Exhibits', _cited(bar), name='cited')}</tr>\n"
        for bar in bars
    )
    columns = column_heads(
        ("item-title", "Of"), ("over", "Black: covered"), ("", "Silent"), ("cited", "Exhibits")
    )
    return f"""\
<section>
<h2>Coverage over time</h2>
<table class="rows coverage">
<caption>Between its first record and its last, without its silences, an exhibit covers the time. \
Systems and principals are held against the window, a run against itself.</caption>
{columns}<tbody>
{rows}</tbody>
</table>
</section>
"""


def _bar(bar: Object) -> str:
    """A picture of what the columns beside it say; without a length there is none."""
    if bar["from"] is None or bar["to"] is None:
        return ""
    start, whole = _seconds(bar["from"]), _seconds(bar["to"]) - _seconds(bar["from"])
    if whole <= 0:
        return ""

    def rect(name: str, stretch: Object, least: int) -> str:
        left = int((_seconds(stretch["from"]) - start) * _BAR / whole)
        width = max(int(stretch["seconds"] * _BAR / whole), least)
        left = max(0, min(left, _BAR - least))
        return f'<rect class="{name}" x="{left}" width="{min(width, _BAR - left)}" height="10"/>'

    # A silence is drawn over what is covered: rounding may hide evidence, never a gap.
    drawn = [rect("covered", each, 1) for each in bar["intervals"]]
    drawn += [rect("gap", each, _SLIVER) for each in bar["gaps"]]
    told = count_of(bar["gaps_count"], "silence", "silences")
    return (
        f'<svg class="bar" viewBox="0 0 {_BAR} 10" preserveAspectRatio="none" role="img" '
        f'aria-label="{esc(told)}">{"".join(drawn)}</svg>'
    )


def _ends(bar: Object) -> str:
    if bar["from"] is None or bar["to"] is None:
        return "no times"
    start, end = time_of(bar["from"], zone=False), time_of(bar["to"], zone=False)
    return f'<div class="ends sub"><span>{start}</span> <span>{end}</span></div>'


def _gaps(bar: Object) -> str:
    if not bar["gaps_count"]:
        return "nowhere" if bar["intervals_count"] else "no times"
    least = "at least " if bar["gaps_count"] > len(bar["gaps"]) else ""
    whole = f"{least}{duration(sum(each['seconds'] for each in bar['gaps']))}"
    if not bar["intervals_count"]:
        return f"throughout: {esc(whole)}"
    listed = [
        f"<strong>{esc(whole)}</strong> in "
        f"{esc(count_of(bar['gaps_count'], 'silence', 'silences'))}:"
    ]
    listed += [
        f"{time_of(each['from'], zone=False)} to {time_of(each['to'], zone=False)} "
        f'<span class="sub once">({esc(duration(each["seconds"]))})</span>'
        for each in bar["gaps"][:_GAPS_SHOWN]
    ]
    if bar["gaps_count"] > _GAPS_SHOWN:
        listed.append(f"and {bar['gaps_count'] - _GAPS_SHOWN:,} more")
    return "".join(f"<div>{each}</div>" for each in listed)


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()


def _deviations(deviations: Sequence[Object]) -> str:
    if not deviations:
        return ""
    rows = "".join(
        f'<tr><th scope="row" class="asked">{esc(each["what"])} '
        f'<span class="sub">{esc(each["id"])}</span></th>'
        f"{cell('Approved', _approved(each['approved_by']))}</tr>\n"
        for each in deviations
    )
    columns = column_heads(("asked", "What departed from policy"), ("", "Approved"))
    return f"""\
<section class="whole">
<h2>Deviations</h2>
<table class="rows">
<caption>What the checklist itself finds to depart from policy. Others may know of more.</caption>
{columns}<tbody>
{rows}</tbody>
</table>
</section>
"""


def _ahead(stated: Sequence[Object]) -> str:
    if not stated:
        return ""
    rows = "".join(
        f'<tr><th scope="row" class="id">link {each["link"]}</th>'
        f"{cell('Stated', esc(each['what'].replace('_', ' ')))}"
        f"{cell('Claimed', time_of(each['at'], zone=False), name='when')}"
        f"{cell('Recorded', time_of(each['recorded_at'], zone=False), name='when')}"
        f"{cell('Counts', 'since its time came' if each['counts'] else 'not yet')}</tr>\n"
        for each in stated
    )
    columns = column_heads(
        ("id", "No."),
        ("", "Stated"),
        ("when", "Claimed (UTC)"),
        ("when", "Recorded by the vault (UTC)"),
        ("", "Counts"),
    )
    return f"""\
<section class="whole">
<h2>Stated ahead of its time</h2>
<table class="rows">
<caption>Claimed for later than it was recorded: it counts for nothing until that time.</caption>
{columns}<tbody>
{rows}</tbody>
</table>
</section>
"""


def _approved(links: Sequence[int]) -> str:
    if not links:
        return "by nobody"
    return f"by {esc(', '.join(f'link {link}' for link in links))}"


def _scope(unregistered: Sequence[str], outside: Sequence[Object]) -> str:
    """What nobody registered: named by evidence, or never asked for."""
    if not unregistered and not outside:
        return ""
    told = ""
    if unregistered:
        told = (
            f"<p>No {esc(', no '.join(unregistered))} were ever registered for this incident. "
            "What they would ask for cannot be known, and is not missing here by name.</p>\n"
        )
    if outside:
        rows = "".join(
            f'<tr><th scope="row" class="item-title">{esc(words_of(each["what"]))}</th>'
            f"{cell('Name', _isolated(each['name']))}"
            f"{cell('Exhibits', _cited(each), name='cited')}</tr>\n"
            for each in outside
        )
        columns = column_heads(("item-title", "What"), ("", "Name"), ("cited", "Exhibits"))
        told += f"""\
<table class="rows">
<caption>The evidence names these; nobody registered them. Evidence does not define its own scope: \
a person decides whether they belong to it.</caption>
{columns}<tbody>
{rows}</tbody>
</table>
"""
    return f"<section>\n<h2>Outside the registered scope</h2>\n{told}</section>\n"


def _isolated(name: str) -> str:
    return f"<bdi>{prose(name)}</bdi>"


def _owed(owed: Sequence[Object]) -> str:
    if not owed:
        return ""
    rows = "".join(
        f'<tr><th scope="row" class="id">{esc(each["item"])}</th>'
        f"{cell('What', esc(sentence(each['title'])), name='item-title')}"
        f"{cell('State', marked(_STATES, each['state']), name='state')}"
        f"{cell('By', prose(_owner(each)))}"
        f"{cell('Due', _due(each), name='stamp')}</tr>\n"
        for each in owed
    )
    columns = column_heads(
        ("id", "No."), ("item-title", "What"), ("state", "State"), ("", "Owed by"),
        ("stamp", "Due (UTC)"),
    )  # fmt: skip
    return f"""\
<section>
<h2>What is owed, and by whom</h2>
<table class="rows">
{columns}<tbody>
{rows}</tbody>
</table>
</section>
"""


def _due(each: Object) -> str:
    if not each["due_at"]:
        return '<span class="sub">no date</span>'
    overdue = "<br><strong>overdue</strong>" if each["overdue"] else ""
    return time_of(each["due_at"], zone=False) + overdue


def _changes(changes: Changes | None) -> str:
    """What is not as in the last sealed report."""
    if changes is None:
        return (
            "<section>\n<h2>What changed</h2>\n"
            "<p>No report about this incident was sealed before.</p>\n</section>\n"
        )
    head = f"<h2>What changed since the report of link {changes.sequence}</h2>\n"
    if changes.unreadable:
        return f"<section>\n{head}<p>{esc(sentence(changes.unreadable))}.</p>\n</section>\n"
    if not changes.items:
        return f"<section>\n{head}<p>Nothing that the report tells.</p>\n</section>\n"
    rows = "".join(
        f'<tr><th scope="row" class="asked">{esc(words_of(each.what))}{_which(each)}</th>'
        f"{cell('Was', esc(_told(each.before)))}{cell('Is', esc(_told(each.after)))}</tr>\n"
        for each in changes.items
    )
    columns = column_heads(("asked", "What"), ("", "Was"), ("", "Is"))
    return f"""\
<section>
{head}<table class="rows">
<caption>That report judged links 0 to {changes.head_sequence} as of {time_of(changes.as_of)}.\
</caption>
{columns}<tbody>
{rows}</tbody>
</table>
</section>
"""


def _which(change: Change) -> str:
    return "" if change.id == change.what else f' <span class="sub">{esc(change.id)}</span>'


def _told(value: str | None) -> str:
    return "\u2013" if value is None else value.replace("_", " ")


def _newer(newer: Object | None) -> str:
    if newer is None:
        return ""
    return (
        f". Link {esc(newer['link'])} was judged by a newer one, version {esc(newer['version'])}, "
        f"SHA-256 {digest_of(newer['sha256'])}"
    )


def _recompute(subject: Subject, report: Object) -> str:
    engine = f"Engine {esc(report['engine'])}; page by evault {esc(subject.evault)}."
    if not subject.bundled:
        words = f"evault checklist {subject.incident_id} --at-sequence {report['head']['sequence']}"
        command = code(f"{words} --as-of {report['as_of']}")
        return f"{command} computes this report again from the vault. {engine}"
    return (
        f"{code('python -m verify BUNDLE --trust trust.json --checklist')} computes this report "
        f"again from the same signed claims, and compares it with {code(COMPLETENESS)} byte for "
        f"byte; where exhibits are withheld, only who holds them can. {engine}"
    )
