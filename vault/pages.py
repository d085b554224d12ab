"""The pages of a bundle: static HTML without script, CSV, and the instructions for a doubter. Pure.

They are a function of their arguments alone: no clock, no locale, no randomness, so that an export
can be emitted again byte for byte. Everything shown was escaped; evidence is hostile.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from vault.changes import Changes
from vault.completeness_page import Subject, completeness_document
from vault.custody import CustodyRow, ReadingRow, actor_text, exhibit_ranges
from vault.hypertext import (
    cell,
    code,
    column_heads,
    comma_separated,
    count_of,
    digest_of,
    document,
    esc,
    facts_list,
    marked,
    notes,
    prose,
    time_of,
    title_of,
    visible,
    words_of,
)
from verify.bundle import (
    CHAIN,
    COMPLETENESS,
    DESCRIPTIONS,
    EVIDENCE,
    PROFILE,
    STREAMS,
    TRUST,
    link_path,
)
from verify.incident import Hold, Incident
from verify.instant import format_instant
from verify.strictjson import Object
from verify.trust import Step


@dataclass(frozen=True, slots=True)
class ReleaseLine:
    """The release of a hold: when, by whom, why, and who is said to have approved it."""

    at: str
    sequence: int
    actor: str
    reason: str
    approved_by: str
    shown_by: tuple[str, ...]
    attested: bool = True
    """False where the vault authenticated who approved."""


@dataclass(frozen=True, slots=True)
class HoldLine:
    """A matter's hold as the pages show it."""

    matter: str
    reason: str
    ordered_by: str | None
    at: str
    sequence: int
    actor: str
    release: ReleaseLine | None


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long evidence is kept, as far as the incident's own chain says."""

    holds: tuple[HoldLine, ...] = ()
    """All that were ever set, in order."""
    retained_until: str | None = None
    retained_sequence: int | None = None
    compliance: bool = False
    """Whether a seal asked for a lock that nobody can lift."""

    @property
    def live(self) -> list[HoldLine]:
        """The holds that were not released."""
        return [hold for hold in self.holds if hold.release is None]


def keeping_of(incident: Incident) -> Keeping:
    """What an incident's chain demands for the keeping of its evidence."""
    until = incident.retained_until
    return Keeping(
        holds=tuple(_hold_line(hold) for hold in incident.holds),
        retained_until=format_instant(until) if until else None,
        retained_sequence=incident.retained_sequence,
        compliance=incident.compliance,
    )


def _hold_line(hold: Hold) -> HoldLine:
    release = None
    said, at, actor = hold.released_by, hold.released_at, hold.released_actor
    if said and said.approval and at and actor and hold.released_sequence is not None:
        release = ReleaseLine(
            at=format_instant(at),
            sequence=hold.released_sequence,
            actor=actor_text(actor),
            reason=said.reason,
            approved_by=said.approval.person,
            shown_by=said.exhibits,
            attested=said.approval.attested,
        )
    return HoldLine(
        matter=hold.matter,
        reason=hold.set_by.reason,
        ordered_by=hold.set_by.ordered_by,
        at=format_instant(hold.recorded_at),
        sequence=hold.sequence,
        actor=actor_text(hold.actor),
        release=release,
    )


@dataclass(frozen=True, slots=True)
class PageHead:
    """What every page is headed with."""

    incident_id: str
    title: str
    severity: str
    tier: str
    """The governing tier in words, for instance '4 (until someone decides)'."""
    systems: tuple[str, ...]
    detected_at: str
    declared_at: str
    as_of: str
    """RFC 3339; when the export was prepared."""
    purpose: str
    recipient: str | None
    export_sequence: int
    """The link that the export itself becomes: the bundle is links 0 to this one."""
    origin: str
    trust_sha256: str
    evault: str
    """Version of evault that wrote the pages."""
    keeping: Keeping = Keeping()
    streams: tuple[str, ...] = ()
    approval: str | None = None
    """Who approved the export, and how the vault knew them; None where nobody had to."""
    """The streams of which the bundle carries links."""


