"""`evault metrics`: figures over incidents, each with what fed it and what could not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Optional

import typer

from cli.chains import check_reads
from cli.newfile import print_bytes
from cli.options import AsJson
from cli.render import ProgressLine, columns, count_text, folded, paragraph, span_text
from cli.session import Answer, UsageError, give, vault_of
from cli.times import read_time
from vault.completeness import built_in_profile
from vault.documents import metrics_json
from vault.hypertext import comma_separated
from vault.metrics import Figure, Left, Unreadable, figures_of, measure
from verify.instant import format_instant

_WIDTH = 80


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("metrics")(metrics)


def metrics(
    context: typer.Context,
    from_: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--from", metavar="TIME", help="Incidents declared from then on."),
    ] = None,
    to: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--to", metavar="TIME", help="Incidents declared before then."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show each formula, and what fed it.")
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print comma-separated values; formulas are defused.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure incidents: times to acknowledge, contain, recover; detectors; completeness.

    What is still open is left out and counted. What the chains do not hold is not known, never 0.
    """
    if as_csv and as_json:
        raise UsageError("--csv prints a table and nothing else; leave out --json")
    start, end = read_time(from_), read_time(to)
    if start and end and start >= end:
        raise UsageError("--from must be before --to")
    profile = built_in_profile()
    with vault_of(context) as vault:
        check_reads(vault)
        as_of = vault.clock()
        names = vault.index.chains("INC-")
        progress = ProgressLine("measuring", len(names), unit=_counted)
        try:
            measured, unreadable = measure(
                vault.incidents,
                _one_by_one(names, progress),
                profile,
                as_of=as_of,
                start=start,
                end=end,
            )
        finally:
            progress.close()
    figures = figures_of(measured)
    code = 2 if unreadable else 0
    if as_csv:
        print_bytes(_table(figures))
        raise typer.Exit(code)
    head = f"{count_text(len(measured), 'incident')}{_period(start, end)}, as of "
    head += format_instant(as_of)
    lines = [head, *_text(figures, explain), *_unread(unreadable)]
    data = metrics_json(
        figures,
        unreadable,
        incidents=len(measured),
        profile=profile,
        as_of=as_of,
        start=start,
        end=end,
    )
    give(Answer(lines, data, code), as_json=as_json)


def _one_by_one(names: Sequence[str], progress: ProgressLine) -> Iterator[str]:
    for name in names:
        yield name
        progress.advance(1)


def _counted(count: int) -> str:
    return count_text(count, "incident")


def _period(start: datetime | None, end: datetime | None) -> str:
    parts = [
        f"{word} {format_instant(moment)}"
        for word, moment in (("from", start), ("before", end))
        if moment
    ]
    return f" declared {' and '.join(parts)}" if parts else ""


def _text(figures: Sequence[Figure], explain: bool) -> list[str]:
    rows = [("", "n", "mean", "median", "p90", "open", "not known")]
    rows += [_row(figure) for figure in figures]
    lines = columns(rows)
    if not explain:
        return [*lines, "Formulas, and what fed each figure: evault metrics --explain"]
    for figure in figures:
        lines += ["", *_explained(figure)]
    return lines


def _row(figure: Figure) -> tuple[str, str, str, str, str, str, str]:
    title = figure.title
    if figure.pooled:  # a share never stands without what it is of
        title += ", {:,} of {:,}".format(*figure.pooled)
    values = [_value(figure.unit, value) for value in (figure.mean, figure.median, figure.p90)]
    if not figure.samples:
        values = ["not known" if figure.unknown else "none yet", "", ""]
    return (
        title,
        f"{len(figure.samples):,}",
        values[0],
        values[1],
        values[2],
        f"{len(figure.open):,}",
        f"{len(figure.unknown):,}",
    )


def _value(unit: str, value: float | None) -> str:
    if value is None:
        return ""
    if unit == "seconds":
        return span_text(timedelta(seconds=value))
    return f"{value * 100:.0f} %" if unit == "share" else f"{value:.4g}"


def _explained(figure: Figure) -> list[str]:
    lines = paragraph("", f"{figure.title}: {figure.definition}")
    if figure.pooled:
        part, of = figure.pooled
        lines.append(f"  together   {part:,} of {of:,}")
    for each in figure.parts:
        told = (
            f"{each['false']:,} false, {each['true']:,} true, {each['undetermined']:,} undetermined"
        )
        lines += paragraph("  detector   ", f"{each['detector']}: {told}")
    for incident in figure.fed_by:
        own = [each for each in figure.samples if each.measured.incident.id == incident.id]
        told = own[0].detail if len(own) == 1 else count_text(len(own), "exhibit")
        share = own[0].of is not None and len(own) == 1
        value = f"{own[0].part:,} of {own[0].of:,}; " if share else ""
        head = f"{incident.id} link {incident.sequence}"
        lines += paragraph("  fed by     ", f"{head}: {value}{told}")
    for label, several in (("open", figure.open), ("not known", figure.unknown)):
        lines += [line for each in several for line in _left(label, each)]
    return lines


def _left(label: str, each: Left) -> list[str]:
    return folded(f"  {label:<9}  ", f"{each.measured.incident.id}: {each.reason}".split(" "))


def _unread(unreadable: Sequence[Unreadable]) -> list[str]:
    lines = []
    for each in unreadable:
        lines += paragraph(
            "UNREADABLE: ", f"{each.incident}, which every figure lacks: {each.detail}"
        )
    return lines


_HEADS = (
    "metric", "unit", "n", "mean", "median", "p90", "part", "of", "open", "not_known",
    "fed_by", "definition",
)  # fmt: skip


def _table(figures: Sequence[Figure]) -> bytes:
    """A row a figure; where there is no figure the cells are empty, not 0."""
    rows = []
    for figure in figures:
        shown = figure.to_json()
        numbers = [shown["mean"], shown["median"], shown["p90"]]
        pooled = shown["pooled"] or {"of": None, "part": None}
        fed = [f"{each.id}/{each.sequence} {each.leaf}" for each in figure.fed_by]
        rows.append(
            [
                figure.id,
                figure.unit,
                str(shown["n"]),
                *("" if each is None else str(each) for each in numbers),
                *("" if pooled[name] is None else str(pooled[name]) for name in ("part", "of")),
                str(len(figure.open)),
                str(len(figure.unknown)),
                "; ".join(fed),
                figure.definition,
            ]
        )
    return comma_separated(_HEADS, rows)
