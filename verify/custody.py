"""Bodies of `custody` about reading: content that was given out, or could not be. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from verify.errors import MalformedError
from verify.strictjson import Fields, Object

MAX_SESSION = 64
MAX_ADDRESS = 100


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


def address_of(body: Fields) -> str | None:
    """The field `address`. Raises `MalformedError`."""
    return None if body.raw("address") is None else body.text("address", limit=MAX_ADDRESS)
