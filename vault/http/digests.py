"""Digests in fields of HTTP: `Content-Digest`, `Repr-Digest` (RFC 9530), and entity tags. Pure."""

from __future__ import annotations

import re

from verify.digest import b64, unb64
from verify.errors import EvidenceError, MalformedError

SHA256 = "sha-256"
_MEMBER = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):(?:;.*)?\s*\Z")


def declared_sha256(field: str | None) -> str | None:
    """The SHA-256 that a `Content-Digest` declares, as hex; None where there is no such field.

    Raises `MalformedError`, also for a field that declares other digests alone: whoever declares
    one must not believe that it was checked when it was not.
    """
    if field is None:
        return None
    found = None
    for member in field.split(","):
        parsed = _MEMBER.match(member)
        if parsed is None:
            raise MalformedError(
                "Content-Digest: expected sha-256=:BASE64: (RFC 9530, section 2), for instance "
                "sha-256=:$(openssl dgst -sha256 -binary FILE | base64):"
            )
        if parsed[1] == SHA256:
            try:
                found = unb64(parsed[2], where="Content-Digest")
            except EvidenceError as error:
                raise MalformedError(str(error)) from error
            if len(found) != 32:
                raise MalformedError(f"Content-Digest: a SHA-256 has 32 bytes, not {len(found)}")
    if found is None:
        raise MalformedError("Content-Digest: no sha-256 in it, the one that is checked here")
    return found.hex()


def digest_field(sha256: str) -> str:
    """The value of a `Repr-Digest` or `Content-Digest`."""
    return f"{SHA256}=:{b64(bytes.fromhex(sha256))}:"


def tag_of(sha256: str) -> str:
    """The strong entity tag of bytes: their digest (RFC 9110, section 8.8.3)."""
    return f'"{sha256}"'


def names_tag(field: str | None, sha256: str) -> bool:
    """Whether an `If-None-Match` or `If-Range` names these bytes; a weak tag never does."""
    if field is None:
        return False
    return any(each.strip() in (tag_of(sha256), "*") for each in field.split(","))
