"""Streams: what is collected before there is an incident, and windows of it brought into one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response

from vault.access import Permission
from vault.documents import covering_json, preserved_json, stream_json
from vault.http import guard
from vault.http.answers import a_page_of, ref, tells
from vault.http.bodies import PreservationBody
from vault.http.guard import AUTHENTICATED, asking, needs
from vault.http.pages import Cursor, Limit, begin_after, page, size_of
from vault.http.served import Asking, Service
from vault.preserve import claimed_by
from verify.errors import MalformedError
from verify.instant import read_given_instant
from verify.statement import STREAM


def stream_routes(service: Service) -> APIRouter:
    """`/v1/streams…`, and `/v1/incidents/{incident}/preservations`."""
    router = guard.router(service, "/v1", tags=["streams"])

    @router.get("/streams")
    @needs(AUTHENTICATED)
    @tells(a_page_of(ref("stream-list#/properties/items/items")), refuses=(403,))
    def streams(
        asked: Annotated[Asking, Depends(asking)], limit: Limit = None, cursor: Cursor = None
    ) -> Response:
        """The streams that you may see, by name."""
        asked.access.check_lists()
        size, after = size_of(limit, service.limits.page), begin_after(cursor) or ""
        names = asked.readable(STREAM, after=after)
        items = [stream_json(asked.vault.incidents.read(each)) for each in names[:size]]
        return JSONResponse(page(items, names[size - 1] if len(names) > size else None))

    @router.get("/streams/{chain}")
    @needs(Permission.READ_CHAIN)
    @tells("stream-show")
    def show(chain: str, asked: Annotated[Asking, Depends(asking)]) -> Response:
        """A stream: since when it collects, what its items cover, where they were brought in."""
        incidents = asked.vault.incidents
        read = incidents.read(chain)
        read.stream  # noqa: B018 — an incident is refused before its descriptions are read
        return JSONResponse(covering_json(read, claimed_by(incidents, read)))

    @router.post("/incidents/{incident}/preservations", status_code=201)
    @needs(Permission.PRESERVE)
    @tells("preserve", also={200: "Nothing in the window was new; nothing was sealed."})
    def preserve(
        incident: str, body: PreservationBody, asked: Annotated[Asking, Depends(asking)]
    ) -> Response:
        """Bring a window of a stream into an incident, and say what the window lacks.

        It takes the same right on the stream. 200 where nothing was new in the window.
        """
        asked.access.check(Permission.PRESERVE, body.stream)
        start, end = read_given_instant(body.start), read_given_instant(body.to)
        if start > end:
            raise MalformedError("from is later than to")
        vault = asked.vault
        collector = {
            "host": service.intake.host, "name": "evault", "version": vault.foundation.version
        }  # fmt: skip
        done = vault.preserver.preserve(incident, body.stream, start, end, collector=collector)
        told = preserved_json(vault.incidents.read(incident).incident, body.stream, done)
        return JSONResponse(told, 201 if done.receipts else 200)

    return router