@dataclass(frozen=True, slots=True)
class ExhibitLine:
    """An exhibit as the pages show it."""

    exhibit: str
    name: str
    label: str
    summary: str
    kinds: tuple[str, ...]
    sha256: str
    size: int
    modified_at: str | None
    captured_at: str
    received_at: str
    sequence: int
    withheld: str | None
    withdrawn: str | None


def completeness_page(head: PageHead, report: Object, changes: Changes | None) -> bytes:
    """`report/completeness.html`: the completeness report for a reader without a terminal.

    It shows a report as `verify.checklist.assess` makes it, and judges nothing itself. `changes`
    is what is not as in the report that was sealed before it; None: none was.
    """
    facts = [
        *_incident_facts(head),
        *_keeping_facts(head.keeping),
        ("Judged as of", time_of(report["as_of"])),
    ]
    subject = Subject(head.incident_id, head.title, head.evault, bundled=True)
    return completeness_document(subject, facts, report, changes)


def custody_page(
    head: PageHead,
    rows: Sequence[CustodyRow],
    exhibits: Sequence[ExhibitLine],
    readings: Sequence[ReadingRow] = (),
) -> bytes:
    """`report/custody.html`: the chain of custody, link by link and exhibit by exhibit.

    Where content was given out, it tells to whom, what for, and from where.

    Of a withheld exhibit nothing is shown that its description holds: name, format, summary and
    claimed times are withheld with it.
    """
    facts = [*_incident_facts(head), *export_facts(head)]
    body = [
        title_of("Chain of custody", head.incident_id, head.title, facts),
        _custody_scope(head),
        _kept(head.keeping),
        _links(head, rows),
        *([_readings(readings)] if readings else []),
        _exhibits(exhibits),
        _custody_notes(head),
    ]
    return document("Chain of custody", head.incident_id, body)


def custody_csv(rows: Sequence[CustodyRow]) -> bytes:
    """`report/custody.csv`: one line a link; cells that a spreadsheet would run are defused.

    RFC 4180. Characters that cannot be seen are made visible as on the pages, so that a line is a
    line; the exact texts stand in `report/custody.json`.
    """
    cells = [
        (
            str(row.sequence),
            row.recorded_at,
            row.event,
            row.detail,
            exhibit_ranges(row.exhibits),
            row.actor,
            row.leaf_hash,
            "" if row.log_index is None else str(row.log_index),
        )
        for row in rows
    ]
    return comma_separated(_CSV_HEADER, cells)


def verify_page(head: PageHead, *, required: Sequence[str]) -> bytes:
    """`VERIFY.md`: what a doubter runs, and what to expect."""
    groups = " ".join(textwrap.wrap(head.trust_sha256, 8))
    text = _VERIFY.format(
        facts=_verify_facts(head),
        folder=shlex.quote(visible(head.incident_id)),
        trust=visible(head.trust_sha256),
        trust_groups=visible(groups),
        steps="\n".join(_step(step, required) for step in _known_steps(required)),
        last=head.export_sequence,
        streams=_verify_streams(head),
        CHAIN=CHAIN,
        COMPLETENESS=COMPLETENESS,
        DESCRIPTIONS=DESCRIPTIONS,
        EVIDENCE=EVIDENCE,
        PROFILE=PROFILE,
        TRUST=TRUST,
        first_link=link_path(0),
    )
    return text.encode("utf-8")


# --- Heads -----------------------------------------------------------------------------------


def _incident_facts(head: PageHead) -> list[tuple[str, str]]:
    return [
        ("Severity", esc(head.severity)),
        ("Tier", esc(head.tier)),
        ("Systems", "<br>".join(esc(system) for system in head.systems) or "none stated"),
        ("Detected", f"{time_of(head.detected_at)}, as claimed"),
        ("Declared", f"{time_of(head.declared_at)}, as claimed"),
    ]


