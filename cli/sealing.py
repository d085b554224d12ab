"""Sealing what a source gives into an incident, and the answer about it: `ingest` and `capture`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cli.extras import parsers
from cli.intake import Outcome, Wanted, take_in
from cli.render import ProgressLine, columns, count_text, folded, paragraph, size_text
from cli.session import Answer, links_text
from cli.summary import Sealed, group_rows, look_at, taken_json
from cli.vault import Vault
from ingest.collector import Taken
from ingest.source import Found, Source
from vault.deposit import Receipt
from vault.documents import exhibit_json
from verify.incident import Incident
from verify.report import printable
from verify.statement import is_stream

_LINKS_SHOWN = 10


def seal(
    vault: Vault, name: str, source: Source, found: Iterable[Found], wanted: Wanted
) -> Outcome:
    """Take everything found into an incident or a stream, and show how far it is."""
    total = sum(each.size for each in found) if isinstance(found, Sequence) else 0
    progress = ProgressLine("sealing", total)
    if isinstance(found, Sequence):
        progress.announce(f"{count_text(len(found), 'file')}, {size_text(total)} to read")
    try:
        return take_in(vault, name, source, found, wanted, parsers(), progress.advance)
    finally:
        progress.close()


def answer_of(vault: Vault, name: str, outcome: Outcome, system: str | None) -> Answer:
    """What there is to say about it."""
    collected, receipts = outcome.collected, outcome.receipts
    if receipts:
        chain = vault.incidents.read(name, up_to=receipts[-1].sequence)
    else:
        chain = vault.incidents.to_add_to(name)
    state = chain.state
    first = receipts[0].sequence if receipts else state.sequence + 1
    new = [exhibit for exhibit in state.exhibits.values() if exhibit.sequence >= first]
    taken = collected.taken
    if receipts and receipts[0].repeated:
        described = vault.incidents.descriptions(chain)
        taken = [
            Taken(described[each.item.exhibit], each.item.kinds, each.item.size) for each in new
        ]
    sealed = [Sealed(each.item.exhibit, what) for each, what in zip(new, taken, strict=True)]
    size = sum(each.size for each in taken)
    lines = [_headline(len(sealed), size, outcome.seconds, receipts)]
    lines += columns(group_rows(sealed))
    if is_stream(name) and first == 0 and receipts and not receipts[0].repeated:
        lines.append(f"{name} is new: this is its first capture")
    if sealed and state.live_holds:
        matters = ", ".join(hold.matter for hold in state.live_holds)
        lines += paragraph(f"On hold, as all of this {state.WORD}: ", f"for {matters}")
    notes = look_at(sealed)
    if system is not None and isinstance(state, Incident) and system not in state.systems:
        notes.append(f"{system} is none of the systems of {name}; see: evault incident amend.")
    lines += folded("Look at: ", notes) if notes else []
    if collected.already:
        _, first_exhibit = collected.already[0]
        lines.append(
            f"{count_text(len(collected.already), 'file')} sealed before and unchanged since "
            f"({first_exhibit} …): nothing added; --again seals them all the same"
        )
    lines += [
        f"link, not followed: {printable(link)} -> {printable(target)}"
        for link, target in collected.links[:_LINKS_SHOWN]
    ]
    if len(collected.links) > _LINKS_SHOWN:
        lines.append(f"and {count_text(len(collected.links) - _LINKS_SHOWN, 'more link')}")
    lines += [
        f"NOT KEPT: {printable(path)}: {printable(reason)}" for path, reason in collected.failed
    ]
    if collected.failed:
        count = count_text(len(collected.failed), "file")
        lines.append(f"{count} could not be kept; sealed as not captured. The rest is kept.")
    data = taken_json(
        name,
        "sealed" if receipts else "nothing",
        collected,
        size=size,
        items=[exhibit_json(each, what.description) for each, what in zip(new, taken, strict=True)],
        receipts=receipts,
    )
    return Answer(lines, data, 1 if collected.failed else 0)


def _headline(count: int, size: int, seconds: float, receipts: Sequence[Receipt]) -> str:
    if not receipts:
        return "Nothing new: nothing was sealed."
    first, last = receipts[0].index, receipts[-1].index
    entries = f"log entry {first}" if first == last else f"log entries {first}-{last}"
    what = f"{count_text(count, 'file')}, {size_text(size)}, sealed in {seconds:.1f} s"
    if not count:
        what = "No file was sealed; what was met besides is on record"
    if receipts[0].repeated:
        what = f"This deposit was sealed before: {count_text(count, 'file')}, nothing added"
    return f"{what}: {links_text(receipts)}, {entries}"
