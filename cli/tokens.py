"""A token that was just made, as it is shown: once."""

from __future__ import annotations

from collections.abc import Sequence

from cli.render import paragraph
from vault.tokens import Issued
from verify.instant import format_instant


def issued_lines(issued: Issued) -> list[str]:
    """A token that was just made, with its secret: for its holder, this once."""
    token = issued.token
    return [
        issued.secret.reveal(),
        *paragraph(
            f"{token.id}  ",
            f"signs in {token.identity} {limits_text(token.chains)}, until "
            f"{format_instant(token.expires)}",
        ),
    ]


SHOWN_ONCE = "It is shown this once: keep it where secrets are kept, and give it as EVAULT_TOKEN."


def limits_text(chains: Sequence[str]) -> str:
    """What a token is limited to, in words."""
    return f"on {', '.join(chains)} alone" if chains else "wherever a role is held"