def export_facts(head: PageHead) -> list[tuple[str, str]]:
    """What heads a page of a bundle besides the incident: holds, and what was exported for whom."""
    facts = [
        *_keeping_facts(head.keeping),
        ("Export prepared", time_of(head.as_of)),
        ("Purpose", esc(head.purpose)),
        ("Recipient", esc(head.recipient) if head.recipient else "none named"),
    ]
    return [*facts, ("Approved by", esc(head.approval))] if head.approval else facts


def _keeping_facts(keeping: Keeping) -> list[tuple[str, str]]:
    """What stands at the head of a page: the live holds by name, and the promise beside them."""
    told = [
        f"<bdi>{esc(hold.matter)}</bdi>, since {time_of(hold.at)} (link {hold.sequence})"
        for hold in keeping.live[:_HOLDS_SHOWN]
    ]
    if len(keeping.live) > _HOLDS_SHOWN:
        told.append(f"and {len(keeping.live) - _HOLDS_SHOWN:,} more")
    facts = [("Legal hold", "<br>".join(told) or _no_hold(keeping))]
    if keeping.retained_until:
        facts.append(("Kept until at least", time_of(keeping.retained_until)))
    return facts


def _no_hold(keeping: Keeping) -> str:
    return "none any more" if keeping.holds else "none on this chain"


# --- Custody -----------------------------------------------------------------------------------

_CSV_HEADER = (
    "sequence",
    "recorded_at",
    "event",
    "detail",
    "exhibits",
    "actor",
    "leaf_hash",
    "log_index",
)


def _custody_scope(head: PageHead) -> str:
    last = head.export_sequence
    return f"""\
<section>
<h2>What this page is</h2>
<p>This bundle holds links 0 to {last} of the signed chain of {esc(head.incident_id)}. Each link \
is one signed statement, and names the link before it by its leaf hash. Link {last} is the export \
that binds this page by its digest; so this page cannot show that link\u2019s own hash or time, \
which stand in {code(link_path(last))}.</p>
<p>The record here ends with link {last}. Nothing is said about what came after it.</p>
</section>
"""


_HOLDS_SHOWN = 5
_HOLD_STATES = {"live": ("\u25cf", "Live"), "released": ("\u25cb", "Released")}


def _kept(keeping: Keeping) -> str:
    """What the chain demands for the keeping of the evidence, and what it cannot show of it."""
    until = "as long as the vault\u2019s retention policy says; no statement here says more"
    if keeping.retained_until:
        until = (
            f"{time_of(keeping.retained_until)} at least, by link {keeping.retained_sequence}; "
            "longer where the vault\u2019s retention policy says so"
        )
    lock = (
        "asked for in compliance mode when the incident was closed: where a store has that, nobody "
        "can remove the evidence before its date, the store\u2019s owner included"
        if keeping.compliance
        else "this chain asks for none that nobody could lift"
    )
    facts = [
        ("Kept", until),
        ("Lock", lock),
        (
            "The store",
            "What the store that holds the evidence really locks does not stand on this chain, "
            "and this bundle cannot show it.",
        ),
    ]
    return f"""\
<section>
<h2>Legal holds and retention</h2>
{_holds(keeping)}{facts_list(facts)}</section>
"""


def _holds(keeping: Keeping) -> str:
    if not keeping.holds:
        return "<p>No legal hold was set on this chain.</p>\n"
    columns = column_heads(
        ("", "Matter"),
        ("state", "State"),
        ("stamp", "Set (UTC)"),
        ("link", "Link"),
        ("by", "Ordered by, as stated"),
    )
    live = len(keeping.live)
    bound = "Nothing of this incident may be removed while one lives, whenever it was captured."
    return f"""\
<table class="pairs">
<caption>{esc(count_of(len(keeping.holds), "hold", "holds"))}, {live:,} live. {bound}</caption>
{columns}{"".join(_hold(hold) for hold in keeping.holds)}</table>
"""


