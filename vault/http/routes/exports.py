"""Exports: everything of an incident as one bundle that a stranger can check.

What is made is the export statement, link n of the chain; the bundle is a function of that link,
and is written anew, byte for byte, for each who fetches it. Its file lives as long as a request.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Depends, Header, Query
from fastapi import Path as PathParameter
from fastapi.responses import JSONResponse, Response, StreamingResponse

from vault.access import Permission
from vault.documents import exported_json
from vault.errors import NotFoundError
from vault.export import Exported, Target
from vault.http import guard
from vault.http.answers import EXPORTED, REQUEST, tells
from vault.http.bodies import ExportBody
from vault.http.digests import names_tag
from vault.http.downloads import Outgoing, Slice, headers_of, slice_of
from vault.http.guard import AUTHENTICATED, asking, needs
from vault.http.problems import TooManyRequestsError
from vault.http.routes.evidence import Key, deposit_of
from vault.http.routes.requests import accepted
from vault.http.served import Asking, Service
from vault.http.two_persons import EXPORT, WRITTEN
from verify.chain import Manifest
from verify.export import parse_export
from verify.statement import Type

OWN = timedelta(days=1)
"""So long who made an export fetches it under the export statement itself."""
AT_ONCE = 2
"""Bundles that are written at once in one process; more are told to come back."""

_PIECE = 1 << 20

Why = Annotated[
    str | None,
    Query(
        max_length=1_000,
        pattern=r"\S",
        description="Why you read it, where the export is another's, or of another day.",
    ),
]
Number = Annotated[int, PathParameter(ge=0, lt=1 << 53)]


def export_routes(service: Service) -> APIRouter:
    """`/v1/incidents/{incident}/exports…`."""
    router = guard.router(service, "/v1/incidents/{incident}/exports", tags=["exports"])
    writing = threading.BoundedSemaphore(AT_ONCE)

    @router.post("", status_code=201)
    @needs(Permission.EXPORT)
    @tells(EXPORTED, also={200: "It was sealed before."})
    def export(
        incident: str,
        body: ExportBody,
        asked: Annotated[Asking, Depends(asking)],
        key: Key = None,
    ) -> Response:
        """Seal a completeness report and an export statement; fetch the bundle at its Location.

        The bundle is written once here, so that what cannot be written is not called exported.
        """
        with _place(writing) as path:
            made = asked.vault.exporter.export(
                incident,
                Target(path),
                profile=service.profile,
                purpose=body.purpose,
                recipient=body.recipient,
                withheld=body.withhold,
                deposit=deposit_of(key),
            )
        assert made.receipt is not None
        return JSONResponse(
            exported_json(incident, made),
            200 if made.receipt.repeated else 201,
            {"Location": f"/v1/incidents/{incident}/exports/{made.sequence}"},
        )

    @router.post("/requests", status_code=202)
    @needs(Permission.REQUEST_EXPORT)
    @tells(REQUEST)
    def request(
        incident: str, body: ExportBody, asked: Annotated[Asking, Depends(asking)]
    ) -> Response:
        """Ask for an export; it is sealed once a second person approved the request.

        Its result names the link, of which who asked fetches the bundle within a day.
        """
        said = {"recipient": body.recipient, "withhold": body.withhold}
        return accepted(service, asked, EXPORT, incident, said, body.purpose)

    @router.get("/{sequence}", response_class=StreamingResponse)
    @needs(AUTHENTICATED)
    @tells(media="application/zip", also={206: "One range."}, refuses=(403, 416))
    def fetch(
        incident: str,
        sequence: Number,
        asked: Annotated[Asking, Depends(asking)],
        purpose: Why = None,
        ranged: Annotated[str | None, Header(alias="Range")] = None,
        if_range: Annotated[str | None, Header(alias="If-Range")] = None,
    ) -> Response:
        """The bundle of an export, byte for byte as it was, or one range of it.

        For a day the export statement tells of it to who made it, or asked for it. For all others,
        who may export alone, and later, that what is in it is read is sealed first.
        """
        export = _admitted(asked, incident, sequence)
        if not _is_own(asked, export):
            _tell(asked, export, purpose)
        with _place(writing) as path:
            made = asked.vault.exporter.emit_again(
                incident, sequence, Target(path), profile=service.profile
            )
            file = path.open("rb")  # its name goes now, its bytes with the last who reads them
        try:
            current = if_range is None or names_tag(if_range, made.sha256)
            part = slice_of(ranged, made.size, current=current)
        except BaseException:
            file.close()
            raise
        return Outgoing(
            _pieces(file, part),
            206 if part.partial else 200,
            headers_of(_name(incident, made), made.sha256, part),
            media_type="application/zip",
            close=file.close,
        )

    return router


def _admitted(asked: Asking, incident: str, sequence: int) -> Manifest:
    """The export's link, for who may have its bundle.

    That is who may export alone; of their own, for a day, also who may ask for exports.
    """
    # First, so that an incident that one may not see looks like one that is not there.
    asked.access.check(Permission.READ_CHAIN, incident)
    manifests = asked.vault.incidents.read(incident).manifests
    there = sequence < len(manifests) and manifests[sequence].statement.type == Type.EXPORT
    asks = Permission.REQUEST_EXPORT in asked.access.permissions(incident)
    if not (there and asks and _is_own(asked, manifests[sequence])):
        asked.access.check(Permission.EXPORT, incident)
    if not there:
        raise NotFoundError(f"{incident} has no export at link {sequence}")
    return manifests[sequence]


def _tell(asked: Asking, export: Manifest, purpose: str | None) -> None:
    """Have it kept that what is in the bundle is read."""
    link = export.statement.link
    included = parse_export(export.statement.body, where=export.name).included
    why = purpose or f"the bundle of export link {link.sequence}"
    address = asked.identity.address or None
    asked.vault.readings.begin(link.chain, included, why, address=address)


def _is_own(asked: Asking, manifest: Manifest) -> bool:
    actor, own = manifest.statement.actor, asked.identity.actor
    age = abs(asked.vault.clock() - manifest.statement.recorded_at)
    return (actor.id, actor.kind) == (own.id, own.kind) and age < OWN


@contextmanager
def _place(writing: threading.BoundedSemaphore) -> Iterator[Path]:
    """Where one bundle is written; it is gone afterwards, whatever happened."""
    if not writing.acquire(blocking=False):
        raise TooManyRequestsError("other bundles are being written here; come back in a moment")
    try:
        with tempfile.TemporaryDirectory(prefix=WRITTEN) as folder:
            yield Path(folder) / "bundle.zip"
    finally:
        writing.release()


def _pieces(file: BinaryIO, part: Slice) -> Generator[bytes, None, None]:
    file.seek(part.start)
    left = part.length
    while left and (piece := file.read(min(_PIECE, left))):
        left -= len(piece)
        yield piece


def _name(incident: str, made: Exported) -> str:
    return f"{incident}-link-{made.sequence}.zip"
