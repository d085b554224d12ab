"""Coverage-guided fuzzing of all parsers, in a process of its own: what `make soak` starts.

    python tests/ingest/fuzz_parsers.py CORPUS [libFuzzer's options]

It ends with an error at the first input that breaks what `damage.check` demands, and leaves that
input behind, named crash-<SHA-1>, where -artifact_prefix says.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

with atheris.instrument_imports(include=["ingest.parsers", "verify.facts"]):
    from damage import check

    from ingest.parsers import families, firstlook
    from ingest.parsers.firstlook import Deferred

    for each in families.KNOWN:
        if isinstance(each, Deferred):
            assert each.parser.name == each.name  # imported now, so that it is instrumented


def once(data: bytes) -> None:
    """One input: facts come back, sound, and the look at first bytes spared no parser in vain."""
    check(data, "file")
    head = data[: 64 << 10]
    look = firstlook.FirstLook(head)
    for parser in families.KNOWN:
        if isinstance(parser, Deferred) and not parser.signs.in_(look):
            assert not parser.parser.detect(head, "file"), parser.name


if __name__ == "__main__":
    atheris.Setup(sys.argv, once)
    atheris.Fuzz()