def _hold(hold: HoldLine) -> str:
    state = marked(_HOLD_STATES, "released" if hold.release else "live")
    ordered = f"<bdi>{esc(hold.ordered_by)}</bdi>" if hold.ordered_by else "nobody named"
    return f"""\
<tbody>
<tr><th scope="row"><div><bdi>{esc(hold.matter)}</bdi></div></th>\
{cell("State", state, name="state")}\
{cell("Set", time_of(hold.at, zone=False), name="stamp")}\
{cell("Link", str(hold.sequence), name="link")}\
{cell("Ordered by", ordered, name="by")}</tr>
<tr><td colspan="5"><div class="sub">Recorded by {esc(hold.actor)}. \
Reason: {prose(hold.reason)}</div>{_release(hold.release)}</td></tr>
</tbody>
"""


def _release(release: ReleaseLine | None) -> str:
    if release is None:
        return ""
    shown = f"shown by {prose(exhibit_ranges(release.shown_by))}" if release.shown_by else ""
    if release.attested:
        known = f"attested, by the word of who released it, {shown}; nobody authenticated it"
    else:
        known = "authenticated by the vault" + (f", and {shown}" if shown else "")
    return (
        f'<div class="told"><strong>Released</strong> {time_of(release.at)} (link '
        f"{release.sequence}) by {esc(release.actor)}. Reason: {prose(release.reason)}"
        f"<br>Approved by <bdi>{esc(release.approved_by)}</bdi>: {known}.</div>"
    )


def _links(head: PageHead, rows: Sequence[CustodyRow]) -> str:
    shown = "".join(_link(row) for row in rows)
    if all(row.sequence < head.export_sequence for row in rows):
        shown += _own_link(head)
    columns = column_heads(
        ("link", "Link"),
        ("stamp", "Recorded (UTC)"),
        ("", "What happened"),
        ("by", "By"),
    )
    return f"""\
<section>
<h2>Links</h2>
<table class="pairs">
<caption>{esc(count_of(len(rows), "link", "links"))} before this export, in order. Under each: the \
leaf hash that the next link names, and its entry in the log.</caption>
{columns}{shown}</table>
</section>
"""


def _link(row: CustodyRow) -> str:
    entry = "not yet in the log" if row.log_index is None else f"log entry {row.log_index:,}"
    return f"""\
<tbody>
<tr><th scope="row" class="link">{row.sequence}</th>\
{cell("Recorded", time_of(row.recorded_at, zone=False), name="stamp")}\
{cell("What", f"<strong>{esc(row.event)}</strong> {prose(row.detail)}")}\
{cell("By", esc(row.actor), name="by")}</tr>
<tr><td></td><td colspan="3">{digest_of(row.leaf_hash)} <span class="sub once">{esc(entry)}</span>\
</td></tr>
</tbody>
"""


def _own_link(head: PageHead) -> str:
    return f"""\
<tbody>
<tr><th scope="row" class="link">{head.export_sequence}</th><td></td>\
{cell("What", "<strong>exported</strong> this bundle")}<td></td></tr>
<tr><td></td><td colspan="3">see {code(link_path(head.export_sequence))}</td></tr>
</tbody>
"""


def _readings(readings: Sequence[ReadingRow]) -> str:
    """Who was given content: a table by person, and for each exhibit the links that say so."""
    columns = column_heads(
        ("link", "Link"),
        ("stamp", "Recorded (UTC)"),
        ("", "Exhibits and purpose"),
        ("", "From, and result"),
    )
    people = sorted({row.person for row in readings})
    by_person = "".join(
        f'<tbody>\n<tr><th scope="rowgroup" colspan="4">{esc(person)}</th></tr>\n'
        f"{''.join(_reading(row) for row in readings if row.person == person)}</tbody>\n"
        for person in people
    )
    by_exhibit: dict[str, list[ReadingRow]] = {}
    for row in readings:
        for name in row.exhibits:
            by_exhibit.setdefault(name, []).append(row)
    told = [
        (name, "; ".join(f"link {row.sequence}, {esc(row.person)}" for row in by_exhibit[name]))
        for name in sorted(by_exhibit)
    ]
    return f"""\
<section>
<h2>Readings</h2>
<table class="pairs">
<caption>{esc(count_of(len(readings), "time", "times"))} content was given out or refused before \
this export, by person. Several requests of one person for one purpose within 15 minutes are \
one. The address is the one that the vault saw.</caption>
{columns}{by_person}</table>
<h3>By exhibit</h3>
{facts_list(told)}</section>
"""


