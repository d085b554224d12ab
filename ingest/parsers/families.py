"""Every family of formats that this package reads: one import and one entry each. See the package.

Nothing registers itself on import.
"""

from __future__ import annotations

from ingest.parsers import agentdojo, archives, cloudtrail, generic
from ingest.parsers.parser import Parser

KNOWN: tuple[Parser, ...] = (
    *agentdojo.PARSERS,
    *cloudtrail.PARSERS,
)
"""Parsers of known formats, families in alphabetical order."""

BUILT_IN: tuple[Parser, ...] = (
    *KNOWN,
    *archives.over((*KNOWN, *generic.PARSERS)),
    *generic.PARSERS,
)
"""Every parser of this package; among equally sure ones the earlier reads."""
