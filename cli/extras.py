"""What an installation may have besides: imported only by who needs it, or missed in one line.

An import costs its time at each start, and an extra of the package need not be installed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from contextlib import suppress
from types import ModuleType

from ingest.parsers import GROUP, Parser, with_third_parties
from ingest.source import Source
from vault.errors import UnavailableError


def parsers() -> tuple[Parser, ...]:
    """The parsers of this package, and those that installed packages offer as entry points.

    One that cannot be loaded, or is none, is left out: evidence is sealed all the same.
    """
    others: list[Parser] = []
    for entry in sorted(importlib.metadata.entry_points(group=GROUP)):
        with suppress(Exception):
            loaded = entry.load()
            if isinstance(loaded, Parser):
                others.append(loaded)
    return with_third_parties(others)


def bucket_source(url: str, endpoint_url: str | None, *, all_versions: bool = False) -> Source:
    """Evidence in a bucket, as `ingest.sources.s3` reads it. Raises `SourceUnreadableError`."""
    try:
        module = importlib.import_module("ingest.sources.s3")
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"reading a bucket needs {error.name}; run: pip install 'evidence-vault[s3]'"
        ) from error
    source: Source = module.S3Source(url, endpoint_url=endpoint_url, all_versions=all_versions)
    return source


def s3_adapter(name: str = "s3") -> ModuleType:
    """The S3 adapter, imported only by who needs it: boto3 takes half a second to import."""
    try:
        return importlib.import_module(f"vault.adapters.{name}")
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"a store in S3 needs {error.name}; run: pip install 'evidence-vault[s3]'"
        ) from error


def remote() -> ModuleType:
    """Wiring of a vault that is served elsewhere, imported only by who uses one."""
    try:
        return importlib.import_module("cli.remote")
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"a vault behind EVAULT_URL needs {error.name}; run: "
            "pip install 'evidence-vault[client]'"
        ) from error