def _reading(row: ReadingRow) -> str:
    purpose = prose(row.purpose) if row.purpose else "no purpose stated"
    address = esc(row.address) if row.address else "not recorded"
    return f"""\
<tr><th scope="row" class="link">{row.sequence}</th>\
{cell("Recorded", time_of(row.recorded_at, zone=False), name="stamp")}\
{cell("What", f"{esc(exhibit_ranges(row.exhibits) or 'no exhibit')}<br>{purpose}")}\
{cell("From", f"{address}<br>{esc(row.result)}")}</tr>
"""


def _exhibits(exhibits: Sequence[ExhibitLine]) -> str:
    if not exhibits:
        return "<section>\n<h2>Exhibits</h2>\n<p>No exhibit was captured.</p>\n</section>\n"
    withheld = sum(line.withheld is not None for line in exhibits)
    withdrawn = sum(line.withdrawn is not None for line in exhibits)
    columns = column_heads(
        ("id", "Exhibit"),
        ("link", "Link"),
        ("", "Name"),
        ("size number", "Size in bytes"),
        ("when", "Modified (claimed)"),
        ("when", "Captured (collector\u2019s clock)"),
        ("when", "Received (vault\u2019s clock)"),
    )
    return f"""\
<section class="new-page">
<h2>Exhibits</h2>
<table class="pairs">
<caption>{esc(count_of(len(exhibits), "exhibit", "exhibits"))}: \
{len(exhibits) - withheld:,} in this bundle, {withheld:,} withheld; {withdrawn:,} withdrawn. \
Under each: kind, format and content, and the SHA-256 of its bytes. All times are UTC, each by \
its own clock.</caption>
{columns}{"".join(_exhibit(line) for line in exhibits)}</table>
</section>
"""


def _exhibit(line: ExhibitLine) -> str:
    about = ", ".join(words_of(kind).lower() for kind in line.kinds)
    if line.withheld is None:
        name, modified = f"<bdi>{esc(line.name)}</bdi>", "not stated"
        if line.modified_at:
            modified = time_of(line.modified_at, zone=False)
        captured = time_of(line.captured_at, zone=False)
        content = "; ".join(text for text in (line.label, line.summary) if text)
        about += f": {content}" if content else ""
    else:
        name, modified, captured = "[name withheld]", "withheld", "withheld"
    told = "".join(
        f'<div class="told"><strong>{esc(word)}:</strong> {prose(reason)}</div>'
        for word, reason in _set_apart(line)
    )
    return f"""\
<tbody>
<tr><th scope="row" class="id">{esc(line.exhibit)}</th>\
{cell("Link", str(line.sequence), name="link")}\
{cell("Name", name, name="name")}\
{cell("Size in bytes", f"{line.size:,}", name="size number")}\
{cell("Modified (claimed)", modified, name="when")}\
{cell("Captured (collector)", captured, name="when")}\
{cell("Received (vault)", time_of(line.received_at, zone=False), name="when")}</tr>
<tr><td></td><td></td><td colspan="5"><div class="sub">{esc(about)}</div>\
{told}{digest_of(line.sha256)}</td></tr>
</tbody>
"""


def _set_apart(line: ExhibitLine) -> list[tuple[str, str]]:
    """Why an exhibit is not like the others; an export withholds what was withdrawn, once told."""
    if line.withdrawn is not None and line.withheld == f"withdrawn: {line.withdrawn}":
        return [("Withdrawn, and so withheld", line.withdrawn)]
    reasons = [("Withheld", line.withheld), ("Withdrawn", line.withdrawn)]
    return [(word, reason) for word, reason in reasons if reason is not None]


