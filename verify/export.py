"""Exports: what a bundle holds and leaves out, for whom, and who approved that it leaves. No I/O.

Who may not take evidence out alone asks for it, and a second person approves. FORMAT.md §4.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from verify.approval import AUTHENTICATED, Approval, parse_approval
from verify.digest import check_hex
from verify.errors import MalformedError, UnsupportedError
from verify.instant import format_instant, parse_instant
from verify.strictjson import Fields, Object


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file of a bundle that an `export` binds: path below `data/`, digest, size."""

    path: str
    sha256: str
    size: int

    def to_json(self) -> Object:
        """The JSON object."""
        return {"path": self.path, "sha256": self.sha256, "size": self.size}


@dataclass(frozen=True, slots=True)
class Withheld:
    """An exhibit that an export leaves out, and why."""

    exhibit: str
    reason: str

    def to_json(self) -> Object:
        """The JSON object."""
        return {"exhibit": self.exhibit, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Export:
    """The body of an `export`."""

    scope: str
    purpose: str
    recipient: str | None
    as_of: datetime
    included: tuple[str, ...]
    withheld: tuple[Withheld, ...]
    files: tuple[SealedFile, ...]
    trust_sha256: str
    assessment: int
    evault: str
    stamps: tuple[str, ...] = ()
    cosignatures: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    approval: Approval | None = None
    """Who approved what the actor asked for; None where the actor exported alone."""

    def to_json(self) -> Object:
        """The JSON object."""
        body: Object = {
            "as_of": format_instant(self.as_of),
            "assessment": self.assessment,
            "checkpoints": list(self.checkpoints),
            "cosignatures": list(self.cosignatures),
            "evault": self.evault,
            "files": [each.to_json() for each in self.files],
            "included": list(self.included),
            "purpose": self.purpose,
            "recipient": self.recipient,
            "scope": self.scope,
            "stamps": list(self.stamps),
            "trust": {"sha256": self.trust_sha256},
            "withheld": [each.to_json() for each in self.withheld],
        }
        return body | {"approval": self.approval.to_json()} if self.approval else body


def parse_export(body: object, *, where: str) -> Export:
    """Read the body of an `export` strictly.

    Raises `MalformedError`, or `UnsupportedError` for what a later version may say in it.
    """
    reader = Fields(body, where)
    trust = reader.object("trust")
    files = []
    for each in reader.entries("files", limit=1_000):
        file = Fields(each, f"{where}.files")
        files.append(
            SealedFile(
                file.text("path", limit=255),
                check_hex(file.raw("sha256"), where=file.where),
                file.count("size"),
            )
        )
        file.done()
    if len({file.path for file in files}) != len(files):
        raise MalformedError(f"{where}.files: a path is bound twice")
    withheld = []
    for each in reader.entries("withheld"):
        entry = Fields(each, f"{where}.withheld")
        withheld.append(Withheld(entry.text("exhibit"), entry.text("reason")))
        entry.done()
        if not withheld[-1].reason.strip():
            raise MalformedError(f"{entry.where}: {withheld[-1].exhibit} has no reason")
    export = Export(
        scope=reader.text("scope"),
        purpose=reader.text("purpose"),
        recipient=reader.text_or_none("recipient"),
        as_of=parse_instant(reader.raw("as_of"), where=f"{where}.as_of"),
        included=tuple(reader.texts("included", limit=1_000_000)),
        withheld=tuple(withheld),
        files=tuple(files),
        trust_sha256=check_hex(trust.raw("sha256"), where=f"{where}.trust"),
        assessment=reader.count("assessment"),
        evault=reader.text("evault", limit=64),
        stamps=tuple(reader.texts("stamps")),
        cosignatures=tuple(reader.texts("cosignatures")),
        checkpoints=tuple(reader.texts("checkpoints")),
        approval=parse_approval(reader.object("approval")) if reader.has("approval") else None,
    )
    trust.done()
    reader.done()
    if export.stamps or export.cosignatures or export.checkpoints:
        raise UnsupportedError(f"{where}: carries stamps or cosignatures, which are not known here")
    if export.approval and export.approval.authenticated not in AUTHENTICATED:
        # Nothing in an export would show an approval that is somebody's word.
        raise UnsupportedError(
            f"{where}.approval: an export's approval is known here as "
            f"{', '.join(sorted(AUTHENTICATED))}"
        )
    return export
