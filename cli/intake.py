"""Taking evidence in: what a source gives becomes one capture and one deposit, read into facts.

The command line takes in what lies on a disk, the service what is sent to it.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cli.extras import parsers
from cli.session import uninterrupted
from cli.settings import version
from ingest.collector import Collected, collect
from ingest.parsers import HEAD_SIZE, Parser, read_facts
from ingest.source import Found, Source
from ingest.sources.received import ReceivedSource
from vault import capture
from vault.deposit import Receipt
from vault.http.intake import Described, Sent, TakenIn
from vault.opened import Vault

UPLOADED = "sent over HTTP"
"""How a content was obtained, where its sender does not say."""


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
    capture.check_open(vault.incidents.to_add_to(name), deposit)


def take_in(
    vault: Vault,
    name: str,
    source: Source,
    found: Iterable[Found],
    wanted: Wanted,
    known: Sequence[Parser],
    progress: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Take everything found into an incident or a stream, as one deposit.

    `known` are the parsers that read facts; `progress` is told how many bytes were just read.
    """
    started = time.monotonic()
    opened = vault.captures.open(
        name,
        deposit=wanted.deposit,
        system=wanted.system,
        source=wanted.source,
        method=wanted.method,
        collector={"host": wanted.host, "name": "evault", "version": version()},
        pack=wanted.pack,
    )
    try:
        collected = collect(
            source,
            found,
            opened,
            kinds=wanted.kinds,
            again=wanted.again,
            clock=vault.clock,
            progress=progress,
            parsers=known,
        )
        receipts: list[Receipt] = []
        if collected.taken or collected.failed or collected.links:
            with uninterrupted():
                receipts = opened.commit()
        else:
            opened.abort()
    except BaseException:
        opened.abort()
        raise
    return Outcome(collected, receipts, time.monotonic() - started)


@dataclass(frozen=True, slots=True)
class ServerIntake:
    """Takes in what the service is sent, read by this installation's parsers; satisfies `Intake`.

    `host` is the machine of the service, which captures.
    """

    host: str
    _parsers: Sequence[Parser] = field(default_factory=parsers)

    def describe(self, data: bytes, name: str) -> Described:
        """Read the facts of a content in memory; whatever the bytes are, it answers."""
        head = data[:HEAD_SIZE]
        reading = read_facts(io.BytesIO(data), head=head, name=name, parsers=self._parsers)
        return Described(reading.facts, reading.kinds, reading.format_label, reading.summary)

    def take_in(self, vault: Vault, chain: str, sent: Sent, pieces: Iterator[bytes]) -> TakenIn:
        """Seal one content. Raises what `pieces` raises, and as `Door.deposit`: nothing is left."""
        source = ReceivedSource(pieces, name=sent.name, size=sent.size)
        wanted = Wanted(
            host=self.host,
            kinds=sent.kinds,
            system=sent.system,
            source=sent.source,
            method=sent.method or UPLOADED,
            again=sent.again,
            deposit=sent.deposit,
        )
        outcome = take_in(vault, chain, source, source.survey(), wanted, self._parsers)
        exhibits = vault.incidents.read(chain).state.exhibits
        if not outcome.receipts:  # this same sighting is sealed, and nothing happened since
            ((_, name),) = outcome.collected.already
            receipt = vault.door.receipts(chain, [exhibits[name].sequence])[0]
            ((known, description),) = vault.incidents.described([exhibits[name]])
            return TakenIn(known, description, receipt, "already")
        receipt = outcome.receipts[0]
        (new,) = (each for each in exhibits.values() if each.sequence == receipt.sequence)
        if receipt.repeated:
            ((known, description),) = vault.incidents.described([new])
            return TakenIn(known, description, receipt, "repeated")
        (taken,) = outcome.collected.taken
        return TakenIn(new, taken.description, receipt, "sealed")