def _custody_notes(head: PageHead) -> str:
    return notes(
        "How far this page can be trusted",
        [
            (
                "Actors and times",
                "They are the vault\u2019s word, unless a link was witnessed or stamped. A name in "
                "quotation marks is what the actor called themselves; nobody checked it.",
            ),
            (
                "Clocks",
                "Modified is what the file claims of itself. Captured is the collector\u2019s "
                "clock when the bytes had been read. Received is the vault\u2019s clock when it "
                "recorded them. They are never merged, and may disagree.",
            ),
            (
                "Who could have rewritten this",
                "Whoever held the vault\u2019s keys and its storage: in an embedded vault without "
                "witness or stamp, its owner. Signatures and hashes show that nobody without "
                "those keys altered anything. What the holder of the keys altered shows only "
                "against an earlier receipt, checkpoint or bundle that somebody else kept; "
                "VERIFY.md says how to compare.",
            ),
            (
                "Holds and retention",
                "They are what the chain demands of the vault\u2019s store. Whether the store has "
                "locked the evidence so, the store alone can say, and the vault asks it: "
                f"{code('evault verify --depth checksums')}. Who ordered a hold, and who "
                "approved its release, is the word of who recorded it, unless the release says "
                "that the vault authenticated them.",
            ),
            (
                "What people said",
                "Attestations, waivers, roles and updates show that somebody said so, in this "
                "order; whether it is so is for the exhibits that they cite. An approval that is "
                "marked attested is the word of who recorded it, and the exhibit named beside it: "
                "nobody authenticated the second person. Where token or oidc stands instead, the "
                "second person signed in to the vault, as who asked did: that is the vault\u2019s "
                "own word.",
            ),
            (
                "Withheld",
                "A withheld exhibit keeps its number, size and digest in the chain. Its bytes and "
                "its description (name, format, facts, claimed times) are not in this bundle.",
            ),
            (
                "Withdrawn",
                "A withdrawn exhibit stays in the vault and on the chain, but no longer counts as "
                "evidence; the statement that withdrew it is a link above.",
            ),
            (
                "To check",
                f"{code('python -m verify BUNDLE --trust trust.json')}, or the steps in "
                "VERIFY.md with tools that nobody here wrote.",
            ),
            ("Log", f"{esc(head.origin)}; page by evault {esc(head.evault)}."),
        ],
    )


# --- VERIFY.md ---------------------------------------------------------------------------------

_COLUMNS = 78
_STEPS = {
    Step.PACKAGE: "The bag is whole: every file is listed, every listed file is there, every "
    "digest matches, and no two programs could read the zip differently.",
    Step.SIGNATURES: "Every statement carries one valid signature (ECDSA P-256, SHA-256) by a key "
    "that the trust file lists for its place in the log.",
    Step.CHAIN: "Links 0 to the export are all there, in order, each naming the one before it by "
    "leaf hash; each may follow what went before it.",
    Step.LOG: "Every link is included in the log (RFC 6962) under the checkpoint in the bundle, "
    "which the log's own key signed; places in the log rise.",
    Step.EVIDENCE: "Every exhibit and description that the export includes is there, with the "
    "digest and size that were sealed; what is withheld is named with a reason.",
    Step.PAGES: "The reports, the profile and this page are the ones that the export binds by "
    "digest.",
    Step.CHECKLIST: "The completeness report, computed anew from what is in the bundle, comes out "
    "the same. Not checked unless you ask (--checklist).",
    Step.FACTS: "What the descriptions tell of each exhibit comes out the same when read anew "
    "from the bytes. Not checked here: evault verify --facts does that; to this verifier facts are "
    "the vault's signed claims.",
    Step.SEEN: "Earlier receipts, checkpoints or bundles (--seen) agree with this one. Not checked "
    "unless you give some.",
    Step.WITNESS: "Independent witnesses cosigned the checkpoint. Not checked where none did.",
    Step.TIME: "A time authority's stamps (RFC 3161) date the checkpoint. Not checked where there "
    "are none.",
    Step.COLLECTION: "What collectors sealed off-line was taken in as they signed it, in order. "
    "Not checked where trust.json does not list their keys.",
    Step.STORE: "The vault's store says that it has the evidence locked and held as the chain "
    "demands. Never checked of a bundle, which has no store to ask.",
}

