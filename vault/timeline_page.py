"""The timeline as a static page for a reader without a terminal. Pure; values are escaped."""

from __future__ import annotations

from collections.abc import Iterable

from vault.hypertext import (
    cell,
    column_heads,
    count_of,
    digest_of,
    document,
    esc,
    notes,
    prose,
    time_of,
    title_of,
)
from vault.timeline import Claim, Claimant, Line, Timeline, Unplaced
from verify.incident import Incident
from verify.instant import format_instant

_KIND = "Timeline"


def timeline_page(
    incident: Incident,
    timeline: Timeline,
    *,
    evault: str,
    more: Iterable[tuple[str, str]] = (),
) -> bytes:
    """The whole page about a folded chain prefix; `evault` is the version that writes it.

    `more` are names with values that are HTML, for its head.
    """
    facts = [
        ("Severity", esc(incident.fields["severity"])),
        ("Systems", "<br>".join(esc(system) for system in incident.systems)),
        ("Detected", f"{time_of(incident.fields['detected_at'])}, as claimed"),
        ("Declared", f"{time_of(incident.fields['declared_at'])}, as claimed"),
        *more,
        ("Drawn from", f"links 0 to {incident.sequence} of the chain, and nothing after"),
    ]
    title = title_of(_KIND, incident.id, incident.title, facts)
    body = [title, _lines(timeline.lines), _unplaced(timeline.unplaced)]
    body.append(_notes(incident, timeline, evault))
    return document(_KIND, incident.id, body)


_UNITS = {
    "text": "text",
    "s": "seconds since 1970",
    "ms": "milliseconds since 1970",
    "us": "microseconds since 1970",
    "ns": "nanoseconds since 1970",
    "mixed": "in several ways",
}
_PRECISIONS = {
    "day": "day",
    "min": "minute",
    "s": "second",
    "ms": "millisecond",
    "us": "microsecond",
    "ns": "nanosecond",
}


def _clock(claim: Claim) -> str:
    """`text with zone, to the second`: whose word it is, and how far it names an instant."""
    if claim.by == Claimant.PERSON:
        return "stated by a person"
    quality = claim.quality
    zone = "with zone" if quality.zone == "zoned" else "with zone in some records only"
    parts = [f"{_UNITS.get(quality.unit or '', '')} {zone}".strip()]
    if quality.precision:
        parts.append(f"to the {_PRECISIONS[quality.precision]}")
    return ", ".join(parts)


def _lines(lines: Iterable[Line]) -> str:
    listed = list(lines)
    columns = column_heads(
        ("stamp", "Claimed (UTC)"),
        ("clock", "Clock"),
        ("when", "Received by the vault (UTC)"),
        ("", "What"),
        ("id", "Cites"),
    )
    return f"""\
<section>
<h2>In order</h2>
<table class="rows timeline">
<caption>{esc(count_of(len(listed), "line", "lines"))}, each where it claims to be; \
without a claim, where the vault received it.</caption>
{columns}<tbody>
{"".join(_line(line) for line in listed)}</tbody>
</table>
</section>
"""


def _line(line: Line) -> str:
    claimed = _claimed(line.claim) if line.claim else '<span class="sub">no claim</span>'
    quality = _clock(line.claim) if line.claim else "the vault\u2019s own"
    received = time_of(format_instant(line.received), zone=False)
    if line.stamped:
        received += f'<div class="sub">stamped {time_of(format_instant(line.stamped))}</div>'
    return (
        f"<tr>{cell('Claimed', claimed, name='stamp')}"
        f"{cell('Clock', esc(quality), name='clock')}"
        f"{cell('Received', received, name='when')}"
        f"{cell('What', f'<strong>{esc(line.event)}</strong> <bdi>{prose(line.detail)}</bdi>')}"
        f"{cell('Cites', prose(line.cites), name='id')}</tr>\n"
    )


def _claimed(claim: Claim) -> str:
    start, end = format_instant(claim.start), format_instant(claim.end)
    if start == end:
        return time_of(start, zone=False)
    return f'{time_of(start, zone=False)}<div class="sub">to {time_of(end, zone=False)}</div>'


def _unplaced(exhibits: Iterable[Unplaced]) -> str:
    listed = list(exhibits)
    if not listed:
        return ""
    rows = "".join(
        f'<tr><th scope="row" class="id">{esc(each.exhibit)}</th>'
        f"{cell('Received', time_of(format_instant(each.received), zone=False), name='stamp')}"
        f"{cell('Why', esc(each.reason))}"
        f"{cell('As written', esc(_written(each)))}</tr>\n"
        for each in listed
    )
    columns = column_heads(
        ("id", "Exhibit"),
        ("stamp", "Received by the vault (UTC)"),
        ("", "Why it has no place"),
        ("", "Its times, as written"),
    )
    return f"""\
<section>
<h2>Without a place</h2>
<table class="rows">
<caption>{esc(count_of(len(listed), "exhibit", "exhibits"))} that stand nowhere above, and may \
belong anywhere in it.</caption>
{columns}<tbody>
{rows}</tbody>
</table>
</section>
"""


def _written(each: Unplaced) -> str:
    if not each.raw_first:
        return ""
    if each.raw_last in (None, each.raw_first):
        return each.raw_first
    return f"{each.raw_first} to {each.raw_last}"


def _notes(incident: Incident, timeline: Timeline, evault: str) -> str:
    stamped = sum(line.stamped is not None for line in timeline.lines)
    stamps = f"{stamped:,} lines" if stamped else "none; no time authority dates any line here"
    return notes(
        "How to read this page",
        [
            (
                "Claimed",
                "What a person stated, or what an exhibit\u2019s own records say. Nobody here "
                "proves it. An interval goes from an exhibit\u2019s first record to its last; it "
                "does not say that every moment between is covered.",
            ),
            (
                "Clock",
                "How an exhibit writes its times: whether with a zone, as text or as a number "
                "since 1970, and how fine. A time to the day or the minute may be anywhere within "
                "it. Computers\u2019 clocks differ: lines of two sources that lie close together "
                "may have happened in the other order.",
            ),
            (
                "Received",
                "The vault\u2019s own clock when it took the line in, and its word alone unless "
                "stamped. By then the claim had been made; it may still be wrong.",
            ),
            ("Stamped", esc(stamps)),
            (
                "Cites",
                "The exhibit that the line rests on, or the link of the chain that says it where "
                "no exhibit was named.",
            ),
            (
                "Head",
                f"Links 0 to {esc(incident.sequence)} of {esc(incident.id)}; leaf hash of link "
                f"{esc(incident.sequence)}: {digest_of(incident.leaf)}. Page by evault "
                f"{esc(evault)}.",
            ),
        ],
    )
