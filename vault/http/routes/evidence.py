"""Evidence: sent in, listed, shown and given out; of incidents and of streams.

The same routes stand below `/v1/incidents/{incident}` and, for streams too, `/v1/chains/{chain}`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import quote

import anyio
from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from vault.access import Permission
from vault.deposit import check_chosen
from vault.documents import exhibit_json, shown_json
from vault.errors import NotFoundError
from vault.evidence import content
from vault.http import guard
from vault.http.answers import BYTES, TAKEN, a_page_of, ref, tells
from vault.http.digests import names_tag, tag_of
from vault.http.downloads import Outgoing, begun, headers_of, slice_of
from vault.http.guard import asking, needs
from vault.http.incoming import AT_ONCE, Incoming
from vault.http.intake import Sent
from vault.http.pages import Cursor, Limit, begin_after, page, size_of
from vault.http.problems import DamagedError
from vault.http.served import Asking, Service
from vault.opened import Vault
from vault.readings import Reading
from verify.errors import EvidenceError, MalformedError, VerificationError
from verify.statement import check_kind, exhibit_number

_KEY = Header(
    alias="Idempotency-Key",
    max_length=130,
    description="An id of your own for this deposit: repeating it gives the first receipt.",
)
_NAME = Query(
    min_length=1,
    max_length=1_000,
    description="The name of what is sent, as a claim; it is never used as a path.",
    examples=["traces/agent.jsonl"],
)
_AGAIN = Query(description="Seal it also if the same was sealed, and nothing happened since.")

Purpose = Annotated[
    str,
    Query(
        max_length=1_000,
        pattern=r"\S",
        description="Why it is read; it is sealed.",
        examples=["find out what the agent was told"],
    ),
]
Name = Annotated[str, _NAME]
Kinds = Annotated[list[str], Query(max_length=32, description="What it is evidence of.")]
Word = Annotated[str | None, Query(min_length=1, max_length=1_000)]
Key = Annotated[str | None, _KEY]
Again = Annotated[bool, _AGAIN]


_log = logging.getLogger("evault.http")


def incident_evidence_routes(service: Service) -> APIRouter:
    """`/v1/incidents/{incident}/evidence…`."""
    return _routes(service, "/v1/incidents", "incident", "^INC-")


def chain_evidence_routes(service: Service) -> APIRouter:
    """`/v1/chains/{chain}/evidence…`."""
    return _routes(service, "/v1/chains", "chain", None)


def _routes(service: Service, prefix: str, parameter: str, pattern: str | None) -> APIRouter:
    router = guard.router(service, f"{prefix}/{{{parameter}}}/evidence", tags=["evidence"])
    named: Any = Path(alias=parameter, pattern=pattern)
    limiter = anyio.CapacityLimiter(AT_ONCE)

    @router.post("", status_code=201)
    @needs(Permission.INGEST)
    @tells(TAKEN, also={200: "It was sealed before."})
    async def upload(
        request: Request,
        asked: Annotated[Asking, Depends(asking)],
        name: Name,
        chain: str = named,
        kind: Kinds = [],  # noqa: B006 — the framework copies it
        system: Word = None,
        source: Word = None,
        method: Word = None,
        again: Again = False,
        key: Key = None,
    ) -> Response:
        """Send one content, of any size, as the body itself; its facts are read here.

        A `Content-Digest` with a sha-256 is held against what came. 201 with a receipt once it is
        kept; 200 where this deposit, or this same sighting, was sealed before.
        """
        body = Incoming(request)
        sent = Sent(
            name=name,
            size=body.size,
            kinds=tuple(check_kind(each.replace("-", "_")) for each in dict.fromkeys(kind)),
            system=system,
            source=source,
            method=method,
            again=again,
            deposit=deposit_of(key),
        )

        def seal(pieces: Any) -> Response:
            taken = service.intake.take_in(asked.vault, chain, sent, pieces)
            name = taken.exhibit.item.exhibit
            return JSONResponse(
                {
                    "incident": chain,
                    "items": [exhibit_json(taken.exhibit, taken.description)],
                    "receipt": taken.receipt.to_json(),
                    "state": taken.state,
                },
                201 if taken.state == "sealed" else 200,
                {"Location": f"{prefix}/{quote(chain, safe=':')}/evidence/{name}"},
            )

        return await body.read(seal, limiter)

    @router.get("")
    @needs(Permission.READ_CHAIN)
    @tells(a_page_of(ref("exhibit")))
    def exhibits(
        asked: Annotated[Asking, Depends(asking)],
        chain: str = named,
        limit: Limit = None,
        cursor: Cursor = None,
    ) -> Response:
        """The exhibits of an incident, or the items of a stream, in order."""
        known = list(asked.vault.incidents.read(chain).state.exhibits.values())
        size, start = size_of(limit, service.limits.page), _behind(cursor)
        shown = known[start : start + size]
        more = len(known) > start + size
        items = [exhibit_json(*each) for each in asked.vault.incidents.described(shown)]
        return JSONResponse(page(items, shown[-1].item.exhibit if more else None))

    @router.get("/{exhibit}")
    @needs(Permission.READ_CHAIN)
    @tells("evidence-show")
    def show(
        exhibit: str, asked: Annotated[Asking, Depends(asking)], chain: str = named
    ) -> Response:
        """What is sealed about an exhibit, and how long it is kept; its content is not read."""
        read = asked.vault.incidents.read(chain)
        (found,) = asked.vault.incidents.exhibits_named(read, [exhibit])
        ((_, description),) = asked.vault.incidents.described([found])
        kept = asked.vault.retention.kept(read)[exhibit]
        return JSONResponse(shown_json(chain, found, description, kept))

    @router.get("/{exhibit}/content", response_class=StreamingResponse)
    @needs(Permission.READ_CONTENT)
    @tells(media=BYTES, also={206: "One range."}, empty={304: "You have it."}, refuses=(416,))
    def download(
        exhibit: str,
        asked: Annotated[Asking, Depends(asking)],
        purpose: Purpose,
        chain: str = named,
        ranged: Annotated[str | None, Header(alias="Range")] = None,
        if_range: Annotated[str | None, Header(alias="If-Range")] = None,
        if_none_match: Annotated[str | None, Header(alias="If-None-Match")] = None,
    ) -> Response:
        """The bytes as they were sealed, or one range of them; that they are read is sealed first.

        Requests of one identity for one exhibit and purpose within 15 minutes are one reading. No
        byte is given before the whole part that it lies in was verified.
        """
        vault = asked.vault
        (found,) = vault.incidents.exhibits_named(vault.incidents.read(chain), [exhibit])
        item = found.item
        if names_tag(if_none_match, item.sha256):  # they have these bytes already
            return Response(status_code=304, headers={"ETag": tag_of(item.sha256)})
        current = if_range is None or names_tag(if_range, item.sha256)
        part = slice_of(ranged, item.size, current=current)
        ((_, description),) = vault.incidents.described([found])
        where = asked.identity.address or None
        reading = vault.readings.begin(chain, [exhibit], purpose, address=where)
        pieces = content(vault.store, item, found.packs, start=part.start, stop=part.stop)
        return Outgoing(
            begun(_recorded(vault, reading, pieces)),
            206 if part.partial else 200,
            headers_of(description.name, item.sha256, part),
            media_type="application/octet-stream",
        )

    return router


def _recorded(vault: Vault, reading: Reading, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces; where they turn out not to be what was sealed, that is sealed too."""
    try:
        yield from pieces
    except (VerificationError, NotFoundError) as error:
        names = ", ".join(each.item.exhibit for each in reading.exhibits)
        _log.error("%s %s cannot be given out: %s", reading.chain, names, error)
        with suppress(EvidenceError):
            vault.readings.failed(reading, str(error))
        raise DamagedError(
            f"{names} of {reading.chain} is not in the store as it was sealed; run: "
            f"evault verify {reading.chain} {names} --depth bytes"
        ) from error


def deposit_of(key: str | None) -> str | None:
    """The deposit id of a key, which may be quoted as a structured field is."""
    if key is None:
        return None
    quoted = len(key) > 1 and key[0] == key[-1] == '"'
    return check_chosen(key[1:-1] if quoted else key)


def _behind(cursor: str | None) -> int:
    """How many exhibits stand before a page."""
    name = begin_after(cursor)
    if name is None:
        return 0
    try:
        return exhibit_number(name, where="cursor")
    except MalformedError as error:
        raise NotFoundError("cursor: it is none that this server gave") from error