_VERIFY = """\
# How to check this bundle

You need not trust whoever gave it to you, nor the people who wrote the vault.

{facts}

What this page says of the bundle is a claim too, until the steps below bear it
out. Run them in order; each says what to expect.

## What is in it

A BagIt 1.0 bag (RFC 8493) in a zip. In it:

- `{EVIDENCE}` the exhibits, byte for byte
- `{DESCRIPTIONS}` name, times and facts of each exhibit
- `{CHAIN}` links 0 to {last}: signed statements (DSSE), one after another;
  link {last} is this export, and binds the pages by their digests
{streams}- `data/proof/` the log's signed checkpoint, and the proof for each link
- `data/report/` completeness (HTML, JSON); chain of custody and timeline (HTML,
  JSON, CSV)
- `{PROFILE}` the checklist that the completeness report was judged by
- `{TRUST}` a copy of the keys, for comparison only: do not
  rely on it (step 3)

## 1. The files are whole: sha256sum

With tools that every Linux system has:

```sh
unzip -q BUNDLE.zip -d unpacked
cd unpacked/{folder}
sha256sum -c --quiet tagmanifest-sha256.txt
sha256sum -c --quiet manifest-sha256.txt
```

Expect no output, and exit code 0 (`echo $?`) from each. A changed or absent
file is named, with exit code 1. On macOS write `shasum -a 256` for
`sha256sum`. This does not notice files that were added.

## 2. Nothing is absent from data/, nothing was added to it: bagit

With a program of the Library of Congress (`pip install bagit`):

```sh
bagit.py --validate --quiet .
```

Expect no output, and exit code 0; else a line that ends in what is invalid,
and exit code 1.

Steps 1 and 2 show that the files agree with lists in the same bundle. Whoever
changed a file could have changed the lists. The next steps close that gap.

## 3. Get the trust file by another way

A trust file names the keys to believe. It must not come from this bundle, nor
from the message that brought it: fetch it where the vault's owner publishes
it, or have it handed over. Then compare its SHA-256 by telephone, or on paper,
with somebody who knows it:

```sh
sha256sum trust.json
```

The export was made with a trust file whose SHA-256 is

    {trust}

and, for reading aloud,

    {trust_groups}

## 4. One signature by hand: openssl (optional)

In the same folder, with your own `trust.json` one folder above it:

```sh
python3 - <<'END'
import base64, hashlib, json
link = json.load(open("{first_link}"))
kind, body = link["payloadType"].encode(), base64.b64decode(link["payload"])
[made] = link["signatures"]
with open("../signed", "wb") as file:
    file.write(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body))
with open("../signature", "wb") as file:
    file.write(base64.b64decode(made["sig"]))
for each in json.load(open("../trust.json"))["manifest_keys"]:
    key = base64.b64decode(each["spki"])
    if base64.b64encode(hashlib.sha256(key).digest()).decode() == made["keyid"]:
        with open("../key.der", "wb") as file:
            file.write(key)
END
openssl pkey -pubin -inform DER -in ../key.der -out ../key.pem
openssl dgst -sha256 -verify ../key.pem -signature ../signature ../signed
```

Expect `Verified OK`, and exit code 0. If there is no `../key.der`, no key in
your trust file made the signature. `../signed` ends in the statement itself,
as JSON. Any other link is checked in the same way.

## 5. The whole argument: verify

The folder `verify` of the vault's source needs Python 3.11 or later and the
package `cryptography`, nothing else; it opens no network connection. Take it
from where you trust, not from whoever sent the bundle. BUNDLE is the zip, or
the unpacked folder with nothing added to it:

```sh
python -m verify BUNDLE --trust trust.json
```

| exit code | verdict      | meaning                                          |
|-----------|--------------|--------------------------------------------------|
| 0         | passed       | every step that your trust file requires passed  |
| 1         | failed       | something is wrong; the finding says what, where |
| 2         | inconclusive | something required could not be checked          |

Expect one line for each step that was looked at, then a line that starts with
`PASSED`, `FAILED` or `INCONCLUSIVE`. A failure names what failed, and where.

The steps, and whether the trust file named above requires them:

{steps}

Without `--trust` only the copy in the bundle can be used. Then the verdict is
at most inconclusive, under the heading "self-asserted": the bundle agrees with
itself, but anybody could have made such a bundle, with keys of their own.

To compute the completeness report again:

```sh
python -m verify BUNDLE --trust trust.json --checklist
```

Expect the finding that it recomputes to the same bytes as the one here,
`{COMPLETENESS}`. The conclusion is computed again; the
facts it rests on are the vault's signed claims, read out of the exhibits by
its parsers, and are not. Where an exhibit is withheld its facts are too: then
the report cannot be recomputed here, and the verdict is inconclusive.

## 6. Hold it against what you were given before

```sh
python -m verify BUNDLE --trust trust.json --seen FILE
python -m verify BUNDLE --trust trust.json --head N
```

`--seen FILE` takes an earlier receipt, checkpoint or bundle (repeat it for
several). One that cannot be reconciled with this bundle is a split view: two
histories were signed, and the audit fails. Where two sizes of the log must be
joined, the audit names the command by which the vault's owner makes the
missing consistency proof; until then the step is not checked.

`--head N` fails a bundle that ends before link N. Use it when you know, from a
receipt or another bundle, that link N exists. This bundle ends with link {last}.

## What a passed audit does not say

- Nothing about what came after link {last}. The bundle is complete to that
  link, when it was exported.
- Not that the content of an exhibit is true: only that these bytes were sealed
  then, and are these bytes still.
- Not when, by an independent clock. Times are the vault's own word, unless a
  step `time` or `witness` passed.
- Not who, beyond the vault's word for it; nor that somebody approved what they
  are said to have approved.
- Not that the vault's store keeps the evidence locked, whatever the chain
  demands: only the store can say, and only the vault can ask it.
- Not that nobody could have rewritten the history before it left. In an
  embedded vault without witness or stamp, its owner could; step 6 is the
  remedy, for whoever kept an earlier receipt.
- Nothing about sources that were never registered. We cannot know about them.
"""


