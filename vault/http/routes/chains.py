"""Chains as stored bytes: manifests, their proofs, and the descriptions that they bind.

Who reads them checks them: signatures, links, digests, inclusion (`verify/FORMAT.md`).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from vault.access import Permission
from vault.errors import NotFoundError, UnavailableError
from vault.http import guard
from vault.http.answers import DESCRIPTIONS, ENVELOPE, HEADS, MANIFESTS, TEXT, tells
from vault.http.guard import AUTHENTICATED, asking, needs
from vault.http.pages import Cursor, Limit, begin_after, page, size_of
from vault.http.service import Asking, Service
from vault.incidents import absent
from vault.opened import Vault
from vault.ports import Row
from verify.errors import MalformedError
from verify.statement import Type, check_chain_id
from verify.strictjson import Object

_PAGE_BYTES = 8 << 20
"""A page ends behind the item that makes it this large, however many were asked for."""


def chain_routes(service: Service) -> APIRouter:
    """`/v1/chains/…`."""
    router = guard.router(service, "/v1/chains", tags=["chains"])

    @router.get("")
    @needs(AUTHENTICATED)
    @tells(HEADS)
    def heads(
        asked: Annotated[Asking, Depends(asking)], limit: Limit = None, cursor: Cursor = None
    ) -> Response:
        """The chains that you may see, with their heads."""
        size, after = size_of(limit, service.limits.page), begin_after(cursor) or ""
        names = [
            each
            for each in asked.vault.index.chains("")
            if each > after and Permission.READ_CHAIN in asked.access.permissions(each)
        ]
        items = []
        for name in names[:size]:
            head = asked.vault.index.head(name)
            if head is not None:
                items.append(
                    {
                        "chain": name,
                        "leaf_hash": head.leaf,
                        "sealed": head.sealed,
                        "sequence": head.sequence,
                    }
                )
        more = len(names) > size
        return JSONResponse(page(items, names[size - 1] if more else None))

    @router.get("/{chain}/manifests")
    @needs(Permission.READ_CHAIN)
    @tells(MANIFESTS)
    def manifests(
        chain: str,
        asked: Annotated[Asking, Depends(asking)],
        limit: Limit = None,
        cursor: Cursor = None,
    ) -> Response:
        """A chain's manifests in order: each envelope's exact text, and its index in the log."""
        most = size_of(limit, service.limits.page)
        return JSONResponse(_manifests(asked.vault, chain, _number(cursor), most))

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

    @router.get("/{chain}/descriptions")
    @needs(Permission.READ_CHAIN)
    @tells(DESCRIPTIONS)
    def descriptions(
        chain: str,
        asked: Annotated[Asking, Depends(asking)],
        limit: Limit = None,
        cursor: Cursor = None,
    ) -> Response:
        """The descriptions of a chain's exhibits, capture by capture: each one's exact text.

        A page begins and ends with a link: `cursor` and `next` stand between two.
        """
        most = size_of(limit, service.limits.page)
        return JSONResponse(_descriptions(asked.vault, chain, _number(cursor), most))

    return router


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
    if not items and not start:
        raise absent(chain)
    return page(items, str(start + len(items)) if more else None)


def _descriptions(vault: Vault, chain: str, start: int, most: int) -> Object:
    found = vault.incidents.read(chain)
    items: list[Object] = []
    size = 0
    for sequence in range(start, len(found.manifests)):
        if len(items) >= most or size > _PAGE_BYTES:
            return page(items, str(sequence))
        if found.manifests[sequence].statement.type == Type.CAPTURE:
            for name, data in vault.incidents.described_by(found, sequence):
                size += len(data)
                items.append({"description": data.decode(), "exhibit": name})
    return page(items, None)


def _number(cursor: str | None) -> int:
    text = begin_after(cursor)
    if text is None:
        return 0
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
