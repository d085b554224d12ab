"""Options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Optional
from urllib.parse import parse_qsl, urlsplit

import typer

from cli.config import CONCURRENCY, PART_MIB
from vault.tokens import LIFE
from verify.strictjson import MAX_SAFE_INTEGER

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()-]+(/[A-Za-z0-9!_.*'()-]+)*\Z")
MAX_TEXT = 65_536
_SIZE = re.compile(r"([0-9]{1,15})(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)?\Z")
_UNITS = {
    None: 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}  # fmt: skip
_SECRET = "evault.json keeps it, and is not secret"  # noqa: S105


def stated(text: str | None) -> str | None:
    """A text option must say something, in UTF-8, if it is given at all."""
    if text is not None:
        if not text.strip():
            raise typer.BadParameter("expected a few words, not nothing")
        if len(text) > MAX_TEXT:  # no reader would take it: FORMAT.md §2.4
            raise typer.BadParameter(f"expected at most {MAX_TEXT:,} characters")
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise typer.BadParameter("is not valid UTF-8")
    return text


def size_limit(text: str) -> int:
    """Bytes of a size like `500MB` or `10GiB`."""
    match = _SIZE.match(text)
    size = int(match.group(1)) * _UNITS[match.group(2)] if match else 0
    if not 0 < size <= MAX_SAFE_INTEGER:
        raise typer.BadParameter(f"{text!r} is no size like 500MB or 10GiB")
    return size


def store_url(text: str | None) -> str | None:
    """`s3://bucket/prefix`, with what S3 calls safe characters."""
    if text is None:
        return None
    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    if not text.startswith("s3://") or not _BUCKET.match(bucket):
        raise typer.BadParameter(
            f"{text!r} is not like s3://bucket/prefix; without it the store is a folder in the home"
        )
    if prefix and (not _PREFIX.match(prefix) or len(prefix) > 512):
        raise typer.BadParameter(
            f"the prefix {prefix!r} has parts that are empty, or other characters than letters, "
            "digits and !_.*'()-"
        )
    if {".", ".."} & set(prefix.split("/")):
        raise typer.BadParameter(f"the prefix {prefix!r} has a part that other programs resolve")
    return f"s3://{bucket}/{prefix}"


def endpoint_url(text: str | None) -> str | None:
    """`https://host[:port]`, without credentials in it."""
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        port_or_host = parts.port or parts.hostname
    except ValueError:
        port_or_host = None
    if parts.scheme not in ("http", "https") or not port_or_host or not parts.hostname:
        raise typer.BadParameter(f"{text!r} is not like https://s3.example.org:9000")
    if parts.username or parts.password:
        raise typer.BadParameter(
            f"has credentials in it; {_SECRET}. Leave them to AWS's usual places: "
            "AWS_PROFILE, ~/.aws/credentials, or the machine's role"
        )
    if parts.query or parts.fragment:
        raise typer.BadParameter(f"{text!r} has more than scheme, host, port and path")
    return text.rstrip("/")


def any_database_url(text: str | None) -> str | None:
    """`postgresql://user@host/name`; what is given may hold a password, and is not repeated."""
    try:
        if text is not None and urlsplit(text).scheme != "postgresql":
            raise typer.BadParameter("is not like postgresql://user@host/name")
    except ValueError:
        raise typer.BadParameter("is not like postgresql://user@host/name") from None
    return text


def database_url(text: str | None) -> str | None:
    """The same, without a password in it."""
    if any_database_url(text) is None or text is None:
        return None
    parts = urlsplit(text)
    named = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if parts.password is not None or "password" in named:
        raise typer.BadParameter(
            f"has a password in it; {_SECRET}. Leave it out here, and give it by ~/.pgpass or "
            "PGPASSWORD, or the whole URL by EVAULT_DATABASE"
        )
    return text


AsJson = Annotated[bool, typer.Option("--json", help="Answer as one JSON object.")]
IncidentArgument = Annotated[
    Optional[str],  # noqa: UP045 — read at run time by typer
    typer.Argument(
        metavar="[INCIDENT]", help="The incident; may be left out while only one is open."
    ),
]
ChainArgument = Annotated[
    Optional[str],  # noqa: UP045
    typer.Argument(
        metavar="[INCIDENT|STREAM]",
        help="An incident, or a stream like stream:web; the incident may be left out while only "
        "one is open.",
    ),
]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; it is sealed.", callback=stated)
]
OptionalReason = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--reason", metavar="TEXT", help="Why; it is sealed.", callback=stated),
]
ApprovalExhibits = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--exhibit", metavar="EV", help="What shows the approval; repeatable."),
]
CountsFrom = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--from", metavar="TIME", help="From when it counts; now if left out."),
]

SpoolOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--spool",
        metavar="DIR",
        help="Seal through this spool: it keeps what the vault cannot take now. See: evault spool. "
        "By a collector's token, its own if left out.",
    ),
]
StoreOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--store",
        metavar="s3://BUCKET/PREFIX",
        help="Keep the record in a bucket; it should have Object Lock.",
        callback=store_url,
    ),
]
AllVersionsOption = Annotated[
    bool,
    typer.Option(
        "--all-versions",
        help="Of s3:// take every version of each object, not the newest alone.",
    ),
]
EndpointOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--endpoint-url",
        metavar="URL",
        help="An S3 server other than AWS. Credentials are found where AWS's tools find them.",
        callback=endpoint_url,
    ),
]
RegionOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--region", metavar="NAME", help="The bucket's region, if not the usual one."),
]
PartSizeOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "--part-size",
        metavar="MiB",
        min=5,
        max=5120,
        help=f"Large objects go up in parts of this size; {PART_MIB} if left out.",
    ),
]
ConcurrencyOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "--concurrency",
        metavar="N",
        min=1,
        max=128,
        help=f"Calls to the bucket at once; {CONCURRENCY} if left out.",
    ),
]
KmsOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--kms-key", metavar="ARN", help="Encrypt objects under this KMS key."),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", help="Print the token alone, for a script that keeps it.")
]
Expires = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--expires",
        metavar="TIME",
        help=f"When it ends: RFC 3339 with zone, or 5m, 12h, 30d, 8w; {LIFE.days}d if left out, "
        "366d at most.",
    ),
]
