"""Libraries that only some formats need: with `evidence-vault[formats]` they are there. No I/O."""

from __future__ import annotations

import importlib
from types import ModuleType

from ingest.parsers.parser import Parser, Reading
from verify.facts import Facts

NEEDS = "needs evidence-vault[formats]"


def library(name: str) -> ModuleType | None:
    """The module of an optional library; None where it is not installed. Ask when reading."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def unread(parser: Parser, form: str, label: str, kinds: tuple[str, ...]) -> Reading:
    """What is said of an item whose format was recognised, but whose library is absent.

    Version 0: these are no facts of the parser, and recomputing them elsewhere contradicts nothing.
    """
    facts = Facts(parser.name, 0, form, problems=(f"not read: {NEEDS}",))
    return Reading(facts, kinds, label, f"not read, {NEEDS}")
