"""`evault profile check|compile`: profiles as people write them, and as they are sealed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.newfile import check_new_file
from cli.options import AsJson
from cli.profile_source import read_profile
from cli.session import Answer, give
from vault.completeness import built_in_profile
from verify.profile import Profile
from verify.strictjson import Object

_FileArgument = Annotated[
    Path,
    typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="YAML, or compiled JSON."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Checklist profiles: what an incident is held against.")
    group.command("check")(check)
    group.command("compile")(compile_)
    app.add_typer(group, name="profile", no_args_is_help=True)


def check(file: _FileArgument, as_json: AsJson = False) -> None:
    """Say whether a profile can be used; a mistake is told with its line and what is known."""
    profile = read_profile(file, built_in_profile())
    give(Answer(_lines(profile), _data(profile, None)), as_json=as_json)


def compile_(
    file: _FileArgument,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="Where the JSON goes; a new file."),
    ],
    as_json: AsJson = False,
) -> None:
    """Compile a profile to the strict JSON that is evaluated, sealed and bundled."""
    profile = read_profile(file, built_in_profile())
    check_new_file(output)
    output.write_bytes(profile.data + b"\n")
    lines = [*_lines(profile), f"Written to {output}"]
    give(Answer(lines, _data(profile, str(output))), as_json=as_json)


def _lines(profile: Profile) -> list[str]:
    built_in = built_in_profile()
    lines = [
        f"{profile.name} version {profile.version}: {len(profile.evidence)} evidence items, "
        f"{len(profile.duties)} duties, {len(profile.conditions)} conditions, "
        f"{len(profile.clocks)} clocks",
        f"SHA-256 {profile.sha256}",
    ]
    if profile.name == built_in.name and profile.version < built_in.version:
        lines.append(f"A newer one exists: version {built_in.version}")
    return lines


def _data(profile: Profile, output: str | None) -> Object:
    return {
        "conditions": list(profile.conditions),
        "counts": {
            "clocks": len(profile.clocks),
            "conditions": len(profile.conditions),
            "duties": len(profile.duties),
            "evidence": len(profile.evidence),
        },
        "name": profile.name,
        "output": output,
        "sha256": profile.sha256,
        "version": profile.version,
    }
