"""`evault request …`: what one person asked a server for, and another approves or refuses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cli.asking import ONLY_ASKED, asked_rows, asked_text, waiting_text
from cli.options import AsJson, Reason
from cli.render import columns, count_text, labelled, paragraph
from cli.session import Answer, UsageError, give, settings_of, vault_of
from vault.errors import RefusedError
from verify.strictjson import Object

if TYPE_CHECKING:
    from vault.http.client.requests import RemoteRequests

_app = typer.Typer(
    help="What takes two people through a server: see, approve and refuse what others asked for.",
    no_args_is_help=True,
)

RequestArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The request's id, as evault request list shows it.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app, name="request")


@_app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """List your own requests, and those on what you may read, the oldest first."""
    with _requests(context) as requests:
        found = requests.list()
        lines = columns(
            (each["id"], each["state"], each["kind"], each["chain"], _people(each), _told(each))
            for each in found
        ) or ["Nobody asked for anything that takes two people"]
        pending = sum(each["state"] == "pending" for each in found)
        if found:
            lines.append(f"{count_text(len(found), 'request')}, {pending} pending")
        data: Object = {"counts": {"pending": pending, "requests": len(found)}, "items": found}
        give(Answer(lines, data), as_json=as_json)


@_app.command()
def show(context: typer.Context, request_id: RequestArgument, as_json: AsJson = False) -> None:
    """Show what exactly a request asks for, by whom and why, before it is approved or refused."""
    with _requests(context) as requests:
        request = requests.show(request_id)
        lines = paragraph(
            f"{request['id']}  ", f"{request['kind']} on {request['chain']}: {request['state']}"
        )
        rows = [
            *asked_rows(request),
            ("reason", f'"{request["reason"]}"'),
            ("asked for by", f"{request['requester']}, {request['created']}"),
        ]
        if request["approver"]:
            rows.append((_second(request), str(request["approver"])))
        told = _outcome(request)
        if told:
            rows.append(("outcome", told))
        lines += labelled(rows)
        if request["state"] == "pending":
            lines.append(f"  Until {request['expires']}: evault request approve {request['id']}")
        give(Answer(lines, request), as_json=as_json)


@_app.command()
def approve(context: typer.Context, request_id: RequestArgument, as_json: AsJson = False) -> None:
    """Approve what another person asked for; it is done at once, and the chain names you both."""
    with _requests(context) as requests:
        request = requests.approve(request_id)
        lines = paragraph(
            f"{request['chain']}  ", f"{request['kind']} done: asked for by {_people(request)}"
        )
        lines += paragraph("  ", f'{asked_text(request)}; "{request["reason"]}"')
        link = _export_link(request)
        if link is not None:
            lines += paragraph("  ", f"{request['requester']} fetches it within a day: "
                                     f"{fetching(request['chain'], link)}")  # fmt: skip
        give(Answer(lines, request), as_json=as_json)


@_app.command()
def refuse(
    context: typer.Context, request_id: RequestArgument, reason: Reason, as_json: AsJson = False
) -> None:
    """Refuse what another person asked for, or take back what you did."""
    with _requests(context) as requests:
        request = requests.refuse(request_id, reason)
        lines = paragraph(f"{request['chain']}  ", f"{request['kind']} refused: {_told(request)}")
        give(Answer(lines, request), as_json=as_json)


def fetching(incident: str, link: object) -> str:
    """The command that writes the bundle of an export that was approved."""
    return f"evault export {incident} --at {link} -o FILE"


def asks_for_approval(
    context: typer.Context, approved_by: str | None, exhibits: Sequence[str]
) -> bool:
    """Whether a second person is asked for through a server, rather than named here.

    Raises `UsageError` where they must be named, with what shows it, and are not.
    """
    if settings_of(context).server is not None:
        return approved_by is None  # who is named there all the same, is refused
    if approved_by is None:
        raise UsageError(
            "Missing option '--approved-by': name who approved it, and --exhibit EV that shows it; "
            "only through a server is a second person asked for"
        )
    if not exhibits:
        raise UsageError("Missing option '--exhibit': name what shows the approval")
    return False


def asked(name: str, undone: str, request: Object) -> Answer:
    """That a second person is to approve something, which was not done: `NOT waived yet`."""
    lines = [
        *paragraph(
            f"{name}  ",
            f"NOT {undone} yet: it takes a second person; {waiting_text(request)}",
        ),
        f"  Legal or a steward, not you, approves it: evault request approve {request['id']}",
    ]
    return Answer(lines, {"incident": name, "request": request}, ONLY_ASKED)


@contextmanager
def _requests(context: typer.Context) -> Iterator[RemoteRequests]:
    with vault_of(context) as vault:
        if vault.requests is None:
            raise RefusedError(
                "requests are made and approved by people who sign in to a server; name it with "
                "EVAULT_URL"
            )
        yield vault.requests


def _people(request: Object) -> str:
    second = f", {_second(request)} {request['approver']}" if request["approver"] else ""
    return f"{request['requester']}{second}"


def _second(request: Object) -> str:
    return "refused by" if request["state"] == "refused" else "approved by"


def _told(request: Object) -> str:
    """What was asked for, why, and what became of it."""
    outcome = _outcome(request) or f"until {request['expires']}"
    return f'{asked_text(request)}; "{request["reason"]}"; {outcome}'


def _outcome(request: Object) -> str | None:
    result = request["result"] or {}
    link, why = _export_link(request), result.get("detail") or result.get("reason")
    if link is not None:
        return f"export link {link}"
    return str(why) if request["state"] in ("refused", "failed") and why else None


def _export_link(request: Object) -> object:
    if (request["kind"], request["state"]) != ("export", "done"):
        return None
    return (request["result"] or {}).get("sequence")
