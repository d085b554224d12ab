"""Parsers: what an item says of itself, read out of its bytes. Chosen by content; refuses nothing.

| module | |
|---|---|
| `parser` | the interface, `Parser`, and what it gives, `Reading` |
| `choice` | the door: the parsers of this package and of others |
| `reading` | the surest parser reads; gzip, and what if a parser fails |
| `families` | which parsers there are, and by which signs one need be asked |
| `firstlook` | one look at the first bytes for all; a parser's module is imported when met |
| `gathering` | `Gathered`, in which a parser collects facts: capped, and the same in any order |
| `times`, `severity`, `models` | the clocks, scales and names of the world |
| `records` | JSON records out of a stream, of any shape, however damaged |
| `bounded` | texts and lists that stay small |
| `archives`, `merging` | zip and tar read through; the facts of many as those of one |
| `library` | what to do where an optional library is absent |
| `generic` | what can be said of any file |
| those listed in `families` | one family of formats each |
| all others | what several families share |

To add a family:

1. Copy real samples, cut to 64 KB, to `tests/data/<format>/`, with `SOURCE.md` beside them: for
   each file repository, path, commit, SHA-256, and the licence (MIT, BSD, Apache-2.0 or CC-BY,
   whose text lies in `tests/data/`). No sample, no parser: such a file is read as generic.
2. Write `ingest/parsers/<family>.py`. Its text says what the facts mean here and which traps there
   are; it ends in `PARSERS`, a tuple of instances, one for each format. `detect` looks for what
   only this format has: CERTAIN for that, LIKELY if the bytes are damaged there, else NONE; never
   at the name alone. `read` collects in `Gathered`.
3. In `families`, add a line to `KNOWN` for each of its parsers, in alphabetical order of modules:
   name, module, and signs, which are what `detect` insists on and never more.
4. In `tests/ingest/samples.py`, add a line for each parser: the damage suite then cuts, flips,
   renames and packs its samples.
5. Write `tests/ingest/test_parse_<family>.py`. It reads each sample independently, in a few plain
   lines, and compares; a parser is not tested against itself. Each trap has a test.

What must hold: the same bytes give the same facts, and `version` rises with any change of them.
Values of records are hostile: never executed, never trusted to be of a type. Memory stays flat.
A bad record is counted with its offset; a record of another kind is a bad record. Kinds are what
the item has shown to be: a trace without prompts is no `prompt`. What a format could have told and
this item does not goes to `not_captured`, in these words where they fit: "message content",
"times", "message times", "returned model", "tool results". Principals act; whom content mentions
does not.
A library beyond the base install is asked for through `library`.
"""

from __future__ import annotations

from ingest.parsers.choice import GROUP, choose, read_facts, recognise, with_third_parties
from ingest.parsers.families import BUILT_IN
from ingest.parsers.parser import HEAD_SIZE, Confidence, Parser, Reading

__all__ = [
    "BUILT_IN",
    "GROUP",
    "HEAD_SIZE",
    "Confidence",
    "Parser",
    "Reading",
    "choose",
    "read_facts",
    "recognise",
    "with_third_parties",
]
