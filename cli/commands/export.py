"""`evault export`: write a bundle that a stranger can check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Optional

import typer

from cli.asking import ONLY_ASKED, waiting_text
from cli.chains import incident_or_only
from cli.commands.request import fetching
from cli.newfile import check_new_file
from cli.options import AsJson, IncidentArgument, stated
from cli.profile_source import read_profile
from cli.render import ProgressLine, count_text, paragraph, size_text
from cli.session import Answer, UsageError, give, vault_of
from vault.completeness import built_in_profile
from vault.custody import actor_text, exhibit_ranges
from vault.documents import bundle_json
from vault.export import Exported, LeftOut, Target
from verify.report import printable
from verify.strictjson import Object


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The bundle to write: a zip.")
    ],
    incident: IncidentArgument = None,
    purpose: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--purpose", metavar="TEXT", help="What it is for; it is sealed.", callback=stated
        ),
    ] = None,
    recipient: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--recipient", metavar="NAME", help="Who gets it; it is sealed.", callback=stated
        ),
    ] = None,
    withhold: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--withhold", metavar="EV=REASON", help="Leave an exhibit out, and say why; repeatable."
        ),
    ] = None,
    at: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--at", metavar="N", help="Write the bundle of export link N again."),
    ] = None,
    compress: Annotated[
        bool,
        typer.Option("--compress", help="Deflate; gives up equal bytes across zlib versions."),
    ] = False,
    profile: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--profile", metavar="FILE", help="Another profile than the runbook's."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Seal a checklist report and an export statement, then write everything as one bundle."""
    reasons = _withheld(withhold or [])
    if at is None and not purpose:
        raise UsageError("say what the bundle is for: --purpose TEXT")
    if at is not None and (purpose or recipient or reasons):
        raise UsageError("--at writes an earlier export again as it was; it takes no other words")
    if str(output) == "-":
        raise UsageError("a bundle is written to a file, not to standard output; name one with -o")
    check_new_file(output)
    built_in = built_in_profile()
    used = read_profile(profile, built_in) if profile else built_in
    with vault_of(context) as vault:
        name = incident_or_only(vault, incident, as_json=as_json)
        if at is None and vault.requests and vault.requests.only_asks_for_exports(name):
            request = vault.requests.ask_for_export(
                name,
                Target(output, compress),
                profile=used,
                purpose=purpose or "",
                recipient=recipient,
                withheld=reasons,
            )
            give(_asked(name, request), as_json=as_json)
        exhibits = vault.incidents.read(name).incident.exhibits.values()
        total = sum(exhibit.item.size for exhibit in exhibits)
        progress = ProgressLine("writing", total)
        progress.announce(f"{count_text(len(exhibits), 'exhibit')}, {size_text(total)} to write")
        target = Target(output, compress, progress.advance)
        try:
            if at is not None:
                exported = vault.exporter.emit_again(name, at, target, profile=used)
            else:
                exported = vault.exporter.export(
                    name,
                    target,
                    profile=used,
                    purpose=purpose or "",
                    recipient=recipient,
                    withheld=reasons,
                )
        finally:
            progress.close()
        give(_answer(name, exported), as_json=as_json)


def _answer(name: str, exported: Exported) -> Answer:
    told = (("withheld", exported.withheld), ("withdrawn", exported.withdrawn))
    absent = [f", {len(exhibits):,} {word}" for word, exhibits in told if exhibits]
    lines = [
        f"{printable(str(exported.path))}  "
        f"{count_text(len(exported.export.included), 'exhibit')}{''.join(absent)}, "
        f"{size_text(exported.size)}: links 0-{exported.sequence} of {name}",
        *_left_out("Withheld", exported.withheld),
        *_left_out("Withdrawn, and so left out", exported.withdrawn),
        f"SHA-256 {exported.sha256}",
        "Hand over evault trust by another way than the bundle.",
    ]
    receipt = exported.receipt
    data: Object = {
        **bundle_json(exported),
        "incident": name,
        "output": str(exported.path),
        "receipt": receipt.to_json() if receipt else None,
    }
    return Answer(lines, data)


def _left_out(word: str, exhibits: Sequence[LeftOut]) -> list[str]:
    """Those that were left out together, for one reason, in one paragraph."""
    together: dict[tuple[int, str, str], list[str]] = {}
    for each in exhibits:
        key = (each.sequence, actor_text(each.actor), each.reason)
        together.setdefault(key, []).append(each.exhibit)
    return [
        line
        for (sequence, actor, reason), names in together.items()
        for line in paragraph(
            f"{word}: ",
            f'{exhibit_ranges(names)} "{printable(reason)}", by {printable(actor)}, '
            f"link {sequence}",
        )
    ]


def _asked(name: str, request: Object) -> Answer:
    """That a second person is to approve it; no file was written."""
    lines = [
        *paragraph(
            f"{name}  ",
            f"NOT written yet: your roles export with a second person; {waiting_text(request)}",
        ),
        f"  Legal or another steward approves it: evault request approve {request['id']}",
        "  evault request list then tells its link N; within a day, fetch it:",
        f"  {fetching(name, 'N')}",
    ]
    return Answer(lines, {"incident": name, "request": request}, ONLY_ASKED)


def _withheld(given: list[str]) -> dict[str, str]:
    reasons = {}
    for each in given:
        exhibit, equals, reason = each.partition("=")
        if not equals or not reason.strip():
            raise UsageError(f"--withhold takes EV-0001=REASON, not {each!r}")
        reasons[exhibit] = reason.strip()
    return reasons
