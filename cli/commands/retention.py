"""`evault retention …`: how long evidence is kept, and whether the store's locks say so too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Annotated, Optional

import typer

from cli.chains import chain_or_only, check_chain
from cli.options import AsJson, ChainArgument, Reason
from cli.render import ObjectLine, columns, count_text, folded, paragraph
from cli.session import Answer, UsageError, give, vault_of
from cli.times import read_time
from cli.vault import Vault
from vault.custody import exhibit_ranges
from vault.documents import (
    NOTHING_KEPT,
    extended_json,
    gone_json,
    kept_json,
    policy_json,
)
from vault.incidents import Chain
from vault.retention import Drift, Laid, Released, Sense, keeps_locks
from verify import strictjson
from verify.declaration import Severity
from verify.errors import EvidenceError, MalformedError
from verify.incident import ChainState, Incident
from verify.instant import format_instant
from verify.retention import RetentionPolicy, floor_of, parse_policy
from verify.statement import Kind
from verify.strictjson import Object

_app = typer.Typer(help="How long evidence is kept.", no_args_is_help=True)

_SHOWN = 10
_ANSWER_ONLY = ("counts", "floors", "receipt", "sequence")
"""What `--json` says beside the policy; it may stay in a file that is edited."""
_RULES = re.compile(r'"rules"\s*:\s*\[')
_BETWEEN = re.compile(r"[\s,]*")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app, name="retention")


@_app.command()
def show(
    context: typer.Context,
    incident: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(
            metavar="[INCIDENT|STREAM]", help="One of them; the policy alone if left out."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the policy in force; of an incident, until when its evidence is kept, and by what.

    Exit code 1 where the store lacks what the chain demands, 2 where it could not say.
    """
    check_chain(incident)
    with vault_of(context) as vault:
        policy, sequence = vault.retention.policy()
        data = policy_json(policy, sequence)
        if incident is None:
            lines = [*_policy_head(sequence), *policy_lines(policy)]
            give(Answer(lines, {**NOTHING_KEPT, **data}), as_json=as_json)
        assert incident is not None
        chain = vault.incidents.read(incident)
        objects, drift = looked_up(vault, [chain])[incident]
        lines = [*_incident_lines(vault, chain, sequence), *drift_lines(vault, drift, objects)]
        mode = vault.retention.mode_of(chain.state)
        data |= kept_json(chain.state, vault.retention.kept(chain), mode, drift)
        give(Answer(lines, data, worst([(objects, drift)])), as_json=as_json)


@_app.command()
def extend(
    context: typer.Context,
    until: Annotated[
        str,
        typer.Option("--until", metavar="TIME", help="RFC 3339 with zone, like 2036-01-01T00:00Z."),
    ],
    reason: Reason,
    incident: ChainArgument = None,
    as_json: AsJson = False,
) -> None:
    """Keep all evidence of an incident at least until a moment; this is never taken back."""
    moment = read_time(until)
    assert moment is not None
    with vault_of(context) as vault:
        name = chain_or_only(vault, incident, as_json=as_json)
        with ObjectLine("extending") as line:
            receipt, laid = vault.retention.extend(name, moment, reason, line.show)
        counted = count_text(laid.objects, "object")
        told = (
            f"kept until {format_instant(moment)} at least: {counted}, and "
            f"all still to come (chain link {receipt.sequence}, log entry {receipt.index})"
        )
        data = extended_json(name, moment, laid, receipt)
        lines = [*paragraph(f"{name}  ", told), *binding(vault), *gone_lines(laid)]
        give(Answer(lines, data, 1 if laid.gone else 0), as_json=as_json)


