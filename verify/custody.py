"""Bodies of `custody` about reading: content that was given out, or was not. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from verify.errors import MalformedError
from verify.instant import format_instant, parse_instant
from verify.strictjson import Fields, Object

MAX_SESSION = 64
MAX_ADDRESS = 100
MAX_IDENTITY = 512
MAX_PERMISSION = 64

_PERMISSION = re.compile(r"[a-z][a-z_]*\Z")


@dataclass(frozen=True, slots=True)
class Viewed:
    """Content of exhibits was given to the statement's actor, or was about to be."""

    exhibits: tuple[str, ...]
    purpose: str | None
    session: str | None = None
    """The read session that it stands for, None where the statement names none."""
    address: str | None = None
    """Where the reader was, as the vault saw it; None where it did not."""

    def to_json(self) -> Object:
        """The body; `session` and `address` stand in it together, or not at all."""
        body: Object = {
            "event": "viewed",
            "exhibits": list(self.exhibits),
            "purpose": self.purpose,
        }
        if self.session is not None:
            body |= {"address": self.address, "session": self.session}
        return body


@dataclass(frozen=True, slots=True)
class ViewFailed:
    """Content that a `viewed` announced was not given, or not whole: it is not what was sealed."""

    view: int
    """The sequence of the `viewed`."""
    reason: str

    def to_json(self) -> Object:
        """The body."""
        return {"event": "view_failed", "reason": self.reason, "view": self.view}


@dataclass(frozen=True, slots=True)
class Refused:
    """Somebody known asked for what they may not do here; nothing was given or done."""

    identity: str
    permission: str
    """What they would have needed, the first time."""
    address: str | None
    """Where they were, the first time, as the vault saw it."""
    count: int
    """How often it was refused since the statement before, by the process that states it."""
    since: datetime
    """The first time."""

    def to_json(self) -> Object:
        """The body."""
        return {
            "address": self.address,
            "count": self.count,
            "event": "refused",
            "identity": self.identity,
            "permission": self.permission,
            "since": format_instant(self.since),
        }


def parse_viewed(body: Fields) -> Viewed:
    """Read the fields of a `viewed`. Raises `MalformedError`."""
    exhibits, purpose = tuple(body.texts("exhibits")), body.text_or_none("purpose")
    if not body.has("session") and not body.has("address"):
        return Viewed(exhibits, purpose)
    session = body.text("session", limit=MAX_SESSION)
    if not session:
        raise MalformedError(f"{body.where}.session: expected text that is not empty")
    return Viewed(exhibits, purpose, session, address_of(body))


def parse_view_failed(body: Fields) -> ViewFailed:
    """Read the fields of a `view_failed`. Raises `MalformedError`."""
    return ViewFailed(body.count("view"), body.text("reason"))


def parse_refused(body: Fields) -> Refused:
    """Read the fields of a `refused`. Raises `MalformedError`."""
    refused = Refused(
        identity=body.text("identity", limit=MAX_IDENTITY),
        permission=body.text("permission", limit=MAX_PERMISSION),
        address=address_of(body),
        count=body.count("count"),
        since=parse_instant(body.raw("since"), where=f"{body.where}.since"),
    )
    if not refused.identity or not _PERMISSION.match(refused.permission) or not refused.count:
        raise MalformedError(f"{body.where}: a refusal names who, what they lacked, and how often")
    return refused


def address_of(body: Fields) -> str | None:
    """The field `address`. Raises `MalformedError`."""
    return None if body.raw("address") is None else body.text("address", limit=MAX_ADDRESS)
