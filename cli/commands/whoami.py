"""`evault whoami`: who the vault takes you for, and what you hold there."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from cli.extras import remote
from cli.options import AsJson
from cli.render import columns, paragraph, prose
from cli.session import Answer, give, settings_of, vault_of
from cli.settings import ServerSettings, Settings
from cli.vault import Vault
from vault.access import EVERYWHERE, ROLES, Permission
from verify.strictjson import Object


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("whoami")(whoami)


def whoami(context: typer.Context, as_json: AsJson = False) -> None:
    """Tell who the vault takes you for, how you signed in, and which roles you hold until when.

    Through a server that is who the token signs in. In a home it is the account of the operating
    system, which may do all that its files permit.
    """
    settings = settings_of(context)
    server = settings.server
    if server is None:
        give(_at_home(settings), as_json=as_json)
        return
    with vault_of(context) as vault:
        give(_signed_in(vault, server), as_json=as_json)


def _at_home(settings: Settings) -> Answer:
    actor = settings.actor
    lines = [f"{actor.id}  {actor.kind}, {actor.authenticated}"]
    if actor.claimed is not None:
        lines.append(f"EVAULT_ACTOR claims the name {actor.claimed}, which is sealed beside it")
    lines += paragraph(
        "",
        f"It is the account of the operating system: whoever can use {settings.home} may do all, "
        "and roles count through a server alone.",
    )
    data: Object = {
        "authenticated": actor.authenticated,
        "chains": None,
        "claimed": actor.claimed,
        "expires": None,
        "grants": [],
        "home": str(settings.home),
        "id": actor.id,
        "kind": actor.kind,
        "server": None,
        "token": None,
    }
    return Answer(lines, data)


def _signed_in(vault: Vault, server: ServerSettings) -> Answer:
    told: Object = remote().who_signed_in(vault)
    how = f"token {told['token']}" if told["token"] else "an identity provider's token"
    ends = f", which ends {told['expires']}" if told["expires"] else ""
    lines = prose(f"{told['id']}  ", f"{told['kind']}, signed in to {server.url} by {how}{ends}")
    if told["kind"] == "collector":
        lines += prose("", f"appends to {_limits(told['chains'])}, and reads nothing")
    else:
        if told["chains"] is not None:
            lines += prose("", f"the token is for {_limits(told['chains'])} alone")
        lines += columns(_row(each) for each in told["grants"]) or _without_role(told["id"])
    data: Object = {**told, "claimed": None, "home": None, "server": server.url}
    return Answer(lines, data)


def _row(grant: Object) -> tuple[str, str, str]:
    where = "all of the vault" if EVERYWHERE in grant["chains"] else _limits(grant["chains"])
    end = f"until {grant['to']}" if grant["to"] else "until it is taken back"
    return grant["role"], f"on {where}", end


def _without_role(person: str) -> list[str]:
    """What a person asks for who holds nothing, and whom."""
    give_, approve = _holding(Permission.GRANT), _holding(Permission.APPROVE_GRANT)
    return [
        *paragraph(
            "",
            f"You hold no role here, so you see no incident. Ask a {' or '.join(give_)} for one "
            f"on the incidents that you work on; a {' or '.join(approve)} approves it. They run:",
        ),
        f"  evault grant add {person} ROLE INCIDENT --reason TEXT",
        *prose("ROLE is one of ", ", ".join(ROLES)),
    ]


def _holding(permission: Permission) -> list[str]:
    return [role.value for role, permitted in ROLES.items() if permission in permitted]


def _limits(chains: Sequence[str] | None) -> str:
    return ", ".join(chains) if chains else "what its grants name"