@_app.command()
def policy(
    context: typer.Context,
    file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(
            metavar="[FILE]",
            help="A policy to seal: what this command prints without one, edited.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the retention policy as JSON, or seal a new one onto the vault's chain.

    The longest rule that fits an exhibit counts, and none may fall below its floor. A longer policy
    extends what is kept already; a shorter one binds what is captured from then on.
    """
    wanted = None if file is None else _read_policy(file)
    with vault_of(context) as vault:
        known, sequence = vault.retention.policy()
        if wanted is None:
            data = {**policy_json(known, sequence), "receipt": None}
            lines = json.dumps(known.to_json(), indent=2).split("\n")
            give(Answer(lines, data), as_json=as_json)
        assert wanted is not None
        if wanted == known:
            data = {**policy_json(known, sequence), "receipt": None}
            give(Answer(["This is the policy in force; nothing sealed."], data), as_json=as_json)
        with ObjectLine("extending") as line:
            receipt, laid = vault.retention.set_policy(wanted, line.show)
        lines = paragraph(
            "",
            f"A new policy is in force (link {receipt.sequence} of the vault's chain, log entry "
            f"{receipt.index}); it was applied to {count_text(laid.objects, 'object')} kept "
            "already, which it only extends.",
        )
        data = {**policy_json(wanted, receipt.sequence), "receipt": receipt.to_json()}
        data |= {"counts": {"objects": laid.objects}, "gone": gone_json(laid)}
        lines += [*policy_lines(wanted), *gone_lines(laid)]
        give(Answer(lines, data, 1 if laid.gone else 0), as_json=as_json)


@_app.command()
def apply(context: typer.Context, incident: ChainArgument = None, as_json: AsJson = False) -> None:
    """Lay the store's locks and holds anew as the chain demands, where they were taken away."""
    with vault_of(context) as vault:
        name = chain_or_only(vault, incident, as_json=as_json)
        with ObjectLine("protecting") as line:
            laid = vault.retention.apply(name, line.show)
        told = f"{name}  {count_text(laid.objects, 'object')} protected as the chain demands"
        data: Object = {
            "counts": {"objects": laid.objects},
            "gone": gone_json(laid),
            "incident": name,
        }
        lines = [told, *binding(vault), *gone_lines(laid)]
        give(Answer(lines, data, 1 if laid.gone else 0), as_json=as_json)


def looked_up(vault: Vault, chains: Sequence[Chain]) -> dict[str, tuple[int, list[Drift]]]:
    """Of each incident, how many objects there are, and where the store's locks differ."""
    found = {}
    with ObjectLine("asking the store about") as line:
        for chain in chains:
            objects = vault.retention.objects(chain)
            found[chain.state.id] = objects, list(vault.retention.drift(chain, line.show))
    return found


def drift_lines(vault: Vault, drift: Sequence[Drift], objects: int | None = None) -> list[str]:
    """Whether the store agrees, and what to do where it does not."""
    if not keeps_locks(vault.store.traits):
        return binding(vault)
    if not drift:
        counted = "" if objects is None else f": {count_text(objects, 'object')}"
        return [f"  the store agrees{counted}", *binding(vault)]
    lines = []
    heads = {
        Sense.LACKS: "THE STORE LACKS what the chain demands:",
        Sense.EXCEEDS: "The store has more than the chain demands:",
        Sense.UNKNOWN: "Could not be asked:",
    }
    for sense, head in heads.items():
        of_it = [each for each in drift if each.sense == sense]
        if not of_it:
            continue
        lines.append(f"  {head}")
        for each in of_it[:_SHOWN]:
            holds = exhibit_ranges(each.stored.exhibits)
            named = f"{each.stored.key} ({holds})" if holds else each.stored.key
            lines += paragraph("    ", f"{named} {each.detail}")
        if len(of_it) > _SHOWN:
            lines.append(f"    and {len(of_it) - _SHOWN:,} more; --json tells all")
    lines.append("  Find out who did that; then: evault retention apply")
    return lines + binding(vault)


def owed_lines(vault: Vault) -> list[str]:
    """Have the store's locks follow what was just sealed; what stands in the way, in words.

    The statement is kept in any case, and whoever opens the vault next tries again.
    """
    try:
        vault.retention.settle()
    except EvidenceError as error:
        return paragraph("OWED: ", f"the store's locks do not follow yet ({error}); every later "
                         "command tries again")  # fmt: skip
    return []


def gone_lines(laid: Laid | Released) -> list[str]:
    """What could not be protected, because it is not there any more."""
    if not laid.gone:
        return []
    lines = ["GONE from the store, where nothing can protect it any more; see: evault verify"]
    for each in laid.gone[:_SHOWN]:
        holds = exhibit_ranges(each.exhibits)
        lines.append(f"  {each.key}{f' ({holds})' if holds else ''}")
    if len(laid.gone) > _SHOWN:
        lines.append(f"  and {len(laid.gone) - _SHOWN:,} more; --json tells all")
    return lines


def worst(found: Iterable[tuple[int, Sequence[Drift]]]) -> int:
    """The exit code: 1 where the store lacks something, 2 where it could not say."""
    senses = {each.sense for _, drift in found for each in drift}
    return 1 if Sense.LACKS in senses else 2 if Sense.UNKNOWN in senses else 0


def binding(vault: Vault) -> list[str]:
    """What is to be said where the store itself refuses nothing."""
    if vault.store.traits.locks:
        return []
    return paragraph("  ", f"this binds evault alone: kept in {vault.config.store_words}")


def policy_lines(policy: RetentionPolicy) -> list[str]:
    """Days by severity, with the floor, for each group of kinds that are kept alike."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for kind in Kind:
        days = [policy.days((kind,), severity) for severity in Severity]
        groups.setdefault((*days, floor_of((kind,))), []).append(kind)
    ordered = sorted(groups.items(), key=lambda group: len(group[1]))
    rows = [(*(str(severity) for severity in Severity), "floor")]
    rows += [tuple(f"{each:,}" for each in terms) for terms, _ in ordered]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    heads = [
        "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines = ["Days kept from when it was received, by severity and kind:", f"{heads[0]}  kinds"]
    for head, (_, kinds) in zip(heads[1:], ordered, strict=True):
        words = [f"{kind}," for kind in kinds[:-1]] + kinds[-1:]
        if kinds is ordered[-1][1]:
            words = ["every kind" if len(ordered) == 1 else "every other kind"]
        lines += folded(f"{head}  ", words)
    return lines


def _policy_head(sequence: int | None) -> list[str]:
    if sequence is None:
        return ["The built-in policy is in force; to change it: evault retention policy --help"]
    return [f"In force by link {sequence} of the vault's chain"]


def _incident_lines(vault: Vault, chain: Chain, sequence: int | None) -> list[str]:
    state = chain.state
    by = "the built-in policy" if sequence is None else f"the policy of link {sequence}"
    mode = vault.retention.mode_of(state)
    locked = f", locked in {mode} mode" if vault.store.traits.locks else ""
    severity = f"{state.fields['severity']}, " if isinstance(state, Incident) else ""
    told = f"{severity}kept by {by}{locked}"
    lines = paragraph(f"{state.id}  ", told)
    kept = vault.retention.kept(chain)
    rows = []
    for until, names in groupby(kept, key=lambda name: _day(kept[name].retain_until)):
        listed = list(names)
        kinds = dict.fromkeys(kind for name in listed for kind in state.exhibits[name].kinds)
        rows.append((f"  {exhibit_ranges(listed)}", f"until {until}", ", ".join(kinds)))
    lines += columns(rows) or ["  no exhibits yet"]
    if state.retained_until:
        lines.append(f"  extended by statement to {format_instant(state.retained_until)}")
    return lines + hold_lines(state)


def hold_lines(state: ChainState) -> list[str]:
    """The live holds of an state."""
    live = [f"{hold.matter} (link {hold.sequence})" for hold in state.live_holds]
    if not live:
        return []
    return paragraph("  ", f"on hold for {', '.join(live)}: kept whatever the dates say")


def _day(moment: datetime | None) -> str:
    return "no date" if moment is None else f"{moment:%Y-%m-%d}"


def _read_policy(path: Path) -> RetentionPolicy:
    """A policy file, with the line of a rule that cannot be. Raises `UsageError`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    try:
        value = strictjson.load_object(data, where=str(path))
        value = {name: each for name, each in value.items() if name not in _ANSWER_ONLY}
        rules = value.get("rules")
        lines = _rule_lines(data.decode())
        if isinstance(rules, list):
            for rule, line in zip(rules, lines, strict=False):
                one = {"policy": "retention", "rules": [rule]}
                _parsed(one, where=f"{path} line {line}")
        return _parsed(value, where=str(path))
    except EvidenceError as error:
        raise UsageError(
            f"{error}; nothing sealed. The policy in force is a pattern: "
            "evault retention policy > FILE"
        ) from error


def _parsed(value: Object, *, where: str) -> RetentionPolicy:
    try:
        return parse_policy(value, where=where, severities=Severity)
    except EvidenceError as error:
        told = str(error).replace(f"{where}.rules", where)
        raise MalformedError(told if told.startswith(where) else f"{where}: {told}") from error


def _rule_lines(text: str) -> list[int]:
    """The line on which each rule begins."""
    found = _RULES.search(text)
    lines: list[int] = []
    if found is None:
        return lines
    decoder, position = json.JSONDecoder(), found.end()
    while True:
        between = _BETWEEN.match(text, position)
        position = between.end() if between else position
        if text[position : position + 1] in ("]", ""):
            return lines
        lines.append(text.count("\n", 0, position) + 1)
        position = decoder.raw_decode(text, position)[1]
