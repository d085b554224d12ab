"""What can go wrong in keeping evidence; each message says where, and what to do.

EvidenceError (verify.errors)
└─ VaultError
   ├─ NotFoundError
   ├─ ConflictError          StaleHeadError, ObjectConflictError, DepositConflictError
   ├─ RefusedError           the statement may not enter the chain
   ├─ UnauthenticatedError   nobody known is asking
   ├─ NotPermittedError      somebody known is asking, who may not
   ├─ RecordError            store, index and key disagree about the log: nothing is signed
   └─ UnavailableError       the store or the index cannot be used now
      └─ IndexDamagedError   the index cannot be read; the store still holds the record
"""

from __future__ import annotations

from verify.errors import EvidenceError


class VaultError(EvidenceError):
    """Base of the errors of keeping."""

    code = "vault_error"


class NotFoundError(VaultError):
    """There is no such thing here."""

    code = "not_found"


class ConflictError(VaultError):
    """Someone else was first; nothing was changed."""

    code = "conflict"


class StaleHeadError(ConflictError):
    """The chain grew between reading and writing; read again and retry."""

    code = "stale_head"


class ObjectConflictError(ConflictError):
    """A key that is written once holds other bytes."""

    code = "object_conflict"

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is written once, and holds other bytes")
        self.key = key


class DepositConflictError(ConflictError):
    """A deposit id was used before, for other content."""

    code = "deposit_conflict"


class RefusedError(VaultError):
    """The statement may not enter this chain."""

    code = "refused"


class UnauthenticatedError(VaultError):
    """Whoever asks showed no credential that is valid now."""

    code = "unauthenticated"


class NotPermittedError(VaultError):
    """Whoever asks is known, and holds no role that may do it."""

    code = "not_permitted"

    def __init__(self, message: str, *, permission: str, chain: str | None = None) -> None:
        super().__init__(message)
        self.permission = permission
        self.chain = chain
        """The chain on which they have other rights; None where it concerns no one chain."""


class RecordError(VaultError):
    """Store, index and key disagree about the log; signing would fork it, so it stops."""

    code = "record_conflict"

    def __init__(self, message: str, *, store: str = "", index: str = "") -> None:
        super().__init__(message)
        self.store = store
        self.index = index


class UnavailableError(VaultError):
    """The store or the index cannot be used now."""

    code = "unavailable"


class IndexDamagedError(UnavailableError):
    """The index cannot be read; it can be made anew from the store."""

    code = "index_damaged"
