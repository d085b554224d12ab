"""Sealing what a source gives into an incident, and the answer about it: `ingest` and `capture`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from cli.compose import Vault, parsers
from cli.render import ProgressLine, columns, count_text, folded, paragraph, size_text
from cli.session import Answer, uninterrupted
from cli.settings import version
from cli.summary import Sealed, group_rows, look_at
from ingest.collector import Collected, Taken, collect
from ingest.source import Found, Source
from vault.capture import OpenCapture
from vault.deposit import Receipt
from vault.documents import exhibit_json
from vault.errors import RefusedError
from vault.incidents import Chain, last_turn
from vault.ulid import new_ulid
from verify.incident import Incident
from verify.report import printable
from verify.statement import is_stream
from verify.strictjson import Object

_LINKS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person said of the evidence, and how it is to be sealed."""

    host: str
    kinds: Sequence[str] = ()
    system: str | None = None
    source: str | None = None
    method: str = ""
    again: bool = False
    pack: bool = True
    deposit: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was sealed, and how long it took."""

    collected: Collected
    receipts: Sequence[Receipt]
    seconds: float


def check_open(vault: Vault, name: str, deposit: str | None) -> None:
    """Raise unless something may be sealed there, or was by this deposit."""
    chain = vault.incidents.to_add_to(name)
    if chain.state.sealed and _link_of(chain, deposit) is None:
        raise RefusedError(
            f"{name} is closed and sealed; to add to it, run: "
            f"evault incident reopen {name} --reason TEXT"
        )


def seal(
    vault: Vault, name: str, source: Source, found: Iterable[Found], wanted: Wanted
) -> Outcome:
    """Take everything found into an incident or a stream, as one deposit."""
    chain = vault.incidents.to_add_to(name)
    repeated = _link_of(chain, wanted.deposit)
    before = chain if repeated is None else vault.incidents.before(chain, repeated)
    started = time.monotonic()
    policy = vault.retention.policy()
    capture = OpenCapture(
        store=vault.store,
        index=vault.index,
        door=vault.door,
        clock=vault.clock,
        chain=name,
        deposit=wanted.deposit or f"ingest-{new_ulid(vault.clock())}",
        system=wanted.system,
        source=wanted.source,
        method=wanted.method,
        collector={"host": wanted.host, "name": "evault", "version": version()},
        guard=partial(vault.retention.guard, name),
        pack=wanted.pack,
        turned_at=last_turn(before),
        repeats=repeated,
    )
    collected, receipts = _capture(vault, capture, source, found, wanted)
    if vault.retention.policy() != policy:
        vault.retention.apply(name)  # another policy came into force while the bytes came in
    return Outcome(collected, receipts, time.monotonic() - started)


def _link_of(chain: Chain, deposit: str | None) -> int | None:
    """The first link of an earlier deposit with this id, which is then only repeated."""
    for manifest in chain.manifests if deposit is not None else ():
        statement = manifest.statement
        if statement.deposit in (deposit, f"{deposit}/1"):
            return statement.link.sequence
    return None


def _capture(
    vault: Vault, capture: OpenCapture, source: Source, found: Iterable[Found], wanted: Wanted
) -> tuple[Collected, list[Receipt]]:
    total = sum(each.size for each in found) if isinstance(found, Sequence) else 0
    progress = ProgressLine("sealing", total)
    if isinstance(found, Sequence):
        progress.announce(f"{count_text(len(found), 'file')}, {size_text(total)} to read")
    try:
        collected = collect(
            source,
            found,
            capture,
            kinds=wanted.kinds,
            again=wanted.again,
            clock=vault.clock,
            progress=progress.advance,
            parsers=parsers(),
        )
        if collected.taken or collected.failed or collected.links:
            with uninterrupted():
                return collected, capture.commit()
        capture.abort()
        return collected, []
    except BaseException:
        capture.abort()
        raise
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
    data: Object = {
        "already": [{"exhibit": exhibit, "name": path} for path, exhibit in collected.already],
        "counts": {
            "already": len(collected.already),
            "bytes": size,
            "items": len(sealed),
            "links": len(collected.links),
            "not_kept": len(collected.failed),
        },
        "incident": name,
        "items": [
            exhibit_json(each, what.description) for each, what in zip(new, taken, strict=True)
        ],
        "links": [{"name": path, "target": target} for path, target in collected.links],
        "not_kept": [{"detail": reason, "name": path} for path, reason in collected.failed],
        "receipt": receipts[-1].to_json() if receipts else None,
        "receipts": [receipt.to_json() for receipt in receipts],
        "spool": None,
        "state": "sealed" if receipts else "nothing",
    }
    return Answer(lines, data, 1 if collected.failed else 0)


def _headline(count: int, size: int, seconds: float, receipts: Sequence[Receipt]) -> str:
    if not receipts:
        return "Nothing new: nothing was sealed."
    links = [receipt.sequence for receipt in receipts]
    entries = [receipt.index for receipt in receipts]
    what = f"{count_text(count, 'file')}, {size_text(size)}, sealed in {seconds:.1f} s"
    if not count:
        what = "No file was sealed; what was met besides is on record"
    if receipts[0].repeated:
        what = f"This deposit was sealed before: {count_text(count, 'file')}, nothing added"
    if len(links) == 1:
        return f"{what}: chain link {links[0]}, log entry {entries[0]}"
    return f"{what}: chain links {links[0]}-{links[-1]}, log entries {entries[0]}-{entries[-1]}"
