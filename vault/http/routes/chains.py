"""Chains as stored bytes: manifests, their proofs, and the descriptions that they bind.

Who reads them checks them: signatures, links, digests, inclusion (`verify/FORMAT.md`).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from vault.access import Permission
from vault.errors import NotFoundError, UnavailableError
from vault.http import guard
from vault.http.answers import DESCRIPTIONS, ENVELOPE, HEAD, HEADS, MANIFESTS, STORED, TEXT, tells
from vault.http.guard import AUTHENTICATED, asking, needs
from vault.http.pages import Cursor, Limit, begin_after, page, size_of
from vault.http.served import Asking, Service
from vault.incidents import absent
from vault.opened import Vault
from vault.ports import ChainHead, Row
from verify.errors import MalformedError
from verify.statement import Type, check_chain_id
from verify.strictjson import Object

Start = Annotated[
    int, Query(ge=0, le=999_999_999, description="The link that the first page begins with.")
]

_PAGE_BYTES = 8 << 20
"""A page ends behind the item that makes it this large, however many were asked for."""


def chain_routes(service: Service) -> APIRouter:
    """`/v1/chains/…`."""
    router = guard.router(service, "/v1/chains", tags=["chains"])

    @router.get("")
    @needs(AUTHENTICATED)
    @tells(HEADS, refuses=(403,))
    def heads(
        asked: Annotated[Asking, Depends(asking)], limit: Limit = None, cursor: Cursor = None
    ) -> Response:
        """The chains that you may see, with their heads."""
        asked.access.check_lists()
        size, after = size_of(limit, service.limits.page), begin_after(cursor) or ""
        names = asked.readable("", after=after)
        items = []
        for name in names[:size]:
            head = asked.vault.index.head(name)
            if head is not None:
                items.append(_head(name, head))
        more = len(names) > size
        return JSONResponse(page(items, names[size - 1] if more else None))

    @router.get("/{chain}")
    @needs(Permission.READ_CHAIN)
    @tells(HEAD)
    def head(chain: str, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """Where a chain stands: its last link."""
        found = asked.vault.index.head(check_chain_id(chain))
        if found is None:
            raise absent(chain)
        return JSONResponse(_head(chain, found))

    @router.get("/{chain}/manifests")
    @needs(Permission.READ_CHAIN)
    @tells(MANIFESTS)
    def manifests(
        chain: str,
        asked: Annotated[Asking, Depends(asking)],
        limit: Limit = None,
        cursor: Cursor = None,
        start: Start = 0,
    ) -> Response:
        """A chain's manifests in order: each envelope's exact text, and its index in the log."""
        most = size_of(limit, service.limits.page)
        return JSONResponse(_manifests(asked.vault, chain, _number(cursor, start), most))

    @router.get("/{chain}/manifests/{sequence}", response_class=Response)
    @needs(Permission.READ_CHAIN)
    @tells(ENVELOPE)
    def manifest(chain: str, sequence: int, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """One manifest as stored: a DSSE envelope."""
        found = _link(asked.vault, chain, sequence)
        return Response(
            found.envelope,
            media_type="application/json",
            headers={"ETag": f'"{found.leaf_hash.hex()}"'},
        )

    @router.get("/{chain}/manifests/{sequence}/proof", response_class=PlainTextResponse)
    @needs(Permission.READ_CHAIN)
    @tells(media=TEXT)
    def proof(chain: str, sequence: int, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """That a manifest is in the log: a C2SP tlog-proof."""
        index = _link(asked.vault, chain, sequence).index
        if index is None:
            raise UnavailableError(f"link {sequence} of {chain} is not in the log yet")
        log = asked.vault.log
        return PlainTextResponse(str(log.inclusion(index, log.covering(index))))

    @router.get("/{chain}/manifests/{sequence}/receipt")
    @needs(Permission.READ_CHAIN)
    @tells("receipt")
    def receipt(chain: str, sequence: int, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """The receipt of a link, as whoever sealed it got one: it is kept, and where."""
        _link(asked.vault, chain, sequence)
        return JSONResponse(asked.vault.door.receipts(chain, [sequence])[0].to_json())

    @router.get("/{chain}/manifests/{sequence}/document", response_class=Response)
    @needs(Permission.READ_CHAIN)
    @tells(STORED)
    def document(chain: str, sequence: int, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """What a link binds beside itself: an assessment's report, or a collector's signed list."""
        _link(asked.vault, chain, sequence)
        incidents = asked.vault.incidents
        data = incidents.bound_document(incidents.read(chain), sequence)
        return Response(data, media_type="application/json")

    @router.get("/{chain}/descriptions")
    @needs(Permission.READ_CHAIN)
    @tells(DESCRIPTIONS)
    def descriptions(
        chain: str,
        asked: Annotated[Asking, Depends(asking)],
        limit: Limit = None,
        cursor: Cursor = None,
        start: Start = 0,
    ) -> Response:
        """The descriptions of a chain's exhibits, capture by capture: each one's exact text."""
        most = size_of(limit, service.limits.page)
        return JSONResponse(_descriptions(asked.vault, chain, _place(cursor, start), most))

    return router


def _head(name: str, head: ChainHead) -> Object:
    return {
        "chain": name,
        "leaf_hash": head.leaf,
        "sealed": head.sealed,
        "sequence": head.sequence,
    }


def _manifests(vault: Vault, chain: str, start: int, most: int) -> Object:
    check_chain_id(chain)
    items: list[Object] = []
    size, more = 0, False
    for row in vault.index.rows(chain, start=start):
        if len(items) == most or size > _PAGE_BYTES:
            more = True
            break
        size += len(row.envelope)
        items.append(
            {
                "envelope": row.envelope.decode(),
                "index": row.index,
                "leaf_hash": row.leaf_hash.hex(),
                "sequence": row.sequence,
            }
        )
    if not items and vault.index.head(chain) is None:
        raise absent(chain)
    return page(items, str(start + len(items)) if more else None)


def _descriptions(vault: Vault, chain: str, start: tuple[int, int], most: int) -> Object:
    """A page from an item of a link on; one of a large capture ends within it."""
    found = vault.incidents.read(chain)
    items: list[Object] = []
    size, (begin, skipped) = 0, start
    for sequence in range(begin, len(found.manifests)):
        if found.manifests[sequence].statement.type != Type.CAPTURE:
            continue
        for number, (name, data) in enumerate(vault.incidents.described_by(found, sequence)):
            if sequence == begin and number < skipped:
                continue
            if len(items) >= most or size > _PAGE_BYTES:
                return page(items, f"{sequence}.{number}")
            size += len(data)
            items.append({"description": data.decode(), "exhibit": name})
    return page(items, None)


def _place(cursor: str | None, start: int) -> tuple[int, int]:
    """A link, and how many of its items stand before the page."""
    text = begin_after(cursor)
    if text is None:
        return start, 0
    parts = text.split(".")
    if len(parts) != 2 or not all(
        each.isascii() and each.isdigit() and len(each) < 10 for each in parts
    ):
        raise MalformedError("cursor: it is none that this server gave")
    return int(parts[0]), int(parts[1])


def _number(cursor: str | None, start: int) -> int:
    text = begin_after(cursor)
    if text is None:
        return start
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise MalformedError("cursor: it is none that this server gave")
    return int(text)


def _link(vault: Vault, chain: str, sequence: int) -> Row:
    head = vault.index.head(check_chain_id(chain))
    if head is None:
        raise absent(chain)
    if not 0 <= sequence <= head.sequence:
        raise NotFoundError(f"{chain} has links 0 to {head.sequence}, not {sequence}")
    return next(iter(vault.index.rows(chain, start=sequence)))
