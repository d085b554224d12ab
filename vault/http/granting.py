"""Taking roles back through the server: by one person, at once, but not from the last who grant.

To take a right away in time matters more than a second yes. But if no two people are left of whom
one may ask for a grant and the other approve it, nobody comes in through the server any more, and
whoever had brought that about would be alone with what they hold. That is done where the vault's
home is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from vault.access import ROLES, Permission, VaultRole
from vault.errors import RefusedError
from verify.approval import same_person
from verify.grant import EVERY_CHAIN, Grant


def check_others_grant(before: Sequence[Grant], after: Sequence[Grant], at: datetime) -> None:
    """Raise `RefusedError` if by a revocation nobody could be granted a role here any more."""
    asking, approving = _who(after, Permission.GRANT, at), _who(after, Permission.APPROVE_GRANT, at)
    if any(not same_person(one, other) for one in asking for other in approving):
        return
    if (asking, approving) == (
        _who(before, Permission.GRANT, at),
        _who(before, Permission.APPROVE_GRANT, at),
    ):
        return  # it is about nobody who grants
    raise RefusedError(
        "after it no two people would be left of whom one asks for a grant and the other approves "
        "it; let another in first, or take it back where the vault's home is"
    )


def _who(grants: Sequence[Grant], permission: Permission, at: datetime) -> set[str]:
    """Who may do, at a moment, what takes a grant for every chain."""
    return {
        each.person
        for each in grants
        if each.live_at(at)
        and EVERY_CHAIN in each.chains
        and permission in ROLES[VaultRole(each.role.value)]
    }