def _verify_streams(head: PageHead) -> str:
    if not head.streams:
        return ""
    named = visible(", ".join(head.streams))
    text = f"- `{STREAMS}` the links of {named} that first sealed what was preserved from there"
    return "\n".join(textwrap.wrap(text, 78, subsequent_indent="  ")) + "\n"


def _verify_facts(head: PageHead) -> str:
    """What the bundle claims to be, as a code block: Markdown takes nothing in it for markup."""
    facts = [
        ("Incident", head.incident_id),
        ("Title", head.title),
        ("Links", f"0 to {head.export_sequence}, the last being this export"),
        ("Prepared", head.as_of),
        ("Purpose", head.purpose),
        ("Recipient", head.recipient or "none named"),
        ("Log", head.origin),
        ("Written by", f"evault {head.evault}"),
    ]
    return "\n".join(
        textwrap.fill(
            visible(value) or "not stated",
            _COLUMNS,
            initial_indent=f"    {name:<12}",
            subsequent_indent=" " * 16,
            break_on_hyphens=False,
        )
        for name, value in facts
    )


def _known_steps(required: Sequence[str]) -> list[str]:
    """The audit's steps in their order, then any required one that this version does not know."""
    return [*_STEPS, *(step for step in dict.fromkeys(required) if step not in _STEPS)]


def _step(step: str, required: Sequence[str]) -> str:
    need = "required" if step in required else "not required"
    told = _STEPS.get(Step(step), "") if step in set(Step) else "Unknown to this version."
    return textwrap.fill(
        f"- `{visible(step)}` ({need}). {told}",
        _COLUMNS,
        subsequent_indent="  ",
        break_on_hyphens=False,
    )
