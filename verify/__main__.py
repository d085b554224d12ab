"""`python -m verify BUNDLE --trust FILE`: audit a bundle, with no vault at hand.

Exit code 0: passed; 1: failed; 2: inconclusive, or it could not be checked.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from verify.audit import BundleRecord, audit
from verify.bundle import TRUST, Bundle, check_is_bundle, open_bundle
from verify.errors import EvidenceError, MalformedError
from verify.recompute import ReadFacts, recompute_facts, recompute_report
from verify.report import Report, failed_to_open, printable, render
from verify.seen import join, read_seen
from verify.trust import Trust, parse_trust, read_trust


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code. What goes wrong is said on standard error."""
    options = _parser().parse_args(arguments)
    try:
        report = audit_bundle(
            options.bundle,
            trust_file=options.trust,
            seen_files=options.seen,
            head=options.head,
            checklist=options.checklist,
        )
    except (EvidenceError, OSError) as error:
        message = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            message = f"cannot read {error.filename}: {error.strerror}"
        if options.json:
            problem = {"code": getattr(error, "code", "unavailable"), "detail": message}
            print(json.dumps(problem), file=sys.stderr)
        else:
            shown = "\n".join(printable(line) for line in message.split("\n"))
            print(f"verify: {shown}", file=sys.stderr)
        return 2
    if options.json:
        _say(json.dumps(report.to_json(), indent=2, sort_keys=True) + "\n")
    else:
        _say(render(report, trust=options.trust.name if options.trust else None))
    return report.exit_code


def _say(text: str) -> None:
    """Print. What the output cannot show is spelled out; who stops reading still gets the code."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), end="", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def audit_bundle(
    path: Path,
    *,
    trust_file: Path | None,
    seen_files: Sequence[Path] = (),
    head: int | None = None,
    checklist: bool = False,
    facts: ReadFacts | None = None,
) -> Report:
    """Audit the bundle at a path. `facts`, a reader of them, asks for their recomputation.

    Without a trust file the bundle's own copy is used, and the verdict is at most inconclusive.
    Raises `OSError` or `EvidenceError` where the question itself cannot be answered: a file that
    cannot be read or is no bundle at all, a trust file that does not parse.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    given = None
    if trust_file is not None:
        given = read_trust(trust_file)
    check_is_bundle(path)
    return audit_bundle_by(
        path, trust=given, seen_files=seen_files, head=head, checklist=checklist, facts=facts
    )


def audit_bundle_by(
    path: Path,
    *,
    trust: Trust | None,
    seen_files: Sequence[Path] = (),
    head: int | None = None,
    checklist: bool = False,
    facts: ReadFacts | None = None,
) -> Report:
    """Audit the bundle at a path by a trust that was read before; else as `audit_bundle`."""
    given = trust
    try:
        bundle = open_bundle(path)
    except EvidenceError as error:
        return failed_to_open(str(error), trusted=given is not None)
    with bundle:
        if trust is None:
            try:
                trust = parse_trust(bundle.read(TRUST), where=TRUST)
            except EvidenceError as error:
                return failed_to_open(f"{TRUST}: {error}", trusted=False)
        seen = join([read_seen(each, trust) for each in seen_files]) if seen_files else None
        record = BundleRecord(bundle)
        report = audit(record, trust, trusted=given is not None, seen=seen, head=head)
        if checklist:
            report = recompute_report(report, bundle, trust)
        return recompute_facts(report, bundle, trust, facts) if facts else report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m verify",
        description="Check an evidence bundle without trust in the vault that wrote it.",
        epilog="Exit code: 0 passed, 1 failed, 2 inconclusive or not checkable.",
    )
    parser.add_argument("bundle", type=Path, help="the bundle: a zip, or the unpacked folder")
    parser.add_argument(
        "--trust",
        type=Path,
        metavar="FILE",
        help="whom to believe; get it by another way than the bundle",
    )
    parser.add_argument(
        "--seen",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="an earlier receipt, checkpoint, bundle or consistency proof to hold against it",
    )
    parser.add_argument(
        "--head", type=int, metavar="N", help="fail a bundle that ends before link N"
    )
    parser.add_argument(
        "--checklist", action="store_true", help="recompute the completeness report as well"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    return parser


__all__ = ["Bundle", "MalformedError", "audit_bundle", "audit_bundle_by", "main"]

if __name__ == "__main__":
    sys.exit(main())
