"""`evault inspect`: say what files are, cover and lack. No vault is needed, and none is touched."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.extras import bucket_source, parsers
from cli.options import AllVersionsOption, AsJson, EndpointOption
from cli.render import WIDTH, ProgressLine, count_text, folded, size_text
from cli.session import Answer, UsageError, give
from cli.summary import facts_rows
from cli.trails import DigestKeysOption, proof_code, proof_json, proof_lines, read_keys
from ingest.inspector import Inspected, inspect
from ingest.parsers import Confidence, Reading
from ingest.source import Found, Source, SourceUnreadableError
from ingest.sources.files import SYMBOLIC_LINK, FileSource
from ingest.sources.joined import JoinedSource
from ingest.sources.stream import StreamSource
from ingest.trails import WatchedSource
from vault.completeness import built_in_profile
from verify.case import own_times
from verify.conditions import OWN_LACKS
from verify.facts import Facts
from verify.profile import Condition, Profile
from verify.report import printable
from verify.strictjson import Object

S3 = "s3://"
STDIN = "-"
_LABEL = 9
_SURE = {
    Confidence.CERTAIN: "certain",
    Confidence.LIKELY: "likely",
    Confidence.WEAK: "a guess",
    Confidence.NONE: "unknown",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("inspect")(inspect_)


def inspect_(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help="Files and folders, s3://bucket/prefix; - is standard input."
        ),
    ],
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="What standard input is called.")
    ] = "standard input",
    endpoint: EndpointOption = None,
    all_versions: AllVersionsOption = False,
    digest_keys: DigestKeysOption = None,
    as_json: AsJson = False,
) -> None:
    """Say what files are, what they cover, give to the checklist and lack. Nothing is sealed.

    What could not be read makes exit code 1, and so does what CloudTrail's own digests, where they
    are among it, prove not to be what was delivered.
    """
    keys = read_keys(digest_keys)
    profile, known = built_in_profile(), parsers()
    progress = None
    seen: list[Inspected] = []
    where = WatchedSource(
        JoinedSource(list(_sources_of(words, name, endpoint, all_versions=all_versions)))
    )
    try:
        several = _everything(where)
        progress = ProgressLine("reading", sum(found.size for found in several))
        for found in several:
            seen.append(inspect(where, found, parsers=known))
            progress.advance(found.size)
    finally:
        if progress:
            progress.close()
    if not seen:
        raise UsageError(f"there is nothing in {', '.join(words)}")
    unread = [each for each in seen if each.reading is None and not _is_link(each.found)]
    proof = where.proof(keys)
    lines = [_headline(seen), *proof_lines(proof)]
    for each in seen:
        lines += ["", *_told(each, profile)]
    data: Object = {
        "counts": {
            "bytes": sum(each.found.size for each in seen),
            "items": len(seen),
            "recognised": sum(map(_is_recognised, seen)),
            "unread": len(unread),
        },
        "digest_chain": proof_json(proof),
        "items": [_item(each, profile) for each in seen],
    }
    give(Answer(lines, data, 1 if unread else proof_code(proof)), as_json=as_json)


def _sources_of(
    words: Sequence[str], name: str, endpoint: str | None, *, all_versions: bool
) -> Iterator[Source]:
    """A source for each word, in order."""
    if words.count(STDIN) > 1:
        raise UsageError("standard input comes only once")
    if all_versions and not any(word.startswith(S3) for word in words):
        raise UsageError("--all-versions is for s3://bucket/prefix")
    for word in words:
        if word == STDIN:
            yield StreamSource(sys.stdin.buffer, name=name, path=STDIN)
        elif word.startswith(S3):
            try:
                yield bucket_source(word, endpoint, all_versions=all_versions)
            except SourceUnreadableError as error:
                raise UsageError(_said(error)) from error
        else:
            yield FileSource([Path(word)])


def _everything(source: Source) -> list[Found]:
    """Everything named, in order, nothing twice."""
    met: dict[str, Found] = {}
    try:
        for found in source.survey():
            met.setdefault(found.path, found)
    except SourceUnreadableError as error:
        raise UsageError(_said(error)) from error
    return list(met.values())


def _said(error: SourceUnreadableError) -> str:
    return str(error).removesuffix("; nothing sealed")


def _is_link(found: Found) -> bool:
    return found.obstacle is not None and found.obstacle[0] == SYMBOLIC_LINK


def _is_recognised(each: Inspected) -> bool:
    return each.reading is not None and each.confidence >= Confidence.CERTAIN


def _headline(seen: Sequence[Inspected]) -> str:
    size = size_text(sum(each.found.size for each in seen))
    known = sum(map(_is_recognised, seen))
    return f"{count_text(len(seen), 'file')}, {size}: {known} of a known format; nothing sealed"


def _told(each: Inspected, profile: Profile) -> list[str]:
    """What is said of one file, in at most `WIDTH` characters a line."""
    lines = _folded("", each.found.name)
    reading = each.reading
    if reading is None:
        link = _is_link(each.found)
        return lines + _row("link" if link else "not read", each.obstacle or "unknown")
    label = f"{reading.format_label} ({_SURE[each.confidence]})"
    lines += _row("is", f"{label}: {reading.summary}" if reading.summary else label)
    lines += _row("kinds", ", ".join(reading.kinds))
    for label, text in facts_rows(reading.facts):
        lines += _row(label, text)
    gives = [_gift_text(gift) for gift in gifts(profile, reading)]
    for number, text in enumerate(gives or ["nothing by itself"]):
        lines += _row("gives" if number == 0 else "", text)
    return lines


def _row(label: str, text: str) -> list[str]:
    return _folded(f"  {label:<{_LABEL}}", text)


def _folded(label: str, text: str) -> list[str]:
    """Folded between words; a word longer than a line is cut into lines."""
    room = WIDTH - len(label)
    words = printable(text).split(" ")
    parts = [word[i : i + room] for word in words for i in range(0, len(word) or 1, room)]
    return [line.rstrip() for line in folded(label, parts)]


def _gift_text(gift: Object) -> str:
    text = f"{gift['item']} {gift['title']}: {', '.join(gift['gives'])}"
    return f"{text}; not {', '.join(gift['lacks'])}" if gift["lacks"] else text


def _item(each: Inspected, profile: Profile) -> Object:
    reading = each.reading
    return {
        "confidence": each.confidence.name.lower(),
        "facts": None if reading is None else reading.facts.to_json(),
        "format": None if reading is None else reading.format_label,
        "gives": [] if reading is None else gifts(profile, reading),
        "kinds": [] if reading is None else list(reading.kinds),
        "name": each.found.name,
        "path": each.found.path.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
        "problems": [each.obstacle] if reading is None else list(reading.facts.problems),
        "size": each.found.size,
        "summary": None if reading is None else reading.summary,
    }


# What one item gives to the checklist: what `verify.checklist` could find in it, by itself.


def gifts(profile: Profile, reading: Reading) -> list[Object]:
    """The items of a checklist that a reading speaks to, with the conditions it helps and not."""
    given: list[Object] = []
    for item in profile.evidence:
        gives: list[str] = []
        lacks: list[str] = []
        for condition in item.conditions:
            kinds = condition.parameters.get("kinds", ())
            if set(kinds) & set(reading.kinds):
                helps = _HELPS.get(condition.test, _is_there)(reading.facts)
                (gives if helps else lacks).append(_words(condition))
        if gives:
            given.append({"gives": gives, "item": item.id, "lacks": lacks, "title": item.title})
    return given


def _is_there(_facts: Facts) -> bool:
    return True


def _words(condition: Condition) -> str:
    return condition.id.partition(".")[2].replace("_", " ")


_HELPS: dict[str, Callable[[Facts], bool]] = {
    "calls_finished": lambda facts: not facts.unfinished_calls,
    "content_whole": lambda facts: not set(facts.not_captured) - OWN_LACKS,
    "detection_confirmed": lambda facts: bool(own_times(facts)),
    "detectors_heard": lambda facts: bool(facts.findings or facts.detectors),
    "findings_disposed": lambda facts: (
        bool(facts.findings) and all(each.disposition for each in facts.findings)
    ),
    "findings_timed": lambda facts: (
        bool(facts.findings) and all(each.at for each in facts.findings)
    ),
    "models_returned": lambda facts: bool(facts.models_returned),
    "parents_resolved": lambda facts: not facts.unresolved_parents,
    "principals_seen": lambda facts: bool(facts.principals),
    "rows_complete": lambda facts: bool(
        facts.principals
        and facts.actions
        and facts.datasets
        and facts.decisions
        and (facts.scopes or facts.permissions)
    ),
    "runs_covered": lambda facts: bool(facts.runs or facts.sessions or facts.traces),
    "silences_short": lambda facts: facts.clock == "zoned",
    "systems_covered": lambda facts: facts.first is not None,
    "times_known": lambda facts: facts.clock == "zoned",
}
"""Of the tests that look at facts; the others ask only that something is there."""
