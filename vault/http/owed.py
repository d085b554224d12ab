"""What the store owes after a statement: its locks follow what was just sealed."""

from __future__ import annotations

import logging

from vault.opened import Vault
from verify.errors import EvidenceError

_log = logging.getLogger("evault.http")


def settle(vault: Vault, chain: str) -> None:
    """Have the store's locks follow what was sealed on a chain.

    The statement is kept in any case. What stands in the way is told to the server's log; whoever
    opens the vault next, or seals what changes protection, tries again.
    """
    try:
        vault.retention.settle()
    except EvidenceError as error:
        _log.warning("%s: the store's locks do not follow yet: %s", chain, error)
